"""AdamW and clipping over many arrays at once, against the formula in float64."""

import numpy as np
import pytest

import minillm as ml
from minillm.nn.module import Parameter
from minillm.optim import SGD, Adam, AdamW, clip_factor, clip_grad_norm, grad_norm

_native = pytest.importorskip("minillm._native", reason="the native kernels aren't built")

SHAPES = [(3,), (1,), (0,), (7, 9), (16, 16), (33, 31), (70_001,), (65_536,), (300, 500), (2, 3, 5)]


@pytest.fixture(params=_native.available_isas())
def isa(request):
    before = _native.isa()
    _native.select_isa(request.param)
    yield request.param
    _native.select_isa(before)


def parameters(dtype):
    rng = np.random.default_rng(0)
    return [Parameter(rng.normal(size=shape).astype(np.float32).astype(dtype)) for shape in SHAPES]


def train(dtype, backend, optimizer, steps=5, clip=10.0):
    """Values and moments after some steps, and the norms of the gradients before clipping."""
    rng = np.random.default_rng(1)
    params = parameters(dtype)
    optimizer = optimizer(params)
    norms = []
    with ml.use_backend(backend):
        for step in range(steps):
            for p in params:
                p.grad = rng.normal(size=p.shape).astype(np.float32).astype(dtype)
            if step % 2:  # both ways to clip
                norms.append(clip_grad_norm(params, clip))
                optimizer.step()
            else:
                norms.append(grad_norm(params))
                optimizer.step(scale=clip_factor(norms[-1], clip))
    return [p.numpy() for p in params], optimizer.state, norms


@pytest.mark.parametrize("optimizer", [lambda p: AdamW(p, 1e-2, weight_decay=0.1), lambda p: Adam(p, 1e-2)])
def test_error_is_at_most_twice_that_of_the_formula_in_float32(isa, optimizer):
    exact, plain, fast = (train(d, b, optimizer) for d, b in [("f8", "numpy"), ("f4", "numpy"), ("f4", "native")])
    np.testing.assert_allclose(fast[2], exact[2], rtol=1e-6)
    pairs = [(exact[0], plain[0], fast[0]), *((exact[1][s], plain[1][s], fast[1][s]) for s in ("m", "v"))]
    for truth, reference, actual in pairs:
        for t, r, a in zip(truth, reference, actual, strict=True):
            allowed = 2 * np.abs(r - t).max(initial=0) + 1e-6 * np.abs(t).max(initial=0)
            assert np.abs(a - t).max(initial=0) <= allowed


def test_same_bits_for_any_number_of_threads():
    results = []
    before = _native.threads()
    for n in (1, 2, 3):
        _native.set_threads(n)
        results.append(train("f4", "native", AdamW))
    _native.set_threads(before)
    for values, _, norms in results[1:]:
        assert norms == results[0][2]
        assert all(np.array_equal(a, b) for a, b in zip(values, results[0][0], strict=True))


def test_a_subclass_with_its_own_formula_keeps_it():
    class Sign(Adam):
        def _update(self, theta, g, m, v, *, decays):
            theta -= self.lr * np.sign(g)

    p = Parameter(np.zeros(3, np.float32))
    p.grad = np.array([2, -3, 0], np.float32)
    with ml.use_backend("native"):
        Sign([p], lr=0.5).step()
    np.testing.assert_array_equal(p.numpy(), [-0.5, 0.5, 0])


def test_the_change_is_seen_by_the_tape():
    """A value that backward needs may not be changed in between, natively either."""
    p = Parameter(np.ones(3, np.float32))
    loss = (p * p).sum()
    p.grad = np.ones(3, np.float32)
    AdamW([p]).step()
    with pytest.raises(ml.errors.GraphError, match="changed in place"):
        loss.backward()


def test_gradients_that_are_not_finite():
    p = Parameter(np.ones(100, np.float32))
    p.grad = np.ones(100, np.float32)
    p.grad[50] = np.inf
    with ml.use_backend("native"):
        assert clip_grad_norm([p], 1.0) == np.inf
        assert p.grad[0] == 1  # nothing was scaled
        p.grad[50] = np.nan
        assert np.isnan(clip_grad_norm([p], 1.0))


def test_what_it_cannot_take_goes_the_readable_way():
    p, q = Parameter(np.ones((4, 4))), Parameter(np.ones((4, 4), np.float32))
    p.grad, q.grad = np.ones((4, 4)), np.asfortranarray(np.ones((4, 4), np.float32))
    with ml.use_backend("native"):
        clip_grad_norm([p, q], 1.0)
        AdamW([p, q], lr=0.1).step()
        SGD([q], lr=0.1).step()
    assert (p.numpy() < 1).all() and (q.numpy() < 1).all()


def test_lists_that_do_not_fit_are_refused():
    a, b = np.zeros(3, np.float32), np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="differ"):
        _native.adam_step([a], [b], [a], [a], [True], 0.1, 0.01, 1e-8, 1.0, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="contiguous float32"):
        _native.sum_of_squares([np.zeros(3)])
