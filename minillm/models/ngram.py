"""The n-gram model: the next word's chance from counts of the last n-1 words. A Transformer must beat it.  [2.1-ngram]

    P(w_t | w_{t-n+1} ... w_{t-1}) = c(w_{t-n+1} ... w_t) / c(w_{t-n+1} ... w_{t-1})

Most long word groups never occur in the training text, and a count of 0 would make the whole text impossible; smoothing
moves some chance to what wasn't seen. Three ways, in `smoothing.py`: add-k, the simplest; back-off, which asks a
shorter context where the longer one has never seen the word; and interpolated Kneser-Ney, the best of the classical
ones (Kneser and Ney 1995; Chen and Goodman 1999).
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from minillm.errors import ConfigError, DataError
from minillm.models.decoding import Sampling, draw
from minillm.models.ngram_counts import MISSING, Level, checked_tokens, count_groups
from minillm.models.smoothing import add_k, back_off, back_off_weights, kneser_ney

Smoothing = Literal["kneser-ney", "backoff", "add-k"]


class NGram:
    """P(token | the n-1 before it), from counts. Order 0 is the uniform distribution, order 1 looks at no context.

    `NGram.train(ids, vocab_size, order=3)`. Memory: about 50 bytes a distinct group and order, and as much a token
    while training.
    """

    def __init__(self, vocab_size: int, levels: Sequence[Level], smoothing: Smoothing = "kneser-ney", k: float = 1.0):
        self.vocab_size, self.levels, self.smoothing, self.k = vocab_size, list(levels), smoothing, k
        self.weights = back_off_weights(self.levels, vocab_size) if smoothing == "backoff" else []

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
        if smoothing not in get_args(Smoothing):
            raise ConfigError(f"smoothing={smoothing!r} must be one of {', '.join(get_args(Smoothing))}")
        if not k >= 0:
            raise ConfigError(f"k={k} must not be negative")
        tokens = checked_tokens(ids, vocab_size)
        if len(tokens) < order:
            raise DataError(f"{len(tokens)} tokens are too few to count groups of {order}")
        levels = count_groups(tokens, vocab_size, order, continuations=smoothing == "kneser-ney")
        return cls(vocab_size, levels, smoothing, k)

    def evaluate(self, ids: Any) -> float:
        """Mean surprise in nats over every token but the first, whose chance no model is asked for; inf if one is 0.

        The same targets as a Transformer's over the whole split. Raises DataError below two tokens.
        """
        tokens = checked_tokens(ids, self.vocab_size)
        if len(tokens) < 2:
            raise DataError(f"{len(tokens)} tokens: at least 2 are needed, one to predict the other from")
        with np.errstate(divide="ignore"):
            return float(-np.log(self.probabilities(tokens)[1:]).mean())

    def probabilities(self, ids: Any) -> np.ndarray:
        """P(ids[t] | the tokens before), (tokens,) float64. The first tokens are given what context there is."""
        tokens = checked_tokens(ids, self.vocab_size)
        p = np.full(len(tokens), 1 / self.vocab_size)
        context = np.zeros(len(tokens), np.int64)  # row of the context in the level below; the empty one is row 0
        for n, level in enumerate(self.levels):
            row = np.where(context < 0, MISSING, level.find(context * self.vocab_size + tokens))
            counts = np.where(row < 0, 0, level.counts[row])
            p[n:] = self._smoothed(n, counts, context, p)[n:]
            context = np.concatenate([[MISSING], row[:-1]])
        return p

    def distribution(self, context: Any) -> np.ndarray:
        """P(every token | context), (vocab_size,) float64. context: ids, any number; the last order-1 count."""
        tokens = checked_tokens(context, self.vocab_size)
        p = np.full(self.vocab_size, 1 / self.vocab_size)
        for n, level in enumerate(self.levels[: len(tokens) + 1]):
            row = self._row(tokens[len(tokens) - n :])
            first, last = np.searchsorted(level.keys, [row * self.vocab_size, (row + 1) * self.vocab_size])
            counts = np.zeros(self.vocab_size, np.int64)
            if row >= 0:
                counts[level.keys[first:last] - row * self.vocab_size] = level.counts[first:last]
            p = self._smoothed(n, counts, np.full(self.vocab_size, row), p)
        return p

    def generate(self, ids: Any, max_new_tokens: int, **sampling: Any) -> np.ndarray:
        """Continue `ids` (tokens,) by drawing token after token; returns the new ids, int64. Options: `Sampling`."""
        options = Sampling(**sampling)
        rng = np.random.Generator(np.random.Philox(key=options.seed))
        tokens = [int(i) for i in checked_tokens(ids, self.vocab_size)]
        start = len(tokens)
        for _ in range(max_new_tokens):
            with np.errstate(divide="ignore"):
                logits = np.log(self.distribution(tokens[max(0, len(tokens) - self.order + 1) :]))
            tokens.append(draw(logits, options, rng))
        return np.array(tokens[start:], dtype=np.int64)

    def _smoothed(self, n: int, counts: np.ndarray, context: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """The chance at order n+1, from the counts of (context, token) and the chances one order below."""
        if self.smoothing == "add-k":
            return add_k(self.levels[n], counts, context, self.k, self.vocab_size)
        if self.smoothing == "backoff":
            return back_off(self.levels[n], counts, context, lower, self.weights[n], self.vocab_size)
        return kneser_ney(self.levels[n], counts, context, lower)

    def _row(self, context: np.ndarray) -> int:
        """Row of a context in the level of its length; 0 for the empty one, -1 if it never occurred."""
        row = 0
        for level, token in zip(self.levels, context, strict=False):
            row = int(level.find(np.array([row * self.vocab_size + token]))[0])
            if row < 0:
                break
        return row
