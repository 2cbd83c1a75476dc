"""Activation checkpointing: keep a layer's input instead of all it computes, and compute it again in backward."""

from collections.abc import Callable
from typing import Any

from minillm import seeding
from minillm.registry import Kernel, record
from minillm.tape import enable_grad, is_grad_enabled, no_grad
from minillm.tensor import Tensor


def checkpoint(function: Callable[..., Tensor], x: Tensor, **options: Any) -> Tensor:
    """function(x, **options), of which only x is kept for backward (Chen et al. 2016, section 3).

    Backward runs `function` again, with the same dropout, and goes on from there: a forward pass more for the memory
    of all that happens inside. Gradients are those without it, bit for bit. `function` must depend on x and on
    parameters alone; these must not change between forward and backward. x: a tensor of a graph.
    """
    if not is_grad_enabled() or not x.requires_grad:
        return function(x, **options)
    random = seeding.get_state()
    with no_grad():
        y = function(x, **options).detach()
    record("checkpoint", Kernel("any", _no_forward, _backward), (function, options, x._array, random), (x,), [y])
    return y


def _no_forward(*arrays: Any) -> None:
    raise AssertionError("a checkpoint's forward pass is its function")


def _backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    """dx, and the parameters' gradients added where they belong, by backward through the same computation."""
    function, options, array, random = saved
    x = Tensor.of(array)
    x.requires_grad = True
    after = seeding.get_state()
    seeding.set_state(random)
    try:
        with enable_grad():
            function(x, **options).backward(dy)
    finally:
        seeding.set_state(after)
    return (x.grad,)
