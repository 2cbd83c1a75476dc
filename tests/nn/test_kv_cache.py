"""The key-value cache: it appends, hands back all so far, follows beams, and refuses to overflow."""

import numpy as np
import pytest

from minillm import Tensor, nn
from minillm.errors import ShapeError

RNG = np.random.default_rng(0)
K, V = RNG.normal(size=(2, 3, 2, 6, 4)).astype(np.float32)  # (batch, kv_heads, time, d_head) each


def test_it_returns_every_key_and_value_so_far():
    cache = nn.KVCache(6)
    for start, stop in ((0, 3), (3, 4), (4, 6)):
        k, v = cache.append(Tensor(K[:, :, start:stop]), Tensor(V[:, :, start:stop]))
        np.testing.assert_array_equal(k.numpy(), K[:, :, :stop])
        np.testing.assert_array_equal(v.numpy(), V[:, :, :stop])
        assert cache.length == stop


def test_it_refuses_to_overflow_and_says_by_how_much():
    cache = nn.KVCache(6)
    cache.append(Tensor(K[:, :, :5]), Tensor(V[:, :, :5]))
    with pytest.raises(ShapeError, match=r"the cache holds 6 positions; 7 are needed \(start a new one\)"):
        cache.append(Tensor(K[:, :, :2]), Tensor(V[:, :, :2]))
    cache.append(Tensor(K[:, :, 5:]), Tensor(V[:, :, 5:]))  # what fits still fits


def test_select_goes_on_with_the_rows_of_a_beam():
    cache, rows = nn.KVCache(6), np.array([2, 0, 2, 2])
    cache.append(Tensor(K[:, :, :4]), Tensor(V[:, :, :4]))
    cache.select(rows)
    k, v = cache.append(Tensor(K[rows][:, :, 4:5]), Tensor(V[rows][:, :, 4:5]))
    np.testing.assert_array_equal(k.numpy(), K[rows][:, :, :5])
    np.testing.assert_array_equal(v.numpy(), V[rows][:, :, :5])


def test_attention_through_a_cache_equals_attention_at_once():
    x = Tensor(RNG.normal(size=(2, 6, 8)))
    module = nn.MultiHeadAttention(8, 4, 2, causal=True, rotary=nn.RotaryPositions(6, 2, "float64"), dtype="float64")
    whole = module(x).numpy()
    cache = nn.KVCache(6)
    parts = [module(x[:, a:b], cache=cache).numpy() for a, b in ((0, 2), (2, 3), (3, 6))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-12)
