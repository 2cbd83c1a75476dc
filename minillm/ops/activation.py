"""Activation functions, element by element: tanh sigmoid relu gelu gelu_tanh silu."""

import math
from functools import cache

import numpy as np

from minillm.ops.elementwise import any_sign
from minillm.registry import Case, op

SQRT_2_OVER_PI = math.sqrt(2 / math.pi)


def wide(rng):
    yield from any_sign(rng)
    yield Case((np.array([-30.0, -8.0, -5.5, -1e-9, 0.0, 1e-9, 0.7, 5.9, 8.0, 30.0]),), note="both tails")


def away_from_zero(rng):
    yield from any_sign(rng)
    yield Case((np.array([-1.0, 0.0, 2.0]),), note="at the kink", smooth=False)


@op(cases=wide)
def tanh(xp, x):
    """Hyperbolic tangent.  y = tanh x"""
    y = xp.tanh(x)
    return y, y


@tanh.backward
def tanh_backward(xp, dy, y):
    """dx = dy (1 − y²)"""
    return (dy * (1 - y * y),)


@op(cases=wide)
def sigmoid(xp, x):
    """Logistic function.  y = 1 / (1 + e⁻ˣ) = ½ (1 + tanh(x/2)), which can't overflow."""
    y = 0.5 * (1 + xp.tanh(0.5 * x))
    return y, y


@sigmoid.backward
def sigmoid_backward(xp, dy, y):
    """dx = dy y (1 − y)"""
    return (dy * y * (1 - y),)


@op(cases=away_from_zero)
def relu(xp, x):
    """Rectifier.  y = max(x, 0)"""
    return xp.maximum(x, 0), x


@relu.backward
def relu_backward(xp, dy, x):
    """dx = dy where x > 0, else 0  (at the kink x = 0: 0)"""
    return (dy * (x > 0),)


@op(cases=wide)
def gelu(xp, x):
    """Gaussian error linear unit (Hendrycks & Gimpel 2016, section 2).

    y = x Φ(x),  Φ(x) = ½ (1 + erf(x/√2))  the normal distribution function
    """
    phi = 0.5 * (1 + erf(xp, x * math.sqrt(0.5)))
    return x * phi, (x, phi)


@gelu.backward
def gelu_backward(xp, dy, saved):
    """dx = dy (Φ(x) + x φ(x)),  φ(x) = e^(−x²/2) / √(2π)"""
    x, phi = saved
    return (dy * (phi + x * xp.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))),)


@op(cases=wide)
def gelu_tanh(xp, x):
    """GELU with Φ approximated through tanh, as GPT-2 has it (Hendrycks & Gimpel 2016, section 2).

    y = ½ x (1 + t),  t = tanh(√(2/π) (x + 0.044715 x³))
    """
    t = xp.tanh(SQRT_2_OVER_PI * x * (1 + 0.044715 * (x * x)))
    return 0.5 * x * (1 + t), (x, t)


@gelu_tanh.backward
def gelu_tanh_backward(xp, dy, saved):
    """dx = dy (½ (1 + t) + ½ x (1 − t²) √(2/π) (1 + 3·0.044715 x²))"""
    x, t = saved
    slope = SQRT_2_OVER_PI * (1 + 3 * 0.044715 * (x * x))
    return (dy * (0.5 * (1 + t + x * (1 - t * t) * slope)),)


@op(cases=wide)
def silu(xp, x):
    """Sigmoid linear unit, also called swish (Elfwing et al. 2017).  y = x σ(x)"""
    s = 0.5 * (1 + xp.tanh(0.5 * x))
    return x * s, (x, s)


@silu.backward
def silu_backward(xp, dy, saved):
    """dx = dy (σ(x) + x σ(x) (1 − σ(x)))"""
    x, s = saved
    return (dy * (s + x * s * (1 - s)),)


def erf(xp, x):
    """The error function erf x = 2/√π ∫₀ˣ e^(−u²) du, to the last digit or two of x's dtype.

    NumPy has none. Its Taylor series about the nearest multiple of 1/32 needs eight terms.
    """
    table = xp.asarray(_erf_series(), dtype=x.dtype)
    size = xp.minimum(abs(x), 6)  # erf 6 = 1 to the last digit of float64
    nearest = xp.rint(size * 32).astype(int) if xp.isfinite(x).all() else xp.rint(xp.nan_to_num(size) * 32).astype(int)
    step = size - nearest.astype(x.dtype) / 32
    total = xp.zeros_like(size)
    for coefficients in table[::-1]:
        total = total * step + coefficients[nearest]
    return xp.copysign(total, x)


@cache
def _erf_series():
    """Taylor coefficients of erf at 0, 1/32, ... 6, (8, 193): erf⁽ⁿ⁺¹⁾(x) = (−1)ⁿ Hₙ(x) · 2/√π e^(−x²)."""
    x = np.arange(193) / 32
    hermite = [np.ones_like(x), 2 * x]
    for n in range(1, 6):
        hermite.append(2 * x * hermite[n] - 2 * n * hermite[n - 1])
    first = 2 / math.sqrt(math.pi) * np.exp(-x * x)
    derivatives = [(-1) ** n * h * first / math.factorial(n + 1) for n, h in enumerate(hermite)]
    return np.stack([np.array([math.erf(v) for v in x]), *derivatives])
