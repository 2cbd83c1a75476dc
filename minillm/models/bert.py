"""BERT: an encoder-only Transformer that fills in masked tokens (Devlin et al. 2019).  [3.2.2-mlm] [4.1.1-encoder]"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minillm import ops, seeding
from minillm.errors import ShapeError, TokenError
from minillm.models.config import Numerics, check, check_rotary
from minillm.nn import (
    Dropout,
    Embedding,
    EncoderLayer,
    FeedForward,
    LayerNorm,
    LearnedPositions,
    Linear,
    Module,
    MultiHeadAttention,
    Parameter,
    RotaryPositions,
)
from minillm.nn.feed_forward import ACTIVATIONS
from minillm.ops.loss import IGNORED
from minillm.tensor import Tensor


@dataclass
class BERTConfig(Numerics):
    """The shape of a BERT. The defaults but the sizes are the paper's."""

    vocab_size: int = 65
    """Number of token ids."""
    context_length: int = 512
    """Most tokens the model looks at."""
    n_layer: int = 4
    """Transformer layers, one above the other."""
    n_head: int = 4
    """Attention heads of a layer."""
    d_model: int = 128
    """Width: features of a token's vector."""
    d_ff: int | None = None
    """Inner width of the feed-forward network; 4 d_model if not given."""
    dropout: float = 0.0
    """Probability that an element is dropped in training (0.1 in the paper)."""
    position: Literal["learned", "rotary"] = "learned"
    """How the model knows where a token stands: learned (the paper), or rotary (Su et al. 2021), which tells distances
    from the first step on and needs far fewer of them."""
    n_segment: int = 2
    """Kinds of text in one input: the first and the second of a pair."""
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu"
    """Of the feed-forward network and the head."""
    norm_eps: float = 1e-12
    """ε of the layer norms."""
    norm: Literal["pre", "post"] = "post"
    """Normalise after each sublayer ("post", the paper) or before it ("pre", with one more norm at the end)."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """What is computed in, as in GPTConfig."""

    def __post_init__(self) -> None:
        check(self, "vocab_size", "context_length", "n_layer", "n_head", "d_model", "d_ff", "n_segment")
        check_rotary(self)


class BERT(Module):
    """Token, position and segment embeddings, n_layer layers that look both ways, and a head that scores the tokens
    a masked position may have held."""

    def __init__(self, config: BERTConfig):
        self.config = config
        d_model, dtype = config.d_model, config.array_dtype
        self.token_embedding = Embedding(config.vocab_size, d_model, dtype)
        learned = config.position == "learned"
        self.positions = LearnedPositions(config.context_length, d_model, dtype) if learned else None
        rotary = None if learned else RotaryPositions(config.context_length, d_model // config.n_head, dtype)
        self.segment_embedding = Embedding(config.n_segment, d_model, dtype)
        self.embedding_norm = _norm(config)
        self.dropout = Dropout(config.dropout)
        self.layers = [_layer(config, rotary) for _ in range(config.n_layer)]
        self.norm = _norm(config) if config.norm == "pre" else None
        self.head = MaskedLMHead(config, self.token_embedding.weight)
        self._initialise()

    def forward(
        self, ids: Any, targets: Any = None, mask: Any = None, segments: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """ids: (batch, time) integers; targets: the same shape, what stood at each masked position (-100 elsewhere).

        mask: (batch, time) booleans, False at padding. segments: (batch, time) integers, all 0 if not given.
        Returns logits (batch, time, vocab_size), and the mean cross-entropy in nats (None without targets).
        """
        logits = self.head(self.features(ids, mask, segments))
        return logits, None if targets is None else ops.cross_entropy(logits, np.asarray(targets))

    def loss(self, ids: Any, targets: Any, mask: Any = None, segments: Any = None) -> Tensor:
        """The mean cross-entropy that `forward` returns, with logits of the positions that have a target only."""
        ids, targets = np.asarray(ids), np.asarray(targets)
        if targets.shape != ids.shape:
            raise ShapeError(f"BERT: targets of shape {targets.shape} must have that of the ids, {ids.shape}")
        counted = targets != IGNORED
        features = self.features(ids, mask, segments)
        return ops.cross_entropy(self.head(features[counted]), targets[counted])

    def features(self, ids: Any, mask: Any = None, segments: Any = None) -> Tensor:
        """A vector for each token in its context, (batch, time, d_model). Arguments as in `forward`."""
        ids, mask, segments = self._checked(ids, mask, segments)
        x = self.token_embedding(ids)
        if self.positions:
            x = self.positions(x)
        x = x + self.segment_embedding(segments)
        x = self.dropout(self.config.stored(self.embedding_norm(x)))
        for layer in self.layers:
            x = layer(x, mask=mask)
        return self.norm(x) if self.norm else x

    def _checked(self, ids: Any, mask: Any, segments: Any) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """The arguments as arrays: ids and segments (batch, time), the mask (batch, 1, 1, time) or None."""
        ids = np.asarray(ids)
        if ids.ndim != 2 or not ids.shape[1]:
            raise ShapeError(
                f"BERT: token ids must be (batch, time), at least one token; got shape {ids.shape} "
                "(for one text add a batch axis: ids[None])"
            )
        if ids.shape[1] > self.config.context_length:
            raise ShapeError(
                f"BERT: {ids.shape[1]} tokens are more than the context of {self.config.context_length}; "
                "cut the text, or train with a longer context_length"
            )
        segments = np.zeros_like(ids) if segments is None else np.asarray(segments)
        if segments.shape != ids.shape:
            raise ShapeError(f"BERT: segments of shape {segments.shape} must have that of the ids, {ids.shape}")
        wrong = segments[(segments < 0) | (segments >= self.config.n_segment)]
        if wrong.size:
            raise TokenError(
                f"BERT: segment {wrong[0]} must be from 0 to {self.config.n_segment - 1} "
                f"(the model has n_segment={self.config.n_segment})"
            )
        if mask is None:
            return ids, None, segments
        mask = np.asarray(mask)
        if mask.shape != ids.shape or mask.dtype != bool:
            raise ShapeError(
                f"BERT: the mask must be booleans of the ids' shape {ids.shape}, True at real tokens; "
                f"this one is {mask.dtype}{mask.shape}"
            )
        return ids, mask[:, None, None, :], segments

    def _initialise(self) -> None:
        """Matrices start as N(0, 0.02²), biases as 0 (Devlin et al.'s code; they cut the normal off at two σ)."""
        for p in self.parameters():
            if p.ndim == 2:
                draw = seeding.generator("init").standard_normal(p.shape, np.float32)
                p.assign(draw * np.float32(0.02))


class MaskedLMHead(Module):
    """Scores of each token of the vocabulary: E norm(f(x W + b)) + c, with E the token embedding itself.

    weight: E, (vocab_size, d_model), shared with the embedding, not a copy.
    """

    def __init__(self, config: BERTConfig, weight: Parameter):
        d_model, dtype = config.d_model, config.array_dtype
        self.dense = Linear(d_model, d_model, dtype=dtype, precision=config.precision)
        self.activation, self.precision = config.activation, config.precision
        self.norm = _norm(config)
        self.weight = weight
        self.bias = Parameter(np.zeros(config.vocab_size, dtype))

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., d_model); returns logits (..., vocab_size)."""
        x = self.norm(ACTIVATIONS[self.activation](self.dense(x)))
        return ops.linear(x, self.weight, self.bias, precision=self.precision)


def _layer(config: BERTConfig, rotary: RotaryPositions | None) -> EncoderLayer:
    options: dict[str, Any] = {"dtype": config.array_dtype, "precision": config.precision}
    attention = MultiHeadAttention(config.d_model, config.n_head, dropout=config.dropout, rotary=rotary, **options)
    d_ff = 4 * config.d_model if config.d_ff is None else config.d_ff
    feed_forward = FeedForward(config.d_model, d_ff, config.activation, **options)
    return EncoderLayer(attention, feed_forward, lambda: _norm(config), config.dropout, config.norm)


def _norm(config: BERTConfig) -> LayerNorm:
    return LayerNorm(config.d_model, eps=config.norm_eps, dtype=config.array_dtype)
