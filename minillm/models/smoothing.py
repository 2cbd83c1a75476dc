"""Smoothing: giving some of the chance of what was seen to what wasn't, one order at a time.  [2.1-ngram]

Each function gives P(w | h) at one order, h the context, from the count c of h w and the chance of w at the order
below, P(w | h'), h' being h without its first token. Below order 1 every token is equally likely.

counts, context, lower: arrays of one shape. context: the row of h in the level below, negative where h never occurred;
such a context says nothing, and neither does one that nothing follows: the chance is that of the order below.
"""

from collections.abc import Sequence

import numpy as np

from minillm.models.ngram_counts import Level


def add_k(level: Level, counts: np.ndarray, context: np.ndarray, k: float, vocab_size: int) -> np.ndarray:
    """P(w | h) = (c + k) / (total + k · vocab_size): every count k higher, and no order below is asked.

    A context never seen gives 1 / vocab_size, which is what the formula gives for counts of 0.
    """
    total = np.where(context >= 0, level.totals[context], 0)
    known = total + k * vocab_size > 0
    size = np.where(known, total + k * vocab_size, 1)
    return np.where(known, (counts + k) / size, 1 / vocab_size)


def kneser_ney(level: Level, counts: np.ndarray, context: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """P(w | h) = (max(c - d, 0) + d · followers · P(w | h')) / total  (Kneser and Ney 1995; Chen and Goodman 1999).

    Interpolated: what the discount d takes from the counts is given out among all tokens as the order below says.
    Below the highest order c is the number of tokens that h w comes after, which `count_groups` counts.
    """
    seen = context >= 0
    total, followers = (np.where(seen, values[context], 0) for values in (level.totals, level.followers))
    discounted = np.maximum(counts - level.discount, 0) + level.discount * followers * lower
    return np.where(total > 0, discounted / np.maximum(total, 1), lower)


def back_off(
    level: Level, counts: np.ndarray, context: np.ndarray, lower: np.ndarray, weights: np.ndarray, vocab_size: int
) -> np.ndarray:
    """P(w | h) = (c - d) / total if c > 0, else α(h) · P(w | h').  α: `back_off_weights`.

    Katz's back-off (Katz 1987) with absolute discounting (Ney, Essen and Kneser 1994), as Chen and Goodman 1999
    compare it with Kneser-Ney: the order below is asked only about tokens never seen after h.
    """
    seen = context >= 0
    total, alpha = (np.where(seen, values[context], 0) for values in (level.totals, weights))
    discount = np.where(seen, _discounts(level, vocab_size)[context], 0)
    p = np.where(counts > 0, (counts - discount) / np.maximum(total, 1), alpha * lower)
    return np.where(total > 0, p, lower)


def back_off_weights(levels: Sequence[Level], vocab_size: int) -> list[np.ndarray]:
    """α(h) for every context of each level, (contexts,) float64: what was taken from the tokens seen after h, divided
    by what the order below gives the others, so that P(· | h) sums to 1.

        α(h) = (d · followers / total) / (1 - Σ_{w: c > 0} P(w | h'))

    A group's suffix occurs wherever the group does, so P(w | h') is the upper case of `back_off` for each w here.
    """
    weights = []
    lower = np.array([])
    for n, level in enumerate(levels):
        parent = level.keys // vocab_size
        of_suffix = lower[level.suffixes] if n else np.full(len(level.keys), 1 / vocab_size)
        rest = 1 - np.bincount(parent, of_suffix, len(level.totals))
        discounts = _discounts(level, vocab_size)
        taken = discounts * level.followers / np.maximum(level.totals, 1)
        weights.append(np.where(taken > 0, taken / np.where(taken > 0, rest, 1), 0))
        lower = (level.counts - discounts[parent]) / level.totals[parent]
    return weights


def _discounts(level: Level, vocab_size: int) -> np.ndarray:
    """d of each context, (contexts,): 0 where every token has been seen, and there is none to give anything to."""
    return np.where(level.followers < vocab_size, level.discount, 0.0)
