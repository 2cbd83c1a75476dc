"""What a training is about: a model, its batches, its evaluation. The loop, which trains any of them, knows no more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

Batch = dict[str, np.ndarray]
"""What `model.loss` takes by name, a row each for every example; `targets` is among them, -100 where none counts."""


@dataclass(frozen=True)
class Evaluation:
    """How good the model is by now, on what it wasn't trained on."""

    loss: float
    """Mean cross-entropy in nats for each target that counts: the lowest makes the best checkpoint."""
    measures: dict[str, float] = field(default_factory=dict)
    """What else there is to know, by name: bits per byte, accuracy ..."""


class Task(Protocol):
    """What the loop asks for. `batch` is a pure function of the step, so that a resumed run sees what it would have."""

    @property
    def baselines(self) -> Mapping[str, float]:
        """Losses to compare with, by name."""

    def make_model(self) -> Any:
        """The model as training begins; drawn from the random streams, the same for the same seed."""

    def batch(self, step: int) -> Batch:
        """What the update that follows `step` finished ones learns from."""

    def evaluate(self, model: Any, interrupted: Callable[[], bool]) -> Evaluation | None:
        """None if `interrupted()` turned true meanwhile."""

    def samples(self, model: Any, step: int, interrupted: Callable[[], bool]) -> list[str] | None:
        """Texts that show what the model does by now; None if interrupted."""

    def title(self, model: Any) -> str:
        """Over the plot."""
