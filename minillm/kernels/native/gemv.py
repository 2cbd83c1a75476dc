"""Products of a few rows with a weight matrix, float32 or quantised (csrc/cpu/kernels/gemv.cpp)."""

from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.arrays import contiguous, float32
from minillm.ops.quantized import check_quantized, quantized_linear_backward
from minillm.registry import kernel

MOST_ROWS = 8  # more are better multiplied in blocks
MOST_INPUTS = 1 << 16  # of int8 (GEMV_INPUTS in gemv.hpp)
ACTIVATIONS = {None: 0, "gelu": 1, "gelu_tanh": 2, "silu": 3}  # enum Activation of kernels/gemm.hpp


def gemv(x: Any, weight: Any, bias: Any = None, residual: Any = None, activation: str | None = None) -> Any:
    """f(x Wᵀ + b) + r for few rows x (rows, d_in) and a contiguous W (d_out, d_in), all float32."""
    y = np.empty((len(x), len(weight)), np.float32)
    _native.gemv(contiguous(x), weight, _given(bias), _given(residual), ACTIVATIONS[activation], y)
    return y


def takes(x: Any, weight: Any, scale: Any = None, *rest: Any, **options: Any) -> bool:
    """float32 activations; sums of int8 products must fit 32 bits."""
    return float32(x, scale, *rest) and (weight.dtype != np.int8 or weight.shape[1] <= MOST_INPUTS)


def backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    x, weight, scale, bias, residual, activation = saved
    _, for_reference = ops.quantized_linear.reference.forward(
        xp, x, weight, scale, bias, residual, activation=activation
    )
    return quantized_linear_backward(xp, dy, for_reference)


@kernel(ops.quantized_linear, "native", backward, takes)
def quantized_linear(
    xp: Any,
    x: Any,
    weight: Any,
    scale: Any = None,
    bias: Any = None,
    residual: Any = None,
    *,
    activation: str | None = None,
) -> tuple:
    check_quantized(x, weight, scale, bias, residual, activation)
    rows = contiguous(x.reshape(-1, x.shape[-1]))
    y = np.empty((len(rows), len(weight)), np.float32)
    rest = _given(bias), _given(residual), ACTIVATIONS[activation], y
    if weight.dtype == np.int8:
        _native.gemv_int8(rows, contiguous(weight), contiguous(scale), *rest)
    else:
        _native.gemv_bfloat16(rows, contiguous(weight), *rest)
    return y.reshape(*x.shape[:-1], len(weight)), (x, weight, scale, bias, residual, activation)


def _given(array: Any) -> Any:
    return None if array is None else contiguous(array)
