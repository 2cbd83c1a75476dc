"""Arrays of more than 2³¹ elements: offsets are 64-bit. Slow, and they need 9 GB of memory: pytest -m slow."""

import numpy as np
import psutil
import pytest

import minillm as ml
from minillm import ops

_native = pytest.importorskip("minillm._native", reason="the native kernels aren't built")

GIGABYTE = 2**30
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(psutil.virtual_memory().available < 11 * GIGABYTE, reason="needs 11 GB of free memory"),
]


def test_rows_beyond_2_to_the_31_are_found():
    width = 64
    weight = np.zeros((2**31 // width + 5, width), np.float32)  # untouched pages of zeros take no memory
    weight[-1], weight[0] = 7, 3
    with ml.use_backend("native"):
        rows = ops.embedding(weight, np.array([0, len(weight) - 1, 5])).numpy()
    np.testing.assert_array_equal(rows, np.array([3, 7, 0])[:, None] * np.ones((3, width)))


def test_a_product_of_more_than_2_to_the_31_elements():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2**16, 3)).astype(np.float32), rng.normal(size=(3, 2**15 + 3)).astype(np.float32)
    with ml.use_backend("native"):
        c = ops.matmul(a, b).numpy()
    for rows in (slice(0, 2), slice(40_000, 40_002), slice(-2, None)):
        np.testing.assert_allclose(c[rows], a[rows].astype(np.float64) @ b, rtol=1e-4, atol=1e-5)


def test_cross_entropy_of_65_536_tokens_and_a_vocabulary_of_33_000():
    """65,536 rows of logits are past 2³¹ elements with any vocabulary of more than 32,768."""
    rows, classes = 2**16, 33_000
    logits = np.zeros((rows, classes), np.float32)
    logits[-1, -1] = 20
    targets = np.full(rows, classes - 1)
    losses = np.empty(rows)
    _native.cross_entropy_rows(logits, targets, losses, -100, 1.0, True)
    np.testing.assert_allclose(losses[[0, 1, -2]], np.log(classes), rtol=1e-6)
    # Beside the largest exponential, 1, float32 keeps the others to its own last digit.
    assert losses[-1] == pytest.approx(np.log1p((classes - 1) * np.exp(-20)), abs=1e-7)
    np.testing.assert_allclose(logits[[0, -2], 0], 1 / classes, rtol=1e-5)  # now the gradient
    assert logits[-2, -1] == pytest.approx(1 / classes - 1)
