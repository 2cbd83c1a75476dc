"""The layers with one op inside: Linear, Embedding, LayerNorm, RMSNorm, Dropout."""

import math
from typing import Any

import numpy as np

from minillm import ops, seeding
from minillm.nn.module import Module, Parameter
from minillm.tensor import Tensor


def normal(*shape: int, std: float, dtype: Any = "float32") -> Parameter:
    """A parameter drawn from N(0, std²), by the "init" random stream."""
    return Parameter((seeding.generator("init").standard_normal(shape, np.float32) * np.float32(std)).astype(dtype))


class Linear(Module):
    """y = x Wᵀ + b, W of shape (d_out, d_in). Starts with W ~ N(0, 1/d_in), which keeps the variance, and b = 0.

    dtype: of W and b. precision: "bfloat16" rounds what is multiplied, not W itself: small updates need all its digits.
    """

    def __init__(self, d_in: int, d_out: int, bias: bool = True, dtype: Any = "float32", precision: str | None = None):
        self.precision = precision
        self.weight = normal(d_out, d_in, std=1 / math.sqrt(d_in), dtype=dtype)
        self.bias = Parameter(np.zeros(d_out, dtype)) if bias else None

    def forward(self, x: Tensor, residual: Tensor | None = None, activation: str | None = None) -> Tensor:
        """f(x Wᵀ + b) + residual.  x: (..., d_in); activation: f, as in `ops.linear`; returns (..., d_out)."""
        return ops.linear(x, self.weight, self.bias, residual, activation=activation, precision=self.precision)


class Embedding(Module):
    """A vector of size d_model for each of vocab_size ids. Starts as N(0, 0.02²), as GPT-2."""

    def __init__(self, vocab_size: int, d_model: int, dtype: Any = "float32"):
        self.weight = normal(vocab_size, d_model, std=0.02, dtype=dtype)

    def forward(self, ids: Any) -> Tensor:
        """ids: integers (...); returns (..., d_model). TokenError for an id outside the vocabulary."""
        return ops.embedding(self.weight, ids)


class LayerNorm(Module):
    """Each vector shifted and scaled to mean 0 and variance 1, then by a trained weight and bias (Ba et al. 2016)."""

    def __init__(self, d_model: int, bias: bool = True, eps: float = 1e-5, dtype: Any = "float32"):
        self.weight = Parameter(np.ones(d_model, dtype))
        self.bias = Parameter(np.zeros(d_model, dtype)) if bias else None
        self.eps = eps

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """x: (..., d_model); residual: the same shape, added to x first. Returns the same shape."""
        return ops.layer_norm(x, self.weight, self.bias, residual, eps=self.eps)


class RMSNorm(Module):
    """Each vector scaled to root mean square 1, then by a trained weight (Zhang & Sennrich 2019)."""

    def __init__(self, d_model: int, eps: float = 1e-5, dtype: Any = "float32"):
        self.weight = Parameter(np.ones(d_model, dtype))
        self.eps = eps

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """x: (..., d_model); residual: the same shape, added to x first. Returns the same shape."""
        return ops.rms_norm(x, self.weight, residual, eps=self.eps)


class Dropout(Module):
    """In training, each element zeroed with probability p and the rest scaled by 1/(1 − p); else the identity."""

    def __init__(self, p: float):
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """x: any shape. The mask comes from the "dropout" random stream."""
        if not self.training or self.p == 0:
            return x
        return ops.dropout(x, p=self.p, key=seeding.next_key("dropout"))
