"""Rotary position embedding (Su et al. 2021)."""

import numpy as np

from minillm.errors import ShapeError
from minillm.registry import Case, ErrorCase, op


def rotary_cases(rng):
    angle = rng.normal(size=(4, 3))
    yield Case((rng.normal(size=(2, 2, 4, 6)), np.cos(angle), np.sin(angle)), constants=(1, 2))
    yield Case(
        (rng.normal(size=(1, 4, 2, 6)).swapaxes(1, 2), np.ones((4, 3)), np.zeros((4, 3))),
        note="no turn",
        constants=(1, 2),
    )


def rotary_errors(rng):
    x = np.zeros((1, 1, 4, 6))
    yield ErrorCase(
        (x, np.ones((4, 2)), np.ones((4, 2))), ShapeError, r"\(1, 1, 4, 6\) needs .* \(4, 3\), not \(4, 2\)"
    )


@op(cases=rotary_cases, errors=rotary_errors)
def rotary(xp, x, cos, sin):
    """Rotary positions (Su et al. 2021, equation 34): each pair of features turned by its position's angle.

    (y_2i, y_2i+1) = (x_2i cos θ − x_2i+1 sin θ,  x_2i sin θ + x_2i+1 cos θ)

    x: (..., time, d_head);  cos, sin: constants (time, d_head / 2).
    """
    needed = (x.shape[-2], x.shape[-1] // 2)
    if cos.shape != needed or sin.shape != needed or x.shape[-1] % 2:
        raise ShapeError(
            f"rotary: an input {x.shape} needs an even last size, and cos and sin of shape {needed}, not {cos.shape}"
        )
    return _rotate(xp, x, cos, sin), (cos, sin)


@rotary.backward
def rotary_backward(xp, dy, saved):
    """dx = dy turned back, by −θ"""
    cos, sin = saved
    return _rotate(xp, dy, cos, -sin), None, None


def _rotate(xp, x, cos, sin):
    cos, sin = cos.astype(x.dtype), sin.astype(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    y = xp.empty_like(x)
    y[..., 0::2] = even * cos - odd * sin
    y[..., 1::2] = even * sin + odd * cos
    return y
