"""This process's memory: how much is in use, and whether freed memory is kept for the next step."""

import ctypes
import platform
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minillm.backend import current_backend
from minillm.kernels import NATIVE_BUILT


def keep_freed_memory() -> bool:
    """Have freed memory kept for the next step, instead of returned to the system.

    A training step makes and frees the same large arrays over and over; by default glibc gives their pages back
    each time and the system has to clear new ones, which took 40 % of a small GPT's step. With the native module
    NumPy's arrays come from its pool (csrc/cpu/pool.hpp) from here on; without it the C library is asked.
    Called by the commands that train, not on import: it is a choice for the whole process. Returns whether it
    took effect.
    """
    if NATIVE_BUILT:
        from minillm import _native

        if _native.HAS_POOL:
            _native.use_pool()
        return _native.HAS_POOL
    return _ask_c_library()


def _ask_c_library() -> bool:
    """glibc's malloc never returns memory; elsewhere nothing happens."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
    return bool(mallopt(trim_threshold, -1) and mallopt(mmap_max, 0))  # -1: never trim


def memory_in_use() -> int:
    """Bytes of physical memory this process holds: of the GPU's, where the backend in use computes there."""
    if on_gpu():
        from minillm.cuda.memory import in_use

        return in_use()
    import psutil

    return psutil.Process().memory_info().rss


def on_gpu() -> bool:
    """Whether the backend in use computes on a GPU."""
    return current_backend().array_module is not np


def full_gpu(error: MemoryError) -> str | None:
    """What to tell a person whose GPU is out of memory; None where it is the CPU's that ran out."""
    if not on_gpu():
        return None
    from minillm.cuda.memory import explanation

    return explanation(error)


class _Traced:
    """Bytes allocated, as `minillm.cuda.memory.Meter` has them for a GPU."""

    def __init__(self) -> None:
        self._before = tracemalloc.get_traced_memory()[0]

    @property
    def most(self) -> int:
        return tracemalloc.get_traced_memory()[1] - self._before


@contextmanager
def allocations() -> Iterator[Any]:
    """Within it, allocated bytes are counted: `.most` is the most at one time, NumPy's arrays or the GPU's."""
    if on_gpu():
        from minillm.cuda.memory import measured

        with measured() as meter:
            yield meter
        return
    already = tracemalloc.is_tracing()
    if not already:
        tracemalloc.start()
    tracemalloc.reset_peak()
    try:
        yield _Traced()
    finally:
        if not already:
            tracemalloc.stop()
