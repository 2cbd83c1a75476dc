"""What this GPU can do at most, measured: operations a second in matrix products, bytes a second of its memory."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minillm.cuda import is_emulated
from minillm.cuda.driver import array_module
from minillm.kernels.cuda.arrays import BFLOAT16
from minillm.kernels.cuda.gemm import product

SIZE, REPEATS = 8192, 10  # large enough to keep every multiprocessor busy
COPIED = 1 << 28  # floats, 1 GiB: no cache holds them
SMALL = 64  # and so little of either in the emulator


@cache
def matmul_flops(dtype: str) -> float:
    """FLOP/s of square products in "float32" or "bfloat16", the median of some: what a model can't exceed."""
    xp = array_module()
    size = SMALL if is_emulated() else SIZE
    a = xp.zeros((size, size), BFLOAT16 if dtype == "bfloat16" else np.float32)
    return 2 * size**3 / _seconds(xp, lambda: product(xp, a, a, a.dtype))


@cache
def memory_bytes() -> float:
    """Bytes read and written a second by copying a large array, the median of some."""
    xp = array_module()
    source = xp.zeros(SMALL if is_emulated() else COPIED, np.float32)
    target = xp.empty_like(source)
    return 2 * source.nbytes / _seconds(xp, lambda: target.__setitem__(Ellipsis, source))


def _seconds(xp: Any, work: Callable[[], object]) -> float:
    """Of one run on the GPU, after one that isn't counted: the median."""
    times = []
    for _ in range(REPEATS + 1):
        start, end = xp.cuda.Event(), xp.cuda.Event()
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(xp.cuda.get_elapsed_time(start, end) / 1000)
    return sorted(times[1:])[REPEATS // 2]
