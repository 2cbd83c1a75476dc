"""LoRA: a large model fitted to a task by training few numbers beside its frozen weights (Hu et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm import ops
from minillm.errors import ConfigError
from minillm.nn.layers import Linear, normal
from minillm.nn.module import Module, Parameter
from minillm.ops.linear import ACTIVATIONS
from minillm.tensor import Tensor


@dataclass(frozen=True)
class Factors:
    """A and B while they are merged into W: no attributes of a module, so no parameters of it either."""

    a: Parameter
    b: Parameter


class LoRALinear(Module):
    """A Linear whose matrix is W + ΔW, ΔW of low rank (Hu et al. 2021, equation 3; the scale: section 4.1).

    y = x (W + ΔW)ᵀ + b,  ΔW = (alpha / rank) B A

    W: (d_out, d_in) and b, the given layer's, frozen;  A: (rank, d_in), drawn from N(0, 1/d_in);  B: (d_out, rank),
    starts as 0, and so does ΔW. Merged, the layer holds W + ΔW as its weight and has no A and B: its state dict is
    that of a plain Linear. ConfigError for a rank that isn't from 1 to the smaller of d_in and d_out.
    """

    def __init__(self, linear: Linear, rank: int, alpha: float):
        check_rank(linear, rank)
        d_out, d_in = linear.weight.shape
        dtype = linear.weight.dtype
        self.precision, self.scale = linear.precision, alpha / rank
        self.weight, self.bias = linear.weight, linear.bias
        self.lora_a: Parameter | None = normal(rank, d_in, std=1 / math.sqrt(d_in), dtype=dtype)
        self.lora_b: Parameter | None = Parameter(np.zeros((d_out, rank), dtype))
        self._merged: Factors | None = None
        _freeze(self.weight, self.bias)

    def forward(self, x: Tensor, residual: Tensor | None = None, activation: str | None = None) -> Tensor:
        """f(x (W + ΔW)ᵀ + b) + residual.  x: (..., d_in); activation: f, as in `ops.linear`; returns (..., d_out)."""
        precision = self.precision
        if self.lora_a is None:
            return ops.linear(x, self.weight, self.bias, residual, activation=activation, precision=precision)
        first_residual = residual if activation is None else None  # what the first product can already add
        y = ops.linear(x, self.weight, self.bias, first_residual, precision=precision)
        narrow = ops.linear(x, self.lora_a, precision=precision) * self.scale  # (..., rank)
        y = ops.linear(narrow, self.lora_b, None, y, precision=precision)
        if activation is None:
            return y
        y = ACTIVATIONS[activation](y)
        return y if residual is None else y + residual

    def merge(self) -> None:
        """W ← W + ΔW, and A and B aside: as fast as a plain Linear, and untrainable. Does nothing the second time."""
        if self.lora_a is None or self.lora_b is None:
            return
        self._merged = Factors(self.lora_a, self.lora_b)
        self.weight.mutable()[...] += self._delta(self._merged)
        self.lora_a = self.lora_b = None

    def unmerge(self) -> None:
        """W ← W − ΔW, the old W but for rounding, and A and B back. Does nothing where nothing is merged."""
        if self._merged is None:
            return
        self.weight.mutable()[...] -= self._delta(self._merged)
        self.lora_a, self.lora_b, self._merged = self._merged.a, self._merged.b, None

    def _delta(self, factors: Factors) -> np.ndarray:
        """ΔW, (d_out, d_in)."""
        return self.scale * (factors.b.numpy() @ factors.a.numpy())


def add_lora(model: Module, rank: int, alpha: float, targets: Collection[str] = ("query", "value")) -> Module:
    """Freeze all of `model`, in place, and put a trained ΔW beside its Linear layers of these names. Returns the model.

    targets: names of attributes, such as those of MultiHeadAttention (query, key, value, output) and FeedForward (up,
    gate, down). All Linear layers of a name get their ΔW: "query" is that of every attention, of an encoder, a decoder
    and between them, and of a CopyingHead.
    Build the optimizer afterwards: it takes the parameters that aren't frozen. Raises ConfigError, with nothing
    changed, for a model that has LoRA already (merged, too), for a name no Linear has, for a layer that shares its
    weight with another (a tied head), and for a rank out of range.
    """
    if _lora_layers(model):
        raise ConfigError(
            "this model already has LoRA layers; merge_lora it, and load its state dict into a plain model first"
        )
    linears = [(m, k, v) for m in model.modules() for k, v in vars(m).items() if isinstance(v, Linear)]
    names = {name for _, name, _ in linears}
    if isinstance(targets, str) or not set(targets) or not set(targets) <= names:
        raise ConfigError(f"targets={targets!r} must name Linear layers; this model's are {', '.join(sorted(names))}")
    chosen = [(owner, name, linear) for owner, name, linear in linears if name in targets]
    for _, name, linear in chosen:
        if sum(value is linear.weight for module in model.modules() for value in vars(module).values()) > 1:
            raise ConfigError(f"{name} shares its weight with another layer, which merging would change, too")
        check_rank(linear, rank)
    _freeze(*model.parameters())
    for owner, name, linear in chosen:
        setattr(owner, name, LoRALinear(linear, rank, alpha))
    return model


def merge_lora(model: Module) -> Module:
    """Merge every LoRALinear inside `model`: the same function, none of it trained, at a plain model's speed.

    The state dict is then that of the model before `add_lora`, with ΔW in it: load it into a plain model to export,
    quantize or go on with that.
    """
    for layer in _lora_layers(model):
        layer.merge()
    return model


def unmerge_lora(model: Module) -> Module:
    """Undo `merge_lora`, to go on training A and B, or to exchange them for another task's."""
    for layer in _lora_layers(model):
        layer.unmerge()
    return model


def check_rank(linear: Linear, rank: int) -> None:
    """ConfigError unless 1 ≤ rank ≤ min(d_out, d_in)."""
    most = min(linear.weight.shape)
    if not 1 <= rank <= most:
        raise ConfigError(f"rank={rank} must be from 1 to {most}, the smaller size of W {linear.weight.shape}")


def _lora_layers(model: Module) -> list[LoRALinear]:
    return [module for module in model.modules() if isinstance(module, LoRALinear)]


def _freeze(*parameters: Any) -> None:
    for p in parameters:
        if p is not None:
            p.requires_grad, p.grad = False, None
