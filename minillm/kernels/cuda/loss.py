"""cross_entropy: the rows of logits become their own gradient (csrc/cuda/loss.cu).

Nothing waits for the GPU: the number of targets that count stays there. Targets that are already on the GPU aren't
checked, as that would wait: one outside the vocabulary gives a loss of NaN, and a gradient of NaN in its row.
"""

from typing import Any

import numpy as np

from minillm import ops
from minillm.backend import as_array
from minillm.cuda.launch import launch
from minillm.kernels.cuda.arrays import activations
from minillm.ops.loss import check_cross_entropy
from minillm.registry import kernel
from minillm.tape import is_grad_enabled

WARP, FEWEST_WARPS, MOST_WARPS = 32, 2, 16  # of a row's block
CLASSES_OF_WARP = 256  # that it reads at once
SUM_BLOCK = 1024  # threads of the one block that counts or adds up
SCALE_BLOCK, SCALE_ELEMENTS = 256, 4096  # threads of a block that scales, and their elements


def takes(*arrays: Any, label_smoothing: float = 0.0, **options: Any) -> bool:
    """Logits in float32 or bfloat16, without class weights and smoothing, which stay with the reference."""
    return activations(*arrays) and (len(arrays) < 3 or arrays[2] is None) and label_smoothing == 0


def check_targets(
    shape: tuple[int, ...], targets: Any, ignore_index: int, reduction: str = "mean", name: str = "cross_entropy"
) -> None:
    """The errors of `cross_entropy`; of targets on the GPU only the shape and the dtype are looked at."""
    seen = targets if isinstance(targets, np.ndarray) else np.broadcast_to(np.zeros((), targets.dtype), targets.shape)
    check_cross_entropy(np, shape, seen, None, ignore_index, 0.0, reduction, name)


def target_scale(xp: Any, targets: Any, ignore_index: int) -> Any:
    """1 over the number of targets (n,) int64 that count, 1 if none does: one float32 on the GPU."""
    scale = xp.empty(1, np.float32)
    launch("loss", "count_targets", 1, SUM_BLOCK, targets, scale, np.int64(targets.size), np.int64(ignore_index))
    return scale


def cross_entropy_rows(rows: Any, targets: Any, losses: Any, ignore_index: int, scale: Any, gradient: bool) -> None:
    """Write the losses of rows of logits, and over the logits, if `gradient`, (p - y) scale.

    rows: (n, classes) float32 or bfloat16, in C order; targets: (n,) int64; losses: (n,) float32, not scaled;
    scale: one float32 on the GPU. A target outside the classes gives NaN.
    """
    if rows.size:
        classes = rows.shape[1]
        warps = min(max(-(-classes // CLASSES_OF_WARP), FEWEST_WARPS), MOST_WARPS)
        options = np.int64(ignore_index), np.int32(classes), np.int32(gradient)
        name = f"cross_entropy_rows_{rows.dtype.name}"
        launch("loss", name, len(rows), WARP * warps, rows, targets, losses, scale, *options)


def sum_losses(xp: Any, losses: Any, scale: Any) -> Any:
    """scale times the sum of the losses (n,) float32: a float32 array of no axes."""
    loss = xp.empty((), np.float32)
    launch("loss", "sum_losses", 1, SUM_BLOCK, losses, scale, loss, np.int64(losses.size))
    return loss


def _gradient(xp: Any, logits: Any, targets: Any, ignore_index: int, scale: Any) -> tuple[Any, Any]:
    """The losses of the rows (n,), and the gradient of their scaled sum, in the logits' shape, in memory of its own."""
    gradient = logits.copy() if logits.flags.c_contiguous else xp.ascontiguousarray(logits)
    losses = xp.empty(targets.size, np.float32)
    rows = gradient.reshape(targets.size, logits.shape[-1])
    cross_entropy_rows(rows, targets, losses, ignore_index, scale, gradient=True)
    return losses, gradient


def scaled(xp: Any, gradient: Any, factor: Any) -> Any:
    """The gradient, in C order, times one float32 on the GPU, in place; untouched where that is 1."""
    if gradient.size:
        name, blocks = f"scale_gradient_{gradient.dtype.name}", -(-gradient.size // SCALE_ELEMENTS)
        launch("loss", name, blocks, SCALE_BLOCK, gradient, xp.ascontiguousarray(factor), np.int64(gradient.size))
    return gradient


def cross_entropy_backward(xp: Any, dloss: Any, saved: tuple) -> tuple:
    made, inputs = saved
    # Scaled where it is, as there may be no room for two. For another backward it is computed again.
    gradient = made.pop() if made else _gradient(xp, *inputs)[1]
    return scaled(xp, gradient, dloss), None, None


@kernel(ops.cross_entropy, "cuda", cross_entropy_backward, takes)
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
    """As the op, but the loss of bfloat16 logits is float32: 8 bits of fraction are too few to see it fall."""
    targets = as_array(targets)
    check_targets(logits.shape, targets, ignore_index, reduction)
    targets = xp.ascontiguousarray(xp.asarray(targets, np.int64)).reshape(-1)
    scale = target_scale(xp, targets, ignore_index) if reduction == "mean" else xp.ones(1, np.float32)
    inputs = logits, targets, ignore_index, scale
    if is_grad_enabled():
        losses, gradient = _gradient(xp, *inputs)
        return sum_losses(xp, losses, scale), ([gradient], inputs)
    losses = xp.empty(targets.size, np.float32)
    rows = xp.ascontiguousarray(logits).reshape(targets.size, logits.shape[-1])
    cross_entropy_rows(rows, targets, losses, ignore_index, scale, gradient=False)
    return sum_losses(xp, losses, scale), None
