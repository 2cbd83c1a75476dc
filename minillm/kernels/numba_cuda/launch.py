"""The sizes of every launch in this folder: threads of a block, elements of a tile, and blocks of a grid.

Shared memory is laid out when a kernel is compiled, so sizes that shape it are constants here.
"""

from typing import Any

THREADS = 128  # of a block that works on a row, or on as many elements; a power of two, for the tree of reduction.py
TILE = 16  # rows and columns of a matrix product's tile; a block has TILE x TILE threads
COLUMNS, LANES = 32, 8  # a block that sums columns: threads side by side, and rows that it reads at a time
QUERIES = KEYS = 32  # rows of an attention tile; of a block's own rows each has a thread, tiles that come by have none
HEAD_SIZE = 128  # the widest attention head: two tiles of KEYS x HEAD_SIZE take 32 of a block's 48 KiB


def blocks(n: int, size: int) -> int:
    """How many blocks of `size` cover n elements."""
    return -(-n // size)


def launch(kernel: Any, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any) -> None:
    """Run `kernel` on a grid of blocks; an empty grid, which CUDA refuses, is no work at all."""
    if 0 not in grid:
        kernel[grid, block](*arguments)


def launch_rows(kernel: Any, rows: int, *arguments: Any) -> None:
    """Run `kernel` with a block for each row."""
    launch(kernel, (rows,), (THREADS,), *arguments)


def launch_elements(kernel: Any, n: int, *arguments: Any) -> None:
    """Run `kernel` with a thread for each of n elements; the last block may have some left over."""
    launch(kernel, (blocks(n, THREADS),), (THREADS,), *arguments)
