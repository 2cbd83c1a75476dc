"""Optimizers against torch's, clipping, saved state, and updates in blocks."""

import math

import numpy as np
import pytest

from minillm import optim
from minillm.errors import CheckpointError, ConfigError
from minillm.nn import Parameter
from minillm.optim import SGD, Adam, AdamW, clip_factor, clip_grad_norm, grad_norm

SHAPES = [(5, 7), (7,), (2, 3, 4), (), (0, 3)]


def parameters(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [Parameter(np.asarray(rng.normal(size=shape), dtype)) for shape in SHAPES]


def give_gradients(params, step, scale=1.0):
    rng = np.random.default_rng(100 + step)
    for p in params:
        p.grad = np.asarray(rng.normal(size=p.shape) * scale, p.dtype)


def train(optimizer, steps, start=0):
    for step in range(start, start + steps):
        give_gradients(optimizer.params, step)
        optimizer.lr = 0.05 / (1 + step)  # as a schedule would
        optimizer.step()
    return [p.numpy().copy() for p in optimizer.params]


# ---- torch ----

PAIRS = {
    "SGD": (lambda p: SGD(p, 0.1), lambda t, p: t.optim.SGD(p, 0.1)),
    "SGD with momentum": (lambda p: SGD(p, 0.1, momentum=0.9), lambda t, p: t.optim.SGD(p, 0.1, momentum=0.9)),
    "Adam": (lambda p: Adam(p, 0.1, (0.8, 0.99), 1e-6), lambda t, p: t.optim.Adam(p, 0.1, (0.8, 0.99), 1e-6)),
    "AdamW": (
        lambda p: AdamW(p, 0.1, (0.9, 0.95), weight_decay=0.1),
        lambda t, p: t.optim.AdamW(
            [
                {"params": [q for q in p if q.ndim >= 2], "weight_decay": 0.1},
                {"params": [q for q in p if q.ndim < 2], "weight_decay": 0.0},
            ],
            0.1,
            (0.9, 0.95),
        ),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_ten_steps_equal_torchs(name):
    torch = pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")
    make_ours, make_theirs = PAIRS[name]
    ours = make_ours(parameters())
    twins = [torch.from_numpy(p.numpy().copy()).requires_grad_() for p in ours.params]
    theirs = make_theirs(torch, twins)
    for step in range(10):
        give_gradients(ours.params, step)
        ours.lr = 0.05 / (1 + step)
        for group in theirs.param_groups:
            group["lr"] = ours.lr
        for p, q in zip(ours.params, twins, strict=True):
            q.grad = torch.from_numpy(p.grad.copy())
        ours.step()
        theirs.step()
        for p, q in zip(ours.params, twins, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("max_norm", [0.5, 3.0, 1e6])
def test_clipping_equals_torchs(max_norm):
    torch = pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")
    params = parameters()
    give_gradients(params, 0)
    twins = [torch.zeros(p.shape, dtype=torch.float64, requires_grad=True) for p in params]
    for p, q in zip(params, twins, strict=True):
        q.grad = torch.from_numpy(p.grad.copy())
    norm = clip_grad_norm(params, max_norm)
    assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(twins, max_norm)), rel=1e-12)
    for p, q in zip(params, twins, strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-5)  # torch divides by the norm + 1e-6


@pytest.mark.parametrize("max_norm", [0.5, 1e6])
@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, momentum=0.9), lambda p: Adam(p, 0.1), lambda p: AdamW(p, 0.1)])
def test_a_scaled_step_is_the_step_after_clipping(make, max_norm):
    clipped, scaled = parameters(), parameters()
    for params, factor in ((clipped, None), (scaled, clip_factor)):
        optimizer = make(params)
        for step in range(3):
            give_gradients(params, step)
            if factor:
                optimizer.step(scale=factor(grad_norm(params), max_norm))
            else:
                clip_grad_norm(params, max_norm)
                optimizer.step()
    for p, q in zip(clipped, scaled, strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)


# ---- closed forms ----


def test_the_first_step_of_adam_is_lr_against_the_sign_of_the_gradient():
    """m̂ = g and v̂ = g², so g / √g² = ±1."""
    p = Parameter(np.zeros(4))
    p.grad = np.array([3.0, -0.01, 200.0, -5.0])
    Adam([p], lr=0.1, eps=0).step()
    np.testing.assert_allclose(p.numpy(), [-0.1, 0.1, -0.1, 0.1], rtol=1e-12)


def test_weight_decay_shrinks_matrices_only():
    params = parameters()
    before = [p.numpy().copy() for p in params]
    for p in params:
        p.grad = np.zeros(p.shape)
    AdamW(params, lr=0.1, weight_decay=0.5).step()
    for p, old in zip(params, before, strict=True):
        np.testing.assert_allclose(p.numpy(), old * (1 - 0.1 * 0.5 if p.ndim >= 2 else 1), rtol=1e-12)


def test_momentum_adds_up_a_geometric_series():
    p = Parameter(np.zeros(()))
    optimizer = SGD([p], lr=1.0, momentum=0.5)
    for _ in range(4):
        p.grad = np.array(1.0)
        optimizer.step()
    assert p.numpy() == -(1 + 1.5 + 1.75 + 1.875)


def test_clipping_brings_the_global_norm_to_the_limit_and_returns_the_one_before():
    params = parameters(np.float32)
    give_gradients(params, 0, scale=10)
    before = math.sqrt(sum((p.grad.astype(float) ** 2).sum() for p in params))
    directions = [p.grad / before for p in params]
    assert clip_grad_norm(params, 2.0) == pytest.approx(before, rel=1e-6)
    for p, direction in zip(params, directions, strict=True):
        np.testing.assert_allclose(p.grad, 2 * direction, rtol=1e-5)
        assert p.grad.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_is_returned_and_nothing_is_scaled(bad):
    params = parameters()
    give_gradients(params, 0)
    params[0].grad[0, 0] = bad
    before = [p.grad.copy() for p in params]
    assert not math.isfinite(clip_grad_norm(params, 1.0))
    for p, old in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.grad, old)


def test_a_parameter_without_a_gradient_stays():
    params = parameters()
    give_gradients(params, 0)
    params[1].grad = None
    before = params[1].numpy().copy()
    optimizer = AdamW(params, weight_decay=0.1)
    clip_grad_norm(params, 1.0)
    optimizer.step()
    np.testing.assert_array_equal(params[1].numpy(), before)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


# ---- blocks ----


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("block", [1, 3, 16])
def test_updating_in_blocks_equals_updating_at_once(monkeypatch, name, block):
    at_once = train(PAIRS[name][0](parameters(np.float32)), 3)
    monkeypatch.setattr(optim, "BLOCK", block)
    in_blocks = train(PAIRS[name][0](parameters(np.float32)), 3)
    for a, b in zip(at_once, in_blocks, strict=True):
        np.testing.assert_array_equal(a, b)


def test_parameters_and_gradients_in_another_memory_order_are_updated_alike():
    values, gradient = np.random.default_rng(0).normal(size=(2, 4, 6))
    straight, turned = Parameter(values.copy()), Parameter(np.asfortranarray(values))
    straight.grad, turned.grad = gradient.copy(), np.asfortranarray(gradient)
    for p in (straight, turned):
        AdamW([p], lr=0.1, weight_decay=0.1).step()
    np.testing.assert_array_equal(straight.numpy(), turned.numpy())


def test_the_state_has_the_parameters_dtype():
    optimizer = AdamW(parameters(np.float32))
    train(optimizer, 2)
    assert {a.dtype for p in optimizer.params for a in (p.numpy(), p.grad)} == {np.dtype(np.float32)}
    assert {a.dtype for name, a in optimizer.state_dict().items() if name != "step"} == {np.dtype(np.float32)}


# ---- saved state ----


@pytest.mark.parametrize("name", PAIRS)
def test_going_on_from_a_saved_state_equals_never_having_stopped(name):
    make = PAIRS[name][0]
    through = train(make(parameters()), 7)

    first = make(parameters())
    weights = train(first, 4)
    saved = {name: array.copy() for name, array in first.state_dict().items()}
    second = make([Parameter(w) for w in weights])
    second.load_state_dict(saved)
    resumed = train(second, 3, start=4)
    for a, b in zip(through, resumed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_states_names_and_the_step_count():
    optimizer = Adam(parameters()[:2])
    train(optimizer, 3)
    state = optimizer.state_dict()
    assert list(state) == ["step", "m.0", "m.1", "v.0", "v.1"]
    assert state["step"] == 3


def test_a_state_that_does_not_fit_names_every_array():
    optimizer = Adam(parameters()[:2])
    state = dict(optimizer.state_dict())
    del state["m.0"]
    state["v.1"], state["w.0"] = np.zeros(3), np.zeros(1)
    with pytest.raises(CheckpointError, match=r"doesn't fit: m\.0, v\.1, w\.0"):
        optimizer.load_state_dict(state)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="no parameters"):
        SGD([], 0.1)
    with pytest.raises(ConfigError, match="lr=-1"):
        SGD(parameters(), -1)
    with pytest.raises(ConfigError, match=r"betas=\(0.9, 1.0\)"):
        Adam(parameters(), betas=(0.9, 1.0))
