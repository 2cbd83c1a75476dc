"""launch(file, kernel, grid, block, *arguments): one kernel of csrc/cuda, on the GPU or in the emulator."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from minillm.cuda import is_emulated
from minillm.cuda.compiled import module

Extent = int | tuple[int, ...]
STATIC_SHARED = 48 << 10  # bytes of shared memory that a block may have without asking


def launch(file: str, kernel: str, grid: Extent, block: Extent, *arguments: Any, shared: int = 0) -> None:
    """Run a kernel of csrc/cuda/FILE.cu over `grid` blocks of `block` threads; returns before it has finished.

    arguments: in the order of the kernel's parameters: contiguous device arrays, None (a null pointer), or NumPy
    scalars of exactly the parameter's type. shared: bytes of dynamic shared memory a block.
    """
    if is_emulated():
        from minillm.cuda import emulator

        emulator.launch(file, kernel, _three(grid), _three(block), arguments, shared)
        return
    given = tuple(np.uint64(0) if a is None else a for a in arguments)
    _function(file, kernel, shared)(_three(grid), _three(block), given, shared_mem=shared)


def address(array: Any) -> np.uint64:
    """Of the first element, as an argument: for kernels that are told an array's strides. Keep the array alive."""
    return np.uint64(array.data.ptr)


@cache
def _function(file: str, kernel: str, shared: int) -> Any:
    function = module(file).get_function(kernel)
    if shared > STATIC_SHARED:
        function.max_dynamic_shared_size_bytes = shared
    return function


def _three(extent: Extent) -> tuple[int, int, int]:
    x, y, z = (*((extent,) if isinstance(extent, int) else extent), 1, 1)[:3]
    return x, y, z
