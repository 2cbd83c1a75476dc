"""gelu, gelu_tanh and silu: a thread for each element, forward and backward.

Only the input is saved: the derivative computes the activation's factor anew, which is cheaper than reading it back.
"""

import math
from typing import Any

import numpy as np
from numba import cuda, float32

from minillm import ops
from minillm.kernels.numba_cuda.arrays import as_flat, contiguous, takes_float32
from minillm.kernels.numba_cuda.launch import launch_elements
from minillm.registry import Op, kernel

# float32, as are the literals below: a bare 0.5 is a float64, and makes one of all that it meets.
SQRT_HALF = np.float32(math.sqrt(0.5))
INVERSE_SQRT_2_PI = np.float32(1 / math.sqrt(2 * math.pi))
SQRT_2_OVER_PI = np.float32(math.sqrt(2 / math.pi))
CUBIC = np.float32(0.044715)


@cuda.jit
def gelu_elements(x, y):
    """y = x Φ(x),  Φ(x) = ½ (1 + erf(x/√2))  (Hendrycks & Gimpel 2016, section 2).  x, y: (n,)"""
    i = cuda.grid(1)
    if i < x.size:
        phi = float32(0.5) * (float32(1) + math.erf(x[i] * SQRT_HALF))
        y[i] = x[i] * phi


@cuda.jit
def gelu_elements_backward(x, dy, dx):
    """dx = dy (Φ(x) + x φ(x)),  φ(x) = e^(−x²/2) / √(2π)"""
    i = cuda.grid(1)
    if i < x.size:
        phi = float32(0.5) * (float32(1) + math.erf(x[i] * SQRT_HALF))
        density = math.exp(float32(-0.5) * x[i] * x[i]) * INVERSE_SQRT_2_PI
        dx[i] = dy[i] * (phi + x[i] * density)


@cuda.jit
def gelu_tanh_elements(x, y):
    """y = ½ x (1 + t),  t = tanh(√(2/π) (x + 0.044715 x³))  (Hendrycks & Gimpel 2016, section 2)"""
    i = cuda.grid(1)
    if i < x.size:
        t = math.tanh(SQRT_2_OVER_PI * x[i] * (float32(1) + CUBIC * (x[i] * x[i])))
        y[i] = float32(0.5) * x[i] * (float32(1) + t)


@cuda.jit
def gelu_tanh_elements_backward(x, dy, dx):
    """dx = dy (½ (1 + t) + ½ x (1 − t²) √(2/π) (1 + 3·0.044715 x²))"""
    i = cuda.grid(1)
    if i < x.size:
        square = x[i] * x[i]
        t = math.tanh(SQRT_2_OVER_PI * x[i] * (float32(1) + CUBIC * square))
        slope = SQRT_2_OVER_PI * (float32(1) + float32(3) * CUBIC * square)
        dx[i] = dy[i] * (float32(0.5) * (float32(1) + t + x[i] * (float32(1) - t * t) * slope))


@cuda.jit
def silu_elements(x, y):
    """y = x σ(x),  σ(x) = ½ (1 + tanh(x/2)), which can't overflow  (Elfwing et al. 2017)"""
    i = cuda.grid(1)
    if i < x.size:
        y[i] = x[i] * (float32(0.5) * (float32(1) + math.tanh(float32(0.5) * x[i])))


@cuda.jit
def silu_elements_backward(x, dy, dx):
    """dx = dy (σ(x) + x σ(x) (1 − σ(x)))"""
    i = cuda.grid(1)
    if i < x.size:
        s = float32(0.5) * (float32(1) + math.tanh(float32(0.5) * x[i]))
        dx[i] = dy[i] * (s + x[i] * s * (float32(1) - s))


# (forward, backward) of each activation, which `linear` applies, too
KERNELS = {
    "gelu": (gelu_elements, gelu_elements_backward),
    "gelu_tanh": (gelu_tanh_elements, gelu_tanh_elements_backward),
    "silu": (silu_elements, silu_elements_backward),
}


def activate(xp: Any, name: str, x: Any) -> Any:
    """f(x) of a contiguous x."""
    y = xp.empty_like(x)
    launch_elements(KERNELS[name][0], x.size, as_flat(xp, x), y.reshape(x.size))
    return y


def activate_backward(xp: Any, name: str, x: Any, dy: Any) -> Any:
    """dy f′(x) of a contiguous x."""
    dx = xp.empty_like(x)
    launch_elements(KERNELS[name][1], x.size, as_flat(xp, x), as_flat(xp, dy), dx.reshape(x.size))
    return dx


def _override(op: Op) -> None:
    def pull_back(xp: Any, dy: Any, x: Any) -> tuple:
        return (activate_backward(xp, op.name, x, dy),)

    @kernel(op, "numba_cuda", pull_back, takes_float32)
    def activation(xp: Any, x: Any) -> tuple:
        x = contiguous(xp, x)
        return activate(xp, op.name, x), x


for _op in (ops.gelu, ops.gelu_tanh, ops.silu):
    _override(_op)
