"""Dropout: the reference's mask, drawn where it is applied and again in backward (csrc/cuda/dropout.cu)."""

import math
from typing import Any

import numpy as np

from minillm import ops
from minillm.cuda.draws import later
from minillm.cuda.launch import launch
from minillm.kernels.cuda.arrays import activations
from minillm.ops.dropout import check_probability
from minillm.registry import kernel

BLOCK, ELEMENTS = 256, 2048  # threads of a block, and what it draws for (THREADS * WORDS)


def keep_mask(xp: Any, shape: tuple[int, ...], p: float, key: tuple[int, int]) -> Any:
    """As `minillm.ops.dropout.keep_mask`, but drawn on the GPU."""
    check_probability(p)
    keep = xp.empty(shape, bool)
    n = math.prod(shape)
    if n:
        launch("dropout", "keep_mask", -(-n // ELEMENTS), BLOCK, keep, np.int64(n), *_drawing(p, key))
    return keep


def dropout_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    return (_apply(xp, dy, *saved),)


@kernel(ops.dropout, "cuda", dropout_backward, activations)
def dropout(xp: Any, x: Any, *, p: float, key: tuple[int, int]) -> tuple:
    check_probability(p)
    return _apply(xp, x, p, key), (p, key)


def _apply(xp: Any, x: Any, p: float, key: tuple[int, int]) -> Any:
    y = xp.empty(x.shape, x.dtype)
    if x.size:
        scale = np.float32(1 / (1 - p) if p < 1 else 0.0)
        elements = xp.ascontiguousarray(x), y, np.int64(x.size)
        blocks = -(-x.size // ELEMENTS)
        launch("dropout", f"dropout_{x.dtype.name}", blocks, BLOCK, *elements, *_drawing(p, key), scale)
    return y


def _drawing(p: float, key: tuple[int, int]) -> tuple:
    seed, counter = key
    return np.uint64(seed), np.uint64(counter), later(), np.uint64(round(p * 2**32))
