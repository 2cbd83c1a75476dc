"""Multi-head attention, and the caches that let generation reuse keys and values."""

from __future__ import annotations

import math
from typing import Any

from minillm import ops, seeding
from minillm.backend import array_module, beside
from minillm.errors import ConfigError, ShapeError
from minillm.nn.layers import Linear
from minillm.nn.module import Module
from minillm.nn.position import RotaryPositions
from minillm.tensor import Tensor


class MultiHeadAttention(Module):
    """Attention by several heads side by side.  [4.2.1] [4.2.2]

    MultiHead(x, m) = Concat(head_1, …, head_h) W_O,  head_i = Attention(x W_Qⁱ, m W_Kⁱ, m W_Vⁱ)
    (Vaswani et al. 2017, section 3.2.2); m = x for self-attention, the encoder's output for cross-attention.

    n_kv_head: fewer key and value heads than query heads share them in groups (Ainslie et al. 2023).
    rotary: turns queries and keys by their position (self-attention only: a memory's places are those of another
    sequence). dropout: of the attention weights, in training.
    """

    def __init__(
        self,
        d_model: int,
        n_head: int,
        n_kv_head: int | None = None,
        *,
        causal: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        rotary: RotaryPositions | None = None,
        dtype: Any = "float32",
        precision: str | None = None,
    ):
        n_kv_head = n_kv_head or n_head
        if d_model % n_head or n_head % n_kv_head:
            raise ConfigError(
                f"attention: d_model={d_model} must be a multiple of n_head={n_head}, and that of n_kv_head={n_kv_head}"
            )
        self.d_head = d_model // n_head
        self.causal, self.dropout, self.rotary = causal, dropout, rotary
        self.query = Linear(d_model, n_head * self.d_head, bias, dtype, precision)
        self.key = Linear(d_model, n_kv_head * self.d_head, bias, dtype, precision)
        self.value = Linear(d_model, n_kv_head * self.d_head, bias, dtype, precision)
        self.output = Linear(n_head * self.d_head, d_model, bias, dtype, precision)

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Any = None,
        cache: KVCache | None = None,
        residual: Tensor | None = None,
    ) -> Tensor:
        """x: (batch, time, d_model); memory: (batch, keys, d_model), attended to instead of x.

        mask: booleans broadcast to (batch, heads, time, keys), True where a query may look.
        cache: keys and values of earlier positions, to which this call's are added; those of a memory are computed by
        the first call and only read by later ones, which must bring the same memory.
        residual: (batch, time, d_model), added to the result. Returns (batch, time, d_model).
        """
        if self.rotary and memory is not None:
            raise ConfigError("attention: rotary positions are for self-attention; leave them out where a memory is")
        q = self._heads(self.query(x))
        if cache and cache.length and memory is not None:
            k, v = cache.read()
        else:
            source = x if memory is None else memory
            k, v = self._heads(self.key(source)), self._heads(self.value(source))
            start = cache.length if cache else 0
            if self.rotary:
                q, k = self.rotary(q, start), self.rotary(k, start)
            if cache:
                k, v = cache.append(k, v)
        drop = {"dropout": self.dropout, "key": seeding.next_key("dropout")} if self.dropout and self.training else {}
        heads = ops.attention(q, k, v, mask, causal=self.causal, scale=1 / math.sqrt(self.d_head), **drop)
        batch, n_head, time, d_head = heads.shape
        return self.output(heads.transpose(0, 2, 1, 3).reshape(batch, time, n_head * d_head), residual)

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, time, heads · d_head) -> (batch, heads, time, d_head)"""
        batch, time, width = x.shape
        return x.reshape(batch, time, width // self.d_head, self.d_head).transpose(0, 2, 1, 3)


class KVCache:
    """The keys and values of the positions seen so far, for one attention layer; no gradients flow through it."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.length = 0
        self._keys: Any = None
        self._values: Any = None

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add (batch, kv_heads, time, d_head) for the next positions; returns all so far."""
        stop = self.length + k.shape[2]
        if stop > self.capacity:
            raise ShapeError(f"the cache holds {self.capacity} positions; {stop} are needed (start a new one)")
        if self._keys is None:
            batch, heads, _, d_head = k.shape
            xp = array_module(k._array)
            self._keys, self._values = (xp.zeros((batch, heads, self.capacity, d_head), k.dtype) for _ in range(2))
        self._keys[:, :, self.length : stop] = k._array
        self._values[:, :, self.length : stop] = v._array
        self.length = stop
        return self.read()

    def read(self) -> tuple[Tensor, Tensor]:
        """All keys and values so far, (batch, kv_heads, length, d_head) each."""
        return Tensor.of(self._keys[:, :, : self.length]), Tensor.of(self._values[:, :, : self.length])

    def select(self, rows: Any) -> None:
        """Go on with these rows of the batch (a beam search keeps some and repeats others)."""
        rows = beside(self._keys, rows)
        self._keys, self._values = self._keys[rows], self._values[rows]


class DecoderCache:
    """What a decoder layer keeps between tokens: keys and values of its own positions, which grow in number, and of
    the memory, which don't."""

    def __init__(self, capacity: int, memory_length: int):
        self.own, self.memory = KVCache(capacity), KVCache(memory_length)

    @property
    def length(self) -> int:
        """How many positions of the target have been seen."""
        return self.own.length

    def select(self, rows: Any) -> None:
        """Go on with these rows of the batch."""
        self.own.select(rows)
        self.memory.select(rows)
