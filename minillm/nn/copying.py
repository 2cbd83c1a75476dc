"""A copying head: a decoder that can point at a word of its source, instead of writing it from the vocabulary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minillm import ops
from minillm.nn.layers import Linear
from minillm.nn.module import Module
from minillm.tensor import Tensor


class CopyingHead(Module):
    """Raises the logits of the source's words by a score for each place in it (Gu et al. 2016, section 3.2).

    c_tj = (x_t W_Q)·(m_j W_K) / √d   says how much place j is wanted at time t; `ops.copy_logits` adds exp c_tj to the
    weight of the word there. The score is that of scaled dot-product attention; Gu et al.'s is σ(m_jᵀ W_c) s_t, with
    their h_j for m_j, s_t for x_t, and σ = tanh. A name that was never seen in training is copied as well as any other.
    """

    def __init__(self, d_model: int, *, dtype: Any = "float32", precision: str | None = None):
        self.query = Linear(d_model, d_model, bias=False, dtype=dtype, precision=precision)
        self.key = Linear(d_model, d_model, bias=False, dtype=dtype, precision=precision)
        self.scale = 1 / math.sqrt(d_model)

    def forward(self, logits: Tensor, x: Tensor, memory: Tensor, source: Any, source_mask: np.ndarray) -> Tensor:
        """Returns logits (batch, time, vocab_size) with copying.

        logits: without, of the same shape; x: what the output head scores, (batch, time, d_model); memory: the
        encoder's output, (batch, source_time, d_model); source: its ids, and source_mask: True at those to copy, both
        (batch, source_time).
        """
        scores = ops.matmul(self.query(x), self.key(memory).transpose(0, 2, 1)) * self.scale
        return ops.copy_logits(logits, ops.masked_fill(scores, ~source_mask[:, None], value=-np.inf), source)


class SelectiveRead(Module):
    """What the memory knows of the word just written: where it stands in the source, hence what follows it there.

    ζ_t = W m̄,  m̄ the mean of the memory m_j over all places j that hold the decoder's input y_t (zero if none does)
    (Gu et al. 2016, section 3.3, which weighs the places by how likely each was copied). Added to y_t's embedding, it
    lets the decoder copy on: after a word, its successor.
    """

    def __init__(self, d_model: int, *, dtype: Any = "float32", precision: str | None = None):
        self.output = Linear(d_model, d_model, bias=False, dtype=dtype, precision=precision)

    def forward(self, memory: Tensor, inputs: Any, source: Any, source_mask: np.ndarray) -> Tensor:
        """memory: (batch, source_time, d_model); inputs: (batch, time) ids; source, source_mask: as in CopyingHead.

        Returns (batch, time, d_model).
        """
        holds = (np.asarray(inputs)[:, :, None] == np.asarray(source)[:, None]) & source_mask[:, None]
        share = holds / np.maximum(holds.sum(-1, keepdims=True), 1)
        return self.output(ops.matmul(Tensor(share.astype(memory.dtype)), memory))
