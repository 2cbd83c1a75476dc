"""Dropout without a stored mask: forward and backward draw the same one from its key (csrc/cpu/philox.hpp)."""

from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.arrays import contiguous, float32
from minillm.ops.dropout import check_probability
from minillm.registry import kernel


def _threshold(p: float) -> int:
    return round(p * 2**32)


def _apply(x: Any, p: float, key: tuple[int, int]) -> Any:
    x = contiguous(x)
    y = np.empty_like(x)
    _native.dropout(x, y, *key, _threshold(p), 1 / (1 - p) if p < 1 else 0.0)
    return y


def keep_mask(shape: tuple[int, ...], p: float, key: tuple[int, int]) -> Any:
    """As `minillm.ops.dropout.keep_mask`."""
    check_probability(p)
    keep = np.empty(shape, bool)
    _native.keep_mask(keep, *key, _threshold(p))
    return keep


def dropout_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    return (_apply(dy, *saved),)


@kernel(ops.dropout, "native", dropout_backward, float32)
def dropout(xp: Any, x: Any, *, p: float, key: tuple[int, int]) -> tuple:
    check_probability(p)
    return _apply(x, p, key), (p, key)
