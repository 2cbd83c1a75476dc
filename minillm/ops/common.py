"""What several ops share: broadcasting undone, shapes checked, and a scatter that array modules spell differently."""

from typing import Any

import numpy as np

from minillm.errors import ShapeError


def shape_of(a: Any) -> tuple[int, ...] | None:
    """The shape of an array; None for a Python number, which needs no gradient."""
    return getattr(a, "shape", None)


def check_broadcast(name: str, a: Any, b: Any) -> None:
    """ShapeError unless `a` and `b` broadcast: aligned at the right, sizes equal or one of them 1."""
    sa, sb = shape_of(a), shape_of(b)
    if sa is None or sb is None or sa == sb:
        return
    for axis in range(1, min(len(sa), len(sb)) + 1):
        if sa[-axis] != sb[-axis] and 1 not in (sa[-axis], sb[-axis]):
            raise ShapeError(
                f"{name}: shapes {sa} and {sb} don't broadcast: dimension -{axis} is {sa[-axis]} in the first and "
                f"{sb[-axis]} in the second; sizes must be equal, or one of them 1 (reshape or transpose an operand)"
            )


def unbroadcast(gradient: Any, shape: tuple[int, ...] | None) -> Any:
    """Sum `gradient` over the axes along which an operand of `shape` was repeated."""
    if shape is None or gradient.shape == shape:
        return None if shape is None else gradient
    added = gradient.ndim - len(shape)
    stretched = tuple(i + added for i, n in enumerate(shape) if n == 1 and gradient.shape[i + added] != 1)
    return gradient.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)


def check_axis(name: str, x: Any, axis: int | tuple[int, ...] | None) -> None:
    """ShapeError unless every axis exists in `x`."""
    for a in () if axis is None else (axis if isinstance(axis, tuple) else (axis,)):
        if not -x.ndim <= a < x.ndim:
            raise ShapeError(f"{name}: axis {a} is out of range for shape {x.shape}; use {-x.ndim} to {x.ndim - 1}")


def max_or_lowest(xp: Any, x: Any, axis: int) -> Any:
    """max x along `axis` (kept), but at least the lowest finite number.

    So x - max is -inf, never NaN, in a row that is all -inf; and an empty row has a maximum.
    """
    lowest = xp.finfo(x.dtype).min
    if not x.shape[axis]:
        return xp.full([1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)], lowest, x.dtype)
    return xp.maximum(x.max(axis, keepdims=True), lowest)


def scatter_add(xp: Any, shape: tuple[int, ...], rows: Any, values: Any) -> Any:
    """out[rows[i]] += values[i] for every i, from zeros: sorted by row, so that the sum has one order.

    shape: (n_rows, ...); rows: (n,) integers, not negative; values: (n, ...).
    """
    out = xp.zeros(shape, values.dtype)
    if xp is not np:
        xp.add.at(out, rows, values)
    elif rows.size:
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        out[ordered[starts]] = np.add.reduceat(values[order], starts, axis=0)
    return out
