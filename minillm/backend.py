"""Array modules and backends: which library holds an array, and whose kernels run on it.

A backend is a name, an array module and a parent: where it has no kernel of its own for an op, its parent's runs, down
to the reference formula. An array stays where it was made: a backend's kernels run on arrays of its own module, and
on other arrays the best backend for them. Backends of a GPU are loaded when they are first asked for.
"""

import difflib
import importlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import numpy as np

from minillm.errors import ConfigError

Array = Any  # np.ndarray, or the array type of another backend


@dataclass
class RowGradient:
    """A gradient that is 0 but for some rows, such as an embedding's: a backward may return it in an array's place.

    rows: (n,) different row numbers; values: (n, ...), what stands there; shape: of the whole gradient.
    """

    rows: Array
    values: Array
    shape: tuple[int, ...]

    def dense(self) -> Array:
        """The whole gradient."""
        xp = array_module(self.values)
        return self.add_to(xp.zeros(self.shape, self.values.dtype))

    def add_to(self, gradient: Array) -> Array:
        """Add it to a whole gradient in place, touching its own rows only."""
        gradient[self.rows] += self.values
        return gradient


@dataclass(frozen=True)
class Backend:
    """A named set of kernels over one array module; `parent` is the backend it falls back to."""

    name: str
    array_module: ModuleType
    parent: "Backend | None" = None

    @cached_property
    def lineage(self) -> list[str]:
        """This backend's name and its ancestors', the most specific first."""
        return [self.name] + (self.parent.lineage if self.parent else [])


NUMPY = Backend("numpy", np)
BACKENDS: dict[str, Backend] = {"numpy": NUMPY}
ON_REQUEST = ("cupy", "numba_cuda", "cuda")  # minillm.kernels.NAME registers the backend when imported
_current: ContextVar[Backend | None] = ContextVar("minillm_backend", default=None)


def register_backend(name: str, *, parent: Backend = NUMPY, array_module: ModuleType = np) -> Backend:
    """Make `name` available to `use_backend`; its kernels are added with `minillm.registry.kernel`."""
    BACKENDS[name] = Backend(name, array_module, parent)
    default_backend.cache_clear()
    return BACKENDS[name]


def find_backend(name: str) -> Backend:
    """The backend called `name`, loaded if need be.

    ConfigError lists the names there are, or says what a GPU's backend is missing here.
    """
    if name not in BACKENDS and name in ON_REQUEST:
        importlib.import_module(f"minillm.kernels.{name}")
    if name not in BACKENDS:
        on_cpu = ", ".join(sorted(BACKENDS.keys() - set(ON_REQUEST)))
        meant = difflib.get_close_matches(name.lower(), [*BACKENDS, *ON_REQUEST], 1)
        raise ConfigError(
            f"there is no backend {name!r}{f' (did you mean {meant[0]!r}?)' if meant else ''}; there are {on_cpu}, and "
            f"for a GPU {', '.join(sorted(ON_REQUEST))}"
        )
    return BACKENDS[name]


def current_backend() -> Backend:
    """The backend in use: the last `use_backend`, else $MINILLM_BACKEND, else the fastest registered."""
    return _current.get() or default_backend()


@cache
def default_backend() -> Backend:
    """The backend of who chose none: $MINILLM_BACKEND, else the fastest of the CPU."""
    return find_backend(os.environ.get("MINILLM_BACKEND") or fastest_for(np).name)


def fastest_for(module: ModuleType) -> Backend:
    """Of the backends for a module's arrays the one with the longest line of ancestors: the most kernels of its own.

    Of several (cuda and numba_cuda both stand on cupy) the one loaded last. For NumPy's arrays only those of the CPU: a
    simulator is slow.
    """
    fitting = [
        b for b in BACKENDS.values() if b.array_module is module and (module is not np or b.name not in ON_REQUEST)
    ]
    return max(reversed(fitting), key=lambda backend: len(backend.lineage))


def backend_for(module: ModuleType) -> Backend:
    """The backend in use if its arrays are the module's, else the fastest whose are."""
    backend = current_backend()
    return backend if backend.array_module is module else fastest_for(module)


def on_device(array: Any) -> Array:
    """A NumPy array moved to where the backend in use computes; any other array as it is."""
    module = current_backend().array_module
    return module.asarray(array) if module is not np and isinstance(array, np.ndarray) else array


def on_cpu(array: Any) -> np.ndarray:
    """The array's values as a NumPy array: itself if it is one, else a copy, for which the CPU waits."""
    return np.asarray(array) if isinstance(array, np.ndarray | np.generic) else array.get()


class use_backend:
    """Choose the backend from here on; as a `with` statement, until its end."""

    def __init__(self, name: str):
        self._before = _current.set(find_backend(name))

    def __enter__(self) -> Backend:
        return current_backend()

    def __exit__(self, *exception: object) -> None:
        _current.reset(self._before)


def array_module(array: Any) -> ModuleType:
    """The module (`np`, or another backend's) whose functions work on `array`."""
    if isinstance(array, np.ndarray | np.generic | int | float):
        return np
    for backend in BACKENDS.values():
        if isinstance(array, backend.array_module.ndarray):
            return backend.array_module
    raise TypeError(f"no backend holds arrays of type {type(array).__name__}")


def as_array(values: Any) -> Array:
    """`values` if it is an array, of whatever module; else a NumPy array of it."""
    return values if hasattr(values, "dtype") and hasattr(values, "strides") else np.asarray(values)


def beside(array: Array, value: Any) -> Any:
    """`value`, moved to where `array` is if it is a NumPy array."""
    return array_module(array).asarray(value) if isinstance(value, np.ndarray) else value


def is_floating(dtype: Any) -> bool:
    """Whether numbers of this dtype have a fraction; bfloat16, which NumPy gets from ml_dtypes, is of another kind."""
    return dtype.kind == "f" or is_bfloat16(dtype)


def is_bfloat16(dtype: Any) -> bool:
    """Whether it is ml_dtypes' bfloat16."""
    return dtype.kind == "V" and dtype.name == "bfloat16"  # its kind first: the name takes NumPy longer than a small op


def owner(array: Array) -> Array:
    """The array whose memory `array` uses: itself, or what it is a view of."""
    return array if array.base is None else array.base


def shares_memory(a: Array, b: Array) -> bool:
    """Whether two arrays may use the same memory."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.may_share_memory(a, b)
    return owner(a) is owner(b)  # without the ranges: asking a GPU's library for them takes longer than most ops


def arrays_in(values: Any) -> Iterator[Array]:
    """The arrays in (nested tuples and lists of) values."""
    if isinstance(values, tuple | list):
        for value in values:
            yield from arrays_in(value)
    elif isinstance(values, RowGradient):
        yield values.dense()
    elif hasattr(values, "dtype") and hasattr(values, "shape"):
        yield values
