"""The learning rate at each step: linear warm-up, then half a cosine down to the smallest rate."""

import math

from minillm.configs.config import TrainingConfig


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Rate of the update that follows `step` finished ones; a pure function of `step`, so a resume needs no state.

        step <  warmup:   rate = max_rate (step + 1) / warmup
        step >= warmup:   rate = min_rate + (max_rate - min_rate) (1 + cos(pi t)) / 2
                          t = (step - warmup) / (steps - 1 - warmup), so the last update has min_rate

    Warm-up gives AdamW's moments time to mean something before large updates; the slow end settles the weights.
    Loshchilov and Hutter, SGDR (2017), equation 5, without restarts.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    remaining = config.steps - 1 - config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / remaining) if remaining > 0 else 1.0
    span = config.learning_rate - config.min_learning_rate
    return config.min_learning_rate + span * (1 + math.cos(math.pi * progress)) / 2
