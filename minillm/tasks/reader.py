"""What turns a text into features for a task: a BERT, which sees it all at once, or a GPT, which reads to its end."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from minillm.models import BERT, GPT
from minillm.tasks.beginning import Beginning
from minillm.tokenizers import Tokenizer


class Reader(ABC):
    """How a model of one kind is begun and what it reads."""

    model: ClassVar[Any]
    """The shape of one with random weights that suits a small task; flags change it."""
    pad: ClassVar[str]
    """The special token that fills the shorter rows of a batch."""
    marks: ClassVar[int]
    """How many special tokens `ids` adds to a text."""

    @abstractmethod
    def begin(self, start: str, tokenizer: str, model: Any, default: Any, texts: Iterable[str]) -> Beginning:
        """What a model begins with: the one in the folder `start`; or where that is "", random weights and `tokenizer`
        ("bpe", learnt from the texts, or a file).

        model: the config that the flags gave; default: what it is without flags. ConfigError for a shape or tokenizer
        asked for that differs from what `start` has, CheckpointError where it holds no such model.
        """

    @abstractmethod
    def ids(self, tokenizer: Tokenizer, ids: Sequence[int], context_length: int) -> list[int]:
        """A text's ids with the special tokens around them, cut so that all fits into the context."""

    @abstractmethod
    def build(self, model: Any) -> BERT | GPT:
        """The model with random weights, without its head, which scores the vocabulary's tokens."""

    def load(self, encoder: Any, weights: Mapping[str, np.ndarray]) -> None:
        """Give it the weights to begin with."""
        encoder.load_state_dict({name: w for name, w in weights.items() if not name.startswith("head.")})
