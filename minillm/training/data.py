"""What a training reads from its run folder: token files and the tokenizer that made them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minillm.configs.config import Config
from minillm.data import batches
from minillm.data.tokens import TokenStream
from minillm.errors import ConfigError, DataError
from minillm.tokenizers import load_tokenizer
from minillm.training.run import RunFolder


@dataclass(frozen=True)
class Data:
    """Everything the loop asks for."""

    batch: Callable[[int], tuple[np.ndarray, np.ndarray]]
    """Inputs and targets of the update that follows `step` finished ones, (batch, time) int64."""
    validation: np.ndarray
    """Ids of the validation text, (tokens,)."""
    validation_bytes: int
    """Length of that text in UTF-8."""
    tokenizer: Any
    baselines: dict[str, float]
    """Losses to compare with, by name, in nats per token."""


def batch_of(train: Any, config: Config, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The batch of a step: a pure function of the seed and the step."""
    training = config.training
    return batches.batch(
        train,
        seed=training.seed,
        step=step,
        batch_size=training.batch_size,
        context_length=config.model.context_length,
    )


def open_data(config: Config, run: RunFolder) -> Data:
    """The data of a prepared run.

    Raises TokenError, DataError or ConfigError where tokenizer, token files and config don't belong together.
    """
    tokenizer = load_tokenizer(run.tokenizer)
    if tokenizer.vocab_size != config.model.vocab_size:
        raise ConfigError(
            f"{run.tokenizer} has {tokenizer.vocab_size} entries, the run was made with {config.model.vocab_size}: "
            "put the run's own tokenizer back, or start a new run"
        )
    train = TokenStream.load(run.tokens / "train.bin", tokenizer)
    validation = TokenStream.load(run.tokens / "val.bin", tokenizer)
    return Data(
        partial(batch_of, train, config), validation.ids, validation.bytes, tokenizer, _read_baselines(run.baselines)
    )


def _read_baselines(path: Path) -> dict[str, float]:
    try:
        read = json.loads(path.read_bytes())
        return {str(name): float(nats) for name, nats in read.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is missing or damaged ({error}); it can be replaced by {{}}") from error
