"""Products of few rows, float32 and quantised: every instruction set, odd sizes and layouts, against float64."""

import numpy as np
import pytest

import minillm as ml
from minillm import ops
from minillm.ops.quantized import quantize_bfloat16, quantize_int8
from minillm.testing import agree

_native = pytest.importorskip("minillm._native", reason="the native kernels aren't built")
from minillm.kernels.native.gemv import gemv  # noqa: E402

SHAPES = 220  # random ones, by instruction set
SIZES = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 127, 129, 300]


@pytest.fixture(params=_native.available_isas())
def isa(request):
    before = _native.isa()
    assert _native.select_isa(request.param)
    yield request.param
    _native.select_isa(before)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = _native.threads()
    _native.set_threads(request.param)
    yield request.param
    _native.set_threads(before)


def drawn(rng):
    rows, outputs, inputs = rng.integers(1, 12), rng.choice(SIZES), max(1, rng.choice(SIZES))
    x = rng.normal(size=(rows, inputs)).astype(np.float32)
    w = rng.normal(size=(outputs, inputs)).astype(np.float32)
    bias = rng.normal(size=outputs).astype(np.float32) if rng.random() < 0.5 else None
    residual = rng.normal(size=(rows, outputs)).astype(np.float32) if rng.random() < 0.5 else None
    return x, w, bias, residual, rng.choice([None, "gelu", "gelu_tanh", "silu"])


def close(actual, exact, plain):
    error, reference = np.abs(actual - exact).max(initial=0), np.abs(plain - exact).max(initial=0)
    assert error <= 2 * reference + 4e-7 * np.abs(exact).max(initial=1)


def reference(op, dtype, args, activation):
    args = [a.astype(dtype) if a is not None and a.dtype.kind == "f" else a for a in args]
    return op.reference.forward(np, *args, activation=activation)[0]


def test_float32_rows_against_float64(isa, threads):
    rng = np.random.default_rng(0)
    for _ in range(SHAPES):
        x, w, bias, residual, activation = drawn(rng)
        exact, plain = (reference(ops.linear, t, (x, w, bias, residual), activation) for t in (np.float64, np.float32))
        close(gemv(x, w, bias, residual, activation), exact, plain)


@pytest.mark.parametrize("weights", ["int8", "bfloat16"])
def test_quantised_rows_equal_the_formula(isa, threads, weights):
    rng = np.random.default_rng(1)
    for _ in range(SHAPES):
        x, w, bias, residual, activation = drawn(rng)
        stored, scale = quantize_int8(w) if weights == "int8" else (quantize_bfloat16(w), None)
        args = (x, stored, scale, bias, residual)
        with ml.use_backend("native"):
            actual = ops.quantized_linear(*args, activation=activation).numpy()
        if weights == "int8":
            expected = reference(ops.quantized_linear, np.float32, args, activation)
            np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-6 * np.abs(expected).max(initial=1))
        else:
            exact, plain = (reference(ops.quantized_linear, t, args, activation) for t in (np.float64, np.float32))
            close(actual, exact, plain)


def test_quantized_linear_agrees_with_its_reference(isa):
    assert set(agree(ops.quantized_linear, "native").values()) == {"native"}


def test_the_largest_sums_fit(isa):
    x = np.full((1, 1 << 16), -1, np.float32)
    w, scale = quantize_int8(np.ones((3, 1 << 16), np.float32))
    with ml.use_backend("native"):
        np.testing.assert_allclose(ops.quantized_linear(x, w, scale).numpy(), -65536, rtol=1e-6)


def test_the_same_bits_for_any_threads_and_rows():
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(8, 771)).astype(np.float32), rng.normal(size=(501, 771)).astype(np.float32)
    before = _native.threads()
    results = []
    for n in (1, 2, 3):
        _native.set_threads(n)
        results.append(gemv(x, w))
    _native.set_threads(before)
    assert all(np.array_equal(results[0], y) for y in results)
    for i in range(8):
        np.testing.assert_array_equal(gemv(x[i : i + 1], w)[0], results[0][i])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_isnt_a_number_stays_in_its_row(isa, bad):
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(3, 70)).astype(np.float32), rng.normal(size=(5, 70)).astype(np.float32)
    x[1, 7] = bad
    np.testing.assert_array_equal(np.isfinite(gemv(x, w)).all(1), [True, False, True])
    for stored, scale in (quantize_int8(w), (quantize_bfloat16(w), None)):
        with ml.use_backend("native"):
            y = ops.quantized_linear(x, stored, scale).numpy()
        plain = ops.quantized_linear.reference.forward(np, x, stored, scale)[0]
        np.testing.assert_array_equal(np.isnan(y), np.isnan(plain))
        np.testing.assert_array_equal(np.isfinite(y).all(1), [True, False, True])


def test_wrong_sizes_are_refused():
    x, w, y = np.zeros((2, 3), np.float32), np.zeros((4, 3), np.float32), np.zeros((2, 4), np.float32)
    for arguments in ((x[:, :2].copy(), w, None, None, 0, y), (x, w, None, None, 0, y[:1]), (x, w, x, None, 0, y)):
        with pytest.raises(ValueError, match="gemv"):
            _native.gemv(*arguments)
    with pytest.raises(ValueError, match="scale"):
        _native.gemv_int8(x, w.astype(np.int8), x[0], None, None, 0, y)
