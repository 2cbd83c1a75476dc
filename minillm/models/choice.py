"""Multiple choice: a BERT reads the text with each option, and one score tells how well they fit together.

The way of Radford et al. (2018, section 3.3) and of Devlin et al. (2019, section 4.4): every option makes an input of
its own with the text, the same layer scores them all, and the softmax runs over a question's options.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm import ops
from minillm.errors import ShapeError
from minillm.models.bert import BERT
from minillm.models.pooling import check_pooling, pooled
from minillm.nn import Dropout, Linear, Module, normal
from minillm.tensor import Tensor

NEVER = -1e9  # score of an option that isn't there: its probability is 0 in float32, and its gradient too


class ChoiceScorer(Module):
    """Scores of a question's options: score_i = w · pooled(features of text and option i) + b.

    pooling: "cls" or "mean", see `pooled`. dropout: of the pooled vector, in training.
    """

    def __init__(self, encoder: BERT, pooling: str = "mean", dropout: float = 0.0):
        check_pooling(pooling)
        config = encoder.config
        self.encoder, self.pooling = encoder, pooling
        self.dropout = Dropout(dropout)
        self.head = Linear(config.d_model, 1, dtype=config.array_dtype, precision=config.precision)
        self.head.weight = normal(1, config.d_model, std=0.02, dtype=config.array_dtype)

    def forward(
        self, ids: Any, targets: Any = None, mask: Any = None, segments: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """ids: (batch, options, time) integers; targets: (batch,), the right option's index (-100: doesn't count).

        mask: (batch, options, time) booleans, False at padding; an option without a real token isn't there, and its
        score is -1e9. segments: (batch, options, time) integers.
        Returns scores (batch, options), and the mean cross-entropy in nats (None without targets).
        ShapeError for ids of another number of axes.
        """
        ids = np.asarray(ids)
        if ids.ndim != 3:
            raise ShapeError(f"ChoiceScorer: token ids must be (batch, options, time); got shape {ids.shape}")
        mask = np.ones(ids.shape, bool) if mask is None else np.asarray(mask)
        there = mask.any(-1)
        rows = self.encoder.features(ids[there], mask[there], None if segments is None else np.asarray(segments)[there])
        own = self.head(self.dropout(pooled(rows, mask[there], self.pooling)))[:, 0]
        place = np.cumsum(there).reshape(there.shape) - 1  # of each option among the rows; of a missing one any row
        absent = np.where(there, 0, NEVER).astype(own.dtype)
        scores = own[np.maximum(place, 0)] * there.astype(own.dtype) + absent
        return scores, None if targets is None else ops.cross_entropy(scores, np.asarray(targets))

    def loss(self, ids: Any, targets: Any, mask: Any = None, segments: Any = None) -> Tensor:
        """The mean cross-entropy alone."""
        return ops.cross_entropy(self(ids, mask=mask, segments=segments)[0], np.asarray(targets))
