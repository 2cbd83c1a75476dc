"""Launch a kernel in the emulator, with the checks that a GPU's driver would make."""

from __future__ import annotations

import ctypes
from contextvars import ContextVar
from typing import Any

import numpy as np

from minillm.cuda.emulator.arrays import ndarray
from minillm.cuda.emulator.build import library, parameters
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
    _check_arguments(file, kernel, arguments)
    memory = [_in_memory(kernel, i, argument) for i, argument in enumerate(arguments)]
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


_SIZES = {"int": 4, "unsigned": 4, "float": 4, "int64_t": 8, "uint64_t": 8, "int32_t": 4, "uint32_t": 4, "double": 8}


def _check_arguments(file: str, kernel: str, arguments: tuple) -> None:
    """On a GPU, wrong arguments mean whatever lies in memory; here they are refused."""
    kernels = parameters(file)
    if kernel not in kernels:
        raise RuntimeError(f"{file}.cu has no kernel {kernel!r}; it has: {', '.join(kernels)}")
    declared = kernels[kernel]
    if len(arguments) != len(declared):
        raise RuntimeError(
            f"{kernel} takes {len(declared)} arguments ({', '.join(declared)}); {len(arguments)} were given"
        )
    for i, (argument, parameter) in enumerate(zip(arguments, declared, strict=True)):
        if isinstance(argument, np.ndarray):
            raise RuntimeError(
                f"{kernel}: argument {i} is a NumPy array, which a GPU can't see; xp.asarray(...) moves it there"
            )
        of_pointer = "*" in parameter
        size = 8 if of_pointer else _SIZES.get(parameter.replace("const ", "").split()[0], 0)
        pointer = argument is None or isinstance(argument, ndarray | np.uint64)
        fits = pointer if of_pointer else isinstance(argument, np.generic) and argument.nbytes == size
        if not fits:
            raise RuntimeError(f"{kernel}: argument {i} is {_shown(argument)}, for the parameter `{parameter}`")


def _shown(argument: Any) -> str:
    return f"np.{argument.dtype}" if isinstance(argument, np.generic) else type(argument).__name__


def _in_memory(kernel: str, place: int, argument: Any) -> Any:
    """The argument's value in memory, as the kernel reads it."""
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, np.generic):
        return (ctypes.c_char * argument.nbytes).from_buffer_copy(argument.tobytes())
    if not argument.flags.c_contiguous:
        raise RuntimeError(f"{kernel}: argument {place} isn't contiguous")
    return ctypes.c_void_p(argument.data.ptr)
