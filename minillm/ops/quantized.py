"""quantized_linear: a linear layer whose weight is stored in 8 or 16 bits; for using a model, not for training it."""

import numpy as np

from minillm.errors import ShapeError
from minillm.ops.common import max_or_lowest
from minillm.ops.linear import ACTIVATIONS, check_linear
from minillm.ops.precision import round_bfloat16
from minillm.registry import Case, ErrorCase, op

LEVELS = 127  # int8 without -128, so that the range is symmetric
SMALLEST = 1e-30  # what a row of zeros is scaled by, instead of 0


def quantize_int8(weight):
    """(d_out, d_in) -> int8 of the same shape and scale (d_out,) with W ≈ scale · int8: absmax by output channel.

    q = round(127 W / max|W|), each row by its own maximum (Dettmers et al. 2022, LLM.int8(), sections 2.1 and 3.1).
    """
    scale = np.maximum(np.abs(weight).max(axis=1, initial=0), SMALLEST) / LEVELS
    return np.rint(weight / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def quantize_bfloat16(weight):
    """float32 -> the upper 16 bits of the nearest bfloat16 (ties to even), as uint16."""
    return (round_bfloat16(np, np.ascontiguousarray(weight, np.float32)).view(np.uint32) >> 16).astype(np.uint16)


def quantized_linear_cases(rng):
    weight, bias = rng.normal(size=(5, 70)), rng.normal(size=5)
    x, residual = rng.normal(size=(2, 3, 70)), rng.normal(size=(2, 3, 5))
    int8, scale = quantize_int8(weight)
    for stored, step in ((int8, scale), (quantize_bfloat16(weight), None)):
        rounds = {"smooth": step is None, "constants": (2,)}  # rounding x makes steps
        yield Case((x, stored, step, bias), **rounds)
        yield Case((x, stored, step, bias, residual), {"activation": "gelu_tanh"}, **rounds)
        yield Case((x[0], stored, step), note="no bias", **rounds)
        yield Case((x[0, 0], stored, step, bias), {"activation": "silu"}, note="one vector", **rounds)
        yield Case((np.zeros((0, 70)), stored, step, bias), note="no rows", **rounds)
        yield Case((rng.normal(size=(70, 11)).T, stored[::-1], step, bias), note="not contiguous", **rounds)


def quantized_linear_errors(rng):
    x, weight = np.zeros((2, 3)), np.zeros((5, 4), np.int8)
    yield ErrorCase((x, weight, np.ones(5)), ShapeError, r"last size 3, .* \(5, 4\) takes 4")
    x = np.zeros((2, 4))
    yield ErrorCase((x, weight), ShapeError, r"int8 weight .* scale \(5,\), not none")
    yield ErrorCase((x, weight, np.ones(4)), ShapeError, r"needs a scale \(5,\), not \(4,\)")
    yield ErrorCase((x, weight.astype(np.float32)), ShapeError, r"float32; .* int8 or uint16")


@op(cases=quantized_linear_cases, errors=quantized_linear_errors)
def quantized_linear(xp, x, weight, scale=None, bias=None, residual=None, *, activation=None):
    """Linear layer with a stored weight of few bits.  y = f(x Wᵀ + b) + r

    weight: (d_out, d_in), uint16 (bfloat16's bits: W as it is), or int8 with scale (d_out,): W = scale · weight.
    With int8 each row of x is rounded to int8 as well, s_x = max|x| / 127, and the products are sums of whole numbers:
    y_ij = s_x,i s_j Σ_k round(x_ik / s_x,i) weight_jk (LLM.int8(), equation 2). The others are as in `linear`.
    """
    check_quantized(x, weight, scale, bias, residual, activation)
    rows = x.reshape(-1, x.shape[-1])
    if weight.dtype == np.int8:
        top = xp.maximum(max_or_lowest(xp, xp.abs(rows), 1), rows.dtype.type(SMALLEST))
        top = xp.where(xp.isfinite(top), top, xp.asarray(xp.nan, top.dtype))
        q = xp.rint(rows * (LEVELS / top))
        q = xp.where(xp.isnan(q), xp.zeros((), q.dtype), q)  # `top` makes such a row NaN
        sums = q.astype(np.int32) @ weight.T.astype(np.int32)
        y = sums.astype(rows.dtype) * (top / LEVELS) * scale.astype(rows.dtype)
    else:
        y = rows @ dequantized(weight, scale, rows.dtype).T
    if bias is not None:
        y += bias
    bent = None
    if activation:
        y, bent = ACTIVATIONS[activation].reference.forward(xp, y)
    y = y.reshape(*x.shape[:-1], weight.shape[0])
    return y if residual is None else y + residual, (x, weight, scale, bias, residual, activation, bent)


@quantized_linear.backward
def quantized_linear_backward(xp, dy, saved):
    """dz = dy f′(z);  dx = dz W, as if x weren't rounded (Bengio et al. 2013, straight-through);  db = Σ_rows dz"""
    x, weight, scale, bias, residual, activation, bent = saved
    dz = dy.reshape(-1, weight.shape[0])
    if activation:
        (dz,) = ACTIVATIONS[activation].reference.backward(xp, dz, bent)
    dx = (dz @ dequantized(weight, scale, x.dtype)).reshape(x.shape)
    return dx, None, None, None if bias is None else dz.sum(0), None if residual is None else dy


def dequantized(weight, scale, dtype):
    """The matrix that stored weights stand for."""
    if scale is None:
        return (weight.astype(np.uint32) << 16).view(np.float32).astype(dtype)
    return weight.astype(dtype) * scale.astype(dtype)[:, None]


def check_quantized(x, weight, scale, bias, residual, activation):
    """ShapeError or ConfigError unless the arguments fit."""
    check_linear(x, weight, bias, residual, activation, name="quantized_linear")
    if weight.dtype not in (np.int8, np.uint16):
        raise ShapeError(f"quantized_linear: the weight is {weight.dtype}; it must be int8 or uint16 (bfloat16)")
    if weight.dtype == np.int8 and (scale is None or scale.shape != weight.shape[:1]):
        given = "none" if scale is None else scale.shape
        raise ShapeError(
            f"quantized_linear: an int8 weight {weight.shape} needs a scale {weight.shape[:1]}, not {given}"
        )
