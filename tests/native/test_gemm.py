"""The blocked matrix product: every instruction set, shape, layout and epilogue, against float64."""

import numpy as np
import pytest

from minillm import ops
from minillm.kernels.native.gemv import ACTIVATIONS
from minillm.ops.precision import round_bfloat16
from minillm.testing import agree

_native = pytest.importorskip("minillm._native", reason="the native kernels aren't built")

SHAPES = 240  # random ones, by instruction set
LARGE = [(31, 3300, 1700), (2100, 40, 900), (14 * 145, 33, 385), (1, 5000, 3), (4000, 1, 800)]


@pytest.fixture(params=_native.available_isas())
def isa(request):
    before = _native.isa()
    assert _native.select_isa(request.param)
    yield request.param
    _native.select_isa(before)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = _native.threads()
    _native.set_threads(request.param)
    yield request.param
    _native.set_threads(before)


def layouts(array, rng):
    """The same matrix in one of the layouts callers have: plain, transposed, part of a larger one, misaligned."""
    rows, columns = array.shape
    kind = rng.integers(4)
    if kind == 0:
        return array
    if kind == 1:
        return np.asfortranarray(array)
    if kind == 2:
        wide = np.full((rows, columns + 5), np.nan, np.float32)
        wide[:, 3 : columns + 3] = array
        return wide[:, 3 : columns + 3]
    bytes_ = np.zeros(array.nbytes + 4, np.uint8)
    shifted = bytes_[4 : 4 + array.nbytes].view(np.float32).reshape(array.shape)
    shifted[...] = array
    return shifted


def assert_product(a, b, c, bfloat16):
    if bfloat16:
        a, b = round_bfloat16(np, a), round_bfloat16(np, b)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    error, reference = np.abs(c - exact).max(initial=0), np.abs(a @ b - exact).max(initial=0)
    size = np.abs(a).astype(np.float64) @ np.abs(b)  # the scale of rounding errors
    assert error <= 2 * reference + 1e-6 * size.max(initial=0)


def sizes(rng, n):
    """0 and 1, the vector widths and panel sizes and one beside them, and anything else below 100."""
    special = [w + d for w in (4, 6, 8, 14, 16, 32) for d in (-1, 0, 1)]
    for _ in range(n):
        yield tuple(int(rng.choice([0, 1, *special])) if rng.random() < 0.5 else int(rng.integers(100)) for _ in "mnk")


@pytest.mark.parametrize("bfloat16", [False, True])
def test_random_shapes_and_layouts(isa, bfloat16):
    rng = np.random.default_rng(0)
    for m, n, k in [*sizes(rng, SHAPES), *LARGE]:
        a, b = (layouts(rng.normal(size=size).astype(np.float32), rng) for size in ((m, k), (k, n)))
        c = np.full((m, n), np.nan, np.float32)
        _native.gemm(a, b, c, bfloat16)
        assert_product(a, b, c, bfloat16)


def test_batches(isa, threads):
    rng = np.random.default_rng(0)
    for count, (m, n, k) in zip(range(12), sizes(rng, 12), strict=True):
        a, b = rng.normal(size=(count, k, m)).astype(np.float32).swapaxes(1, 2), rng.normal(size=(k, n))
        b = np.broadcast_to(b.astype(np.float32), (count, k, n))
        c = np.full((count, m, n), np.nan, np.float32)
        _native.gemm_batch(a, b, c)
        for i in range(count):
            assert_product(a[i], b[i], c[i], False)


@pytest.mark.parametrize("op", [ops.linear, ops.matmul], ids=["linear", "matmul"])
def test_agrees_with_the_reference(op, isa, threads):
    assert set(agree(op, "native").values()) == {"native"}


def test_the_epilogue_reaches_every_edge(isa):
    """With K over several blocks and sizes that leave parts of tiles: bias, activation and residual come once."""
    rng = np.random.default_rng(0)
    for m, n, k in [(29, 67, 900), (15, 33, 0), (1, 1, 1), (14, 32, 384)]:
        a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
        bias, residual = rng.normal(size=n).astype(np.float32), rng.normal(size=(m, n)).astype(np.float32)
        c, before = np.empty((m, n), np.float32), np.empty((m, n), np.float32)
        _native.gemm(a, b, c, bias=bias, activation=ACTIVATIONS["gelu_tanh"], before=before, residual=residual)
        z = a.astype(np.float64) @ b + bias
        np.testing.assert_allclose(before, z, atol=1e-4)
        want = ops.gelu_tanh.reference.forward(np, z)[0] + residual
        np.testing.assert_allclose(c, want, atol=1e-4)


def test_same_bits_for_any_number_of_threads(isa):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(301, 800)).astype(np.float32), rng.normal(size=(800, 500)).astype(np.float32)
    results = []
    before = _native.threads()
    for n in (1, 2, 3, 2):
        _native.set_threads(n)
        c = np.empty((301, 500), np.float32)
        _native.gemm(a, b, c)
        results.append(c)
    _native.set_threads(before)
    assert all(np.array_equal(results[0], other) for other in results)


def test_nan_and_infinity_pass_through(isa):
    a = np.ones((20, 40), np.float32)
    a[3, 5], a[4, 6], a[19, 39] = np.nan, np.inf, -np.inf
    b = np.ones((40, 50), np.float32)
    for bfloat16 in (False, True):
        c = np.empty((20, 50), np.float32)
        _native.gemm(a, b, c, bfloat16)
        np.testing.assert_array_equal(c, a @ b)


def test_what_a_product_does_not_need_is_not_read(isa):
    """NaN right behind rows and columns must not reach the result."""
    wide = np.full((40, 60), np.nan, np.float32)
    wide[:30, :45] = 1
    c = np.empty((30, 7), np.float32)
    _native.gemm(wide[:30, :45], np.full((45, 9), 2, np.float32)[:, :7], c)
    assert (c == 90).all()


def test_sum_of_rows(isa, threads):
    rng = np.random.default_rng(0)
    for m, n, _ in sizes(rng, 60):
        x = rng.normal(size=(m, n)).astype(np.float32)
        y = np.full(n, np.nan, np.float32)
        _native.sum_rows(x, y)
        np.testing.assert_allclose(y, x.astype(np.float64).sum(0), atol=1e-5)


def test_sizes_that_do_not_fit_are_refused():
    c = np.empty((2, 5), np.float32)
    with pytest.raises(ValueError, match="columns and b's rows"):
        _native.gemm(np.empty((2, 3), np.float32), np.empty((4, 5), np.float32), c)
    with pytest.raises(ValueError, match="along memory"):
        _native.gemm(np.empty((4, 6), np.float32)[::2, ::2], np.empty((3, 5), np.float32), c)
    with pytest.raises(TypeError):
        _native.gemm(np.empty((2, 3)), np.empty((3, 5)), c)
