"""The loss on text the model wasn't trained on."""

from collections.abc import Callable

import numpy as np

from minillm.data.batches import IGNORED, windows
from minillm.models import GPT
from minillm.tape import no_grad


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
    total, count = 0.0, 0
    model.eval()
    try:
        with no_grad(), np.errstate(all="ignore"):  # a model that has diverged gives NaN, which is the answer
            for inputs, targets in windows(ids, context_length, batch_size):
                if interrupted():
                    return None
                counted = int((targets != IGNORED).sum())
                total += model.loss(inputs, targets).item() * counted
                count += counted
    finally:
        model.train()
    return total / count
