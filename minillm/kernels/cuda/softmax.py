"""softmax and log_softmax over the last axis (csrc/cuda/softmax.cu); other axes stay with the reference."""

from typing import Any

import numpy as np

from minillm import ops
from minillm.cuda.launch import launch
from minillm.kernels.cuda.arrays import activations
from minillm.registry import Op, kernel

WARP, BLOCK_WARPS = 32, 8  # warps of a block: shared by its rows, a row has no more
# Elements that a thread keeps in registers, as in softmax.cu. Of rows that don't come in packs it keeps a quarter, and
# reads the rest twice: they get no more warps for that.
HELD = 32


def takes(x: Any, axis: int = -1) -> bool:
    """float32 or bfloat16, and the last axis."""
    return activations(x) and x.ndim > 0 and axis in (-1, x.ndim - 1)


def _apply(xp: Any, name: str, *arrays: Any) -> Any:
    """Run a kernel over the rows of arrays of one shape; their elements together are those a thread keeps."""
    given = [xp.ascontiguousarray(a) for a in arrays]
    out = xp.empty(given[0].shape, given[0].dtype)
    if out.size:
        n = out.shape[-1]
        rows, warps = out.size // n, min(-(-n * len(given) // (HELD * WARP)), BLOCK_WARPS)
        teams = BLOCK_WARPS // warps
        sizes, block = (np.int64(rows), np.int32(n)), (WARP * warps, teams)
        launch("softmax", f"{name}_{out.dtype.name}", -(-rows // teams), block, *given, out, *sizes)
    return out


def _override(op: Op) -> None:
    def pull_back(xp: Any, dy: Any, y: Any) -> tuple:
        return (_apply(xp, f"{op.name}_backward", y, dy),)

    @kernel(op, "cuda", pull_back, takes)
    def apply(xp: Any, x: Any, *, axis: int = -1) -> tuple:
        y = _apply(xp, f"{op.name}_forward", x)
        return y, y


for _op in (ops.softmax, ops.log_softmax):
    _override(_op)
