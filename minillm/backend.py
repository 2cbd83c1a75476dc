"""Array modules and backends: which library holds an array, and whose kernels run on it.

A backend is a name, an array module and a parent: where it has no kernel of its
own for an op, its parent's runs, down to the NumPy reference. Only this file may
import an array module other than NumPy.
"""

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
_current: ContextVar[Backend | None] = ContextVar("minillm_backend", default=None)


def register_backend(name: str, *, parent: Backend = NUMPY, array_module: ModuleType = np) -> Backend:
    """Make `name` available to `use_backend`; its kernels are added with `minillm.registry.kernel`."""
    BACKENDS[name] = Backend(name, array_module, parent)
    default_backend.cache_clear()
    return BACKENDS[name]


def find_backend(name: str) -> Backend:
    """The backend called `name`; ConfigError lists the ones this process has."""
    if name not in BACKENDS:
        raise ConfigError(f"backend {name!r} isn't available here; available: {', '.join(sorted(BACKENDS))}")
    return BACKENDS[name]


def current_backend() -> Backend:
    """The backend in use: the last `use_backend`, else $MINILLM_BACKEND, else the fastest registered."""
    return _current.get() or default_backend()


@cache
def default_backend() -> Backend:
    """The backend of who chose none: $MINILLM_BACKEND, else the fastest registered."""
    fastest = max(BACKENDS.values(), key=lambda backend: len(backend.lineage))
    return find_backend(os.environ.get("MINILLM_BACKEND", fastest.name))


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


def arrays_in(values: Any) -> Iterator[Array]:
    """The arrays in (nested tuples and lists of) values."""
    if isinstance(values, tuple | list):
        for value in values:
            yield from arrays_in(value)
    elif isinstance(values, RowGradient):
        yield values.dense()
    elif hasattr(values, "dtype") and hasattr(values, "shape"):
        yield values
