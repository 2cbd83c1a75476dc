"""layer_norm and rms_norm: a row is read once, and saved are the input, its means and inverse deviations only."""

from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.arrays import contiguous, float32
from minillm.ops.norm import check_features
from minillm.registry import kernel


def _rows(array: Any) -> Any:
    return contiguous(array).reshape(-1, array.shape[-1])


def _forward(x: Any, weight: Any, bias: Any, residual: Any, eps: float, centred: bool) -> tuple:
    rows = _rows(x) if x.size else np.empty((0, x.shape[-1]), np.float32)
    y, inverse = np.empty_like(rows), np.empty(len(rows), np.float32)
    mean = np.empty_like(inverse) if centred else None
    total = None if residual is None else np.empty_like(rows)
    weight, bias, added = (None if a is None else contiguous(a) for a in (weight, bias, residual))
    _native.norm_forward(rows, added, weight, bias, y, total, mean, inverse, eps)
    normalised = rows if total is None else total
    return y.reshape(x.shape), (normalised, weight, mean, inverse, bias is not None, residual is not None)


def _backward(dy: Any, saved: tuple) -> tuple:
    rows, weight, mean, inverse, has_bias, has_residual = saved
    dx = np.empty_like(rows)
    dweight = None if weight is None else np.empty_like(weight)
    dbias = np.empty(rows.shape[1], np.float32) if has_bias else None
    _native.norm_backward(rows, contiguous(dy).reshape(rows.shape), weight, mean, inverse, dx, dweight, dbias)
    dx = dx.reshape(dy.shape)
    return dx, dweight, dbias, dx if has_residual else None


def layer_norm_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    return _backward(dy, saved)


@kernel(ops.layer_norm, "native", layer_norm_backward, float32)
def layer_norm(
    xp: Any, x: Any, weight: Any = None, bias: Any = None, residual: Any = None, *, eps: float = 1e-5
) -> tuple:
    check_features("layer_norm", x, residual, weight=weight, bias=bias)
    return _forward(x, weight, bias, residual, eps, centred=True)


def rms_norm_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    dx, dweight, _, dresidual = _backward(dy, saved)
    return dx, dweight, dresidual


@kernel(ops.rms_norm, "native", rms_norm_backward, float32)
def rms_norm(xp: Any, x: Any, weight: Any = None, residual: Any = None, *, eps: float = 1e-5) -> tuple:
    check_features("rms_norm", x, residual, weight=weight)
    return _forward(x, weight, None, residual, eps, centred=False)
