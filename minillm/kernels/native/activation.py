"""gelu_tanh and silu: one pass over memory, forward and backward (csrc/cpu/kernels/activation.cpp).

Only the input is saved: the derivative computes the logistic function anew, which is cheaper than reading it back.
"""

from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.arrays import contiguous, float32
from minillm.registry import kernel


def gelu_tanh_backward(xp: Any, dy: Any, x: Any) -> tuple:
    dx = np.empty_like(x)
    _native.gelu_tanh_backward(x, contiguous(dy), dx)
    return (dx,)


@kernel(ops.gelu_tanh, "native", gelu_tanh_backward, float32)
def gelu_tanh(xp: Any, x: Any) -> tuple:
    x = contiguous(x)
    y = np.empty_like(x)
    _native.gelu_tanh_forward(x, y)
    return y, x


def silu_backward(xp: Any, dy: Any, x: Any) -> tuple:
    dx = np.empty_like(x)
    _native.silu_backward(x, contiguous(dy), dx)
    return (dx,)


@kernel(ops.silu, "native", silu_backward, float32)
def silu(xp: Any, x: Any) -> tuple:
    x = contiguous(x)
    y = np.empty_like(x)
    _native.silu_forward(x, y)
    return y, x
