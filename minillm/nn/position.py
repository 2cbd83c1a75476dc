"""Where a token stands: learned, sinusoidal and rotary positions."""

from types import ModuleType
from typing import Any

import numpy as np

from minillm import ops
from minillm.backend import Array, array_module
from minillm.errors import ShapeError
from minillm.nn.layers import Embedding
from minillm.nn.module import Module
from minillm.tensor import Tensor


class LearnedPositions(Module):
    """A trained vector for each position, added to the token's (GPT-2, BERT)."""

    def __init__(self, context_length: int, d_model: int, dtype: Any = "float32"):
        self.embedding = Embedding(context_length, d_model, dtype)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x: (batch, time, d_model), whose first position is `start`; returns the same shape."""
        return x + self.embedding(_positions(x, start, len(self.embedding.weight)))


class Table:
    """A constant array with a row for each position, and a copy of it on the GPU where that was asked for.

    values: the rows, in NumPy.
    """

    def __init__(self, values: np.ndarray):
        self.values = values
        self._copies: dict[ModuleType, Array] = {np: values}

    def rows(self, x: Tensor, start: int) -> Array:
        """Those of the positions of x, (time, ...), where x is; ShapeError unless there are so many."""
        xp = _module_of(x)
        if xp not in self._copies:
            self._copies[xp] = xp.asarray(self.values)
        return self._copies[xp][start : _stop(x, start, len(self.values))]


class SinusoidalPositions(Module):
    """Fixed waves added to the token's vector (Vaswani et al. 2017, section 3.5).

    PE(pos, 2i) = sin(pos / 10000^(2i/d_model)),  PE(pos, 2i+1) = cos(the same)
    """

    def __init__(self, context_length: int, d_model: int, dtype: Any = "float32"):
        angle = _angles(context_length, d_model)
        table = np.empty((context_length, d_model))
        table[:, 0::2] = np.sin(angle)
        table[:, 1::2] = np.cos(angle)[:, : d_model // 2]
        self.table = Table(table.astype(dtype))

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x: (batch, time, d_model), whose first position is `start`; returns the same shape."""
        return x + self.table.rows(x, start)


class RotaryPositions(Module):
    """Queries and keys turned by an angle that grows with the position (Su et al. 2021, section 3.2.2).

    Their product then depends on how far apart they are only. θ(pos, i) = pos / 10000^(2i/d_head)
    """

    def __init__(self, context_length: int, d_head: int, dtype: Any = "float32"):
        angle = _angles(context_length, d_head)
        self.cos, self.sin = Table(np.cos(angle).astype(dtype)), Table(np.sin(angle).astype(dtype))

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x: queries or keys (batch, heads, time, d_head), whose first position is `start`; returns the same shape."""
        return ops.rotary(x, self.cos.rows(x, start), self.sin.rows(x, start))


def _positions(x: Tensor, start: int, context_length: int) -> Array:
    """The positions of x, (time,), where x is; ShapeError unless there are so many."""
    return _module_of(x).arange(start, _stop(x, start, context_length))


def _module_of(x: Any) -> ModuleType:
    """Of a tensor's array, or of an array."""
    return array_module(x._array if isinstance(x, Tensor) else x)


def _stop(x: Tensor, start: int, context_length: int) -> int:
    """The position behind the last of x; ShapeError where the model has no such."""
    stop = start + x.shape[-2]
    if stop > context_length:
        raise ShapeError(f"positions {start} to {stop - 1} are needed, but there are {context_length} (context_length)")
    return stop


def _angles(length: int, d: int) -> np.ndarray:
    """pos / 10000^(2i/d) for each position and pair of features, (length, ⌈d/2⌉)."""
    return np.arange(length)[:, None] / 10000 ** (np.arange(0, d, 2) / d)
