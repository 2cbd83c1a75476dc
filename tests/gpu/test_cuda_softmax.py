"""softmax and log_softmax on the GPU: by packs and one by one, rows in registers and longer ones."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import on_cpu, use_backend
from minillm.cuda.driver import array_module
from minillm.registry import strict_kernels
from tests.gpu.accuracy import BFLOAT16, check, check_orders

xp = array_module()
DTYPES = [np.dtype(np.float32), BFLOAT16]
SHAPES = [(1, 1), (9, 7), (5, 8), (33, 64), (7, 257), (5, 1024), (3, 1500), (2, 8192), (1, 20_000), (1, 20_001)]
every_op = pytest.mark.parametrize("op", [ops.softmax, ops.log_softmax], ids=lambda op: op.name)


@every_op
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_float64(op, shape):
    for spread in (0.1, 3, 30):
        check(op, np.random.default_rng(shape[1]).normal(size=shape) * spread)


@every_op
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bfloat16(op, shape):
    """One rounding of the result, and one of the gradient that follows from the rounded result."""
    rng = np.random.default_rng(shape[1])
    x, dy = ((rng.normal(size=shape) * spread).astype(BFLOAT16) for spread in (3, 1))
    y, saved = op.overrides["cuda"].forward(xp, xp.asarray(x))
    (dx,) = op.overrides["cuda"].backward(xp, xp.asarray(dy), saved)
    exact = op.reference.forward(np, x.astype(np.float64))[0]
    (exact_dx,) = op.reference.backward(np, dy.astype(np.float64), (on_cpu(y).astype(np.float64), -1))
    for actual, truth in ((on_cpu(y), exact), (on_cpu(dx), exact_dx)):
        assert actual.dtype == BFLOAT16
        assert np.abs(actual.astype(np.float64) - truth).max() <= 2**-8 * np.abs(truth).max() + 1e-5


@every_op
def test_the_op_s_own_cases(op):
    ran = ml.testing.agree(op, "cuda")
    assert [case for case, backend in ran.items() if backend != "cuda"] == ["5: "]  # axis 1 of three


@every_op
def test_memory_that_packs_cannot_be_read_from(op):
    x = np.random.default_rng(0).normal(size=5 * 64 + 1).astype(np.float32)
    there = xp.asarray(x)[1:].reshape(5, 64)
    y, saved = op.overrides["cuda"].forward(xp, there)
    expected, reference = op.reference.forward(np, x[1:].reshape(5, 64))
    np.testing.assert_allclose(on_cpu(y), expected, rtol=1e-5)
    (dx,) = op.overrides["cuda"].backward(xp, there, saved)
    np.testing.assert_allclose(on_cpu(dx), op.reference.backward(np, x[1:].reshape(5, 64), reference)[0], atol=1e-5)


@every_op
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [7, 1500, 9000])
def test_threads_in_any_order_give_the_same_bits(op, n, dtype):
    x = xp.asarray(np.random.default_rng(0).normal(size=(9, n)).astype(dtype))

    def compute():
        y, saved = op.overrides["cuda"].forward(xp, x)
        return [y, *op.overrides["cuda"].backward(xp, x, saved)]

    check_orders(compute)


@every_op
@pytest.mark.parametrize("n", [37, 9000])
def test_what_is_not_finite_comes_out_as_from_the_formula(op, n):
    x = np.zeros((6, n), np.float32)
    x[0, 3], x[1, 36], x[2, 5], x[3], x[4, :20] = np.nan, np.inf, -np.inf, -np.inf, -np.inf
    with np.errstate(all="ignore"):
        expected = op.reference.forward(np, x)[0]
    with use_backend("cuda"), strict_kernels():
        np.testing.assert_allclose(op(Tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_scores_that_cannot_be_exponentiated():
    x = np.array([[1e30, -1e30, 0, 3e38], [-3e38, -2e38, -3e38, -2e38]], np.float32)
    with use_backend("cuda"), strict_kernels():
        np.testing.assert_array_equal(ops.softmax(Tensor(x)).numpy(), [[0, 0, 0, 1], [0, 0.5, 0, 0.5]])
