"""float32 to bfloat16 and back on the GPU, against ml_dtypes and the definition of the format."""

import ml_dtypes
import numpy as np
import pytest

from minillm import Tensor, ops
from minillm.backend import on_cpu, use_backend
from minillm.cuda.driver import array_module
from minillm.cuda.emulator import thread_order
from minillm.kernels.cuda.cast import ELEMENTS, cast, takes
from minillm.registry import strict_kernels

xp = array_module()
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("n", [0, 1, 3, 8, 257, ELEMENTS - 1, ELEMENTS, ELEMENTS + 1, 2 * ELEMENTS + 5])
@pytest.mark.parametrize("first", [0, 1])
def test_rounds_to_the_nearest_as_ml_dtypes_does(n, first):
    """From memory that packs may be read from (first = 0) and from memory they may not."""
    x = np.random.default_rng(0).normal(size=n + first).astype(np.float32) * 1e3
    rounded = cast(xp, xp.asarray(x)[first:], BFLOAT16)
    assert rounded.dtype == BFLOAT16
    np.testing.assert_array_equal(on_cpu(rounded), x[first:].astype(BFLOAT16))
    np.testing.assert_array_equal(on_cpu(cast(xp, rounded, np.float32)), x[first:].astype(BFLOAT16).astype(np.float32))


def test_ties_go_to_the_even_one_and_what_is_not_finite_stays():
    x = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1 + 2**-8 + 2**-20, 3.4e38, np.inf, -np.inf, 0.0, -0.0, 1e-45])
    expected = np.array([1, 1 + 4 * 2**-8, -1, 1 + 2 * 2**-8, np.inf, np.inf, -np.inf, 0.0, -0.0, 0.0])
    rounded = on_cpu(cast(xp, xp.asarray(x.astype(np.float32)), BFLOAT16)).astype(np.float64)
    np.testing.assert_array_equal(rounded, expected)
    np.testing.assert_array_equal(np.signbit(rounded), np.signbit(expected))
    nan = cast(xp, xp.asarray(np.array([np.nan, -np.nan, np.nan], np.float32)), BFLOAT16)
    assert np.isnan(on_cpu(nan).astype(np.float32)).all()


def test_every_bfloat16_is_the_upper_half_of_its_float32():
    bits = np.arange(1 << 16, dtype=np.uint32)
    there = cast(xp, xp.asarray(bits.astype(np.uint16).view(BFLOAT16)), np.float32)
    np.testing.assert_array_equal(on_cpu(there).view(np.uint32), bits << 16)
    back = on_cpu(cast(xp, there, BFLOAT16))
    numbers = ~np.isnan(on_cpu(there))
    np.testing.assert_array_equal(back.view(np.uint16)[numbers], bits[numbers])


def test_backward_casts_back():
    kernel = ops.astype.overrides["cuda"]
    _, saved = kernel.forward(xp, xp.asarray(np.ones(3, np.float32)), dtype="bfloat16")
    (dx,) = kernel.backward(xp, xp.asarray(np.ones(3, BFLOAT16)), saved)
    assert dx.dtype == np.float32


def test_the_op_casts_forward_and_its_gradient_back():
    values = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    with use_backend("cuda"), strict_kernels():
        x = Tensor(values, requires_grad=True)
        y = ops.astype(x, dtype="bfloat16")
        assert y.dtype == BFLOAT16
        y.backward(values.astype(BFLOAT16))
        z = ops.astype(y, dtype=np.float32)
    np.testing.assert_array_equal(z.numpy(), values.astype(BFLOAT16).astype(np.float32))
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(on_cpu(x.grad), values.astype(BFLOAT16).astype(np.float32))


def test_a_transposed_array_and_a_single_number_keep_their_shapes():
    assert cast(xp, xp.asarray(np.float32(2.5)), BFLOAT16).shape == ()
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(on_cpu(cast(xp, xp.asarray(x).T, BFLOAT16)).astype(np.float32), x.T)


def test_other_pairs_are_left_to_the_reference():
    x = xp.asarray(np.zeros(3, np.float32))
    assert takes(x, dtype="bfloat16") and takes(xp.asarray(np.zeros(3, BFLOAT16)), dtype="float32")
    assert not takes(x, dtype="float32") and not takes(x, dtype="float64")


@pytest.mark.parametrize("order", [1, 7])
def test_same_bits_in_any_order_of_threads(order):
    x = xp.asarray(np.random.default_rng(0).normal(size=5000).astype(np.float32))
    expected = on_cpu(cast(xp, x, BFLOAT16))
    with thread_order(order):
        np.testing.assert_array_equal(on_cpu(cast(xp, x, BFLOAT16)), expected)
