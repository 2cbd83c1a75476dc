"""Moving elements without changing them: reshape transpose getitem concat split stack where masked_fill astype."""

import math
from numbers import Integral

import numpy as np

from minillm.errors import ShapeError
from minillm.ops.common import check_axis, check_broadcast, scatter_add, shape_of, unbroadcast
from minillm.registry import Case, ErrorCase, op


def reshape_cases(rng):
    x = rng.normal(size=(2, 3, 4))
    yield from (Case((x,), {"shape": shape}) for shape in [(6, 4), (-1,), (2, 1, 12), 24, (4, -1)])
    yield Case((x.transpose(2, 1, 0),), {"shape": (8, 3)}, note="not contiguous")
    yield Case((np.zeros((0, 3)),), {"shape": (3, 0)}, note="no elements")


def reshape_errors(rng):
    x = np.zeros((2, 3))
    yield ErrorCase((x,), ShapeError, r"\(2, 3\) has 6 elements, .* \(4, 2\) needs 8", {"shape": (4, 2)})
    yield ErrorCase((x,), ShapeError, r"can't be divided", {"shape": (4, -1)})


@op(cases=reshape_cases, errors=reshape_errors)
def reshape(xp, x, *, shape):
    """The same elements in row-major order under another shape; one size may be -1."""
    _check_reshape(x, (shape,) if isinstance(shape, Integral) else tuple(shape))
    return x.reshape(shape), x.shape


@reshape.backward
def reshape_backward(xp, dy, shape):
    """dx = dy under the old shape"""
    return (dy.reshape(shape),)


def transpose_cases(rng):
    x = rng.normal(size=(2, 3, 4))
    yield from (Case((x,), {"axes": axes}) for axes in [None, (0, 2, 1), (2, 0, 1), (-1, 0, 1)])
    yield Case((rng.normal(size=(1, 0)),), note="no elements")


def transpose_errors(rng):
    yield ErrorCase((np.zeros((2, 3)),), ShapeError, r"axes \(0, 0\) .* \(2, 3\)", {"axes": (0, 0)})


@op(cases=transpose_cases, errors=transpose_errors)
def transpose(xp, x, *, axes=None):
    """y = x with its axes in the given order (reversed if none is given); a view, nothing is copied."""
    axes = tuple(range(x.ndim))[::-1] if axes is None else tuple(axes)
    order = [a % x.ndim for a in axes]
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"transpose: axes {axes} must name each axis of shape {x.shape} once")
    return x.transpose(order), order


@transpose.backward
def transpose_backward(xp, dy, order):
    """dx = dy with the order undone"""
    return (dy.transpose([order.index(i) for i in range(len(order))]),)


def getitem_cases(rng):
    x = rng.normal(size=(4, 5, 3))
    twice = np.array([0, 2, 2, 3])
    mask = rng.random((4, 5)) < 0.5
    indices = [1, slice(1, 3), (slice(None), -1), (..., slice(None, None, -2)), (None, 2), twice, (twice, slice(1, 3))]
    indices += [(twice, twice + 1), (np.array([[0], [1]]), np.array([1, 1, -1])), mask, slice(0, 0)]
    yield from (Case((x,), {"index": index}) for index in indices)


def getitem_errors(rng):
    yield ErrorCase((np.zeros((2, 3)),), IndexError, r"getitem: .* shape \(2, 3\)", {"index": 5})


@op(cases=getitem_cases, errors=getitem_errors)
def getitem(xp, x, *, index):
    """y = x[index]: integers, slices, ..., None, integer arrays and boolean masks, as in NumPy."""
    index = _beside(xp, index)
    try:
        return x[index], (x.shape, index)
    except IndexError as error:
        raise IndexError(f"getitem: {error}; the tensor has shape {x.shape}") from None


@getitem.backward
def getitem_backward(xp, dy, saved):
    """dx[index] = dy, elsewhere 0; an element taken twice gets the sum"""
    shape, index = saved
    if _takes_once(index):
        dx = xp.zeros(shape, dy.dtype)
        dx[index] = dy
        return (dx,)
    positions = xp.arange(math.prod(shape)).reshape(shape)[index]
    return (scatter_add(xp, (math.prod(shape),), positions.reshape(-1), dy.reshape(-1)).reshape(shape),)


def concat_cases(rng):
    a, b, c = rng.normal(size=(2, 3)), rng.normal(size=(2, 1)), rng.normal(size=(2, 0))
    yield Case((a, b, c), {"axis": 1})
    yield Case((a, a + 1), {"axis": 0})
    yield Case((a,), {"axis": -1})


def concat_errors(rng):
    a, b = np.zeros((2, 3)), np.zeros((4, 5))
    yield ErrorCase((a, b), ShapeError, r"\(2, 3\) and \(4, 5\) differ along axis 1", {"axis": 0})


@op(cases=concat_cases, errors=concat_errors)
def concat(xp, *arrays, axis=0):
    """The arrays one after another along an axis they have."""
    check_axis("concat", arrays[0], axis)
    _check_alike("concat", arrays, skip=axis % arrays[0].ndim)
    return xp.concatenate(arrays, axis), ([a.shape[axis] for a in arrays], axis)


@concat.backward
def concat_backward(xp, dy, saved):
    """Each array's gradient is its part of dy."""
    sizes, axis = saved
    return tuple(_parts(dy, sizes, axis))


def split_cases(rng):
    x = rng.normal(size=(4, 6))
    yield Case((x,), {"sections": 3, "axis": 1})
    yield Case((x,), {"sections": [1, 0, 3], "axis": 0})


def split_errors(rng):
    x = np.zeros((4, 6))
    yield ErrorCase((x,), ShapeError, r"5 equal parts .* size 6", {"sections": 5, "axis": 1})
    yield ErrorCase((x,), ShapeError, r"\[1, 2\] add up to 3, .* size 4", {"sections": [1, 2], "axis": 0})


@op(cases=split_cases, errors=split_errors)
def split(xp, x, *, sections, axis=0):
    """Views of `x` along `axis`: a number of equal parts, or a list of sizes. Returns a tuple."""
    check_axis("split", x, axis)
    size = x.shape[axis]
    if isinstance(sections, Integral) and (sections < 1 or size % sections):
        raise ShapeError(f"split: {sections} equal parts can't be made of axis {axis}, size {size}")
    sizes = [size // sections] * sections if isinstance(sections, Integral) else list(sections)
    if sum(sizes) != size:
        raise ShapeError(f"split: sizes {sizes} add up to {sum(sizes)}, but axis {axis} has size {size}")
    return tuple(_parts(x, sizes, axis)), axis


@split.backward
def split_backward(xp, dys, axis):
    """dx = the parts' gradients, joined again"""
    return (xp.concatenate(dys, axis) if isinstance(dys, tuple) else dys,)


def stack_cases(rng):
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    yield from (Case((a, b), {"axis": axis}) for axis in (0, 1, -1))


def stack_errors(rng):
    yield ErrorCase((np.zeros(2), np.zeros(3)), ShapeError, r"\(2,\) and \(3,\) differ")


@op(cases=stack_cases, errors=stack_errors)
def stack(xp, *arrays, axis=0):
    """The arrays, all of one shape, side by side along a new axis."""
    _check_alike("stack", arrays, skip=None)
    return xp.stack(arrays, axis), axis


@stack.backward
def stack_backward(xp, dy, axis):
    """Each array's gradient is its slice of dy."""
    return tuple(xp.moveaxis(dy, axis, 0))


def where_cases(rng):
    condition = rng.random((3, 4)) < 0.5
    yield Case((condition, rng.normal(size=(3, 4)), rng.normal(size=(4,))))
    yield Case((condition, rng.normal(size=(3, 1)), 0.5), note="a Python number")


def where_errors(rng):
    yield ErrorCase((np.array([True]), np.zeros(2), np.zeros(3)), ShapeError, r"\(2,\) and \(3,\) don't broadcast")


@op(cases=where_cases, errors=where_errors)
def where(xp, condition, a, b):
    """y = a where the condition holds, else b"""
    check_broadcast("where", a, b)
    check_broadcast("where", condition, a)
    check_broadcast("where", condition, b)
    return xp.where(condition, a, b), (condition, shape_of(a), shape_of(b))


@where.backward
def where_backward(xp, dy, saved):
    """da = dy where the condition holds, else 0;  db the other way round"""
    condition, shape_a, shape_b = saved
    zero = xp.zeros((), dy.dtype)
    return (
        None,
        unbroadcast(xp.where(condition, dy, zero), shape_a),
        unbroadcast(xp.where(condition, zero, dy), shape_b),
    )


def masked_fill_cases(rng):
    yield Case((rng.normal(size=(2, 3, 4)), rng.random((3, 4)) < 0.5), {"value": -1.5})
    yield Case((rng.normal(size=(3,)), np.ones(3, bool)), {"value": -1e3}, note="all masked")


def masked_fill_errors(rng):
    yield ErrorCase((np.zeros((2, 3)), np.zeros(2, bool)), ShapeError, "don't broadcast", {"value": 0.0})


@op(cases=masked_fill_cases, errors=masked_fill_errors)
def masked_fill(xp, x, mask, *, value):
    """y = value where the mask is True, else x"""
    check_broadcast("masked_fill", x, mask)
    return xp.where(mask, x.dtype.type(value), x), (mask, x.shape)


@masked_fill.backward
def masked_fill_backward(xp, dy, saved):
    """dx = 0 where the mask is True, else dy"""
    mask, shape = saved
    return unbroadcast(xp.where(mask, xp.zeros((), dy.dtype), dy), shape), None


def astype_cases(rng):
    yield Case((rng.normal(size=(2, 3)),), {"dtype": "float64"})


@op(cases=astype_cases)
def astype(xp, x, *, dtype):
    """The same values in another dtype."""
    return x.astype(dtype), x.dtype


@astype.backward
def astype_backward(xp, dy, dtype):
    """dx = dy in the old dtype"""
    return (dy.astype(dtype),)


def _check_reshape(x, shape):
    known = math.prod(n for n in shape if n != -1)
    if -1 in shape and known and x.size % known:
        raise ShapeError(f"reshape: shape {x.shape} has {x.size} elements, which can't be divided by {known} ({shape})")
    if -1 not in shape and known != x.size:
        raise ShapeError(f"reshape: shape {x.shape} has {x.size} elements, but shape {shape} needs {known}")


def _check_alike(name, arrays, skip):
    first = arrays[0].shape
    for other in (a.shape for a in arrays[1:]):
        axes = [i for i in range(len(first)) if i != skip and i < len(other) and other[i] != first[i]]
        if len(other) != len(first) or axes:
            place = f"along axis {axes[0]}" if axes else "in the number of axes"
            raise ShapeError(f"{name}: shapes {first} and {other} differ {place}, where they must be equal")


def _parts(x, sizes, axis):
    start = 0
    for size in sizes:
        yield x[(slice(None),) * (axis % x.ndim) + (slice(start, start + size),)]
        start += size


def _beside(xp, index):
    """The index with its NumPy arrays where x is."""
    if isinstance(index, tuple):
        return tuple(_beside(xp, i) for i in index)
    return xp.asarray(index) if isinstance(index, np.ndarray) else index


def _takes_once(index):
    """Whether no element can be taken twice: true of everything but integer arrays and lists."""
    items = index if isinstance(index, tuple) else (index,)
    return all(
        i is None or i is ... or isinstance(i, slice | Integral) or getattr(i, "dtype", None) == np.bool_ for i in items
    )
