"""Matrix products through cuBLAS, which is asked for the transpose: every way the operands may lie in memory."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from minillm.cuda.driver import array_module
from minillm.kernels.cuda.gemm import product


def device(xp, x, lay):
    """The array on the device, lying as `lay` says."""
    if lay == "columns":
        return xp.asarray(x.T.copy()).T
    return xp.asarray(np.repeat(np.repeat(x, 2, 0), 2, 1))[::2, ::2] if lay == "neither" else xp.asarray(x)


@pytest.mark.parametrize(("a", "b"), list(itertools.product(("rows", "columns", "neither"), repeat=2)))
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 7, 2), (6, 1, 1), (2, 2, 9)])
def test_the_product(shape, dtype, a, b):
    (n, k, m), rng, xp = shape, np.random.default_rng(0), array_module()
    left, right = rng.normal(size=(n, k)).astype(dtype), rng.normal(size=(k, m)).astype(dtype)
    expected = left.astype(np.float64) @ right.astype(np.float64)
    given = device(xp, left, a), device(xp, right, b)
    np.testing.assert_allclose(product(xp, *given, np.float32).get(), expected, rtol=1e-5, atol=1e-6)
    rounded = product(xp, *given, ml_dtypes.bfloat16).get()
    assert rounded.dtype == ml_dtypes.bfloat16
    np.testing.assert_allclose(rounded.astype(np.float32), expected, rtol=2**-8, atol=1e-5)
    added = xp.asarray(np.ones((n, m), np.float32))
    assert product(xp, *given, np.float32, out=added) is added
    np.testing.assert_allclose(added.get(), 1 + expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 3), (2, 3, 0)])
def test_nothing_to_multiply(shape):
    (n, k, m), xp = shape, array_module()
    given = xp.zeros((n, k), np.float32), xp.zeros((k, m), np.float32)
    np.testing.assert_array_equal(product(xp, *given, np.float32).get(), np.zeros((n, m)))
    kept = product(xp, *given, np.float32, out=xp.asarray(np.ones((n, m), np.float32)))
    np.testing.assert_array_equal(kept.get(), np.ones((n, m)))
