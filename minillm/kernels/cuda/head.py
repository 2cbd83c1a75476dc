"""linear_cross_entropy: logits are made for some rows at a time, and become their own gradient in place.

The gradients of x and of the weight are made in the forward pass, for an incoming gradient of 1, so that no logits
outlive it: of a vocabulary of 50,304 they would be the largest array of a training step.
"""

from typing import Any

import numpy as np

from minillm import ops
from minillm.backend import as_array
from minillm.kernels.cuda.arrays import FLOAT32, activations
from minillm.kernels.cuda.gemm import product
from minillm.kernels.cuda.linear import operand, operand_dtype
from minillm.kernels.cuda.loss import check_targets, cross_entropy_rows, scaled, sum_losses, target_scale
from minillm.ops.linear import check_linear
from minillm.ops.precision import check_precision
from minillm.registry import kernel
from minillm.tape import is_grad_enabled

CHUNK_BYTES = 512 << 20  # of logits held at a time: enough rows to keep a GPU busy, small beside the activations


def linear_cross_entropy_backward(xp: Any, dloss: Any, saved: tuple) -> tuple:
    made, inputs, shape = saved
    dx, dweight = made.pop() if made else _run(xp, *inputs, gradients=True)[1:]
    return scaled(xp, dx, dloss).reshape(shape), scaled(xp, dweight, dloss), None


@kernel(ops.linear_cross_entropy, "cuda", linear_cross_entropy_backward, activations)
def linear_cross_entropy(
    xp: Any, x: Any, weight: Any, targets: Any, *, ignore_index: int = -100, precision: str | None = None
) -> tuple:
    """As the op; the loss is float32. Targets on the GPU aren't checked: one outside the classes gives NaN."""
    name = "linear_cross_entropy"
    check_linear(x, weight, name=name)
    check_precision(name, precision)
    targets = as_array(targets)
    check_targets((*x.shape[:-1], len(weight)), targets, ignore_index, name=name)
    dtype = operand_dtype(x, precision)
    inputs = (
        operand(xp.ascontiguousarray(x).reshape(-1, x.shape[-1]), dtype),
        operand(weight, dtype),
        xp.ascontiguousarray(xp.asarray(targets, np.int64)).reshape(-1),
        ignore_index,
        x.dtype,
    )
    loss, *gradients = _run(xp, *inputs, gradients=is_grad_enabled())
    return loss, ([gradients] if gradients else [], inputs, x.shape)


def _run(xp: Any, x: Any, weight: Any, targets: Any, ignored: int, dtype: Any, *, gradients: bool) -> tuple:
    """The loss and, if asked for, dx and dweight for an incoming gradient of 1. dtype: of logits and of dx."""
    scale, losses = target_scale(xp, targets, ignored), xp.empty(targets.size, np.float32)
    made: tuple = (xp.empty(x.shape, dtype), xp.zeros(weight.shape, np.float32)) if gradients else ()
    for part in _chunks(len(x), len(weight) * np.dtype(dtype).itemsize):
        logits = product(xp, x[part], weight.T, dtype)
        cross_entropy_rows(logits, targets[part], losses[part], ignored, scale, gradients)
        if gradients:
            dlogits = operand(logits, x.dtype)
            made[0][part] = product(xp, dlogits, weight, dtype)
            product(xp, dlogits.T, x[part], FLOAT32, out=made[1])
    return sum_losses(xp, losses, scale), *made


def _chunks(rows: int, row_bytes: int) -> list[slice]:
    """Parts of about the same size."""
    count = -(-rows * row_bytes // CHUNK_BYTES)
    return [slice(rows * i // count, rows * (i + 1) // count) for i in range(count)]
