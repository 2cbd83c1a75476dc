"""A training in memory, for comparisons of many small models: no run folder, nothing saved."""

from collections.abc import Callable, Iterator
from typing import Any

from minillm.configs.config import TrainingConfig
from minillm.errors import UserError
from minillm.optim import AdamW
from minillm.training.schedule import learning_rate
from minillm.training.step import update
from minillm.training.task import Batch


def fit(model: Any, batch: Callable[[int], Batch], training: TrainingConfig) -> Iterator[int]:
    """Train `model` on `batch(step)` for `training.steps` updates, with the optimizer and schedule of the loop.

    Yields the number of updates made after each `eval_interval` of them and at the end, for the caller to measure the
    model, or to stop. Raises UserError where a gradient isn't finite.
    """
    optimizer = AdamW(
        model.parameters(),
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
        weight_decay=training.weight_decay,
    )
    for step in range(training.steps):
        optimizer.lr = learning_rate(step, training)
        parts = training.gradient_accumulation
        result = update(model, optimizer, batch(step), clip=training.gradient_clip, parts=parts)
        if result.skipped:
            raise UserError(f"the gradient isn't finite at step {step + 1}: {result.skipped}; lower the learning rate")
        if (step + 1) % training.eval_interval == 0 or step + 1 == training.steps:
            yield step + 1
