"""Optimizers: SGD with momentum, Adam, AdamW; and clipping by the global norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from minillm.backend import array_module, on_cpu
from minillm.errors import CheckpointError, ConfigError
from minillm.kernels import optimizer_kernels
from minillm.nn.module import Parameter
from minillm.tensor import moved

BLOCK = 1 << 16  # elements updated at a time, so that the several passes of a formula stay in the cache


class Optimizer:
    """What all have: the parameters, a learning rate `lr` that may be set at any time, a step count, saved state.

    Frozen parameters (requires_grad=False) are left out of `params`, so they have no state either.

    Subclasses name their state arrays in `slots` and define `_update` for one block of one parameter:
    the values, their gradient and the state arrays, all written in place.
    """

    slots: tuple[str, ...] = ()
    _update: Callable[..., None]

    def __init__(self, params: Iterable[Parameter], lr: float):
        self.params = [p for p in params if p.requires_grad]
        if not self.params:
            raise ConfigError("the optimizer got no parameters, or frozen ones only")
        if not lr >= 0:
            raise ConfigError(f"lr={lr} must not be negative")
        self.lr = lr
        self.steps = 0
        self.state = {slot: [array_module(p._array).zeros_like(p._array) for p in self.params] for slot in self.slots}

    def zero_grad(self) -> None:
        """Forget the gradients, before the next backward pass."""
        for p in self.params:
            p.grad = None

    def step(self, *, scale: Any = 1.0) -> None:
        """Move every parameter that has a gradient, by the gradients times `scale`; by NaN, none is moved.

        With scale=clip_scale(squared_norm(params), max_norm) the step is that after `clip_grad_norm`, without its pass
        over memory. On a GPU that scale is a number there, which nothing waits for; the step counts either way.
        """
        self._check_together()
        self.steps += 1
        if isinstance(scale, float) and math.isnan(scale):
            return
        moved = [(i, p) for i, p in enumerate(self.params) if p.grad is not None]
        tensors = [[p.mutable(), p.grad, *(self.state[slot][i] for slot in self.slots)] for i, p in moved]
        decays = [p.ndim >= 2 for _, p in moved]
        if self._update_at_once(tensors, decays, scale):
            return
        for arrays, decay in zip(tensors, decays, strict=True):
            for theta, g, *state in _blocks(arrays):
                self._update(theta, g if scale == 1 else g * scale, *state, decays=decay)

    def _check_together(self) -> None:
        """ConfigError where the parameters have been moved and the state hasn't."""
        for arrays in self.state.values():
            if array_module(arrays[0]) is not array_module(self.params[0]._array):
                raise ConfigError(
                    "the optimizer's state isn't where its parameters are; move it, too: optimizer.to(backend)"
                )

    def _update_at_once(self, tensors: list[list[Any]], decays: list[bool], scale: float) -> bool:
        """Update all parameters by one kernel. False, with nothing done, where there is none for them."""
        return False

    def state_dict(self) -> dict[str, np.ndarray]:
        """The step count and the state arrays, by names such as "m.0"."""
        arrays = {f"{slot}.{i}": on_cpu(a) for slot in self.slots for i, a in enumerate(self.state[slot])}
        return {"step": np.array(self.steps, np.int64), **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned; CheckpointError names what doesn't fit."""
        own = self.state_dict()
        wrong = [
            n for n in own.keys() | state.keys() if n not in own or n not in state or np.shape(state[n]) != own[n].shape
        ]
        if wrong:
            raise CheckpointError(f"the optimizer's state doesn't fit: {', '.join(sorted(wrong))}")
        self.steps = int(state["step"])
        for slot in self.slots:
            for i, array in enumerate(self.state[slot]):
                array[...] = array_module(array).asarray(state[f"{slot}.{i}"])

    def to(self, backend: str) -> None:
        """Move the state to where `backend` computes; the parameters move by `Module.to`."""
        self.state = {slot: [moved(a, backend) for a in arrays] for slot, arrays in self.state.items()}


class SGD(Optimizer):
    """Gradient descent with momentum (Polyak 1964; Sutskever et al. 2013).  v ← μ v + g;  θ ← θ − lr v"""

    slots = ("velocity",)

    def __init__(self, params: Iterable[Parameter], lr: float, momentum: float = 0.0):
        super().__init__(params, lr)
        self.momentum = momentum

    def _update(self, theta: Any, g: Any, v: Any, *, decays: bool) -> None:
        v *= self.momentum
        v += g
        theta -= self.lr * v


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), with t the step count:

    m ← β₁ m + (1 − β₁) g;   v ← β₂ v + (1 − β₂) g²;   θ ← θ − lr m̂ / (√v̂ + ε),  m̂ = m/(1 − β₁ᵗ),  v̂ = v/(1 − β₂ᵗ)
    """

    slots = ("m", "v")
    weight_decay = 0.0

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        super().__init__(params, lr)
        if not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(f"betas={betas} must be at least 0 and below 1")
        self.betas, self.eps = betas, eps

    def _update(self, theta: Any, g: Any, m: Any, v: Any, *, decays: bool) -> None:
        beta1, beta2 = self.betas
        xp = array_module(theta)
        change = g - m
        change *= 1 - beta1
        m += change
        xp.multiply(g, g, out=change)
        change -= v
        change *= 1 - beta2
        v += change
        xp.sqrt(v, out=change)
        change *= 1 / math.sqrt(1 - beta2**self.steps)
        change += self.eps
        xp.divide(m, change, out=change)
        change *= self.lr / (1 - beta1**self.steps)
        theta -= change

    def _update_at_once(self, tensors: list[list[Any]], decays: list[bool], scale: float) -> bool:
        own_formula = type(self)._update not in (Adam._update, AdamW._update)  # a subclass with another
        kernels = None if own_formula else optimizer_kernels(array for arrays in tensors for array in arrays)
        if kernels is None:
            return False
        beta1, beta2 = self.betas
        step, root = self.lr / (1 - beta1**self.steps), 1 / math.sqrt(1 - beta2**self.steps)
        kept = 1 - self.lr * self.weight_decay
        lists = [list(arrays) for arrays in zip(*tensors, strict=True)]
        kernels.adam_step(*lists, decays, 1 - beta1, 1 - beta2, self.eps, step, root, kept, scale)
        return True


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2): first θ ← θ − lr λ θ, then Adam's step.

    Decays parameters with two or more axes (matrices, embeddings); biases and norm weights are left alone.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(params, lr, betas, eps)
        self.weight_decay = weight_decay

    def _update(self, theta: Any, g: Any, m: Any, v: Any, *, decays: bool) -> None:
        if decays:
            theta *= 1 - self.lr * self.weight_decay
        super()._update(theta, g, m, v, decays=decays)


def squared_norm(params: Iterable[Parameter]) -> Any:
    """Σ g² over all gradients: a float; on a GPU with kernels for it, an array of one number there."""
    gradients = [p.grad for p in params if p.grad is not None]
    kernels = optimizer_kernels(gradients)
    return kernels.sum_of_squares(gradients) if kernels else sum(float(array_module(g).vdot(g, g)) for g in gradients)


def as_float(number: Any) -> float:
    """A float, or an array of one number: the CPU waits for it if it is on a GPU."""
    return number if isinstance(number, float) else number.item()


def grad_norm(params: Iterable[Parameter]) -> float:
    """The global norm √Σ g² of all gradients."""
    return math.sqrt(as_float(squared_norm(params)))


def clip_factor(norm: float, max_norm: float) -> float:
    """What gradients of global norm `norm` are multiplied by to be no longer than `max_norm`.

    min(1, max_norm / norm)  (Pascanu et al. 2013, algorithm 1);  1 for a norm that isn't finite.
    """
    return max_norm / norm if max_norm < norm < math.inf else 1.0


def clip_scale(squares: Any, max_norm: float) -> Any:
    """`clip_factor` for Σ g² as `squared_norm` gives it, and where that is; NaN for one that isn't finite."""
    if not isinstance(squares, float):
        return optimizer_kernels([squares]).clip_scale(squares, max_norm)
    return clip_factor(math.sqrt(squares), max_norm) if math.isfinite(squares) else math.nan


def clip_grad_norm(params: Iterable[Parameter], max_norm: float) -> float:
    """Scale all gradients by `clip_factor`, so that their global norm is at most max_norm; returns the norm before."""
    params = list(params)
    norm = grad_norm(params)
    factor = clip_factor(norm, max_norm)
    gradients = [p.grad for p in params if p.grad is not None]
    if factor == 1:
        return norm
    if kernels := optimizer_kernels(gradients):
        kernels.scale_arrays(gradients, factor)
    else:
        for g in gradients:
            g *= factor
    return norm


def _blocks(arrays: list[Any]) -> Iterator[list[Any]]:
    """The arrays, flattened, in slices of BLOCK elements; slices are views, written through to the arrays."""
    if not all(a.flags.c_contiguous for a in arrays):
        yield arrays
        return
    flat = [a.reshape(-1) for a in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield [a[start : start + BLOCK] for a in flat]
