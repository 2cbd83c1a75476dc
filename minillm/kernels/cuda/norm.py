"""layer_norm and rms_norm with the residual's addition: a row is read once (csrc/cuda/norm.cu).

Saved are the input of the norm, its means and inverse deviations; backward makes dx and the parameters' gradients in
one pass, and a small kernel adds these up, block by block.
"""

from typing import Any

import numpy as np

from minillm import ops
from minillm.cuda.launch import launch
from minillm.kernels.cuda.activation import add_parts, contiguous_as
from minillm.kernels.cuda.arrays import FLOAT32, activations
from minillm.ops.norm import check_features
from minillm.registry import kernel

WARP = 32
HELD, HELD_BACKWARD = 32, 8  # elements of a row that a thread keeps in registers, as in norm.cu
MOST_WARPS, MOST_WARPS_BACKWARD = 8, 32  # that share a row
BLOCK_WARPS = 8  # of a block, where so many teams of warps fit
RESIDENT = 110_592  # threads of backward: 1024 for each multiprocessor of an A100. One number gives the same bits
FEWEST_ROWS = 2  # of a team in backward, so that parts of the parameters' gradients stay fewer than rows


def _block(d: int, held: int, most: int) -> tuple[int, int]:
    """(threads of a team, teams): a team has a row of d elements, of which each thread keeps `held`."""
    warps = min(max(-(-d // (held * WARP)), 1), most)
    return WARP * warps, max(BLOCK_WARPS // warps, 1)


def _forward(xp: Any, x: Any, weight: Any, bias: Any, residual: Any, eps: float, centred: bool) -> tuple:
    x, residual = xp.ascontiguousarray(x), contiguous_as(xp, residual, x.dtype)
    factor, bias = contiguous_as(xp, weight, FLOAT32), contiguous_as(xp, bias, FLOAT32)
    d = x.shape[-1]
    rows = x.size // max(d, 1)
    y, inverse = xp.empty(x.shape, x.dtype), xp.empty(rows, np.float32)
    mean = xp.empty(rows, np.float32) if centred else None
    total = None if residual is None else xp.empty(x.shape, x.dtype)
    if x.size:
        team, teams = _block(d, HELD, MOST_WARPS)
        arrays = x, residual, factor, bias, y, total, mean, inverse
        sizes = np.int64(rows), np.int32(d), np.float32(eps)
        launch("norm", f"norm_forward_{x.dtype.name}", -(-rows // teams), (team, teams), *arrays, *sizes)
    normalised = x if total is None else total
    return y, (normalised, factor, mean, inverse, bias is not None, residual is not None)


def _backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    x, weight, mean, inverse, has_bias, has_residual = saved
    d, rows = x.shape[-1], len(inverse)
    dx = xp.empty(x.shape, x.dtype)
    team, teams = _block(d, HELD_BACKWARD, MOST_WARPS_BACKWARD)
    blocks = max(1, min(RESIDENT // (team * teams), -(-rows // (FEWEST_ROWS * teams))))
    wanted = weight is not None or has_bias
    parts = xp.empty((2, blocks if x.size else 0, d), np.float32)
    if x.size:
        arrays = x, xp.ascontiguousarray(dy), weight, mean, inverse, dx, parts if wanted else None
        shared = 8 * HELD_BACKWARD * team if wanted and teams > 1 else 0  # two floats for each element held
        name, sizes = f"norm_backward_{x.dtype.name}", (np.int64(rows), np.int32(d))
        launch("norm", name, blocks, (team, teams), *arrays, *sizes, shared=shared)
    dweight = None if weight is None else _added(xp, parts[0])
    return dx, dweight, _added(xp, parts[1]) if has_bias else None, dx if has_residual else None


def _added(xp: Any, parts: Any) -> Any:
    return add_parts(xp, parts) if parts.size else xp.zeros(parts.shape[1], np.float32)  # there were no rows


def layer_norm_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    return _backward(xp, dy, saved)


@kernel(ops.layer_norm, "cuda", layer_norm_backward, activations)
def layer_norm(
    xp: Any, x: Any, weight: Any = None, bias: Any = None, residual: Any = None, *, eps: float = 1e-5
) -> tuple:
    check_features("layer_norm", x, residual, weight=weight, bias=bias)
    return _forward(xp, x, weight, bias, residual, eps, centred=True)


def rms_norm_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    dx, dweight, _, dresidual = _backward(xp, dy, saved)
    return dx, dweight, dresidual


@kernel(ops.rms_norm, "cuda", rms_norm_backward, activations)
def rms_norm(xp: Any, x: Any, weight: Any = None, residual: Any = None, *, eps: float = 1e-5) -> tuple:
    check_features("rms_norm", x, residual, weight=weight)
    return _forward(xp, x, weight, None, residual, eps, centred=False)
