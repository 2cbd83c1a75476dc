"""Normalisation over the last axis: layer_norm (Ba et al. 2016) and rms_norm (Zhang & Sennrich 2019)."""

import numpy as np

from minillm.errors import ShapeError
from minillm.registry import Case, ErrorCase, op


def layer_norm_cases(rng):
    weight, bias = rng.normal(size=6), rng.normal(size=6)
    yield Case((rng.normal(size=(2, 3, 6)), weight, bias))
    yield Case((rng.normal(size=(4, 6)), weight), note="no bias")
    yield Case((rng.normal(size=6),), {"eps": 1e-3}, note="neither weight nor bias")
    yield Case((rng.normal(size=(6, 4)).T, weight[::-1], bias), note="not contiguous")
    yield Case((np.zeros((0, 6)), weight, bias), note="no rows")
    yield Case((rng.normal(size=(3, 1)), np.ones(1), np.zeros(1)), note="one feature: always 0")
    yield Case((rng.normal(size=(2, 3, 6)), weight, bias, rng.normal(size=(2, 3, 6))), note="residual")


def rms_norm_cases(rng):
    weight = rng.normal(size=6)
    yield Case((rng.normal(size=(2, 3, 6)), weight))
    yield Case((rng.normal(size=6),), note="no weight")
    yield Case((rng.normal(size=(6, 4)).T, weight[::-1]), {"eps": 1e-3}, note="not contiguous")
    yield Case((np.zeros((0, 6)), weight), note="no rows")
    yield Case((rng.normal(size=(4, 6)), weight, rng.normal(size=(4, 6))), note="residual")


def layer_norm_errors(rng):
    x = np.zeros((2, 6))
    yield ErrorCase((x, np.zeros(5)), ShapeError, r"layer_norm: weight has shape \(5,\), .* \(6,\)")
    yield ErrorCase((x, np.zeros(6), np.zeros(4)), ShapeError, r"layer_norm: bias has shape \(4,\), .* \(6,\)")
    yield ErrorCase((x, None, None, np.zeros(6)), ShapeError, r"layer_norm: .* residual \(6,\) .* \(2, 6\)")


def rms_norm_errors(rng):
    yield ErrorCase((np.zeros((2, 6)), np.zeros(5)), ShapeError, r"rms_norm: weight has shape \(5,\), .* \(6,\)")
    yield ErrorCase((np.zeros((2, 6)), None, np.zeros(6)), ShapeError, r"rms_norm: .* residual \(6,\) .* \(2, 6\)")


@op(cases=layer_norm_cases, errors=layer_norm_errors)
def layer_norm(xp, x, weight=None, bias=None, residual=None, *, eps=1e-5):
    """Layer normalisation (Ba et al. 2016, equations 3 and 4).  y = w ∘ x̂ + b,  x̂ = (x − μ) / √(σ² + ε)

    x: (..., d);  weight, bias: (d,) or None;  residual: x's shape, added to x first.  μ and σ² are over the last axis.
    """
    check_features("layer_norm", x, residual, weight=weight, bias=bias)
    if residual is not None:
        x = x + residual
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    inverse_std = 1 / xp.sqrt(variance + eps)
    x_hat = centred * inverse_std
    y = x_hat if weight is None else weight * x_hat
    return y if bias is None else y + bias, (x_hat, inverse_std, weight, bias is not None, residual is not None)


@layer_norm.backward
def layer_norm_backward(xp, dy, saved):
    """dx = (dx̂ − mean(dx̂) − x̂ mean(dx̂ ∘ x̂)) / √(σ² + ε),  dx̂ = w ∘ dy;   dw = Σ dy ∘ x̂;   db = Σ dy;   dr = dx"""
    x_hat, inverse_std, weight, has_bias, has_residual = saved
    dx_hat = dy if weight is None else dy * weight
    along = (dx_hat * x_hat).mean(-1, keepdims=True)
    dx = (dx_hat - dx_hat.mean(-1, keepdims=True) - x_hat * along) * inverse_std
    dweight = None if weight is None else _sum_rows(dy * x_hat)
    return dx, dweight, _sum_rows(dy) if has_bias else None, dx if has_residual else None


@op(cases=rms_norm_cases, errors=rms_norm_errors)
def rms_norm(xp, x, weight=None, residual=None, *, eps=1e-5):
    """Root-mean-square normalisation (Zhang & Sennrich 2019, equation 4).  y = w ∘ x̂,  x̂ = x / √(mean(x²) + ε)

    x: (..., d);  weight: (d,) or None;  residual: x's shape, added to x first.
    """
    check_features("rms_norm", x, residual, weight=weight)
    if residual is not None:
        x = x + residual
    inverse_rms = 1 / xp.sqrt((x * x).mean(-1, keepdims=True) + eps)
    x_hat = x * inverse_rms
    return x_hat if weight is None else weight * x_hat, (x_hat, inverse_rms, weight, residual is not None)


@rms_norm.backward
def rms_norm_backward(xp, dy, saved):
    """dx = (dx̂ − x̂ mean(dx̂ ∘ x̂)) / √(mean(x²) + ε),  dx̂ = w ∘ dy;   dw = Σ dy ∘ x̂;   dr = dx"""
    x_hat, inverse_rms, weight, has_residual = saved
    dx_hat = dy if weight is None else dy * weight
    dx = (dx_hat - x_hat * (dx_hat * x_hat).mean(-1, keepdims=True)) * inverse_rms
    return dx, None if weight is None else _sum_rows(dy * x_hat), dx if has_residual else None


def _sum_rows(x):
    return x.reshape(-1, x.shape[-1]).sum(0)


def check_features(name, x, residual, **parameters):
    """ShapeError unless the parameters have a number for each feature, and the residual has x's shape."""
    for label, parameter in parameters.items():
        if parameter is not None and parameter.shape != x.shape[-1:]:
            raise ShapeError(
                f"{name}: {label} has shape {parameter.shape}, but an input {x.shape} needs {x.shape[-1:]}"
            )
    if residual is not None and residual.shape != x.shape:
        raise ShapeError(f"{name}: the residual {residual.shape} must have the input's shape, {x.shape}")
