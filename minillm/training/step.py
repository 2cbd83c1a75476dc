"""One update of the weights: gradients of a batch, clipping, AdamW; and what happens when a gradient isn't finite."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm import seeding
from minillm.data.batches import IGNORED
from minillm.optim import Optimizer, as_float, clip_scale, squared_norm
from minillm.tracing import trace_non_finite
from minillm.training.task import Batch

Gradients = Callable[[Any, Batch, int], Any]
"""As `accumulate_gradients`."""


@dataclass(frozen=True)
class StepResult:
    """What an update did: loss (nats per target), length of the gradient before clipping, why it was skipped."""

    loss: float
    grad_norm: float
    skipped: str | None = None


def accumulate_gradients(model: Any, batch: Batch, parts: int) -> Any:
    """Add the gradient of the batch's mean loss to the parameters, and return that loss in nats per target: a float,
    or a number on the GPU where the model is there.

    The batch is cut into `parts`, each run forward and backward before the next, so that one part's activations are
    held at a time. A part's mean is weighted by its share of the targets that count in the whole batch: the mean of
    means would be wrong where parts have different counts.
    """
    counted = int((batch["targets"] != IGNORED).sum())
    total: Any = 0.0
    for part in cut(batch, parts):
        share = int((part["targets"] != IGNORED).sum()) / max(counted, 1)
        loss = model.loss(**part)
        (loss if share == 1 else loss * share).backward()
        total = total + _number(loss) * share
    return total


def _number(loss: Any) -> Any:
    """A loss as a float; on a GPU as it is, since asking for it would wait."""
    return loss.item() if isinstance(loss._array, np.ndarray) else loss._array


def cut(batch: Batch, parts: int) -> list[Batch]:
    """The batch in `parts` of about as many rows each; fewer parts where there are fewer rows."""
    parts = min(parts, len(batch["targets"]))
    pieces = {name: np.array_split(values, parts) for name, values in batch.items()}
    return [{name: values[i] for name, values in pieces.items()} for i in range(parts)]


def update(
    model: Any,
    optimizer: Optimizer,
    batch: Batch,
    *,
    clip: float,
    parts: int,
    gradients: Gradients = accumulate_gradients,
    meanwhile: Callable[[], object] = lambda: None,
) -> StepResult:
    """Make one update with the learning rate `optimizer.lr`. With `clip` 0 the gradient keeps its length.

    gradients: accumulate_gradients, or what does the same (minillm.cuda.graph). meanwhile: called once a GPU has all
    its work of this step, before the CPU waits for it. Where loss or gradient hold NaN or infinity, weights and moments
    stay as they are, and `skipped` says why.
    """
    random_before = seeding.get_state()
    optimizer.zero_grad()
    with np.errstate(all="ignore"):  # an overflow is found below, and explained
        loss = gradients(model, batch, parts)
        squares = _nan_with(loss, squared_norm(optimizer.params))
        optimizer.step(scale=clip_scale(squares, clip or math.inf))
        meanwhile()
        loss, squares = as_float(loss), as_float(squares)
        if math.isfinite(squares):
            return StepResult(loss, math.sqrt(squares))
        optimizer.steps -= 1  # the scale was NaN: nothing moved
        return StepResult(loss, squares, _explain(model, optimizer, batch, parts, random_before))


def _nan_with(loss: Any, squares: Any) -> Any:
    """`squares`, but NaN where the loss isn't finite; a float or a number on the GPU, as it was."""
    return squares + 0 * (as_float(loss) if isinstance(squares, float) else loss)


def _explain(model: Any, optimizer: Optimizer, batch: Batch, parts: int, random_before: dict) -> str:
    """Run the same batch again, with the same dropout, to find the first op whose result isn't finite."""
    random_after = seeding.get_state()
    seeding.set_state(random_before)
    optimizer.zero_grad()
    try:
        with trace_non_finite():
            accumulate_gradients(model, batch, parts)
        return "every op is finite, the gradient's length is too large for its type"
    except FloatingPointError as error:
        return str(error)
    finally:
        optimizer.zero_grad()
        seeding.set_state(random_after)
