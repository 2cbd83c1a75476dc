"""One update of the weights: gradients of a batch, clipping, AdamW; and what happens when a gradient isn't finite."""

import math
from dataclasses import dataclass

import numpy as np

from minillm import seeding
from minillm.data.batches import IGNORED
from minillm.models import GPT
from minillm.optim import Optimizer, clip_factor, grad_norm
from minillm.tracing import trace_non_finite


@dataclass(frozen=True)
class StepResult:
    """What an update did: loss (nats per token), length of the gradient before clipping, why it was skipped."""

    loss: float
    grad_norm: float
    skipped: str | None = None


def accumulate_gradients(model: GPT, inputs: np.ndarray, targets: np.ndarray, parts: int) -> float:
    """Add the gradient of the batch's mean loss to the parameters, and return that loss in nats per token.

    inputs, targets: (batch, time) integers. The batch is cut into `parts`, each run forward and backward before the
    next, so that one part's activations are held at a time. A part's mean is weighted by its share of the targets
    that count in the whole batch: the mean of means would be wrong where parts have different counts.
    """
    counted = int((targets != IGNORED).sum())
    total = 0.0
    for part_inputs, part_targets in zip(np.array_split(inputs, parts), np.array_split(targets, parts), strict=True):
        share = int((part_targets != IGNORED).sum()) / max(counted, 1)
        loss = model.loss(part_inputs, part_targets)
        (loss if share == 1 else loss * share).backward()
        total += loss.item() * share
    return total


def update(
    model: GPT, optimizer: Optimizer, inputs: np.ndarray, targets: np.ndarray, *, clip: float, parts: int
) -> StepResult:
    """Make one update with the learning rate `optimizer.lr`. With `clip` 0 the gradient keeps its length.

    Where loss or gradient hold NaN or infinity, weights and moments stay as they are, and `skipped` says why.
    """
    random_before = seeding.get_state()
    optimizer.zero_grad()
    with np.errstate(all="ignore"):  # an overflow is found below, and explained
        loss = accumulate_gradients(model, inputs, targets, parts)
        norm = grad_norm(optimizer.params)
        if math.isfinite(loss) and math.isfinite(norm):
            optimizer.step(scale=clip_factor(norm, clip or math.inf))
            return StepResult(loss, norm)
        return StepResult(loss, norm, _explain(model, optimizer, inputs, targets, parts, random_before))


def _explain(
    model: GPT, optimizer: Optimizer, inputs: np.ndarray, targets: np.ndarray, parts: int, random_before: dict
) -> str:
    """Run the same batch again, with the same dropout, to find the first op whose result isn't finite."""
    random_after = seeding.get_state()
    seeding.set_state(random_before)
    optimizer.zero_grad()
    try:
        with trace_non_finite():
            accumulate_gradients(model, inputs, targets, parts)
        return "every op is finite, the gradient's length is too large for its type"
    except FloatingPointError as error:
        return str(error)
    finally:
        optimizer.zero_grad()
        seeding.set_state(random_after)
