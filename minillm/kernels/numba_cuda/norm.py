"""layer_norm (Ba et al. 2016, equations 3 and 4): a block for each row.

Saved are the input, and each row's mean and inverse deviation: x̂ is computed anew from them in backward.
"""

import math
from typing import Any

import numpy as np
from numba import cuda, float32

from minillm import ops
from minillm.kernels.numba_cuda.arrays import as_rows, contiguous, takes_float32
from minillm.kernels.numba_cuda.columns import sum_columns
from minillm.kernels.numba_cuda.launch import THREADS, launch_rows
from minillm.kernels.numba_cuda.reduction import block_sum
from minillm.ops.norm import check_features
from minillm.registry import kernel


@cuda.jit
def norm_rows(x, weight, bias, eps, y, means, inverses):
    """y = w ∘ x̂ + b,  x̂ = (x − μ) / √(σ² + ε).  x, y: (rows, d);  weight, bias: (d,);  means, inverses: (rows,)"""
    partial = cuda.shared.array(THREADS, float32)
    row, t = cuda.blockIdx.x, cuda.threadIdx.x
    d = x.shape[1]

    # μ = 1/d Σ_j x_j
    total = float32(0)
    for j in range(t, d, THREADS):
        total += x[row, j]
    mean = block_sum(partial, total) / float32(d)

    # σ² = 1/d Σ_j (x_j − μ)²: of the differences, since mean(x²) − μ² would lose the digits of a small σ
    total = float32(0)
    for j in range(t, d, THREADS):
        centred = x[row, j] - mean
        total += centred * centred
    variance = block_sum(partial, total) / float32(d)
    inverse = float32(1) / math.sqrt(variance + eps)

    # y_j = w_j x̂_j + b_j
    for j in range(t, d, THREADS):
        y[row, j] = weight[j] * ((x[row, j] - mean) * inverse) + bias[j]
    if t == 0:
        means[row] = mean
        inverses[row] = inverse


@cuda.jit
def norm_rows_backward(x, weight, means, inverses, dy, dx, along_weight):
    """dx = (dx̂ − mean(dx̂) − x̂ mean(dx̂ ∘ x̂)) / √(σ² + ε),  dx̂ = w ∘ dy

    along_weight: dy ∘ x̂, this row's part of dw.  x, dy, dx, along_weight: (rows, d)
    """
    partial = cuda.shared.array(THREADS, float32)
    row, t = cuda.blockIdx.x, cuda.threadIdx.x
    d = x.shape[1]
    mean = means[row]
    inverse = inverses[row]

    # Σ_j dx̂_j and Σ_j dx̂_j x̂_j
    total = float32(0)
    total_along = float32(0)
    for j in range(t, d, THREADS):
        x_hat = (x[row, j] - mean) * inverse
        dx_hat = weight[j] * dy[row, j]
        total += dx_hat
        total_along += dx_hat * x_hat
    average = block_sum(partial, total) / float32(d)
    along = block_sum(partial, total_along) / float32(d)

    # dx_j = (dx̂_j − mean(dx̂) − x̂_j mean(dx̂ ∘ x̂)) / √(σ² + ε)
    for j in range(t, d, THREADS):
        x_hat = (x[row, j] - mean) * inverse
        dx[row, j] = (weight[j] * dy[row, j] - average - x_hat * along) * inverse
        along_weight[row, j] = dy[row, j] * x_hat


def layer_norm_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    """dw = Σ_rows dy ∘ x̂;  db = Σ_rows dy;  dr = dx, with dx from the kernel."""
    rows, weight, means, inverses, has_weight, has_bias, has_residual = saved
    dy_rows = as_rows(xp, dy)
    dx, along_weight = xp.empty_like(rows), xp.empty_like(rows)
    launch_rows(norm_rows_backward, len(rows), rows, weight, means, inverses, dy_rows, dx, along_weight)
    dweight = sum_columns(xp, along_weight) if has_weight else None
    dbias = sum_columns(xp, dy_rows) if has_bias else None
    dx = dx.reshape(dy.shape)
    return dx, dweight, dbias, dx if has_residual else None


@kernel(ops.layer_norm, "numba_cuda", layer_norm_backward, takes_float32)
def layer_norm(
    xp: Any, x: Any, weight: Any = None, bias: Any = None, residual: Any = None, *, eps: float = 1e-5
) -> tuple:
    check_features("layer_norm", x, residual, weight=weight, bias=bias)
    rows = as_rows(xp, x if residual is None else x + residual)
    d = x.shape[-1]
    w = xp.ones(d, rows.dtype) if weight is None else contiguous(xp, weight)
    b = xp.zeros(d, rows.dtype) if bias is None else contiguous(xp, bias)
    y = xp.empty_like(rows)
    means, inverses = xp.empty(len(rows), rows.dtype), xp.empty(len(rows), rows.dtype)
    launch_rows(norm_rows, len(rows), rows, w, b, np.float32(eps), y, means, inverses)
    has = (weight is not None, bias is not None, residual is not None)
    return y.reshape(x.shape), (rows, w, means, inverses, *has)
