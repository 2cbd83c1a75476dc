"""The ladder's steps and the loops that measure limits: every instruction set, sizes around the blocks' and tiles'."""

import numpy as np
import pytest

_native = pytest.importorskip("minillm._native", reason="the native kernels aren't built")

STEPS = range(1, _native.LADDER_STEPS + 1)
EDGES = [0, 1, 2, 5, 6, 7, 13, 14, 15, 16, 17, 31, 33]
LARGE = [(3, 513, 257), (29, 530, 600), (15, 33, 256), (14, 512, 255), (130, 40, 70)]  # around a block: 256 x 512


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


def misaligned(rng, *shape):
    """Normal numbers that start at no multiple of a vector's size."""
    array = np.empty(int(np.prod(shape)) + 1, np.float32)[1:].reshape(shape)
    array[...] = rng.normal(size=shape)
    return array


def assert_product(step, a, b):
    c = np.full((a.shape[0], b.shape[1]), np.nan, np.float32)
    _native.ladder(step, a, b, c)
    exact = a.astype(float) @ b
    allowed = 2**-24 * (a.shape[1] + 2) * (np.abs(a).astype(float) @ np.abs(b))  # Higham 2002, equation 3.13
    assert (np.abs(c - exact) <= allowed).all(), f"step {step}, {a.shape} x {b.shape}"
    return c


@pytest.mark.parametrize("step", STEPS)
def test_the_product_of_any_size(isa, step):
    rng = np.random.default_rng(step)
    for m, n, k in [*rng.choice(EDGES, size=(60, 3)), *LARGE]:
        assert_product(step, misaligned(rng, m, k), misaligned(rng, k, n))


def test_threads_change_no_bit(threads):
    rng = np.random.default_rng(0)
    a, b = misaligned(rng, 61, 300), misaligned(rng, 300, 70)
    np.testing.assert_array_equal(assert_product(8, a, b), assert_product(7, a, b))


def test_nothing_outside_the_result_is_written():
    for step in STEPS:
        memory = np.full(3 + 7 * 19 + 3, 42.0, np.float32)
        c = memory[3:-3].reshape(7, 19)
        _native.ladder(step, np.ones((7, 5), np.float32), np.ones((5, 19), np.float32), c)
        assert (c == 5).all() and (memory[:3] == 42).all() and (memory[-3:] == 42).all()


def test_what_does_not_fit_is_refused():
    a, b, c = (np.zeros(shape, np.float32) for shape in ((2, 3), (3, 4), (2, 4)))
    for step in (0, _native.LADDER_STEPS + 1):
        with pytest.raises(ValueError, match="no such step"):
            _native.ladder(step, a, b, c)
    with pytest.raises(ValueError, match="columns"):
        _native.ladder(1, a, b.T.copy(), c)
    with pytest.raises(ValueError, match="another shape"):
        _native.ladder(1, a, b, c.T.copy())
    with pytest.raises(TypeError):
        _native.ladder(1, a.astype(float), b, c)


def test_the_streams_compute_what_they_say(isa, threads):
    rng = np.random.default_rng(1)
    for n in (0, 1, 15, 16, 17, 129, 1000):
        x, z = misaligned(rng, n), misaligned(rng, n)
        y = np.zeros(n, np.float32)
        _native.stream_copy(x, y, 2)
        np.testing.assert_array_equal(y, x)
        _native.stream_triad(x, z, y, 3.0, 2)
        np.testing.assert_allclose(y, x + 3 * z, rtol=1e-5, atol=1e-6)
        _native.stream_read(x, 2)
    with pytest.raises(ValueError, match="size"):
        _native.stream_copy(np.zeros(3, np.float32), np.zeros(4, np.float32), 1)


def test_operations_are_counted_for_every_thread(isa, threads):
    one = _native.peak_fma(10) / threads
    assert one == _native.peak_fma(1000) / threads / 100 and one % 20 == 0
    assert _native.peak_bf16(10) / threads in (one, 2 * one)  # a dot product of pairs does twice as many
