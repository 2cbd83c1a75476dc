"""The n-gram model: the next word's chance from counts of the last n-1 words. A Transformer must beat it.  [2.1-ngram]

    P(w_t | w_{t-n+1} ... w_{t-1}) = c(w_{t-n+1} ... w_t) / c(w_{t-n+1} ... w_{t-1})

Most long word groups never occur in the training text, and a count of 0 would make the whole text impossible; smoothing
moves some chance to what wasn't seen. Two ways: add-k, the simplest, and interpolated Kneser-Ney, the best of the
classical ones (Kneser and Ney 1995; Chen and Goodman 1999).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minillm.errors import ConfigError, DataError, TokenError
from minillm.models.decoding import Sampling, draw

Smoothing = Literal["kneser-ney", "add-k"]
_MISSING = -1


@dataclass(frozen=True)
class Level:
    """All distinct groups of k tokens, and what is known of them.

    A group is its first k-1 tokens (its context, a row of the level below) and its last. Both in one number, sorted,
    make a group a row that `searchsorted` finds: key = row of the context · vocab_size + last token.
    """

    keys: np.ndarray
    """(groups,) int64, ascending."""
    counts: np.ndarray
    """(groups,) int64: how often the group occurs; under Kneser-Ney, below the highest order, after how many tokens."""
    totals: np.ndarray
    """(contexts,) int64: sum of the counts over the last token."""
    followers: np.ndarray
    """(contexts,) int64: number of last tokens with a count."""
    discount: float
    """What Kneser-Ney takes from each count."""

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Row of each key, -1 where there is none."""
        row = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[row] == keys, row, _MISSING)


class NGram:
    """P(token | the n-1 before it), from counts. Order 0 is the uniform distribution, order 1 looks at no context.

    `NGram.train(ids, vocab_size, order=3)`. Memory: about 50 bytes a distinct group and order, and as much a token
    while training.
    """

    def __init__(self, vocab_size: int, levels: Sequence[Level], smoothing: Smoothing = "kneser-ney", k: float = 1.0):
        self.vocab_size, self.levels, self.smoothing, self.k = vocab_size, list(levels), smoothing, k

    @property
    def order(self) -> int:
        """Tokens of a group: the context and the token predicted."""
        return len(self.levels)

    @classmethod
    def uniform(cls, vocab_size: int) -> "NGram":
        """Every token equally likely: ln(vocab_size) nats a token. What a model that knows nothing pays."""
        return cls(vocab_size, [])

    @classmethod
    def train(
        cls, ids: Any, vocab_size: int, order: int = 3, smoothing: Smoothing = "kneser-ney", k: float = 1.0
    ) -> "NGram":
        """Count groups of 1 to `order` tokens of `ids`, an integer array (tokens,), memory-mapped or not.

        k: what add-k adds to every count; 0 is the formula itself, with no chance for what was never seen.
        Raises ConfigError for settings out of range, DataError for a text shorter than a group.
        """
        if order < 1:
            raise ConfigError(f"order={order} must be at least 1 (NGram.uniform is the model that counts nothing)")
        if smoothing not in ("kneser-ney", "add-k"):
            raise ConfigError(f"smoothing={smoothing!r} must be 'kneser-ney' or 'add-k'")
        if not k >= 0:
            raise ConfigError(f"k={k} must not be negative")
        tokens = _checked(ids, vocab_size)
        if len(tokens) < order:
            raise DataError(f"{len(tokens)} tokens are too few to count groups of {order}")
        return cls(vocab_size, _count(tokens, vocab_size, order, smoothing), smoothing, k)

    def evaluate(self, ids: Any) -> float:
        """Mean surprise in nats over every token but the first, whose chance no model is asked for; inf if one is 0.

        The same targets as a Transformer's over the whole split. Raises DataError below two tokens.
        """
        tokens = _checked(ids, self.vocab_size)
        if len(tokens) < 2:
            raise DataError(f"{len(tokens)} tokens: at least 2 are needed, one to predict the other from")
        with np.errstate(divide="ignore"):
            return float(-np.log(self.probabilities(tokens)[1:]).mean())

    def probabilities(self, ids: Any) -> np.ndarray:
        """P(ids[t] | the tokens before), (tokens,) float64. The first tokens are given what context there is."""
        tokens = _checked(ids, self.vocab_size)
        p = np.full(len(tokens), 1 / self.vocab_size)
        context = np.zeros(len(tokens), np.int64)  # row of the context in the level below; the empty one is row 0
        for n, level in enumerate(self.levels):
            row = np.where(context < 0, _MISSING, level.find(context * self.vocab_size + tokens))
            counts = np.where(row < 0, 0, level.counts[row])
            p[n:] = self._smoothed(level, counts, context, p)[n:]
            context = np.concatenate([[_MISSING], row[:-1]])
        return p

    def distribution(self, context: Any) -> np.ndarray:
        """P(every token | context), (vocab_size,) float64. context: ids, any number; the last order-1 count."""
        tokens = _checked(context, self.vocab_size)
        p = np.full(self.vocab_size, 1 / self.vocab_size)
        for n, level in enumerate(self.levels[: len(tokens) + 1]):
            row = self._row(tokens[len(tokens) - n :])
            first, last = np.searchsorted(level.keys, [row * self.vocab_size, (row + 1) * self.vocab_size])
            counts = np.zeros(self.vocab_size, np.int64)
            if row >= 0:
                counts[level.keys[first:last] - row * self.vocab_size] = level.counts[first:last]
            p = self._smoothed(level, counts, np.full(self.vocab_size, row), p)
        return p

    def generate(self, ids: Any, max_new_tokens: int, **sampling: Any) -> np.ndarray:
        """Continue `ids` (tokens,) by drawing token after token; returns the new ids, int64. Options: `Sampling`."""
        options = Sampling(**sampling)
        rng = np.random.Generator(np.random.Philox(key=options.seed))
        tokens = [int(i) for i in _checked(ids, self.vocab_size)]
        start = len(tokens)
        for _ in range(max_new_tokens):
            with np.errstate(divide="ignore"):
                logits = np.log(self.distribution(tokens[max(0, len(tokens) - self.order + 1) :]))
            tokens.append(draw(logits, options, rng))
        return np.array(tokens[start:], dtype=np.int64)

    def _smoothed(self, level: Level, counts: np.ndarray, context: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """The chance at one order, from the counts of (context, token) and the chances one order below.

        Kneser-Ney: (max(c - d, 0) + d · followers · lower) / total: what the discount d takes from the counts is given
        out as the lower order says. Add-k: (c + k) / (total + k · vocab_size). A context never seen says nothing: the
        chance is that of the lower order (add-k: uniform, which is what its formula gives for counts of 0).
        """
        seen = context >= 0
        total = np.where(seen, level.totals[context], 0)
        if self.smoothing == "add-k":
            known = total + self.k * self.vocab_size > 0
            size = np.where(known, total + self.k * self.vocab_size, 1)
            return np.where(known, (counts + self.k) / size, 1 / self.vocab_size)
        followers = np.where(seen, level.followers[context], 0)
        discounted = np.maximum(counts - level.discount, 0) + level.discount * followers * lower
        return np.where(total > 0, discounted / np.maximum(total, 1), lower)

    def _row(self, context: np.ndarray) -> int:
        """Row of a context in the level of its length; 0 for the empty one, -1 if it never occurred."""
        row = 0
        for level, token in zip(self.levels, context, strict=False):
            row = int(level.find(np.array([row * self.vocab_size + token]))[0])
            if row < 0:
                break
        return row


def bits_per_byte(nats_per_token: float, tokens: int, text_bytes: int) -> float:
    """Loss in bits per UTF-8 byte: comparable between tokenizers, as nats per token are not."""
    return nats_per_token * tokens / (math.log(2) * text_bytes)


def _count(tokens: np.ndarray, vocab_size: int, order: int, smoothing: Smoothing) -> list[Level]:
    found, suffixes = [], []  # keys and counts of each level; the row, one level below, of each group without its first
    row = np.zeros(len(tokens) + 1, np.int64)  # at each place, the row of the group that ends just before it
    contexts = [1]
    for n in range(order):
        keys, first, inverse, counts = np.unique(
            row[: len(tokens) - n] * vocab_size + tokens[n:], return_index=True, return_inverse=True, return_counts=True
        )
        if n:
            suffixes.append(row[1:][first])
        found.append((keys, counts))
        contexts.append(len(keys))
        row = inverse
    levels = []
    for n, (keys, counts) in enumerate(found):
        if smoothing == "kneser-ney" and n < order - 1:
            counts = np.bincount(suffixes[n], minlength=len(keys))
        parent = keys // vocab_size
        totals = np.bincount(parent, counts, contexts[n]).astype(np.int64)
        followers = np.bincount(parent, counts > 0, contexts[n]).astype(np.int64)
        levels.append(Level(keys, counts, totals, followers, _discount(counts)))
    return levels


def _discount(counts: np.ndarray) -> float:
    """Ney, Essen and Kneser's estimate from the groups seen once and twice; a half where there are none of either."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once and twice else 0.5


def _checked(ids: Any, vocab_size: int) -> np.ndarray:
    tokens = np.asarray(ids)
    if not tokens.size:
        tokens = tokens.astype(np.int64)
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise DataError(f"token ids must be integers, shape (tokens,); got {tokens.dtype} of shape {tokens.shape}")
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab_size:
        raise TokenError(f"token ids must lie in 0..{vocab_size - 1}; got {tokens.min()}..{tokens.max()}")
    return tokens.astype(np.int64)
