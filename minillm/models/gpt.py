"""GPT: a decoder-only Transformer language model (Radford et al. 2019), predicting each next token.  [3.2.2-clm]"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minillm import ops, seeding
from minillm.backend import Array, as_array
from minillm.errors import ShapeError
from minillm.models import decoding
from minillm.models.config import Numerics, check, check_rotary
from minillm.nn import (
    Dropout,
    Embedding,
    EncoderLayer,
    FeedForward,
    KVCache,
    LayerNorm,
    LearnedPositions,
    Linear,
    Module,
    MultiHeadAttention,
    RMSNorm,
    RotaryPositions,
    SinusoidalPositions,
    checkpoint,
)
from minillm.tensor import Tensor


@dataclass
class GPTConfig(Numerics):
    """The shape of a GPT."""

    vocab_size: int = 65
    """Number of token ids."""
    context_length: int = 64
    """Most tokens the model looks at."""
    n_layer: int = 4
    """Transformer layers, one above the other."""
    n_head: int = 4
    """Attention heads of a layer."""
    n_kv_head: int | None = None
    """Key and value heads that the query heads share in groups; as many as n_head if not given."""
    d_model: int = 128
    """Width: features of a token's vector."""
    d_ff: int | None = None
    """Inner width of the feed-forward network; 4 d_model if not given."""
    dropout: float = 0.0
    """Probability that an element is dropped in training."""
    bias: bool = True
    """Whether linear layers and layer norms have a bias."""
    norm: Literal["pre", "post"] = "pre"
    """Normalise before each sublayer ("pre", GPT-2) or after it ("post", the 2017 Transformer)."""
    normalization: Literal["layer_norm", "rms_norm"] = "layer_norm"
    """Which norm: shift and scale (GPT-2), or scale only."""
    activation: Literal["gelu", "gelu_tanh", "relu", "silu", "swiglu"] = "gelu_tanh"
    """Of the feed-forward network; gelu_tanh is GPT-2's, swiglu adds a gate."""
    position: Literal["learned", "sinusoidal", "rotary"] = "learned"
    """How the model knows where a token stands: learned (GPT-2), sinusoidal (2017) or rotary."""
    tie_weights: bool = True
    """Use the token embedding as the output head's weight, too."""
    activation_checkpointing: bool = False
    """Train in less memory and a third more time: keep each layer's input only, and run the layer again in backward."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """What is computed in: float32; bfloat16 (products of numbers rounded to it, weights and sums in float32); or
    float64, for checks."""

    def __post_init__(self) -> None:
        check(self, "vocab_size", "context_length", "n_layer", "n_head", "n_kv_head", "d_model", "d_ff")
        check_rotary(self)


class GPT(Module):
    """Token and position embeddings, n_layer causal layers, a final norm, and a head that scores each next token."""

    def __init__(self, config: GPTConfig):
        self.config = config
        d_model, dtype = config.d_model, config.array_dtype
        self.token_embedding = Embedding(config.vocab_size, d_model, dtype)
        self.positions = _absolute_positions(config)
        self.dropout = Dropout(config.dropout)
        rotary = _rotary_positions(config)
        self.layers = [_layer(config, rotary) for _ in range(config.n_layer)]
        self.norm = _norm(config) if config.norm == "pre" else None
        self.head = Linear(d_model, config.vocab_size, bias=False, dtype=dtype, precision=config.precision)
        if config.tie_weights:
            self.head.weight = self.token_embedding.weight
        self._initialise()

    def forward(
        self, ids: Any, targets: Any = None, cache: list[KVCache] | None = None, mask: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        """ids: (batch, time) integers; targets: the same shape, each position's next token (-100: doesn't count).

        cache: from `new_cache`, for generation: ids are then the tokens after those it has seen.
        mask: booleans broadcast to (batch, heads, time, keys), False at padding, together with the causal mask.
        Returns logits (batch, time, vocab_size), and the mean cross-entropy in nats (None without targets).
        """
        logits = self.head(self.features(ids, cache, mask))
        return logits, None if targets is None else ops.cross_entropy(logits, as_array(targets))

    def loss(self, ids: Any, targets: Any, mask: Any = None) -> Tensor:
        """The mean cross-entropy that `forward` returns, without the logits: what training needs, in less memory."""
        if not isinstance(self.head, Linear):  # quantized, or with LoRA: more than a weight
            return ops.cross_entropy(self(ids, mask=mask)[0], as_array(targets))
        x = self.features(ids, mask=mask)
        return ops.linear_cross_entropy(x, self.head.weight, as_array(targets), precision=self.head.precision)

    def features(self, ids: Any, cache: list[KVCache] | None = None, mask: Any = None) -> Tensor:
        """What the head scores: (batch, time, d_model). Arguments as in `forward`."""
        ids = self._checked(ids, cache)
        start = cache[0].length if cache else 0
        x = self.token_embedding(ids)
        if self.positions:
            x = self.positions(x, start)
        x = self.dropout(self.config.stored(x))
        for i, layer in enumerate(self.layers):
            if self.config.activation_checkpointing and not cache:
                x = checkpoint(layer, x, mask=mask)
            else:
                x = layer(x, mask=mask, cache=cache[i] if cache else None)
        return self.norm(x) if self.norm else x

    def new_cache(self) -> list[KVCache]:
        """An empty key-value cache for each layer."""
        return [KVCache(self.config.context_length) for _ in self.layers]

    def generate(self, ids: Any, max_new_tokens: int, **options: Any) -> np.ndarray:
        """Continue (time,) or (1, time) ids; returns the new ids. Options: see `decoding.generate`."""
        return np.fromiter(self.stream(ids, max_new_tokens, **options), dtype=np.int64)

    def generate_batch(self, ids: Any, max_new_tokens: int, **options: Any) -> list[list[int]]:
        """Continue every row of (batch, time) ids at once. Options: see `decoding.generate_batch`."""
        return decoding.generate_batch(self, ids, max_new_tokens, **options)

    def stream(self, ids: Any, max_new_tokens: int, **options: Any) -> Iterator[int]:
        """As `generate`, token by token as they are drawn."""
        return decoding.generate(self, ids, max_new_tokens, **options)

    def _checked(self, ids: Any, cache: list[KVCache] | None) -> Array:
        ids = as_array(ids)
        seen = cache[0].length if cache else 0
        if ids.ndim != 2:
            raise ShapeError(
                f"GPT: token ids must be (batch, time); got shape {ids.shape} (add a batch axis: ids[None])"
            )
        if not ids.shape[1]:
            raise ShapeError("GPT: there must be at least one token")
        if seen + ids.shape[1] > self.config.context_length:
            raise ShapeError(
                f"GPT: {seen + ids.shape[1]} tokens are more than the context of {self.config.context_length}; "
                "keep the last ones, or train with a longer context_length"
            )
        return ids

    def _initialise(self) -> None:
        """GPT-2's start: matrices N(0, 0.02²); those that end a residual branch smaller by √(2 n_layer), so that
        the sum over all branches keeps its size (Radford et al. 2019, section 2.3)."""
        for name, p in self.named_parameters():
            if p.ndim == 2:
                ends_branch = name.endswith(("output.weight", "down.weight"))
                std = 0.02 / math.sqrt(2 * self.config.n_layer) if ends_branch else 0.02
                draw = seeding.generator("init").standard_normal(p.shape, np.float32)
                p.assign(draw * np.float32(std))


def _layer(config: GPTConfig, rotary: RotaryPositions | None) -> EncoderLayer:
    options: dict[str, Any] = {
        "bias": config.bias,
        "dtype": config.array_dtype,
        "precision": config.precision,
    }
    attention = MultiHeadAttention(
        config.d_model,
        config.n_head,
        config.n_kv_head,
        causal=True,
        dropout=config.dropout,
        rotary=rotary,
        **options,
    )
    d_ff = 4 * config.d_model if config.d_ff is None else config.d_ff
    feed_forward = FeedForward(config.d_model, d_ff, config.activation, **options)
    return EncoderLayer(attention, feed_forward, lambda: _norm(config), config.dropout, config.norm)


def _norm(config: GPTConfig) -> Module:
    if config.normalization == "rms_norm":
        return RMSNorm(config.d_model, dtype=config.array_dtype)
    return LayerNorm(config.d_model, config.bias, dtype=config.array_dtype)


def _absolute_positions(config: GPTConfig) -> Module | None:
    kinds = {"learned": LearnedPositions, "sinusoidal": SinusoidalPositions}
    return (
        kinds[config.position](config.context_length, config.d_model, config.array_dtype)
        if config.position in kinds
        else None
    )


def _rotary_positions(config: GPTConfig) -> RotaryPositions | None:
    if config.position != "rotary":
        return None
    return RotaryPositions(config.context_length, config.d_model // config.n_head, config.array_dtype)
