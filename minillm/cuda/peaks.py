"""What this GPU can do at most, measured: floating-point operations a second in matrix products."""

from functools import cache
from typing import Any

import numpy as np

from minillm.cuda import is_emulated
from minillm.cuda.driver import array_module
from minillm.kernels.cuda.arrays import BFLOAT16
from minillm.kernels.cuda.gemm import product

SIZE, REPEATS = 8192, 10  # large enough to keep every multiprocessor busy; 0.1 to 2 s on GPUs of today


@cache
def matmul_flops(dtype: str) -> float:
    """FLOP/s of square products in "float32" or "bfloat16", the median of some: what a model can't exceed."""
    xp = array_module()
    size = 64 if is_emulated() else SIZE
    a = xp.zeros((size, size), BFLOAT16 if dtype == "bfloat16" else np.float32)
    product(xp, a, a, a.dtype)
    times = sorted(_milliseconds(xp, a) for _ in range(REPEATS))
    return 2 * size**3 / (times[len(times) // 2] / 1000)


def _milliseconds(xp: Any, a: Any) -> float:
    """Of one product."""
    start, end = xp.cuda.Event(), xp.cuda.Event()
    start.record()
    product(xp, a, a, a.dtype)
    end.record()
    end.synchronize()
    return xp.cuda.get_elapsed_time(start, end)
