"""Softmax, and its logarithm: scores into probabilities."""

import numpy as np

from minillm.errors import ShapeError
from minillm.ops.common import check_axis, max_or_lowest
from minillm.registry import Case, ErrorCase, op


def softmax_cases(rng):
    for shape in [(3, 4), (5,), (2, 3, 1), (1, 1), (2, 33)]:
        yield Case((rng.normal(size=shape),))
    yield Case((rng.normal(size=(2, 3, 4)),), {"axis": 1})
    yield Case((rng.normal(size=(4, 3)).T,), note="not contiguous")
    yield Case((np.zeros((2, 0)),), note="no elements")
    yield Case((rng.normal(size=(2, 3)) * 1e4,), note="scores far apart", smooth=False)


def softmax_errors(rng):
    yield ErrorCase((np.zeros((2, 3)),), ShapeError, "softmax: axis 2 is out of range", {"axis": 2})


def log_softmax_errors(rng):
    yield ErrorCase((np.zeros((2, 3)),), ShapeError, "log_softmax: axis 2 is out of range", {"axis": 2})


@op(cases=softmax_cases, errors=softmax_errors)
def softmax(xp, x, *, axis=-1):
    """Softmax.  [4.2.1]  p_i = exp(x_i − m) / Σ_j exp(x_j − m),  m = max x (so that exp can't overflow).

    Scores of −inf get probability 0; a row that is all −inf gets zeros.
    """
    check_axis("softmax", x, axis)
    e = xp.exp(x - max_or_lowest(xp, x, axis))
    total = e.sum(axis, keepdims=True)
    p = e / xp.where(total == 0, 1, total).astype(x.dtype)
    return p, (p, axis)


@softmax.backward
def softmax_backward(xp, dp, saved):
    """dx = p ∘ (dp − Σ_j dp_j p_j)"""
    p, axis = saved
    return (p * (dp - (dp * p).sum(axis, keepdims=True)),)


@op(cases=softmax_cases, errors=log_softmax_errors)
def log_softmax(xp, x, *, axis=-1):
    """Logarithm of the softmax.  [4.2.1]  l_i = x_i − m − ln Σ_j exp(x_j − m),  m = max x"""
    check_axis("log_softmax", x, axis)
    shifted = x - max_or_lowest(xp, x, axis)
    total = xp.exp(shifted).sum(axis, keepdims=True)
    log_p = shifted - xp.log(xp.maximum(total, xp.finfo(x.dtype).tiny))
    return log_p, (log_p, axis)


@log_softmax.backward
def log_softmax_backward(xp, dl, saved):
    """dx = dl − softmax(x) Σ_j dl_j"""
    log_p, axis = saved
    return (dl - xp.exp(log_p) * dl.sum(axis, keepdims=True),)
