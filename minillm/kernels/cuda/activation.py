"""gelu, gelu_tanh and silu, and the passes around a matrix product that linear asks for (csrc/cuda/activation.cu).

Only what was before the activation is saved: the derivative computes the rest anew, cheaper than reading it back.
"""

from typing import Any

import numpy as np

from minillm import ops
from minillm.cuda.launch import launch
from minillm.kernels.cuda.arrays import FLOAT32, activations
from minillm.kernels.cuda.cast import cast
from minillm.registry import Op, kernel

BLOCK, ELEMENTS = 256, 4096  # threads of a block over an array, and its elements, as in floats.cuh
WIDTH, HEIGHT = 32, 16  # of a block over a matrix: threads along a row, and rows
PACK_BYTES = 16  # of a row, for each of those threads
MOST_BLOCKS = 216  # that sum rows: two for each multiprocessor of an A100. One number everywhere gives the same bits
FEWEST_ROWS = 64  # that a block sums; fewer aren't worth the sum of sums that follows
MOST_TALL = 65_535  # blocks of a grid's second axis


def contiguous_as(xp: Any, a: Any, dtype: Any) -> Any:
    """`a` (float32 or bfloat16, or None) in C order and in `dtype`, copied only if it isn't."""
    return None if a is None else xp.ascontiguousarray(a if a.dtype == dtype else cast(xp, a, dtype))


def bias_activation(xp: Any, y: Any, bias: Any, activation: str, keep_before: bool) -> tuple[Any, Any]:
    """f(y + bias), and y + bias if it is to be kept for `activation_backward`, else None.

    y: (rows, n) in C order, a product nobody else holds: one of the two results takes its place. bias: (n,) or None.
    """
    out = xp.empty(y.shape, y.dtype) if keep_before else y
    before = y if keep_before else None
    if y.size:
        bias = contiguous_as(xp, bias, FLOAT32)
        _over_rows(f"bias_{activation}_forward", y, y, bias, before, out)
    return out, before


def bias_residual(xp: Any, y: Any, bias: Any, residual: Any) -> Any:
    """y + bias + residual, in y's place. y: (rows, n) in C order; bias: (n,) or None; residual: y's size, or None."""
    if y.size and (bias is not None or residual is not None):
        bias, residual = contiguous_as(xp, bias, FLOAT32), contiguous_as(xp, residual, y.dtype)
        _over_rows("bias_residual_forward", y, y, bias, residual)
    return y


def activation_backward(xp: Any, before: Any, dy: Any, activation: str, want_bias: bool) -> tuple[Any, Any]:
    """dz = dy f'(before) and, if wanted, its sum over rows in float32, (n,). before, dy: (rows, n) of one dtype."""
    dy = xp.ascontiguousarray(dy)
    dz = xp.empty(before.shape, before.dtype)
    if not want_bias:
        _over_elements(f"{activation}_backward", before, dy, dz)
        return dz, None
    return dz, _summed(xp, f"bias_{activation}_backward", dz, before, dy, dz)


def sum_rows(xp: Any, x: Any) -> Any:
    """The sum over the rows of x (rows, n), float32 or bfloat16, in float32: (n,)."""
    x = xp.ascontiguousarray(x)
    return _summed(xp, "sum_rows", x, x)


def add_parts(xp: Any, parts: Any) -> Any:
    """The sum over the rows of `parts` (count, n) float32, in their order up to a few sums side by side: (n,)."""
    total = xp.empty(parts.shape[1], np.float32)
    _over_tiles("sum_rows", parts, 1, parts, total)
    return total


def _summed(xp: Any, name: str, matrix: Any, *arrays: Any) -> Any:
    """Run a kernel over a matrix (rows, n) that leaves sums over its rows, in parts: the sum of these, (n,)."""
    rows, n = matrix.shape
    if not matrix.size:
        return xp.zeros(n, np.float32)
    count = max(1, min(rows // FEWEST_ROWS, MOST_BLOCKS // _columns(matrix)))
    parts = xp.empty((count, n) if count > 1 else n, np.float32)
    _over_tiles(name, matrix, count, *arrays, parts)
    return add_parts(xp, parts) if count > 1 else parts


def _columns(matrix: Any) -> int:
    """Blocks side by side that span a row."""
    return -(-matrix.shape[1] * matrix.itemsize // (WIDTH * PACK_BYTES))


def _over_tiles(name: str, matrix: Any, tall: int, *arrays: Any) -> None:
    (rows, n), grid = matrix.shape, (_columns(matrix), tall)
    kernel_name = f"{name}_{matrix.dtype.name}"
    launch("activation", kernel_name, grid, (WIDTH, HEIGHT), *arrays, np.int64(rows), np.int32(n))


def _over_rows(name: str, matrix: Any, *arrays: Any) -> None:
    _over_tiles(name, matrix, min(-(-matrix.shape[0] // (2 * HEIGHT)), MOST_TALL), *arrays)


def _over_elements(name: str, *arrays: Any) -> None:
    x = arrays[0]
    if x.size:
        launch("activation", f"{name}_{x.dtype.name}", -(-x.size // ELEMENTS), BLOCK, *arrays, np.int64(x.size))


def _override(op: Op) -> None:
    def pull_back(xp: Any, dy: Any, x: Any) -> tuple:
        return (activation_backward(xp, x, dy, op.name, want_bias=False)[0],)

    @kernel(op, "cuda", pull_back, activations)
    def activation(xp: Any, x: Any) -> tuple:
        y, rows = xp.empty(x.shape, x.dtype), xp.ascontiguousarray(x)
        _over_elements(f"{op.name}_forward", rows, y)
        return y, rows.reshape(x.shape)


for _op in (ops.gelu, ops.gelu_tanh, ops.silu):
    _override(_op)
