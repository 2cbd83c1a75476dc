"""copy_logits: an output head's logits, raised at the words of a source that a score asks to copy (Gu et al. 2016)."""

import numpy as np

from minillm.backend import array_module, as_array
from minillm.errors import ShapeError
from minillm.ops.common import max_or_lowest
from minillm.ops.embedding import check_ids
from minillm.registry import Case, ErrorCase, op


def copy_logits_cases(rng):
    def arguments(batch, time, vocab_size, places):
        logits, scores = rng.normal(size=(batch, time, vocab_size)), rng.normal(size=(batch, time, places))
        return logits, scores, rng.integers(0, vocab_size, size=(batch, places))

    logits, scores, source = arguments(2, 3, 5, 4)
    yield Case((logits, scores, np.array([[1, 1, 4, 1], [0, 2, 2, 3]])), note="words that stand there several times")
    yield Case((logits, scores, source))
    hidden = np.where(np.array([[0, 0, 1, 1], [1, 1, 1, 1]], bool)[:, None], -np.inf, scores)
    yield Case((logits, hidden, source), note="padding, and a source of nothing else", smooth=False)
    yield Case((logits * 1e3, scores * 1e3, source), note="scores far apart", smooth=False)
    apart = np.array([[[0.0, -90, -200, -90], [0, -200, -90, -np.inf]]] * 2) * 8.5  # e^(−765) is 0 in float64
    far = logits[:, :2] - 1e4
    yield Case((far, apart, np.array([[0, 1, 1, 2], [0, 1, 1, 1]])), note="twice, far below the largest", smooth=False)
    yield Case(arguments(1, 1, 1, 1), note="one of everything")
    yield Case((logits, np.zeros((2, 3, 0)), np.zeros((2, 0), int)), note="no places")
    yield Case(arguments(2, 0, 5, 4), note="no targets")


def copy_logits_errors(rng):
    logits, scores = np.zeros((2, 3, 5)), np.zeros((2, 3, 4))
    source = np.zeros((2, 4), int)
    yield ErrorCase((logits, scores[:, :2], source), ShapeError, r"\(2, 3, 5\), \(2, 2, 4\) and \(2, 4\)")
    yield ErrorCase((logits, scores, source[:, :3]), ShapeError, r"\(batch, places\)")
    yield ErrorCase((logits[0], scores[0], source), ShapeError, r"\(batch, time, vocab_size\)")


@op(cases=copy_logits_cases, errors=copy_logits_errors, ids="source")
def copy_logits(xp, logits, scores, source):
    """Logits with copying.  z'_w = ln(exp z_w + Σ_{j: s_j = w} exp c_j)

    Gu et al. 2016, equations 4 to 6: softmax(z') is one softmax over the whole vocabulary and all places of the source,
    a word having the probability of being written plus that of being copied from any place where it stands.

    logits: z, (batch, time, vocab_size);  scores: c, (batch, time, places), −∞ where there is nothing to copy;
    source: s, (batch, places), the id at each place.
    """
    source = as_array(source)
    check_copy_logits(array_module(source), logits, scores, source)
    source = xp.asarray(source)
    batch, time, places = scores.shape
    at = (xp.arange(batch)[:, None, None], xp.arange(time)[:, None], source[:, None])  # z[at]: (batch, time, places)
    z = logits[at]
    raised = xp.logaddexp(z, ln_copied(xp, scores, source))
    out = logits.copy()
    out[at] = raised  # a word's places all have one sum
    return out, (at, z, scores, xp.maximum(raised, xp.finfo(raised.dtype).min))  # finite: z − z' may be −∞ − −∞


@copy_logits.backward
def copy_logits_backward(xp, dout, saved):
    """dz_w = dz'_w exp(z_w − z'_w),  dc_j = dz'_{s_j} exp(c_j − z'_{s_j})"""
    at, z, scores, raised = saved
    dplaces = dout[at]
    dlogits = dout.copy()
    dlogits[at] = dplaces * xp.exp(z - raised)
    return dlogits, dplaces * xp.exp(scores - raised), None


def ln_copied(xp, scores, source):
    """ln Σ_{j: s_j = s_i} exp c_j at each place i, (batch, time, places): how much the word there is to be copied."""
    same = source[:, :, None] == source[:, None]  # s_i = s_j, (batch, places, places)
    largest = max_or_lowest(xp, scores, -1)
    copied = xp.exp(scores - largest) @ same.astype(scores.dtype)  # Σ exp(c_j − m),  m = max c: nothing overflows
    tiny = xp.finfo(scores.dtype).tiny
    total = xp.where(copied < tiny, scores, xp.log(xp.maximum(copied, tiny)) + largest)
    rows, times = xp.nonzero(((copied < tiny) & (scores > -xp.inf)).any(-1))
    if len(rows):  # a word so far below m that its sum is lost: m is then the largest c_j of the word itself
        of_word = xp.where(same[rows], scores[rows, times][:, None], -xp.inf)
        largest = max_or_lowest(xp, of_word, -1)
        sums = xp.exp(of_word - largest).sum(-1)
        exact = xp.log(xp.maximum(sums, tiny)) + largest[..., 0]
        total[rows, times] = xp.where(copied[rows, times] < tiny, exact, total[rows, times])
    return total


def check_copy_logits(xp, logits, scores, source):
    """ShapeError or TokenError unless the arguments fit."""
    fits = logits.ndim == scores.ndim == 3 and logits.shape[:2] == scores.shape[:2]
    if not fits or source.shape != (scores.shape[0], scores.shape[2]):
        raise ShapeError(
            "copy_logits: logits (batch, time, vocab_size), scores (batch, time, places) and source (batch, places) "
            f"don't fit; got {logits.shape}, {scores.shape} and {source.shape}"
        )
    check_ids(xp, source, logits.shape[-1])
