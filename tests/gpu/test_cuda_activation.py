"""gelu, gelu_tanh and silu on the GPU, and the passes around a matrix product: biases, residuals, sums over rows."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import on_cpu, use_backend
from minillm.cuda.driver import array_module
from minillm.kernels.cuda import activation as cuda
from minillm.registry import strict_kernels
from tests.gpu.accuracy import BFLOAT16, check, check_orders

xp = array_module()
DTYPES = [np.dtype(np.float32), BFLOAT16]
# Fewer rows and columns than a block has, more than one part of a sum, odd widths, and one of several blocks.
SHAPES = [(1, 1), (3, 5), (17, 8), (130, 64), (300, 33), (20, 600), (64, 1031)]
every_op = pytest.mark.parametrize("op", [ops.gelu, ops.gelu_tanh, ops.silu], ids=lambda op: op.name)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def drawn(shape, dtype, count):
    """`count` matrices rounded to `dtype`, and a bias in float32."""
    rng = np.random.default_rng(shape[1])
    return [rng.normal(size=shape).astype(dtype) * dtype.type(2) for _ in range(count)], rng.normal(
        size=shape[1]
    ).astype(np.float32)


def assert_rounded(actual, truth, dtype, shape=None):
    """One rounding of `dtype`, after arithmetic in float32."""
    actual, limit = on_cpu(actual), 2**-8 if dtype == BFLOAT16 else 0
    scale = max(np.abs(truth).max(initial=0), 1.0)
    assert actual.shape == truth.shape and actual.dtype == dtype
    assert np.abs(actual.astype(np.float64) - truth).max(initial=0) <= (limit + 1e-6) * scale


@every_op
@every_dtype
@pytest.mark.parametrize("n", [0, 1, 7, 4096, 5000, 12_288])
def test_against_float64(op, n, dtype):
    check(op, np.random.default_rng(n).normal(size=(1, n)) * 3, dtype=dtype)


@every_op
def test_the_op_s_own_cases(op):
    assert set(ml.testing.agree(op, "cuda").values()) == {"cuda"}


@every_op
def test_far_out_and_not_finite_as_from_the_formula(op):
    x = np.array([np.nan, np.inf, -np.inf, 60, -60, 13, -13, 0, 1e4, -1e4], np.float32)
    with np.errstate(all="ignore"):
        expected, saved = op.reference.forward(np, x.astype(np.float64))
        (slope,) = op.reference.backward(np, np.ones(x.shape), saved)
    with use_backend("cuda"), strict_kernels():
        there = Tensor(x, requires_grad=True)
        y = op(there)
        y.backward(np.ones_like(x))
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6, atol=1e-7, equal_nan=True)
    np.testing.assert_allclose(on_cpu(there.grad), slope, rtol=1e-6, atol=1e-7, equal_nan=True)


@every_op
@every_dtype
@every_shape
def test_bias_then_activation(op, shape, dtype):
    (y,), bias = drawn(shape, dtype, 1)
    for added in (bias, None):
        z = y.astype(np.float64) + (0 if added is None else added)
        expected = op.reference.forward(np, z)[0]
        for keep in (False, True):
            there = xp.asarray(y)
            out, before = cuda.bias_activation(xp, there, None if added is None else xp.asarray(added), op.name, keep)
            assert_rounded(out, expected, dtype)
            assert (before is there) if keep else (out is there and before is None)
            if keep:
                assert_rounded(before, z, dtype)


@every_op
@every_dtype
@every_shape
def test_backward_of_activation_and_bias(op, shape, dtype):
    (z, dy), _ = drawn(shape, dtype, 2)
    wide = z.astype(np.float64)
    (expected,) = op.reference.backward(np, dy.astype(np.float64), op.reference.forward(np, wide)[1])
    for want in (False, True):
        dz, dbias = cuda.activation_backward(xp, xp.asarray(z), xp.asarray(dy), op.name, want)
        assert_rounded(dz, expected, dtype)
        assert (dbias is None) != want
    np.testing.assert_allclose(on_cpu(dbias), expected.sum(0), atol=2e-6 * shape[0] ** 0.5 * np.abs(expected).max())


@every_dtype
@every_shape
def test_bias_and_residual(shape, dtype):
    (y, residual), bias = drawn(shape, dtype, 2)
    for b in (bias, None):
        for r in (residual, None):
            expected = y.astype(np.float64) + (0 if b is None else b) + (0 if r is None else r.astype(np.float64))
            there = xp.asarray(y)
            out = cuda.bias_residual(xp, there, *(None if a is None else xp.asarray(a) for a in (b, r)))
            assert out is there
            assert_rounded(out, expected, dtype)


@every_dtype
@pytest.mark.parametrize("shape", [*SHAPES, (0, 5), (5000, 3), (3, 20_000)], ids=str)
def test_sum_over_rows(shape, dtype):
    (x,), _ = drawn(shape, dtype, 1)
    total = on_cpu(cuda.sum_rows(xp, xp.asarray(x)))
    assert total.dtype == np.float32
    np.testing.assert_allclose(total, x.astype(np.float64).sum(0), atol=1e-6 * max(shape[0], 1))


def test_memory_that_packs_cannot_be_read_from():
    """Every pass takes elements one by one then, over as many columns as before."""
    x = np.random.default_rng(0).normal(size=65 * 160 + 1).astype(np.float32)
    there, matrix = xp.asarray(x)[1:].reshape(65, 160), x[1:].reshape(65, 160).astype(np.float64)
    np.testing.assert_allclose(on_cpu(cuda.sum_rows(xp, there)), matrix.sum(0), atol=1e-4)
    silu, saved = ops.silu.reference.forward(np, matrix)
    (expected,) = ops.silu.reference.backward(np, matrix, saved)
    dz, dbias = cuda.activation_backward(xp, there, there, "silu", True)
    np.testing.assert_allclose(on_cpu(dz), expected, atol=1e-5)
    np.testing.assert_allclose(on_cpu(dbias), expected.sum(0), atol=1e-4)
    np.testing.assert_allclose(on_cpu(ops.silu.overrides["cuda"].forward(xp, there)[0]), silu, atol=1e-5)
    np.testing.assert_allclose(on_cpu(cuda.bias_activation(xp, there, None, "silu", False)[0]), silu, atol=1e-5)


def test_biases_and_residuals_of_the_other_type():
    (y, residual), bias = drawn((9, 16), BFLOAT16, 2)
    wide = y.astype(np.float64) + bias.astype(BFLOAT16).astype(np.float64) + residual.astype(np.float64)
    bias, residual = xp.asarray(bias.astype(BFLOAT16)), xp.asarray(residual.astype(np.float32))
    assert_rounded(cuda.bias_residual(xp, xp.asarray(y), bias, residual), wide, BFLOAT16)


@every_dtype
@pytest.mark.parametrize("shape", [(70, 33), (130, 264)], ids=str)
def test_threads_in_any_order_give_the_same_bits(shape, dtype):
    (z, dy), _ = drawn(shape, dtype, 2)
    check_orders(lambda: cuda.activation_backward(xp, xp.asarray(z), xp.asarray(dy), "gelu", True))
    check_orders(lambda: [cuda.sum_rows(xp, xp.asarray(z))])
