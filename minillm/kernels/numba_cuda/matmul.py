"""Tiled matrix product (matmul): a block computes a TILE x TILE tile of C from tiles of A and B in shared memory.

Each element that a block fetches from far memory is used TILE times from near memory.
"""

import math
from typing import Any

from numba import cuda, float32

from minillm import ops
from minillm.kernels.numba_cuda.arrays import contiguous, takes_float32
from minillm.kernels.numba_cuda.launch import TILE, blocks, launch
from minillm.ops.common import unbroadcast
from minillm.ops.linear import check_matmul
from minillm.ops.precision import check_precision, round_bfloat16
from minillm.registry import kernel


@cuda.jit
def matmul_tiles(a, b, c):
    """c_ij = Σ_k a_ik b_kj.  a: (batch or 1, n, inner);  b: (batch or 1, inner, m);  c: (batch, n, m)"""
    a_tile = cuda.shared.array((TILE, TILE), float32)
    b_tile = cuda.shared.array((TILE, TILE), float32)
    matrix = cuda.blockIdx.x
    # Threads that differ in x are neighbours: they have neighbouring columns, so they read neighbouring addresses.
    y, x = cuda.threadIdx.y, cuda.threadIdx.x
    i = cuda.blockIdx.y * TILE + y
    j = cuda.blockIdx.z * TILE + x
    inner = a.shape[2]
    matrix_a = matrix % a.shape[0]  # 0 for the one that all share
    matrix_b = matrix % b.shape[0]

    total = float32(0)
    for start in range(0, inner, TILE):
        # Each thread fetches one element of each tile; zeros stand beyond the edges, and add nothing.
        a_tile[y, x] = a[matrix_a, i, start + x] if i < a.shape[1] and start + x < inner else float32(0)
        b_tile[y, x] = b[matrix_b, start + y, j] if start + y < inner and j < b.shape[2] else float32(0)
        cuda.syncthreads()  # both tiles are whole

        # Σ_k a_ik b_kj over the k of this tile
        for k in range(TILE):
            total += a_tile[y, k] * b_tile[k, x]
        cuda.syncthreads()  # all have used the tiles: the next may take their place

    if i < c.shape[1] and j < c.shape[2]:
        c[matrix, i, j] = total


def multiply(xp: Any, a: Any, b: Any, precision: str | None) -> Any:
    """A B over the broadcast batch axes in front.  a: (..., n, k), b: (..., k, m) of any strides.

    A transpose is copied to be contiguous. precision: "bfloat16" rounds both operands first.
    """
    if precision is not None:
        a, b = round_bfloat16(xp, a), round_bfloat16(xp, b)
    batch = _broadcast(a.shape[:-2], b.shape[:-2])
    c = xp.empty((math.prod(batch), a.shape[-2], b.shape[-1]), a.dtype)
    grid = (len(c), blocks(c.shape[1], TILE), blocks(c.shape[2], TILE))
    launch(matmul_tiles, grid, (TILE, TILE), _stack(xp, a, batch), _stack(xp, b, batch), c)
    return c.reshape(*batch, *c.shape[1:])


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    width = max(len(a), len(b))
    a, b = (1,) * (width - len(a)) + a, (1,) * (width - len(b)) + b
    return tuple(n if m == 1 else m for m, n in zip(a, b, strict=True))


def _stack(xp: Any, a: Any, batch: tuple[int, ...]) -> Any:
    """(batch, n, k) contiguous: a matrix for each of the batch, or (1, n, k) where all share one."""
    count, size = math.prod(a.shape[:-2]), a.shape[-2:]
    if count != 1:
        count, a = math.prod(batch), xp.broadcast_to(a, (*batch, *size))
    return contiguous(xp, a).reshape(count, *size)


def matmul_backward(xp: Any, dc: Any, saved: tuple) -> tuple:
    """dA = dC Bᵀ,  dB = Aᵀ dC"""
    a, b, precision = saved
    matrix_a = a[None, :] if a.ndim == 1 else a
    matrix_b = b[:, None] if b.ndim == 1 else b
    batch = _broadcast(matrix_a.shape[:-2], matrix_b.shape[:-2])
    dc = dc.reshape(*batch, matrix_a.shape[-2], matrix_b.shape[-1])
    da = unbroadcast(multiply(xp, dc, matrix_b.swapaxes(-1, -2), precision), matrix_a.shape)
    db = unbroadcast(multiply(xp, matrix_a.swapaxes(-1, -2), dc, precision), matrix_b.shape)
    return da.reshape(a.shape), db.reshape(b.shape)


@kernel(ops.matmul, "numba_cuda", matmul_backward, takes_float32)
def matmul(xp: Any, a: Any, b: Any, *, precision: str | None = None) -> tuple:
    check_matmul(a, b)
    check_precision("matmul", precision)
    c = multiply(xp, a[None, :] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b, precision)
    rows, columns = a.shape[-2:-1] if a.ndim > 1 else (), b.shape[-1:] if b.ndim > 1 else ()  # none for a vector
    return c.reshape((*c.shape[:-2], *rows, *columns)), (a, b, precision)
