"""cross_entropy: the rows of logits become their own gradient (csrc/cpu/kernels/loss.cpp)."""

from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.arrays import contiguous, float32
from minillm.ops.loss import check_cross_entropy
from minillm.registry import kernel
from minillm.tape import is_grad_enabled


def takes(*arrays: Any, label_smoothing: float = 0.0, **options: Any) -> bool:
    """float32 without class weights and smoothing, which stay with the reference."""
    return float32(*arrays) and (len(arrays) < 3 or arrays[2] is None) and label_smoothing == 0


def cross_entropy_backward(xp: Any, dloss: Any, saved: tuple) -> tuple:
    gradient, shape = saved
    return (gradient * dloss).reshape(shape), None, None


@kernel(ops.cross_entropy, "native", cross_entropy_backward, takes)
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
    targets = np.asarray(targets)
    check_cross_entropy(np, logits.shape, targets, None, ignore_index, label_smoothing, reduction)
    gradients = is_grad_enabled()
    # A copy, which the gradient is written over; the caller keeps the logits.
    rows = np.array(logits, np.float32, order="C", copy=gradients or None).reshape(targets.size, logits.shape[-1])
    targets = contiguous(targets.reshape(-1).astype(np.int64))
    divisor = max(int((targets != ignore_index).sum()), 1) if reduction == "mean" else 1
    losses = np.empty(targets.size, np.float64)
    _native.cross_entropy_rows(rows, targets, losses, ignore_index, 1 / divisor, gradients)
    return np.asarray(losses.sum() / divisor, np.float32), (rows, logits.shape)
