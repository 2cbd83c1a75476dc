"""Reductions over one axis, several, or all: sum mean var max min."""

import math

import numpy as np

from minillm.errors import ShapeError
from minillm.ops.common import check_axis
from minillm.registry import Case, ErrorCase, op


def reduce_cases(rng):
    x = rng.normal(size=(2, 3, 4))
    for axis in (None, 0, -1, (0, 2)):
        yield Case((x,), {"axis": axis})
        yield Case((x,), {"axis": axis, "keepdims": True})
    yield Case((x.transpose(2, 0, 1)[::2],), {"axis": 1}, note="not contiguous")
    yield Case((rng.normal(size=()),), note="a scalar")


def with_empty(rng):
    yield from reduce_cases(rng)
    yield Case((np.zeros((0, 3)),), {"axis": 0}, note="no elements")


def var_cases(rng):
    yield from reduce_cases(rng)
    yield Case((rng.normal(size=(3, 4)),), {"axis": -1, "ddof": 1}, note="unbiased")


def extreme_cases(rng):
    yield from reduce_cases(rng)
    yield Case((np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]),), {"axis": -1}, note="ties", smooth=False)


def axis_errors(rng):
    yield ErrorCase((np.zeros((2, 3)),), ShapeError, r"axis 2 is out of range for shape \(2, 3\)", {"axis": 2})


def empty_errors(rng):
    yield from axis_errors(rng)
    yield ErrorCase((np.zeros((0, 3)),), ShapeError, r"of no elements", {"axis": 0})


@op(cases=with_empty, errors=axis_errors)
def sum(xp, x, *, axis=None, keepdims=False):
    """Sum.  y = Σᵢ xᵢ"""
    check_axis("sum", x, axis)
    return x.sum(axis, keepdims=keepdims), (x.shape, axis, keepdims)


@sum.backward
def sum_backward(xp, dy, saved):
    """dxᵢ = dy"""
    shape, axis, keepdims = saved
    return (_spread(xp, dy, shape, axis, keepdims),)


@op(cases=reduce_cases, errors=empty_errors)
def mean(xp, x, *, axis=None, keepdims=False):
    """Mean.  y = 1/n Σᵢ xᵢ"""
    _check_elements("mean", x, axis)
    return x.mean(axis, keepdims=keepdims), (x.shape, axis, keepdims)


@mean.backward
def mean_backward(xp, dy, saved):
    """dxᵢ = dy / n"""
    shape, axis, keepdims = saved
    return (_spread(xp, dy / _count(shape, axis), shape, axis, keepdims),)


@op(cases=var_cases, errors=empty_errors)
def var(xp, x, *, axis=None, keepdims=False, ddof=0):
    """Variance.  y = 1/(n − ddof) Σᵢ (xᵢ − μ)²"""
    _check_elements("var", x, axis)
    centred = x - x.mean(axis, keepdims=True)
    scale = 1 / (_count(x.shape, axis) - ddof) if _count(x.shape, axis) > ddof else math.nan
    return (centred * centred).sum(axis, keepdims=keepdims) * scale, (centred, scale, axis, keepdims)


@var.backward
def var_backward(xp, dy, saved):
    """dxᵢ = dy · 2 (xᵢ − μ) / (n − ddof)"""
    centred, scale, axis, keepdims = saved
    return (_spread(xp, dy, centred.shape, axis, keepdims) * centred * (2 * scale),)


@op(cases=extreme_cases, errors=empty_errors)
def max(xp, x, *, axis=None, keepdims=False):
    """Largest element.  y = maxᵢ xᵢ"""
    _check_elements("max", x, axis)
    y = x.max(axis, keepdims=True)
    return y if keepdims else y.reshape(x.max(axis).shape), (x, y, axis, keepdims)


@max.backward
def max_backward(xp, dy, saved):
    """dxᵢ = dy where xᵢ is the largest, shared equally among ties, else 0"""
    x, y, axis, keepdims = saved
    is_largest = (x == y).astype(x.dtype)
    share = is_largest / is_largest.sum(axis, keepdims=True)
    return (_spread(xp, dy, x.shape, axis, keepdims) * share,)


@op(cases=extreme_cases, errors=empty_errors)
def min(xp, x, *, axis=None, keepdims=False):
    """Smallest element.  y = minᵢ xᵢ = −maxᵢ(−xᵢ)"""
    _check_elements("min", x, axis)
    y, saved = max.reference.forward(xp, -x, axis=axis, keepdims=keepdims)
    return -y, saved


@min.backward
def min_backward(xp, dy, saved):
    """dxᵢ = dy where xᵢ is the smallest, shared equally among ties, else 0"""
    return max_backward(xp, dy, saved)


def _spread(xp, dy, shape, axis, keepdims):
    """`dy` repeated along the axes that were reduced away."""
    if not keepdims and axis is not None:
        dy = xp.expand_dims(dy, axis)
    return xp.broadcast_to(dy, shape)


def _count(shape, axis):
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return math.prod(shape[a] for a in axes)


def _check_elements(name, x, axis):
    check_axis(name, x, axis)
    if not _count(x.shape, axis):
        raise ShapeError(f"{name} of no elements: shape {x.shape} along axis {axis} has none to reduce")
