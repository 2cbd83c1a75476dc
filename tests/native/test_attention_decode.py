"""Attention of one query without gradients: every instruction set, sizes, masks and layouts, against float64."""

import numpy as np
import pytest

import minillm as ml
from minillm import ops

_native = pytest.importorskip("minillm._native", reason="the native kernels aren't built")

SHAPES = 200


@pytest.fixture(params=_native.available_isas())
def isa(request):
    before = _native.isa()
    assert _native.select_isa(request.param)
    yield request.param
    _native.select_isa(before)


def decoded(q, k, v, mask=None, **options):
    with ml.use_backend("native"), ml.no_grad():
        return ops.attention(q, k, v, mask, **options).numpy()


def test_against_float64(isa):
    rng = np.random.default_rng(0)
    for _ in range(SHAPES):
        batch, kv_heads, group, keys = rng.integers(1, [4, 4, 4, 70])
        d_k, d_v = rng.choice([1, 3, 4, 8, 15, 16, 17, 33, 64, 80], 2)
        q = rng.normal(size=(batch, kv_heads * group, 1, d_k)).astype(np.float32)
        k = rng.normal(size=(batch, kv_heads, keys + 5, d_k)).astype(np.float32)[:, :, :keys]  # as a cache's view is
        v = rng.normal(size=(batch, keys, kv_heads, d_v)).astype(np.float32).transpose(0, 2, 1, 3)
        mask = rng.random((batch, 1, 1, keys)) < 0.7 if rng.random() < 0.5 else None
        exact, plain = (
            ops.attention.reference.forward(np, q.astype(t), k.astype(t), v.astype(t), mask, causal=True)[0]
            for t in (np.float64, np.float32)
        )
        error, reference = np.abs(decoded(q, k, v, mask, causal=True) - exact).max(), np.abs(plain - exact).max()
        assert error <= 2 * reference + 1e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_a_hidden_key_holds_changes_nothing(isa, bad):
    rng = np.random.default_rng(1)
    q, k, v = (rng.normal(size=(1, 2, n, 20)).astype(np.float32) for n in (1, 9, 9))
    mask = np.arange(9)[None] != 3
    before = decoded(q, k, v, mask)
    k[:, :, 3], v[:, :, 3] = bad, bad
    np.testing.assert_array_equal(decoded(q, k, v, mask), before)
    assert not np.isfinite(decoded(q, k, v)).any()
    np.testing.assert_array_equal(decoded(q, k, v, np.zeros((1, 9), bool)), 0)


def test_the_same_bits_for_any_threads():
    rng = np.random.default_rng(2)
    q, k, v = (rng.normal(size=(2, 6, n, 64)).astype(np.float32) for n in (1, 501, 501))
    before, results = _native.threads(), []
    for n in (1, 2, 3):
        _native.set_threads(n)
        results.append(decoded(q, k, v))
    _native.set_threads(before)
    assert all(np.array_equal(results[0], o) for o in results)
