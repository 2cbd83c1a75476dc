"""Counts of token groups, as an n-gram model keeps them.  [2.1-ngram]"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm.errors import DataError, TokenError

MISSING = -1


@dataclass(frozen=True)
class Level:
    """All distinct groups of k tokens, and what is known of them.

    A group is its first k-1 tokens (its context, a row of the level below) and its last. Both in one number, sorted,
    make a group a row that `searchsorted` finds: key = row of the context · vocab_size + last token.
    """

    keys: np.ndarray
    """(groups,) int64, ascending."""
    suffixes: np.ndarray
    """(groups,) int64: row, in the level below, of the group without its first token; all 0 in the lowest level."""
    counts: np.ndarray
    """(groups,) int64: how often the group occurs; under Kneser-Ney, below the highest order, after how many tokens."""
    totals: np.ndarray
    """(contexts,) int64: sum of the counts over the last token."""
    followers: np.ndarray
    """(contexts,) int64: number of last tokens with a count."""
    discount: float
    """What Kneser-Ney and back-off take from each count."""

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Row of each key, -1 where there is none."""
        row = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[row] == keys, row, MISSING)


def count_groups(tokens: np.ndarray, vocab_size: int, order: int, continuations: bool) -> list[Level]:
    """The groups of 1 to `order` tokens. continuations: count below the highest order as Kneser-Ney does."""
    found, suffixes = [], []
    row = np.zeros(len(tokens) + 1, np.int64)  # at each place, the row of the group that ends just before it
    contexts = [1]
    for n in range(order):
        keys, first, inverse, counts = np.unique(
            row[: len(tokens) - n] * vocab_size + tokens[n:], return_index=True, return_inverse=True, return_counts=True
        )
        suffixes.append(row[1:][first])
        found.append((keys, counts))
        contexts.append(len(keys))
        row = inverse
    levels = []
    for n, (keys, counts) in enumerate(found):
        if continuations and n < order - 1:
            counts = np.bincount(suffixes[n + 1], minlength=len(keys))
        parent = keys // vocab_size
        totals = np.bincount(parent, counts, contexts[n]).astype(np.int64)
        followers = np.bincount(parent, counts > 0, contexts[n]).astype(np.int64)
        levels.append(Level(keys, suffixes[n], counts, totals, followers, _discount(counts)))
    return levels


def checked_tokens(ids: Any, vocab_size: int) -> np.ndarray:
    """Ids as (tokens,) int64; DataError for another shape or type, TokenError outside the vocabulary."""
    tokens = np.asarray(ids)
    if not tokens.size:
        tokens = tokens.astype(np.int64)
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise DataError(f"token ids must be integers, shape (tokens,); got {tokens.dtype} of shape {tokens.shape}")
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab_size:
        raise TokenError(f"token ids must lie in 0..{vocab_size - 1}; got {tokens.min()}..{tokens.max()}")
    return tokens.astype(np.int64)


def _discount(counts: np.ndarray) -> float:
    """Ney, Essen and Kneser's estimate from the groups seen once and twice; a half where there are none of either."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once and twice else 0.5
