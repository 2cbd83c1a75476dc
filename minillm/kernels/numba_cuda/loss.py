"""cross_entropy whose probabilities are never stored: a block for each row, forward and backward.

Forward keeps two numbers a row, m and ln Σ_j exp(x_j − m). A second kernel makes the gradient from the logits and
those two. Class weights and label smoothing stay with the reference.
"""

import math
from typing import Any

from numba import cuda, float32

from minillm import ops
from minillm.kernels.numba_cuda.arrays import LOWEST, as_rows, contiguous, takes_float32
from minillm.kernels.numba_cuda.launch import THREADS, launch_rows
from minillm.kernels.numba_cuda.reduction import block_max, block_sum
from minillm.ops.loss import check_cross_entropy
from minillm.registry import kernel


@cuda.jit
def cross_entropy_rows(logits, targets, ignored, losses, largest, log_sums):
    """[4.1.2-ce]  −ln p_i = ln Σ_j exp(x_j − m) − (x_i − m),  m = max x, i the target; 0 where that is `ignored`.

    logits: (rows, classes);  targets, losses, largest (m), log_sums: (rows,).  m and the logarithm aren't added:
    beside a large m the logarithm's digits would be lost.
    """
    partial = cuda.shared.array(THREADS, float32)
    row, t = cuda.blockIdx.x, cuda.threadIdx.x
    n = logits.shape[1]

    # m = max_j x_j
    m = LOWEST
    for j in range(t, n, THREADS):
        m = max(m, logits[row, j])
    m = block_max(partial, m)

    # ln Σ_j exp(x_j − m)
    total = float32(0)
    for j in range(t, n, THREADS):
        total += math.exp(logits[row, j] - m)
    log_sum = math.log(block_sum(partial, total))

    if t == 0:
        target = targets[row]
        largest[row] = m
        log_sums[row] = log_sum
        losses[row] = float32(0) if target == ignored else log_sum - (logits[row, target] - m)


@cuda.jit
def cross_entropy_rows_backward(logits, targets, ignored, largest, log_sums, scale, dx):
    """dx_i = s (p_i − y_i),  p_i = exp(x_i − m − ln Σ_j exp(x_j − m)),  y one-hot;  0 in an ignored row.

    scale: (1,), s = dL / count;  dx: (rows, classes)
    """
    row = cuda.blockIdx.x
    target = targets[row]
    for i in range(cuda.threadIdx.x, logits.shape[1], THREADS):
        p = math.exp(logits[row, i] - largest[row] - log_sums[row])
        y = float32(1) if i == target else float32(0)
        dx[row, i] = float32(0) if target == ignored else scale[0] * (p - y)


def takes(*arrays: Any, label_smoothing: float = 0.0, **options: Any) -> bool:
    """float32 without class weights and smoothing, which stay with the reference."""
    return takes_float32(*arrays) and (len(arrays) < 3 or arrays[2] is None) and label_smoothing == 0


def cross_entropy_backward(xp: Any, dloss: Any, saved: tuple) -> tuple:
    rows, targets, ignored, largest, log_sums, divisor, shape = saved
    scale = xp.asarray(dloss / divisor, dtype=rows.dtype).reshape(1)
    dx = xp.empty_like(rows)
    launch_rows(cross_entropy_rows_backward, len(rows), rows, targets, ignored, largest, log_sums, scale, dx)
    return dx.reshape(shape), None, None


@kernel(ops.cross_entropy, "numba_cuda", cross_entropy_backward, takes)
def cross_entropy(
    xp: Any,
    logits: Any,
    targets: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple:
    targets = xp.asarray(targets)
    check_cross_entropy(xp, logits.shape, targets, None, ignore_index, label_smoothing, reduction)
    rows = as_rows(xp, logits)
    flat = contiguous(xp, targets.reshape(-1).astype(xp.int64))
    losses, largest, log_sums = (xp.empty(len(rows), rows.dtype) for _ in range(3))
    launch_rows(cross_entropy_rows, len(rows), rows, flat, ignore_index, losses, largest, log_sums)
    divisor = max(int((flat != ignore_index).sum()), 1) if reduction == "mean" else 1
    loss = xp.asarray(losses.sum() / divisor, dtype=rows.dtype)
    return loss, (rows, flat, ignore_index, largest, log_sums, divisor, logits.shape)
