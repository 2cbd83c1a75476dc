"""linear and matmul by the blocked matrix product of csrc/cpu/kernels/gemm.cpp; transposes are packed, not copied."""

import math
from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.activation import FUNCTIONS
from minillm.kernels.native.arrays import contiguous, float32, matrices
from minillm.kernels.native.gemv import ACTIVATIONS, MOST_ROWS, gemv
from minillm.ops.common import unbroadcast
from minillm.ops.linear import check_linear, check_matmul
from minillm.ops.precision import check_precision
from minillm.registry import kernel
from minillm.tape import is_grad_enabled, is_wanted


def multiply(a: Any, b: Any, precision: str | None) -> Any:
    """A B for matrices (n, k) and (k, m) of any strides."""
    c = np.empty((a.shape[0], b.shape[1]), np.float32)
    _native.gemm(matrices(a), matrices(b), c, precision == "bfloat16")
    return c


def linear_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    x, weight, has_bias, has_residual, shape, activation, before, precision = saved
    dz = contiguous(dy).reshape(-1, weight.shape[0])
    if activation:
        dy_rows, dz = dz, np.empty_like(dz)
        FUNCTIONS[activation][1](before, dy_rows, dz)
    dbias = np.empty(weight.shape[0], np.float32) if has_bias else None
    if has_bias:
        _native.sum_rows(dz, dbias)
    dx = multiply(dz, weight, precision).reshape(shape) if is_wanted(0) else None
    dweight = multiply(dz.T, x, precision) if is_wanted(1) else None
    return dx, dweight, dbias, dy if has_residual else None


@kernel(ops.linear, "native", linear_backward, float32)
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
    rows = x.reshape(-1, x.shape[-1])
    if len(rows) <= MOST_ROWS and precision is None and weight.flags.c_contiguous and not is_grad_enabled():
        y = gemv(rows, weight, bias, residual, activation)
        return y.reshape(*x.shape[:-1], weight.shape[0]), None
    y = np.empty((len(rows), weight.shape[0]), np.float32)
    before = np.empty_like(y) if activation and is_grad_enabled() else None
    _native.gemm(
        matrices(rows),
        matrices(weight.T),
        y,
        precision == "bfloat16",
        None if bias is None else contiguous(bias),
        ACTIVATIONS[activation],
        before,
        None if residual is None else contiguous(residual),
    )
    saved = (rows, weight, bias is not None, residual is not None, x.shape, activation, before, precision)
    return y.reshape(*x.shape[:-1], weight.shape[0]), saved


def multiply_batch(a: Any, b: Any, precision: str | None) -> Any:
    """A B over the broadcast batch axes in front; rows of a contiguous `a` times one matrix are one product."""
    if b.ndim == 2 and a.flags.c_contiguous:
        rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
        return multiply(rows, b, precision).reshape(*a.shape[:-1], b.shape[-1])
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    c = np.empty((math.prod(batch), a.shape[-2], b.shape[-1]), np.float32)
    _native.gemm_batch(_repeated(a, batch), _repeated(b, batch), c, precision == "bfloat16")
    return c.reshape(*batch, *c.shape[1:])


def _repeated(a: Any, batch: tuple[int, ...]) -> Any:
    """(math.prod(batch), n, k): a matrix for each of the batch, without copying where strides can say it."""
    size = a.shape[-2:]
    return matrices(np.broadcast_to(a, (*batch, *size)).reshape(math.prod(batch), *size))


def matmul_backward(xp: Any, dc: Any, saved: tuple) -> tuple:
    a, b, precision = saved
    matrix_a = a[None, :] if a.ndim == 1 else a
    matrix_b = b[:, None] if b.ndim == 1 else b
    batch = np.broadcast_shapes(matrix_a.shape[:-2], matrix_b.shape[:-2])
    dc = dc.reshape(*batch, matrix_a.shape[-2], matrix_b.shape[-1])
    da = unbroadcast(multiply_batch(dc, matrix_b.swapaxes(-1, -2), precision), matrix_a.shape)
    db = unbroadcast(multiply_batch(matrix_a.swapaxes(-1, -2), dc, precision), matrix_b.shape)
    return da.reshape(a.shape), db.reshape(b.shape)


@kernel(ops.matmul, "native", matmul_backward, float32)
def matmul(xp: Any, a: Any, b: Any, *, precision: str | None = None) -> tuple:
    check_matmul(a, b)
    check_precision("matmul", precision)
    c = multiply_batch(a[None, :] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b, precision)
    rows, columns = a.shape[-2:-1] if a.ndim > 1 else (), b.shape[-1:] if b.ndim > 1 else ()  # none for a vector
    return c.reshape((*c.shape[:-2], *rows, *columns)), (a, b, precision)
