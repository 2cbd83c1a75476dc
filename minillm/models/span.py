"""Extractive answers: where in a text an answer starts and where it ends, by one layer on a BERT.

The way of Devlin et al. (2019, sections 4.2 and 4.3): two vectors S and E are learnt; with T_i the vector of token i,
P(start = i) = softmax_i(S · T_i), P(end = i) = softmax_i(E · T_i). A text that doesn't answer points at [CLS] twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm import ops
from minillm.errors import ShapeError
from minillm.models.bert import BERT
from minillm.nn import Dropout, Linear, Module, normal
from minillm.tensor import Tensor

NEVER = -1e9  # score of a token that may not be pointed at: its probability is 0 in float32


class SpanPointer(Module):
    """Scores of each token as the first and as the last of the answer. dropout: of the tokens' vectors, in training."""

    def __init__(self, encoder: BERT, dropout: float = 0.0):
        config = encoder.config
        self.encoder = encoder
        self.dropout = Dropout(dropout)
        self.head = Linear(config.d_model, 2, dtype=config.array_dtype, precision=config.precision)
        self.head.weight = normal(2, config.d_model, std=0.02, dtype=config.array_dtype)

    def forward(
        self, ids: Any, targets: Any = None, mask: Any = None, segments: Any = None, allowed: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """ids: (batch, time) integers; targets: (batch, 2), the positions of the answer's first and last token.

        mask: (batch, time) booleans, False at padding. segments: (batch, time) integers. allowed: (batch, time)
        booleans, False where no answer can be (the question); by default as the mask.
        Returns scores (batch, 2, time), -1e9 where not allowed, and the mean cross-entropy in nats over starts and ends
        (None without targets). ShapeError for `allowed` of another shape.
        """
        scores = self.head(self.dropout(self.encoder.features(ids, mask, segments))).transpose(0, 2, 1)
        allowed = mask if allowed is None else allowed
        if allowed is not None:
            allowed = np.asarray(allowed)
            if allowed.shape != np.shape(ids):
                raise ShapeError(f"SpanPointer: allowed has shape {allowed.shape}, the ids {np.shape(ids)}")
            scores = scores + np.where(allowed, 0, NEVER).astype(scores.dtype)[:, None]
        return scores, None if targets is None else ops.cross_entropy(scores, np.asarray(targets))

    def loss(self, ids: Any, targets: Any, mask: Any = None, segments: Any = None, allowed: Any = None) -> Tensor:
        """The mean cross-entropy alone."""
        return ops.cross_entropy(self(ids, None, mask, segments, allowed)[0], np.asarray(targets))


def best_span(scores: np.ndarray, longest: int) -> tuple[int, int, float]:
    """The tokens i to j with the largest score, start_i + end_j, among i ≤ j < i + longest, and that score.

    scores: (2, time), of starts and ends. The first of equals.
    """
    start, end = scores
    place = np.arange(len(start))
    distance = place - place[:, None]
    sums = np.where((distance >= 0) & (distance < longest), start[:, None] + end, -np.inf)
    i, j = np.unravel_index(sums.argmax(), sums.shape)
    return int(i), int(j), float(sums[i, j])
