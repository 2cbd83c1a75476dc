"""gelu, gelu_tanh and silu: one pass over memory, forward and backward (csrc/cpu/kernels/activation.cpp).

Only the input is saved: the derivative computes the activation's factor anew, which is cheaper than reading it back.
"""

from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.arrays import contiguous, float32
from minillm.registry import Op, kernel

# (forward, backward) of each activation, which `linear` applies, too
FUNCTIONS = {
    "gelu": (_native.gelu_forward, _native.gelu_backward),
    "gelu_tanh": (_native.gelu_tanh_forward, _native.gelu_tanh_backward),
    "silu": (_native.silu_forward, _native.silu_backward),
}


def _override(op: Op) -> None:
    forward, backward = FUNCTIONS[op.name]

    def pull_back(xp: Any, dy: Any, x: Any) -> tuple:
        dx = np.empty_like(x)
        backward(x, contiguous(dy), dx)
        return (dx,)

    @kernel(op, "native", pull_back, float32)
    def activation(xp: Any, x: Any) -> tuple:
        x = contiguous(x)
        y = np.empty_like(x)
        forward(x, y)
        return y, x


for _op in (ops.gelu, ops.gelu_tanh, ops.silu):
    _override(_op)
