"""A training small enough to run hundreds of times, with the real model, optimizer, loop and checkpoints."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minillm.configs.config import Config, DataConfig, TrainingConfig
from minillm.models import GPTConfig
from minillm.training import checkpoints, metrics
from minillm.training.data import Data
from minillm.training.language_modelling import LanguageModelling
from minillm.training.loop import Trainer
from minillm.training.run import RunFolder
from minillm.training.signals import StopRequest

VOCAB = 11
MODEL = GPTConfig(vocab_size=VOCAB, context_length=6, n_layer=1, n_head=2, d_model=8, dropout=0.2)
TRAINING = TrainingConfig(
    steps=12, batch_size=4, warmup_steps=3, eval_interval=3, checkpoint_interval=2, sample_tokens=3, learning_rate=1e-2
)
CONFIG = Config(MODEL, DataConfig(), TRAINING)


class Letters:
    """A tokenizer of eleven letters."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) % VOCAB for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(ord("a") + i) for i in ids)


def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """A pure function of the step, with some structure to learn: each id is followed by the next."""
    starts = np.random.default_rng([7, step]).integers(VOCAB, size=(4, 1))
    ids = (starts + np.arange(7)) % VOCAB
    return ids[:, :-1], ids[:, 1:]


DATA = Data(batch, np.arange(50) % VOCAB, 50, Letters(), {"uniform": float(np.log(VOCAB))})


def settings(**training: object) -> Config:
    return dataclasses.replace(CONFIG, training=dataclasses.replace(TRAINING, **training))


def trainer(folder: Path, config: Config = CONFIG, stop: StopRequest | None = None) -> Trainer:
    """A trainer that starts, or goes on from the newest checkpoint in `folder`."""
    folder.mkdir(exist_ok=True)
    return Trainer(config.training, RunFolder(folder), LanguageModelling(config, DATA), stop or StopRequest())


def replace_batches(trainer: Trainer, batch: Callable[[int], tuple[np.ndarray, np.ndarray]]) -> None:
    """Let a trainer learn from other batches."""
    task: Any = trainer.task
    trainer.task = dataclasses.replace(task, data=dataclasses.replace(task.data, batch=batch))


def outcome(folder: Path) -> tuple:
    """All that a run leaves, without the times: last weights, moments, state, metrics, samples."""
    run = RunFolder(folder)
    last = checkpoints.newest(run.checkpoints)
    assert last is not None
    weights = {name: array.tobytes() for name, array in last.model().items()}
    moments = {name: array.tobytes() for name, array in last.optimizer().items()}
    state = {name: value for name, value in last.state.items() if name != "seconds"}
    events = [{k: v for k, v in e.items() if k != "tokens_per_s"} for e in metrics.read(run.metrics)]
    kept = checkpoints.saved_steps(run.checkpoints)
    return weights, moments, state, events, run.samples.read_text(encoding="utf-8"), kept
