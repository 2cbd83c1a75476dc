"""softmax over the last axis: a block for each row; other axes stay with the reference.

The row is read three times: for its maximum, for the sum, and to write the result.
"""

import math
from typing import Any

from numba import cuda, float32

from minillm import ops
from minillm.kernels.numba_cuda.arrays import LOWEST, as_rows, takes_float32
from minillm.kernels.numba_cuda.launch import THREADS, launch_rows
from minillm.kernels.numba_cuda.reduction import block_max, block_sum
from minillm.registry import kernel


@cuda.jit
def softmax_rows(x, p):
    """[4.2.1]  p_i = exp(x_i − m) / Σ_j exp(x_j − m),  m = max x.  x, p: (rows, n)"""
    partial = cuda.shared.array(THREADS, float32)
    row, t = cuda.blockIdx.x, cuda.threadIdx.x
    n = x.shape[1]

    # m = max_j x_j: thread t sees x_t, x_(t + THREADS), ..., so that neighbours read neighbouring addresses
    m = LOWEST
    for j in range(t, n, THREADS):
        m = max(m, x[row, j])
    m = block_max(partial, m)

    # Σ_j exp(x_j − m)
    total = float32(0)
    for j in range(t, n, THREADS):
        total += math.exp(x[row, j] - m)
    total = block_sum(partial, total)
    if total == 0:  # every score is −inf: the row gets zeros
        total = float32(1)

    # p_i = exp(x_i − m) / Σ_j exp(x_j − m)
    for i in range(t, n, THREADS):
        p[row, i] = math.exp(x[row, i] - m) / total


@cuda.jit
def softmax_rows_backward(p, dp, dx):
    """dx = p ∘ (dp − Σ_j dp_j p_j).  p, dp, dx: (rows, n)"""
    partial = cuda.shared.array(THREADS, float32)
    row, t = cuda.blockIdx.x, cuda.threadIdx.x
    n = p.shape[1]

    # Σ_j dp_j p_j
    along = float32(0)
    for j in range(t, n, THREADS):
        along += dp[row, j] * p[row, j]
    along = block_sum(partial, along)

    # dx_i = p_i (dp_i − Σ_j dp_j p_j)
    for i in range(t, n, THREADS):
        dx[row, i] = p[row, i] * (dp[row, i] - along)


def takes(x: Any, axis: int = -1) -> bool:
    """float32, and the last axis."""
    return takes_float32(x) and x.ndim > 0 and axis in (-1, x.ndim - 1)


def softmax_backward(xp: Any, dp: Any, p: Any) -> tuple:
    dx = xp.empty_like(p)
    launch_rows(softmax_rows_backward, len(p), p, as_rows(xp, dp), dx)
    return (dx.reshape(dp.shape),)


@kernel(ops.softmax, "numba_cuda", softmax_backward, takes)
def softmax(xp: Any, x: Any, *, axis: int = -1) -> tuple:
    rows = as_rows(xp, x)
    p = xp.empty_like(rows)
    launch_rows(softmax_rows, len(rows), rows, p)
    return p.reshape(x.shape), p
