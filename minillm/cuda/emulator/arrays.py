"""Arrays that behave as CuPy's do, in the memory of the CPU: what a GPU backend is tested with where there is none.

Only what CuPy has, too. Stricter than NumPy where CuPy is: an array of the GPU and one of NumPy don't mix, nothing
turns into a NumPy array by itself, a sum is an array of no axes. What makes the CPU wait for the GPU is counted, and
can be forbidden.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minillm.cuda.emulator import runtime
from minillm.cuda.emulator.runtime import computed, copied_in, wait


class _Memory:
    """As cupy.cuda.MemoryPointer: `ptr` is the address of an array's first element."""

    def __init__(self, ptr: int):
        self.ptr = ptr


class ndarray:
    """As cupy.ndarray. The elements are in `_host`, which only the emulator touches."""

    __slots__ = ("_host", "base")
    __array_ufunc__ = None  # NumPy's operators and functions leave it alone
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray, base: ndarray | None = None):
        if base is None:
            runtime.took(host.nbytes)
        self._host, self.base = host, base

    def __del__(self) -> None:
        if hasattr(self, "_host") and self.base is None:
            runtime.gave(self._host.nbytes)

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    strides = property(lambda self: self._host.strides)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    data = property(lambda self: _Memory(self._host.ctypes.data))
    T = property(lambda self: self.transpose())

    def __array__(self, *arguments: Any, **options: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def get(self) -> np.ndarray:
        """A copy in the CPU's memory."""
        wait(".get()")
        return self._host.copy()

    def set(self, values: np.ndarray) -> None:
        """Copy a NumPy array of the same shape and dtype into it."""
        if values.shape != self.shape or values.dtype != self.dtype:
            raise ValueError(f"set: {values.dtype}{values.shape} into {self.dtype}{self.shape}")
        copied_in("set()")
        self._host[...] = values

    def item(self) -> Any:
        wait(".item()")
        return self._host.item()

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> ndarray:
        place = _index(index)
        place = place if isinstance(place, tuple) else (place,)
        if not [i for i in place if i is Ellipsis]:  # `any` is CuPy's here, not Python's
            place = (*place, Ellipsis)  # x[0] is a view of one element, not a number
        return _wrapped(computed(lambda: self._host[place]), self)

    def __setitem__(self, index: Any, value: Any) -> None:
        computed(operator.setitem, self._host, _index(index), _unwrapped(value))

    def __repr__(self) -> str:
        return f"emulated {self._host!r}"


def _unwrapped(value: Any) -> Any:
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    return value


def _wrapped(result: Any, base: ndarray | None = None) -> Any:
    if isinstance(result, np.ndarray):
        views = base is not None and result.base is not None and np.may_share_memory(result, base._host)
        return ndarray(result, (base.base if base.base is not None else base) if views and base is not None else None)
    if isinstance(result, np.generic):
        return ndarray(np.asarray(result))
    if isinstance(result, tuple | list):
        return type(result)(_wrapped(r, base) for r in result)
    return result


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_index(i) for i in index)
    if isinstance(index, ndarray) and index.dtype == bool:
        wait("an index of booleans")
    return _unwrapped(index)


def _operator(function: Callable, reflected: bool = False) -> Callable:
    def apply(self: ndarray, other: Any) -> Any:
        if not isinstance(other, ndarray | int | float | np.generic):
            return _unwrapped(other) if isinstance(other, np.ndarray) else NotImplemented
        left, right = (other, self) if reflected else (self, other)
        return _wrapped(computed(function, _unwrapped(left), _unwrapped(right)))

    return apply


def _unary(function: Callable) -> Callable:
    return lambda self: _wrapped(computed(function, self._host))


def _in_place(function: Callable) -> Callable:
    def apply(self: ndarray, other: Any) -> ndarray:
        computed(function, self._host, _unwrapped(other))
        return self

    return apply


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
):
    _function = getattr(operator, f"__{_name}__")
    setattr(ndarray, f"__{_name}__", _operator(_function))
    setattr(ndarray, f"__r{_name}__", _operator(_function, reflected=True))
    setattr(ndarray, f"__i{_name}__", _in_place(getattr(operator, f"__i{_name}__")))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(ndarray, f"__{_name}__", _operator(getattr(operator, f"__{_name}__")))
for _name in ("neg", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _unary(getattr(operator, f"__{_name}__")))


def _scalar(convert: Callable) -> Callable:
    def apply(self: ndarray) -> Any:
        wait(f"{convert.__name__}()")
        return convert(self._host)

    return apply


for _convert in (bool, int, float, operator.index):
    setattr(ndarray, f"__{_convert.__name__}__", _scalar(_convert))

_REDUCTIONS = ("sum", "mean", "max", "min", "any", "all", "prod", "argmax")
_METHODS = (
    *_REDUCTIONS, "argsort", "astype", "copy", "fill", "nonzero", "ravel", "repeat", "reshape", "squeeze", "swapaxes",
    "take", "transpose", "view",
)  # fmt: skip


def _method(name: str) -> Callable:
    def apply(self: ndarray, *arguments: Any, **options: Any) -> Any:
        _check_options(name, options)
        if name == "nonzero":
            wait("nonzero()")
        given = [_unwrapped(a) for a in arguments]
        named = {k: _unwrapped(v) for k, v in options.items()}
        return _wrapped(computed(getattr(self._host, name), *given, **named), self)

    return apply


def _check_options(name: str, options: dict[str, Any]) -> None:
    """CuPy's reductions know fewer options than NumPy's."""
    unknown = set(options) - {"axis", "dtype", "out", "keepdims"}
    if name in _REDUCTIONS and unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument {sorted(unknown)[0]!r}")


for _name in _METHODS:
    setattr(ndarray, _name, _method(_name))

FUNCTIONS = (
    *_REDUCTIONS, "abs", "add", "arange", "argsort", "argwhere", "ascontiguousarray", "broadcast_to", "ceil",
    "clip", "concatenate", "copysign", "cos", "cumsum", "diff", "divide", "dot", "empty", "empty_like", "equal",
    "exp", "expand_dims", "flatnonzero", "floor", "full", "full_like", "greater", "greater_equal", "isfinite",
    "isinf", "isnan", "less", "less_equal", "log", "log1p", "logaddexp", "logical_and", "logical_not", "logical_or",
    "matmul", "maximum", "may_share_memory", "minimum", "moveaxis", "multiply", "nan_to_num", "negative", "nonzero",
    "not_equal", "ones", "ones_like", "outer", "power", "put_along_axis", "repeat", "reshape", "rint",
    "searchsorted", "sign", "sin", "sort", "split", "sqrt", "square", "stack", "subtract", "take",
    "take_along_axis", "tanh", "tensordot", "tile", "transpose", "tril", "triu", "var", "vdot", "where", "zeros",
    "zeros_like",
)  # fmt: skip
"""What the module has of CuPy's functions; a test holds the list against CuPy itself."""

_SIZED_BY_VALUES = {"argwhere", "flatnonzero", "nonzero"}  # how many there are must be known before memory is taken


def _module_function(name: str) -> Callable:
    compute = getattr(np, name)

    def apply(*arguments: Any, **options: Any) -> Any:
        _check_options(name, options)
        if name in _SIZED_BY_VALUES:
            wait(f"{name}()")
        given = [_unwrapped_deep(a) for a in arguments]
        result = computed(compute, *given, **{k: _unwrapped_deep(v) for k, v in options.items()})
        if "out" in options:
            return options["out"]
        bases = [a for a in arguments if isinstance(a, ndarray)]
        return _wrapped(result, bases[0] if bases else None)

    apply.__name__ = name
    return apply


def _unwrapped_deep(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_unwrapped_deep(v) for v in value)
    return _unwrapped(value)


for _name in FUNCTIONS:
    setattr(sys.modules[__name__], _name, _module_function(_name))


class _Add:
    """cupy.add with its `at`."""

    __name__ = "add"

    def __call__(self, a: Any, b: Any, **options: Any) -> Any:
        return _module_function("add")(a, b, **options)

    def at(self, array: ndarray, index: Any, values: Any) -> None:
        computed(np.add.at, array._host, _index(index), _unwrapped(values))


add = _Add()


def asarray(values: Any, dtype: Any = None) -> ndarray:
    """An array of the GPU: `values` itself if it is one of that dtype, else a copy."""
    if isinstance(values, ndarray):
        return values if dtype is None or values.dtype == dtype else array(values, dtype)
    copied_in("asarray()")
    return ndarray(np.array(_unwrapped_deep(values) if isinstance(values, list | tuple) else values, dtype=dtype))


def array(values: Any, dtype: Any = None) -> ndarray:
    """A new array of the GPU."""
    if isinstance(values, ndarray):
        return ndarray(computed(values._host.astype, dtype or values.dtype))
    copied_in("array()")
    return ndarray(np.array(values, dtype=dtype))


cuda = runtime


def get_default_memory_pool() -> runtime.MemoryPool:
    """What arrays are taken from."""
    return runtime.MemoryPool()


float16, float32, float64 = np.float16, np.float32, np.float64
int8, int32, int64, uint8, uint16, uint32, uint64 = (
    np.int8,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
)
bool_, finfo, inf, nan, newaxis, pi = np.bool_, np.finfo, np.inf, np.nan, np.newaxis, np.pi
