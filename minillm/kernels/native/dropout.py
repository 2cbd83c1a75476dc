"""Dropout: the reference's mask, drawn by all threads (csrc/cpu/philox.hpp) and kept for backward in bytes."""

from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.arrays import contiguous, float32
from minillm.ops.dropout import check_probability
from minillm.registry import kernel


def keep_mask(shape: tuple[int, ...], p: float, key: tuple[int, int]) -> Any:
    """As `minillm.ops.dropout.keep_mask`."""
    check_probability(p)
    keep = np.empty(shape, bool)
    _native.keep_mask(keep, *key, round(p * 2**32))
    return keep


def _apply(x: Any, keep: Any, p: float) -> Any:
    x = contiguous(x)
    y = np.empty_like(x)
    _native.dropout(x, keep, y, 1 / (1 - p) if p < 1 else 0.0)
    return y


def dropout_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    return (_apply(dy, *saved),)


@kernel(ops.dropout, "native", dropout_backward, float32)
def dropout(xp: Any, x: Any, *, p: float, key: tuple[int, int]) -> tuple:
    keep = keep_mask(x.shape, p, key)
    return _apply(x, keep, p), (keep, p)
