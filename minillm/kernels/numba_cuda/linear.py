"""linear, put together: the tiled product, then the activation's kernel; bias and residual are added as arrays."""

from typing import Any

from minillm import ops
from minillm.kernels.numba_cuda.activation import activate, activate_backward
from minillm.kernels.numba_cuda.arrays import as_rows, takes_float32
from minillm.kernels.numba_cuda.columns import sum_columns
from minillm.kernels.numba_cuda.matmul import multiply
from minillm.ops.linear import check_linear
from minillm.ops.precision import check_precision
from minillm.registry import kernel


def linear_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    """dz = dy f′(z),  z = x Wᵀ + b;  dx = dz W,  dW = dzᵀ x,  db = Σ_rows dz;  dr = dy"""
    x, weight, has_bias, has_residual, shape, activation, before, precision = saved
    dz = as_rows(xp, dy)
    if activation:
        dz = activate_backward(xp, activation, before, dz)
    dx = multiply(xp, dz, weight, precision).reshape(shape)
    dweight = multiply(xp, dz.T, x, precision)
    return dx, dweight, sum_columns(xp, dz) if has_bias else None, dy if has_residual else None


@kernel(ops.linear, "numba_cuda", linear_backward, takes_float32)
def linear(
    xp: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    residual: Any = None,
    *,
    activation: str | None = None,
    precision: str | None = None,
) -> tuple:
    """y = f(x Wᵀ + b) + r"""
    check_linear(x, weight, bias, residual, activation)
    check_precision("linear", precision)
    rows = as_rows(xp, x)
    z = multiply(xp, rows, weight.T, precision)
    if bias is not None:
        z += bias
    y = (activate(xp, activation, z) if activation else z).reshape(*x.shape[:-1], len(weight))
    before = z if activation else None
    saved = (rows, weight, bias is not None, residual is not None, x.shape, activation, before, precision)
    return y if residual is None else y + residual, saved
