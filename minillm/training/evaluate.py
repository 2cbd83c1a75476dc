"""The loss on text the model wasn't trained on."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minillm.data.batches import IGNORED, windows
from minillm.models import GPT
from minillm.tape import no_grad
from minillm.training.task import Batch


def evaluate(
    model: GPT,
    ids: np.ndarray,
    *,
    context_length: int,
    batch_size: int,
    interrupted: Callable[[], bool] = lambda: False,
) -> float | None:
    """Mean cross-entropy of (n,) ids in nats per token, dropout off; None if `interrupted()` turned true meanwhile.

    Each window starts without a past, so early positions are harder: the mean is over positions 1 to context_length,
    as in training. Raises DataError for fewer than two ids.
    """
    cut = windows(ids, context_length, batch_size)
    return mean_loss(model, ({"ids": inputs, "targets": targets} for inputs, targets in cut), interrupted)


def mean_loss(model: Any, batches: Iterable[Batch], interrupted: Callable[[], bool] = lambda: False) -> float | None:
    """Mean cross-entropy in nats over every target that counts in any of the batches, dropout off; None if interrupted.

    A batch's own mean is weighted by its number of such targets.
    """
    total, count = 0.0, 0
    model.eval()
    try:
        with no_grad(), np.errstate(all="ignore"):  # a model that has diverged gives NaN, which is the answer
            for batch in batches:
                if interrupted():
                    return None
                counted = int((batch["targets"] != IGNORED).sum())
                total += model.loss(**batch).item() * counted
                count += counted
    finally:
        model.train()
    return total / count
