"""The emulator's runtime, as the module cupy.cuda as far as it is used: streams, events, graphs, memory.

Everything is done at once, so streams and events have nothing to order. A graph is real: what runs while a stream is
captured is written down with the very memory it used, and done again by `launch`, numbers frozen as they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minillm.cuda.emulator import cublas as cublas
from minillm.errors import GraphError

waits = 0  # how often the CPU waited for a result so far
_waiting_allowed = True
_recorded: list[Callable[[], None]] | None = None  # the operations of the graph that is being captured


@contextmanager
def forbid_waiting() -> Iterator[None]:
    """Within it, an operation that makes the CPU wait for the GPU raises GraphError."""
    global _waiting_allowed
    before, _waiting_allowed = _waiting_allowed, False
    try:
        yield
    finally:
        _waiting_allowed = before


def wait(what: str) -> None:
    """Called where the CPU waits for the GPU."""
    global waits
    if not _waiting_allowed or _recorded is not None:
        raise GraphError(f"{what} makes the CPU wait for the GPU, which is forbidden here")
    waits += 1


def copied_in(what: str) -> None:
    """Called where memory of the CPU is copied to the GPU: a graph would copy it again when it may be gone."""
    if _recorded is not None:
        raise GraphError(f"{what} copies the CPU's memory, which a graph that is being captured can't do")


def computed(function: Callable, *arguments: Any, **options: Any) -> Any:
    """function(*arguments), an operation of the GPU."""
    result = function(*arguments, **options)
    if isinstance(result, np.generic):  # a number has no memory of its own that a graph could write to
        result = np.asarray(result)
    if _recorded is not None:
        _recorded.append(lambda: _write_again(result, function(*arguments, **options)))
    return result


def _write_again(kept: Any, new: Any) -> None:
    if isinstance(kept, tuple | list):
        for old, value in zip(kept, new, strict=True):
            _write_again(old, value)
    elif isinstance(kept, np.ndarray) and not np.may_share_memory(kept, new):  # views, and what was done in place
        kept[...] = new


class Graph:
    """As cupy.cuda.Graph."""

    def __init__(self, operations: list[Callable[[], None]]):
        self._operations = operations

    def launch(self, stream: Stream | None = None) -> None:
        for operation in self._operations:
            operation()


class Event:
    """As cupy.cuda.Event."""

    def record(self, stream: Stream | None = None) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        wait("Event.synchronize()")


def get_elapsed_time(start: Event, end: Event) -> float:
    """Milliseconds between two recorded events."""
    return (end.time - start.time) * 1000


class Stream:
    """As cupy.cuda.Stream."""

    def __init__(self, non_blocking: bool = False):
        self.ptr = id(self)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def use(self) -> Stream:
        return self

    def wait_event(self, event: Event) -> None:
        pass

    def synchronize(self) -> None:
        wait("Stream.synchronize()")

    def begin_capture(self) -> None:
        global _recorded
        _recorded = []

    def end_capture(self) -> Graph:
        global _recorded
        operations, _recorded = _recorded or [], None
        return Graph(operations)


def get_current_stream() -> Stream:
    """The stream that work goes to."""
    return Stream()


class OutOfMemoryError(MemoryError):
    """As cupy.cuda.memory.OutOfMemoryError."""


class MemoryHook:
    """As cupy.cuda.MemoryHook: told of every array that is made and of its end."""

    def __enter__(self) -> MemoryHook:
        _hooks.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _hooks.remove(self)

    def malloc_postprocess(self, **block: int) -> None: ...
    def free_postprocess(self, **block: int) -> None: ...


_hooks: list[MemoryHook] = []
total_memory = 1 << 40  # bytes; a test may set less
used_memory = 0


def took(size: int) -> None:
    """An array of `size` bytes is made. Raises OutOfMemoryError where there is no room for it."""
    global used_memory
    if used_memory + size > total_memory:
        raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {used_memory:,} bytes).")
    used_memory += size
    for hook in _hooks:
        hook.malloc_postprocess(mem_size=size)


def gave(size: int) -> None:
    """An array of `size` bytes is gone."""
    global used_memory
    used_memory -= size
    for hook in _hooks:
        hook.free_postprocess(mem_size=size)


class runtime:
    """As the module cupy.cuda.runtime."""

    @staticmethod
    def memGetInfo() -> tuple[int, int]:
        return total_memory - used_memory, total_memory


class MemoryPool:
    """As cupy.cuda.MemoryPool; it keeps nothing for later."""

    def malloc(self, size: int) -> None: ...

    def free_bytes(self) -> int:
        return 0

    def free_all_blocks(self) -> None: ...

    def total_bytes(self) -> int:
        return used_memory


@contextmanager
def using_allocator(allocator: Callable) -> Iterator[None]:
    """As cupy.cuda.using_allocator."""
    yield


class device:
    """As the module cupy.cuda.device."""

    @staticmethod
    def get_cublas_handle() -> int:
        return 0
