"""Large arrays on the GPU, filled without drawing as many random numbers on the CPU."""

import math
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DRAWN = 1 << 20  # numbers, repeated as often as need be


@cache
def _numbers(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(DRAWN, np.float32)


def normal(xp: Any, *shape: int, dtype: Any = BFLOAT16, scale: float = 1.0, seed: int = 0) -> Any:
    """N(0, scale²), in bfloat16 unless another dtype is given."""
    n = math.prod(shape)
    drawn = (np.float32(scale) * _numbers(seed)[:n]).astype(dtype)
    words = drawn.view(np.uint16 if drawn.itemsize == 2 else np.uint32)  # copied as they are, whatever they mean
    there = xp.tile(xp.asarray(words), -(-n // words.size))[:n]
    return xp.ascontiguousarray(there).view(np.dtype(dtype)).reshape(shape)


def integers(xp: Any, below: int, n: int) -> Any:
    """Token ids."""
    return xp.asarray(np.random.default_rng(0).integers(0, below, n))
