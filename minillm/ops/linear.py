"""Matrix products: matmul, and linear (a layer's x Wᵀ + b, with what often follows it)."""

import numpy as np

from minillm.errors import ConfigError, ShapeError
from minillm.ops.activation import gelu, gelu_tanh, silu
from minillm.ops.common import unbroadcast
from minillm.ops.precision import check_precision, product
from minillm.registry import Case, ErrorCase, op

ACTIVATIONS = {"gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu}  # those that `linear` can apply


def matmul_cases(rng):
    for a, b in [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((5, 1, 3, 4), (2, 4, 1))]:
        yield Case((rng.normal(size=a), rng.normal(size=b)))
    yield Case((rng.normal(size=4), rng.normal(size=4)), note="two vectors")
    yield Case((rng.normal(size=(2, 3, 4)), rng.normal(size=4)), note="matrices and a vector")
    yield Case((rng.normal(size=4), rng.normal(size=(2, 4, 3))), note="a vector and matrices")
    yield Case((rng.normal(size=(4, 3)).T, rng.normal(size=(5, 8))[:, ::2].T), note="not contiguous")
    yield Case((np.zeros((3, 0)), np.zeros((0, 2))), note="nothing to sum over")
    yield Case((np.zeros((0, 3)), rng.normal(size=(3, 2))), note="no rows")
    yield Case((rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5))), {"precision": "bfloat16"}, smooth=False)


def matmul_errors(rng):
    a = np.zeros((2, 3))
    yield ErrorCase((a, np.zeros((4, 5))), ShapeError, r"\(2, 3\) .* 3 columns, .* \(4, 5\) has 4 rows")
    yield ErrorCase((a, np.zeros(())), ShapeError, r"at least one axis")
    yield ErrorCase((np.zeros((2, 2, 3)), np.zeros((4, 3, 2))), ShapeError, r"batch .* \(2,\) and \(4,\)")
    yield ErrorCase((a, np.zeros((3, 2))), ConfigError, r"precision='float16'", {"precision": "float16"})


@op(cases=matmul_cases, errors=matmul_errors)
def matmul(xp, a, b, *, precision=None):
    """Matrix product.  c_ij = Σ_k a_ik b_kj,  over any batch axes in front.

    a: (..., n, k) or (k,);  b: (..., k, m) or (k,);  returns (..., n, m).
    precision: "bfloat16" rounds both operands first; sums stay in the arrays' own type.
    """
    check_matmul(a, b)
    check_precision("matmul", precision)
    return product(xp, a, b, precision), (a, b, precision)


@matmul.backward
def matmul_backward(xp, dc, saved):
    """dA = dC Bᵀ,  dB = Aᵀ dC"""
    a, b, precision = saved
    if a.ndim == 1:
        dc = dc[..., None, :] if b.ndim > 1 else dc[..., None]
    if b.ndim == 1:
        dc = dc[..., None]
    matrix_a = a[None, :] if a.ndim == 1 else a
    matrix_b = b[:, None] if b.ndim == 1 else b
    da = unbroadcast(product(xp, dc, matrix_b.swapaxes(-1, -2), precision), matrix_a.shape)
    db = unbroadcast(product(xp, matrix_a.swapaxes(-1, -2), dc, precision), matrix_b.shape)
    return da.reshape(a.shape), db.reshape(b.shape)


def linear_cases(rng):
    x, weight, bias = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4)), rng.normal(size=5)
    residual = rng.normal(size=(2, 3, 5))
    yield Case((x, weight, bias))
    yield Case((rng.normal(size=(3, 4)), weight), note="no bias")
    yield Case((rng.normal(size=4), weight, bias), note="one vector")
    yield Case((np.zeros((0, 4)), weight, bias), note="no rows")
    yield Case((rng.normal(size=(4, 3)).T, weight[::-1], bias[::-1]), note="not contiguous")
    yield Case((x, weight, bias, residual), note="residual")
    for name in ACTIVATIONS:
        yield Case((x, weight, bias), {"activation": name})
        yield Case((x, weight, bias, residual), {"activation": name}, note="residual")
    yield Case((x, weight, bias, residual), {"precision": "bfloat16"}, smooth=False)


def linear_errors(rng):
    x, weight = np.zeros((2, 3)), np.zeros((5, 4))
    yield ErrorCase((x, weight), ShapeError, r"last size 3, .* \(5, 4\) takes 4")
    x = np.zeros((2, 4))
    yield ErrorCase((x, weight, np.zeros(4)), ShapeError, r"bias has shape \(4,\), .* \(5,\)")
    yield ErrorCase((x, weight, None, np.zeros(5)), ShapeError, r"residual has shape \(5,\), .* \(2, 5\)")
    yield ErrorCase((x, weight), ConfigError, r"activation='relu'", {"activation": "relu"})
    yield ErrorCase((x, weight), ConfigError, r"precision='float16'", {"precision": "float16"})


@op(cases=linear_cases, errors=linear_errors)
def linear(xp, x, weight, bias=None, residual=None, *, activation=None, precision=None):
    """Linear layer, with what often follows it.  y = f(x Wᵀ + b) + r

    x: (..., d_in);  weight: (d_out, d_in), rows are output features;  bias: (d_out,);  returns (..., d_out).
    residual: r, of the result's shape.  activation: f, None or one of ACTIVATIONS.
    precision: "bfloat16" rounds the operands of the products first; sums stay in the arrays' own type.
    """
    check_linear(x, weight, bias, residual, activation)
    check_precision("linear", precision)
    rows = x.reshape(-1, x.shape[-1])
    y = product(xp, rows, weight.T, precision)
    if bias is not None:
        y += bias
    bent = None  # what the activation's derivative needs
    if activation:
        y, bent = ACTIVATIONS[activation].reference.forward(xp, y)
    y = y.reshape(*x.shape[:-1], weight.shape[0])
    if residual is not None:
        y = y + residual
    return y, (rows, weight, bias is not None, residual is not None, x.shape, activation, bent, precision)


@linear.backward
def linear_backward(xp, dy, saved):
    """dz = dy f′(z),  z = x Wᵀ + b;  dx = dz W,  dW = dzᵀ x,  db = Σ_rows dz;  dr = dy"""
    x, weight, has_bias, has_residual, shape, activation, bent, precision = saved
    dz = dy.reshape(-1, weight.shape[0])
    if activation:
        (dz,) = ACTIVATIONS[activation].reference.backward(xp, dz, bent)
    dx = product(xp, dz, weight, precision).reshape(shape)
    dweight = product(xp, dz.T, x, precision)
    return dx, dweight, dz.sum(0) if has_bias else None, dy if has_residual else None


def check_matmul(a, b):
    """ShapeError unless a b is defined."""
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: both operands need at least one axis, not {a.shape} and {b.shape}; use * to scale")
    inner_b = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner_b:
        raise ShapeError(
            f"matmul: {a.shape} has {a.shape[-1]} columns, but {b.shape} has {inner_b} rows; "
            "they must be equal (transpose one of them?)"
        )
    batch_a, batch_b = a.shape[:-2], b.shape[:-2]
    if any(m != n and 1 not in (m, n) for m, n in zip(batch_a[::-1], batch_b[::-1], strict=False)):
        raise ShapeError(f"matmul: the batch axes of {a.shape} and {b.shape}, {batch_a} and {batch_b}, don't broadcast")


def check_linear(x, weight, bias=None, residual=None, activation=None, name="linear"):
    """ShapeError unless the shapes fit; ConfigError for an unknown activation."""
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        last = x.shape[-1] if x.ndim else "none"
        raise ShapeError(
            f"{name}: the input {x.shape} has last size {last}, but a weight {weight.shape} takes {weight.shape[1]}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"{name}: the bias has shape {bias.shape}, but a weight {weight.shape} needs {weight.shape[:1]}"
        )
    result = (*x.shape[:-1], weight.shape[0])
    if residual is not None and residual.shape != result:
        raise ShapeError(f"{name}: the residual has shape {residual.shape}, but the result has {result}")
    if activation is not None and activation not in ACTIVATIONS:
        raise ConfigError(f"{name}: activation={activation!r} must be None or one of {', '.join(ACTIVATIONS)}")
