"""Launch a kernel in the emulator, with the checks that a GPU's driver would make."""

from __future__ import annotations

import ctypes
from contextvars import ContextVar
from typing import Any

import numpy as np

from minillm.cuda.emulator.arrays import ndarray
from minillm.cuda.emulator.build import library
from minillm.cuda.emulator.runtime import computed

MOST_THREADS, MOST_SHARED, LARGEST_GRID = 1024, 227 << 10, (2**31 - 1, 65_535, 65_535)  # compute capability 8.0, 9.0
_order: ContextVar[int] = ContextVar("minillm_thread_order", default=0)


class thread_order:
    """Within it, the threads of a block are resumed in another order: 0 in turn, 1 backwards; 2 the first warp
    runs ahead of the others as far as it can, 3 the last; more: shuffled.

    A kernel that lacks a barrier gives different results in different orders.
    """

    def __init__(self, order: int):
        self.order = order

    def __enter__(self) -> None:
        self._before = _order.set(self.order)

    def __exit__(self, *exception: object) -> None:
        _order.reset(self._before)


def launch(file: str, kernel: str, grid: tuple, block: tuple, arguments: tuple, shared: int) -> None:
    """Run the kernel to its end. Raises RuntimeError where a GPU would refuse the launch, or where threads wait for
    others that never come."""
    _check(kernel, grid, block, shared)
    memory = [_parameter(kernel, i, argument) for i, argument in enumerate(arguments)]
    pointers = (ctypes.c_void_p * len(memory))(*(ctypes.addressof(value) for value in memory))
    extents = [(ctypes.c_uint * 3)(*extent) for extent in (grid, block)]
    function, order = library(file)[f"run_{kernel}"], _order.get()

    def run(keep: tuple) -> None:  # what the kernel reads, for as long as it may be called again
        message = ctypes.create_string_buffer(256)
        if function(pointers, *extents, ctypes.c_uint(shared), ctypes.c_uint(order), message):
            raise RuntimeError(f"{kernel}: {message.value.decode()}")

    computed(run, keep=(arguments, memory))


def _check(kernel: str, grid: tuple, block: tuple, shared: int) -> None:
    threads = int(np.prod(block))
    if not 0 < threads <= MOST_THREADS:
        raise RuntimeError(f"{kernel}: a block of {block} has {threads} threads; 1 to {MOST_THREADS} are possible")
    if any(not 0 < n <= most for n, most in zip(grid, LARGEST_GRID, strict=True)):
        raise RuntimeError(f"{kernel}: a grid of {grid} blocks can't be launched")
    if shared > MOST_SHARED:
        raise RuntimeError(f"{kernel}: {shared} bytes of shared memory; a block may have {MOST_SHARED}")


def _parameter(kernel: str, place: int, argument: Any) -> Any:
    """The argument's value in memory, as the kernel reads it."""
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, ndarray):
        if not argument.flags.c_contiguous:
            raise RuntimeError(f"{kernel}: argument {place} isn't contiguous")
        return ctypes.c_void_p(argument.data.ptr)
    if isinstance(argument, np.generic):
        return (ctypes.c_char * argument.nbytes).from_buffer_copy(argument.tobytes())
    raise RuntimeError(f"{kernel}: argument {place} is {type(argument).__name__}; give an array or a NumPy scalar")
