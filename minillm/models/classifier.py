"""A class for each text or for each token: an encoder with one linear layer on top, to be trained together.

The way of Devlin et al. (2019, section 4, without its pooler) for BERT and of Radford et al. (2018, section 3.2) for
GPT: the encoder has been pre-trained as a language model, the layer on top is all that is new.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm import ops
from minillm.errors import ConfigError, ShapeError
from minillm.models.bert import BERT
from minillm.models.gpt import GPT
from minillm.models.pooling import check_pooling, pooled
from minillm.nn import Dropout, Linear, Module, normal
from minillm.tensor import Tensor


class SequenceClassifier(Module):
    """Scores of n_class classes for a whole text: logits = W pooled(features) + b.

    pooling: how the text's vector comes from its tokens' ("cls", "mean" or "last", see `pooled`); with a GPT not "cls":
    its first token has seen nothing of the text. dropout: of that vector, in training.
    """

    def __init__(self, encoder: BERT | GPT, n_class: int, pooling: str, dropout: float = 0.0):
        check_pooling(pooling)
        if pooling == "cls" and isinstance(encoder, GPT):
            raise ConfigError('pooling="cls" takes the first token, which sees no other in a GPT; use "last" or "mean"')
        self.encoder, self.pooling = encoder, pooling
        self.dropout = Dropout(dropout)
        self.head = _head(encoder, n_class)

    def forward(
        self, ids: Any, targets: Any = None, mask: Any = None, segments: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """ids: (batch, time) integers; targets: (batch,) classes (-100: doesn't count).

        mask: (batch, time) booleans, False at padding. segments: (batch, time) integers, for a BERT.
        Returns logits (batch, n_class), and the mean cross-entropy in nats (None without targets).
        """
        vector = pooled(_features(self.encoder, ids, mask, segments), mask, self.pooling)
        logits = self.head(self.dropout(vector))
        return logits, None if targets is None else ops.cross_entropy(logits, np.asarray(targets))

    def loss(self, ids: Any, targets: Any, mask: Any = None, segments: Any = None) -> Tensor:
        """The mean cross-entropy alone."""
        return ops.cross_entropy(self(ids, mask=mask, segments=segments)[0], np.asarray(targets))


class TokenClassifier(Module):
    """Scores of n_class classes for each token (part of speech, name or not ...): logits = W features + b.

    dropout: of the tokens' vectors, in training.
    """

    def __init__(self, encoder: BERT | GPT, n_class: int, dropout: float = 0.0):
        self.encoder = encoder
        self.dropout = Dropout(dropout)
        self.head = _head(encoder, n_class)

    def forward(
        self, ids: Any, targets: Any = None, mask: Any = None, segments: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """ids: (batch, time) integers; targets: the same shape, classes (-100 at padding and where none is known).

        Other arguments as in SequenceClassifier. Returns logits (batch, time, n_class), and the mean cross-entropy.
        """
        logits = self.head(self.dropout(_features(self.encoder, ids, mask, segments)))
        return logits, None if targets is None else ops.cross_entropy(logits, np.asarray(targets))

    def loss(self, ids: Any, targets: Any, mask: Any = None, segments: Any = None) -> Tensor:
        """The mean cross-entropy alone."""
        return ops.cross_entropy(self(ids, mask=mask, segments=segments)[0], np.asarray(targets))


def _head(encoder: BERT | GPT, n_class: int) -> Linear:
    """The new layer, N(0, 0.02²): at the start all classes are about equally likely."""
    if n_class < 2:
        raise ConfigError(f"n_class={n_class} must be at least 2: there is nothing to tell apart")
    config = encoder.config
    head = Linear(config.d_model, n_class, dtype=config.array_dtype, precision=config.precision)
    head.weight = normal(n_class, config.d_model, std=0.02, dtype=config.array_dtype)
    return head


def _features(encoder: BERT | GPT, ids: Any, mask: Any, segments: Any) -> Tensor:
    """The encoder's (batch, time, d_model); a GPT wants its mask with axes for heads and queries."""
    if isinstance(encoder, BERT):
        return encoder.features(ids, mask, segments)
    if segments is not None:
        raise ShapeError("a GPT has no segments: join the texts with a special token between them, and leave these out")
    return encoder.features(ids, mask=None if mask is None else np.asarray(mask)[:, None, None, :])
