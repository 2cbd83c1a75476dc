"""Softmax, norms, losses, dropout and embeddings on many shapes: at most twice the float32 formula's error."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import RowGradient
from minillm.ops.dropout import keep_mask
from minillm.registry import Case

_native = pytest.importorskip("minillm._native", reason="the native kernels aren't built")

SHAPES = 200


@pytest.fixture(params=_native.available_isas())
def isa(request):
    before = _native.isa()
    _native.select_isa(request.param)
    yield request.param
    _native.select_isa(before)


def shapes(rng):
    """(rows, n): none, one, the widths of vectors and one beside, and anything else; the last few are large."""
    special = [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65]
    for _ in range(SHAPES):
        yield tuple(int(rng.choice(special)) if rng.random() < 0.6 else int(rng.integers(200)) for _ in "ab")
    yield from [(3, 50_304), (2000, 8), (700, 769), (1, 100_003)]


def arrays(rng, name, rows, n):
    """Arguments for an op on (rows, n)."""
    x = rng.normal(size=(rows, n)) * rng.choice([0.1, 1, 30])
    weight, bias = rng.normal(size=n), rng.normal(size=n)
    if name == "layer_norm":
        return (x, weight, bias) if rng.random() < 0.5 else (x, None, None, rng.normal(size=x.shape))
    if name == "rms_norm":
        return (x, weight)
    if name == "cross_entropy":
        targets = rng.integers(n, size=rows)
        targets[rng.random(rows) < 0.2] = -100
        return (x, targets)
    return (x,)


def both(kernel, case, gradient_seed=0):
    result, saved = kernel.forward(np, *case.args, **case.kwargs)
    gradient = np.random.default_rng(gradient_seed).normal(size=np.shape(result)).astype(np.float32)
    return [np.asarray(result), *kernel.backward(np, gradient.astype(result.dtype), saved)]


@pytest.mark.parametrize(
    "name", ["softmax", "log_softmax", "layer_norm", "rms_norm", "cross_entropy", "gelu", "gelu_tanh", "silu"]
)
def test_random_shapes(isa, name):
    op, rng = getattr(ops, name), np.random.default_rng(0)
    for rows, n in shapes(rng):
        if not n and name != "softmax":
            continue
        exact = Case(tuple(a.astype(np.float32) if is_float(a) else a for a in arrays(rng, name, rows, n)))
        single, exact = exact, Case(tuple(a.astype(np.float64) if is_float(a) else a for a in exact.args))
        with ml.use_backend("native"):
            kernel = op.pick(list(single.args), {})
        assert kernel.backend == "native"
        results = [both(*pair) for pair in ((op.reference, exact), (op.reference, single), (kernel, single))]
        for truth, reference, actual in zip(*results, strict=True):
            if truth is None:
                continue
            scale = max(np.abs(truth).max(initial=0), 1.0)  # the incoming gradients are of size 1, and may cancel
            allowed = 2 * np.abs(reference - truth).max(initial=0) + 16 * np.finfo(np.float32).eps * scale
            assert np.abs(actual - truth).max(initial=0) <= allowed, (rows, n)


def is_float(a):
    return getattr(a, "dtype", np.dtype(int)).kind == "f"


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm", "rms_norm", "gelu", "gelu_tanh", "silu"])
def test_what_is_not_finite_comes_out_as_from_the_formula(isa, name):
    x = np.zeros((6, 37), np.float32)
    x[0, 3], x[1, 36], x[2, 5], x[3], x[4, :20] = np.nan, np.inf, -np.inf, -np.inf, -np.inf
    op = getattr(ops, name)
    with np.errstate(all="ignore"):
        expected = op.reference.forward(np, x)[0]
        with ml.use_backend("native"):
            actual = op(x).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_a_dropout_mask_is_the_same_on_every_backend(isa):
    rng = np.random.default_rng(0)
    for n in (*range(20), 100_003):
        p, key = float(rng.choice([0.0, 0.1, 0.5, 1.0])), (int(rng.integers(2**63)), int(rng.integers(1000)))
        keep = np.empty(n, bool)
        _native.keep_mask(keep, *key, round(p * 2**32))
        np.testing.assert_array_equal(keep, keep_mask(np, (n,), p, key))


def test_dropout_by_any_number_of_threads():
    x, before = np.ones(200_001, np.float32), _native.threads()
    try:
        results = []
        for n in (1, 2, 3):
            _native.set_threads(n)
            with ml.use_backend("native"):
                results.append(ops.dropout(x, p=0.3, key=(5, 6)).numpy())
    finally:
        _native.set_threads(before)
    assert all(np.array_equal(results[0], other) for other in results)


def test_gradients_of_rows_are_added_to_the_head_s(isa):
    """A tied embedding: the head's gradient is whole, the embedding's has a few rows; in either order of backward."""
    rng = np.random.default_rng(0)
    for d in (1, 7, 16, 33):
        weight, ids = rng.normal(size=(11, d)).astype(np.float32), rng.integers(11, size=(3, 5))
        gradients = []
        for backend in ("numpy", "native"):
            with ml.use_backend(backend):
                w = Tensor(weight, requires_grad=True)
                x = ops.embedding(w, ids)
                ops.linear_cross_entropy(x, w, ids).backward()
                ops.embedding(w, ids).sum().backward()
                gradients.append(w.grad)
        np.testing.assert_allclose(gradients[1], gradients[0], atol=1e-5)


def test_a_gradient_of_rows_that_goes_elsewhere_is_made_whole():
    weight, ids = np.ones((5, 3), np.float32), np.array([4, 1, 4])
    with ml.use_backend("native"):
        first = Tensor(weight, requires_grad=True)
        ops.embedding(first, ids).sum().backward()  # no gradient there yet
        middle = Tensor(weight, requires_grad=True)
        ops.embedding(middle * 2.0, ids).sum().backward()  # through another op
        hooked, seen = Tensor(weight, requires_grad=True), []
        hooked.register_hook(lambda gradient: seen.append(gradient.copy()))
        ops.embedding(hooked, ids).sum().backward()
    expected = np.array([0, 1, 0, 0, 2])[:, None] * np.ones((5, 3))
    np.testing.assert_array_equal(first.grad, expected)
    np.testing.assert_array_equal(middle.grad, 2 * expected)
    np.testing.assert_array_equal(seen[0], expected)
    np.testing.assert_array_equal(RowGradient(np.array([1, 4]), np.ones((2, 3)), (5, 3)).dense()[[1, 4]], 1)
