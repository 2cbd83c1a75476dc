"""What the fine-tuning tasks share: examples of their own, batches of similar length, scores beside baselines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from minillm.configs.config import TrainingConfig
from minillm.data.examples import Bucketed
from minillm.errors import DataError
from minillm.tape import no_grad
from minillm.tokenizers import Tokenizer
from minillm.training.evaluate import mean_loss
from minillm.training.task import Batch, Evaluation

SPLITS = ("train", "validation", "test")
Scores = dict[str, float]


@dataclass(frozen=True)
class FinetuneConfig:
    """The three sections of a task's run: its own settings (with its name, `kind`), the model's shape, the training."""

    task: Any
    model: Any
    training: TrainingConfig


@dataclass(frozen=True)
class Prepared:
    """What a task makes of its data, and of the model it may start from, once, before it trains."""

    examples: Mapping[str, Sequence[Any]]
    """Of each split, as `task.Example`; "test" may be missing."""
    tokenizer: Tokenizer
    model: Any
    """The model's config, with the sizes that the tokenizer and the start decide."""
    start: Mapping[str, np.ndarray] | None = field(default=None)
    """Weights to begin with, where the task begins with another model's."""
    training: TrainingConfig | None = None
    """Settings of the training, where the data decide some: how many steps its epochs are."""


class FinetuneTask(ABC):
    """A task that `python -m minillm.finetune KIND` trains; also a `training.task.Task`, what the loop asks for.

    Subclasses say how examples are read, encoded and put into batches, and how a trained model is scored.
    """

    kind: ClassVar[str]
    Settings: ClassVar[Any]
    """Dataclass of its own settings, `kind` among them; its docstrings are the help of its flags."""
    model: ClassVar[Any]
    """The model's shape (a config dataclass of minillm.models) that suits the task; flags change it."""
    Example: ClassVar[Any]
    """Dataclass of one example: texts and numbers only, so that JSON can keep it."""
    training: ClassVar[TrainingConfig]
    """Settings of the training that suit the task."""

    scored_with: ClassVar[tuple[str, str] | None] = None
    """A library that scoring needs and training doesn't: its module, and its name at PyPI."""

    @classmethod
    def model_for(cls, settings: Any) -> Any:
        """The model's shape where no flag changes it, under these settings."""
        return cls.model

    def __init__(self, config: FinetuneConfig, tokenizer: Tokenizer, examples: Mapping[str, Sequence[Any]]):
        self.config, self.tokenizer, self.examples = config, tokenizer, examples
        self.start: Mapping[str, np.ndarray] | None = None  # set where a run begins with another model's weights
        self._encoded = {split: [self.encode(example) for example in part] for split, part in examples.items()}
        self._lengths = {split: [self.length(e) for e in part] for split, part in self._encoded.items()}
        self._batches = self._bucketed("train", config.training.seed)

    @classmethod
    @abstractmethod
    def prepare(cls, config: FinetuneConfig) -> Prepared:
        """Read the data the settings name. Raises DataError, TokenError or ConfigError with the file and the rule."""

    @abstractmethod
    def encode(self, example: Any) -> Any:
        """An example as token ids, in a form that `collate` and `length` know."""

    @abstractmethod
    def length(self, encoded: Any) -> int:
        """Tokens that an encoded example takes in a batch."""

    @abstractmethod
    def collate(self, encoded: Sequence[Any]) -> Batch:
        """Encoded examples as one batch, padded."""

    @abstractmethod
    def build(self) -> Any:
        """The model, with weights drawn at random."""

    @abstractmethod
    def scores(self, model: Any, split: str) -> Scores:
        """How good a trained model is on a split, by the measures the field uses for this task."""

    @abstractmethod
    def answer(self, model: Any, texts: Sequence[str]) -> list[str]:
        """What the model makes of new texts, as a person would read it. One longer than its context is cut."""

    def too_long(self, texts: Sequence[str]) -> int:
        """How many of new texts `answer` will cut."""
        return 0

    def baseline_scores(self, split: str) -> dict[str, Scores]:
        """The same measures of simpler methods that must be beaten, by name."""
        return {}

    def load_start(self, model: Any, weights: Mapping[str, np.ndarray]) -> None:
        """Give a fresh model the weights that training begins with."""
        model.load_state_dict(weights)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that hold every training example once."""
        return len(self._batches)

    def qualities(self, model: Any, split: str) -> str:
        """What the model's answers are like beyond its scores (length, variety, which classes are told apart), as
        Markdown; nothing for tasks that don't say."""
        return ""

    # ---- what the loop asks for: losses only; `scores` and `baseline_scores` are for python -m minillm.evaluate ----

    @property
    def baselines(self) -> dict[str, float]:
        return {}

    def make_model(self) -> Any:
        model = self.build()
        if self.start is not None:
            self.load_start(model, self.start)
        return model

    def batch(self, step: int) -> Batch:
        return self.collate([self._encoded["train"][i] for i in self._batches.batch(step)])

    def evaluate(self, model: Any, interrupted: Callable[[], bool]) -> Evaluation | None:
        loss = mean_loss(model, self.batches("validation"), interrupted)
        return None if loss is None else Evaluation(loss)

    def samples(self, model: Any, step: int, interrupted: Callable[[], bool]) -> list[str] | None:
        """The first examples of the validation split and what the model makes of them; none at step 0. None if
        interrupted."""
        if interrupted():
            return None
        count = self.config.training.samples if step else 0
        return [] if not count else self.shown(model, self.examples["validation"][:count])

    def title(self, model: Any) -> str:
        return f"{self.kind}, {model.num_parameters():,} parameters"

    # ---- for subclasses ----

    def shown(self, model: Any, examples: Sequence[Any]) -> list[str]:
        """Examples beside the model's answers."""
        return []

    def batches(self, split: str) -> Iterator[Batch]:
        """All examples of a split, in batches of similar length."""
        for indices in self.indices(split):
            yield self.collate([self._encoded[split][i] for i in indices])

    def indices(self, split: str) -> Iterator[np.ndarray]:
        """Which examples stand in each of those batches."""
        self.part(split)
        bucketed = self._bucketed(split, seed=0)
        return (bucketed.batch(i) for i in range(len(bucketed)))

    def part(self, split: str) -> Sequence[Any]:
        """The examples of a split. DataError where the run has no such split."""
        if split not in self.examples:
            raise DataError(f"this run has no {split} examples; it has {', '.join(self.examples)}")
        return self.examples[split]

    def _bucketed(self, split: str, seed: int) -> Bucketed:
        """Batches of about `batch_size` examples of average length, hence fewer long ones or more short ones."""
        lengths = self._lengths[split]
        budget = int(self.config.training.batch_size * np.mean(lengths)) if lengths else 1
        return Bucketed(lengths, max(budget, max(lengths, default=1)), seed)


def beside(text: str, ours: str, reference: str) -> str:
    """An example with the model's answer above the right one."""
    return f"{text}\n  ours      {ours}\n  reference {reference}"


class evaluation_mode:
    """Within it a model drops nothing out and records no gradients; afterwards it does what it did before."""

    def __init__(self, model: Any):
        self.model, self._was_training = model, model.training

    def __enter__(self) -> None:
        self._no_grad = no_grad()
        self._no_grad.__enter__()
        self.model.eval()

    def __exit__(self, *exception: object) -> None:
        self.model.train(self._was_training)
        self._no_grad.__exit__(*exception)
