"""Sums down the columns: how the gradients of a bias, or of a norm's weight, gather those of all rows."""

from typing import Any

from numba import cuda, float32

from minillm.kernels.numba_cuda.launch import COLUMNS, LANES, blocks, launch


@cuda.jit
def column_sums(values, sums):
    """s_j = Σ_r x_rj.  values: (rows, n);  sums: (n,)

    A block has COLUMNS columns. Its LANES rows of threads each add every LANES-th row, then a tree adds the lanes.
    """
    partial = cuda.shared.array((LANES, COLUMNS), float32)
    column, lane = cuda.threadIdx.x, cuda.threadIdx.y
    j = cuda.blockIdx.x * COLUMNS + column

    # Σ_r x_rj over the rows r = lane, lane + LANES, ...
    total = float32(0)
    if j < values.shape[1]:
        for r in range(lane, values.shape[0], LANES):
            total += values[r, j]
    partial[lane, column] = total

    half = LANES // 2
    while half > 0:
        cuda.syncthreads()
        if lane < half:
            partial[lane, column] += partial[lane + half, column]
        half //= 2
    if lane == 0 and j < values.shape[1]:  # the thread that made the last sum
        sums[j] = partial[0, column]


def sum_columns(xp: Any, values: Any) -> Any:
    """(rows, n), contiguous float32, to (n,)."""
    sums = xp.empty(values.shape[1], values.dtype)
    launch(column_sums, (blocks(values.shape[1], COLUMNS),), (COLUMNS, LANES), values, sums)
    return sums
