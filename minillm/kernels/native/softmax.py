"""softmax and log_softmax over the last axis (csrc/cpu/kernels/softmax.cpp); other axes stay with the reference."""

from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.arrays import contiguous, float32
from minillm.registry import kernel


def takes(x: Any, axis: int = -1) -> bool:
    """float32, and the last axis."""
    return float32(x) and x.ndim > 0 and axis in (-1, x.ndim - 1)


def _rows(x: Any) -> Any:
    return contiguous(x).reshape(-1, x.shape[-1]) if x.size else np.empty((0, 0), np.float32)


def _apply(function: Any, *arrays: Any) -> Any:
    out = np.empty(arrays[0].shape, np.float32)
    function(*map(_rows, (*arrays, out)))
    return out


def softmax_backward(xp: Any, dp: Any, p: Any) -> tuple:
    return (_apply(_native.softmax_backward, p, dp),)


@kernel(ops.softmax, "native", softmax_backward, takes)
def softmax(xp: Any, x: Any, *, axis: int = -1) -> tuple:
    p = _apply(_native.softmax_forward, x)
    return p, p


def log_softmax_backward(xp: Any, dl: Any, log_p: Any) -> tuple:
    return (_apply(_native.log_softmax_backward, log_p, dl),)


@kernel(ops.log_softmax, "native", log_softmax_backward, takes)
def log_softmax(xp: Any, x: Any, *, axis: int = -1) -> tuple:
    log_p = _apply(_native.log_softmax_forward, x)
    return log_p, log_p
