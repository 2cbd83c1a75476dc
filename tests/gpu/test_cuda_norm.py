"""layer_norm and rms_norm on the GPU: by packs and one by one, rows in registers and longer ones, residuals."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import on_cpu, use_backend
from minillm.cuda.driver import array_module
from minillm.kernels.cuda import norm
from minillm.registry import strict_kernels
from tests.gpu.accuracy import BFLOAT16, check, check_orders

xp = array_module()
DTYPES = [np.dtype(np.float32), BFLOAT16]
# One warp and several to a row, teams that share a block, odd widths, and rows longer than registers hold.
SHAPES = [(1, 1), (9, 7), (5, 8), (33, 64), (20, 257), (40, 768), (7, 769), (5, 1032), (3, 4096), (2, 8200), (2, 8197)]
FORMS = ["bare", "weight", "weight and bias", "residual", "all"]


def arguments(rows, d, form):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(rows, d)) * 3 + 1
    weight, bias = rng.normal(size=d), rng.normal(size=d)
    residual = rng.normal(size=(rows, d))
    return {
        "bare": (x, None, None, None),
        "weight": (x, weight, None, None),
        "weight and bias": (x, weight, bias, None),
        "residual": (x, None, None, residual),
        "all": (x, weight, bias, residual),
    }[form]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)  # with a residual, the sum that backward reads is rounded, too
def test_layer_norm(shape, dtype):
    for form in FORMS if shape[1] in (7, 64) else FORMS[-1:]:
        check(ops.layer_norm, *arguments(*shape, form), dtype=dtype, roundings=2 if form in ("residual", "all") else 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(9, 7), (33, 64), (40, 768), (2, 8200)], ids=str)
def test_rms_norm(shape, dtype):
    x, weight, _, residual = arguments(*shape, "all")
    check(ops.rms_norm, x, weight, dtype=dtype)
    check(ops.rms_norm, x, weight, residual, dtype=dtype, roundings=2)


def test_more_rows_than_backward_has_teams():
    """Each team then has several, whose parts of dweight and dbias it adds up."""
    rows = 3 * norm.RESIDENT // 256
    check(ops.layer_norm, *arguments(rows, 6, "weight and bias"))


@pytest.mark.parametrize("op", [ops.layer_norm, ops.rms_norm], ids=lambda op: op.name)
def test_the_op_s_own_cases(op):
    assert set(ml.testing.agree(op, "cuda").values()) == {"cuda"}


def test_memory_that_packs_cannot_be_read_from():
    x, weight = (np.random.default_rng(0).normal(size=n).astype(np.float32) for n in (5 * 64 + 1, 64))
    expected, _ = ops.rms_norm.reference.forward(np, x[1:].reshape(5, 64), weight)
    there = xp.asarray(x)[1:].reshape(5, 64)
    y, saved = ops.rms_norm.overrides["cuda"].forward(xp, there, xp.asarray(weight))
    np.testing.assert_allclose(on_cpu(y), expected, rtol=1e-5, atol=1e-6)
    dx, dweight, _ = ops.rms_norm.overrides["cuda"].backward(xp, there, saved)
    aligned, whole = ops.rms_norm.overrides["cuda"].forward(xp, there.copy(), xp.asarray(weight))
    for a, b in zip((dx, dweight), ops.rms_norm.overrides["cuda"].backward(xp, there.copy(), whole), strict=False):
        np.testing.assert_allclose(on_cpu(a), on_cpu(b), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("d", [7, 320, 2100])
def test_threads_in_any_order_give_the_same_bits(d, dtype):
    x, weight, bias, residual = (xp.asarray(a.astype(np.float32)) for a in arguments(19, d, "all"))
    x, residual = (xp.asarray(on_cpu(a).astype(dtype)) for a in (x, residual))
    kernel = ops.layer_norm.overrides["cuda"]

    def compute():
        y, saved = kernel.forward(xp, x, weight, bias, residual)
        return [y, *kernel.backward(xp, y, saved)]

    check_orders(compute)


@pytest.mark.parametrize("op", [ops.layer_norm, ops.rms_norm], ids=lambda op: op.name)
def test_what_is_not_finite_comes_out_as_from_the_formula(op):
    x = np.zeros((4, 40), np.float32)
    x[0, 3], x[1, 36], x[2, :] = np.nan, np.inf, -np.inf
    with np.errstate(all="ignore"):
        expected = op.reference.forward(np, x)[0]
    with use_backend("cuda"), strict_kernels():
        np.testing.assert_allclose(op(Tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_the_residual_s_gradient_is_x_s():
    a, b, dy = np.random.default_rng(0).normal(size=(3, 4, 16)).astype(np.float32)
    with use_backend("cuda"), strict_kernels():
        x, residual = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)
        ops.layer_norm(x, None, None, residual).backward(dy)
    assert np.abs(on_cpu(x.grad)).max() > 0.1
    np.testing.assert_array_equal(on_cpu(x.grad), on_cpu(residual.grad))
