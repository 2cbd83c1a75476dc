"""Dropout on the GPU: the mask of every other backend, drawn anew in backward."""

import ml_dtypes
import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import on_cpu, use_backend
from minillm.cuda.driver import array_module
from minillm.cuda.emulator import runtime, thread_order
from minillm.errors import ConfigError
from minillm.kernels.cuda import dropout
from minillm.ops.dropout import keep_mask
from minillm.registry import strict_kernels

xp = array_module()
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
SIZES = [0, 1, 5, 7, 8, 9, 64, 2047, 2048, 2049, 5000]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_the_mask_is_the_reference_s(n, p):
    key = (2**63 + 12345, n)
    np.testing.assert_array_equal(on_cpu(dropout.keep_mask(xp, (n,), p, key)), keep_mask(np, (n,), p, key))


def test_the_mask_has_any_shape():
    keep = dropout.keep_mask(xp, (2, 3, 5, 7), 0.25, (3, 4))
    assert keep.dtype == bool
    np.testing.assert_array_equal(on_cpu(keep), keep_mask(np, (2, 3, 5, 7), 0.25, (3, 4)))


def applied(x, first, p, key, dtype):
    """Result and gradient of dropout on the elements of x from `first` on, and what was saved."""
    there = xp.asarray(x.astype(dtype))[first:]
    y, saved = ops.dropout.overrides["cuda"].forward(xp, there, p=p, key=key)
    (dx,) = ops.dropout.overrides["cuda"].backward(xp, there, saved)
    return on_cpu(y), on_cpu(dx), saved


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BFLOAT16], ids=str)
def test_kept_elements_are_scaled_and_the_others_zero(n, first, dtype):
    x, p, key = np.random.default_rng(0).normal(size=n + first).astype(dtype), 0.3, (11, 2)
    keep = keep_mask(np, (n,), p, key)
    expected = np.where(keep, x[first:].astype(np.float64) / (1 - p), 0)
    for actual in applied(x, first, p, key, dtype)[:2]:
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual.astype(np.float64), expected, rtol=2**-8 if dtype == BFLOAT16 else 2e-7)


def test_a_single_number_keeps_its_shape():
    y, _ = ops.dropout.overrides["cuda"].forward(xp, xp.asarray(np.float32(3)), p=0.0, key=(1, 2))
    assert y.shape == () and on_cpu(y) == 3


def test_nothing_of_the_size_of_x_is_kept_for_backward():
    *_, saved = applied(np.ones(100), 0, 0.5, (1, 2), np.float32)
    assert saved == (0.5, (1, 2))


def test_what_is_not_finite_comes_out_as_from_the_formula():
    x = np.full(64, np.nan, np.float32)
    x[::2] = np.inf
    for p in (0.0, 0.5, 1.0):
        with np.errstate(invalid="ignore"):
            expected = ops.dropout.reference.forward(np, x, p=p, key=(1, 2))[0]
        np.testing.assert_array_equal(applied(x, 0, p, (1, 2), np.float32)[0], expected)


def test_agrees_with_the_reference_on_the_op_s_own_cases():
    with use_backend("cuda"):
        ran = ml.testing.agree(ops.dropout, "cuda")
    assert set(ran.values()) == {"cuda"}


def test_through_the_tape_without_waiting():
    with use_backend("cuda"), strict_kernels(), runtime.forbid_waiting():
        x = Tensor(np.ones((30, 50), np.float32), requires_grad=True)
        y = ops.dropout(x, p=0.25, key=(5, 6))
        y.backward(np.ones((30, 50), np.float32))
    np.testing.assert_array_equal(on_cpu(x.grad), y.numpy())


def test_a_probability_outside_0_and_1_is_refused():
    with pytest.raises(ConfigError, match="between 0 and 1"):
        dropout.keep_mask(xp, (3,), 1.5, (0, 0))


@pytest.mark.parametrize("order", [1, 7])
def test_same_bits_in_any_order_of_threads(order):
    x = np.random.default_rng(0).normal(size=5000)
    expected = applied(x, 0, 0.4, (1, 2), np.float32)[:2]
    with thread_order(order):
        np.testing.assert_array_equal(applied(x, 0, 0.4, (1, 2), np.float32)[:2], expected)
