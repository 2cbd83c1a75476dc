"""linear: cuBLAS products, with bias, activation and residual in one pass after them (csrc/cuda/activation.cu)."""

from typing import Any

import numpy as np

from minillm import ops
from minillm.backend import array_module
from minillm.kernels.cuda.activation import activation_backward, bias_activation, bias_residual, sum_rows
from minillm.kernels.cuda.arrays import BFLOAT16, FLOAT32, activations
from minillm.kernels.cuda.cast import cast
from minillm.kernels.cuda.gemm import product
from minillm.ops.linear import check_linear, check_matmul
from minillm.ops.precision import check_precision
from minillm.registry import kernel
from minillm.tape import is_grad_enabled, is_wanted


def operand(a: Any, dtype: Any) -> Any:
    """A matrix as a product takes it: in `dtype`, itself if it is."""
    return a if a.dtype == dtype else cast(array_module(a), a, dtype)


def operand_dtype(x: Any, precision: str | None) -> Any:
    """What is multiplied: bfloat16 where activations are, or where `precision` says so; else float32."""
    return BFLOAT16 if precision == "bfloat16" else x.dtype


def linear_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    rows, weight, x_like, has_bias, has_residual, activation, before = saved
    shape, dtype = x_like
    dz = xp.ascontiguousarray(dy).reshape(-1, weight.shape[0])
    dbias = None
    if activation:
        dz, dbias = activation_backward(xp, before, dz, activation, has_bias)
    elif has_bias:
        dbias = sum_rows(xp, dz)
    dz = operand(dz, weight.dtype)
    dx = product(xp, dz, weight, dtype).reshape(shape) if is_wanted(0) else None
    dweight = product(xp, dz.T, rows, FLOAT32) if is_wanted(1) else None
    return dx, dweight, dbias, dy if has_residual else None


@kernel(ops.linear, "cuda", linear_backward, activations)
def linear(
    xp: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    residual: Any = None,
    *,
    activation: str | None = None,
    precision: str | None = None,
) -> tuple:
    check_linear(x, weight, bias, residual, activation)
    check_precision("linear", precision)
    dtype = operand_dtype(x, precision)
    rows = operand(xp.ascontiguousarray(x).reshape(-1, x.shape[-1]), dtype)
    weight = operand(weight, dtype)
    y, before = product(xp, rows, weight.T, x.dtype), None
    if activation:
        y, before = bias_activation(xp, y, bias, activation, is_grad_enabled())
    y = bias_residual(xp, y, None if activation else bias, residual)
    saved = (rows, weight, (x.shape, x.dtype), bias is not None, residual is not None, activation, before)
    return y.reshape(*x.shape[:-1], weight.shape[0]), saved


def _two_matrices(*arrays: Any, **options: Any) -> bool:
    return activations(*arrays) and all(a.ndim == 2 for a in arrays)


def matmul_backward(xp: Any, dc: Any, saved: tuple) -> tuple:
    a, b, dtypes = saved
    dc = operand(dc, a.dtype)
    da = product(xp, dc, b.T, dtypes[0]) if is_wanted(0) else None
    return da, product(xp, a.T, dc, dtypes[1]) if is_wanted(1) else None


@kernel(ops.matmul, "cuda", matmul_backward, _two_matrices)
def matmul(xp: Any, a: Any, b: Any, *, precision: str | None = None) -> tuple:
    check_matmul(a, b)
    check_precision("matmul", precision)
    dtype = operand_dtype(a, precision)
    left, right = operand(a, dtype), operand(b, dtype)
    return product(xp, left, right, a.dtype), (left, right, (a.dtype, np.dtype(b.dtype)))
