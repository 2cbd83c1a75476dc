"""Recall: a task whose answer is a token seen a known number of positions earlier; for comparing long ranges.

    input     S  a  b  c  ...  z  ?
    target    .  .  .  .  ...  .  S

S is the symbol to remember, a ... z are others, ? is the query. The last position alone has a target: S, `distance`
positions after S itself.

Every symbol is drawn alike and on its own, so what stands between tells nothing of S: a model that sees S can always be
right, and one that doesn't can only guess. That a model learns this at distance k shows that k tokens back reach it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minillm.data.batches import IGNORED
from minillm.errors import ConfigError


class RecallBatch(NamedTuple):
    """What a step trains on: (batch_size, distance) int64 both."""

    ids: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class Recall:
    """The task at one distance: symbols are ids 0 to symbols-1, the query is id `symbols`."""

    distance: int = 32
    """Positions from the symbol to its repetition, which is also the length of an input."""
    symbols: int = 8
    """Symbols to tell apart."""
    seed: int = 0
    """The same seed makes the same batches."""

    def __post_init__(self) -> None:
        if self.distance < 2:
            raise ConfigError(f"distance={self.distance} must be at least 2: the symbol and the query")
        if self.symbols < 2:
            raise ConfigError(f"symbols={self.symbols} must be at least 2, or there is nothing to remember")

    @property
    def vocab_size(self) -> int:
        """The symbols and the query."""
        return self.symbols + 1

    def batch(self, step: int, batch_size: int) -> RecallBatch:
        """Batch number `step`, a pure function of the seed and the step; a negative step for data to evaluate on."""
        rng = np.random.default_rng([self.seed, abs(step), int(step < 0)])
        ids = rng.integers(self.symbols, size=(batch_size, self.distance))
        targets = np.full_like(ids, IGNORED)
        targets[:, -1] = ids[:, 0]
        ids[:, -1] = self.symbols
        return RecallBatch(ids, targets)

    def best_accuracy(self, visible: int) -> float:
        """The best share of right answers possible for a model that sees the last `visible` tokens, in the mean.

        1 if they reach back to the symbol, else 1 / symbols: its distribution given all the others is the uniform one.
        """
        return 1.0 if visible >= self.distance else 1 / self.symbols

    def accuracy(self, logits: np.ndarray, targets: np.ndarray) -> float:
        """The share of right answers. logits: (batch_size, distance, vocab_size); targets: those of the batch."""
        return float((logits[:, -1].argmax(axis=-1) == targets[:, -1]).mean())
