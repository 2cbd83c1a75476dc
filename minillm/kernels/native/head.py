"""linear_cross_entropy in chunks of rows: the logits of the whole batch are never stored.

Forward turns each chunk of logits into its gradient while it is in the cache, and multiplies that on to dx and dW
at once: backward has nothing left to do but to scale them.
"""

from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.arrays import contiguous, float32, matrices
from minillm.kernels.native.linear import multiply
from minillm.ops.head import check_linear_cross_entropy
from minillm.registry import kernel
from minillm.tape import is_grad_enabled

CHUNK_BYTES = 128 << 20  # of logits held at a time: weight is packed anew for each chunk
FEWEST_ROWS = 128  # in a chunk: fewer don't keep the product busy


def linear_cross_entropy_backward(xp: Any, dloss: Any, saved: tuple) -> tuple:
    made, inputs, shape = saved
    # Once handed over, the gradients are the tape's to add to. For another backward they are computed again.
    dx, dweight = made.pop() if made else _run(*inputs, gradients=True)[1:]
    if dloss != 1:
        dx *= dloss
        dweight *= dloss
    return dx.reshape(shape), dweight, None


@kernel(ops.linear_cross_entropy, "native", linear_cross_entropy_backward, float32)
def linear_cross_entropy(
    xp: Any, x: Any, weight: Any, targets: Any, *, ignore_index: int = -100, precision: str | None = None
) -> tuple:
    targets = np.asarray(targets)
    check_linear_cross_entropy(np, x, weight, targets, ignore_index, precision)
    inputs = (
        contiguous(x.reshape(-1, x.shape[-1])),
        matrices(weight),
        contiguous(targets.reshape(-1).astype(np.int64)),
        ignore_index,
        precision,
    )
    wanted = is_grad_enabled()
    loss, *gradients = _run(*inputs, gradients=wanted)
    return loss, ([gradients] if wanted else [], inputs, x.shape)


def _run(x: Any, weight: Any, targets: Any, ignored: int, precision: str | None, *, gradients: bool) -> tuple:
    """The loss and, if asked for, dx and dweight for an incoming gradient of 1."""
    rows, classes = len(x), len(weight)
    counted = max(int((targets != ignored).sum()), 1)
    losses = np.empty(rows, np.float64)
    made: tuple = (np.empty_like(x), np.empty(weight.shape, np.float32)) if gradients else ()
    if gradients and not rows:
        made[1][...] = 0
    for part in _chunks(rows, classes):
        logits = multiply(x[part], weight.T, precision)
        _native.cross_entropy_rows(logits, targets[part], losses[part], ignored, 1 / counted, gradients)
        if gradients:
            _native.gemm(logits, weight, made[0][part], precision == "bfloat16")
            _native.gemm(logits.T, x[part], made[1], precision == "bfloat16", accumulate=part.start > 0)
    return np.asarray(losses.sum() / counted, np.float32), *made


def _chunks(rows: int, classes: int) -> list[slice]:
    """Parts of about the same size."""
    most = max(FEWEST_ROWS, CHUNK_BYTES // (4 * max(classes, 1)))
    count = -(-rows // most)
    return [slice(rows * i // count, rows * (i + 1) // count) for i in range(count)]
