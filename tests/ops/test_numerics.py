"""Hard numbers: huge scores, -inf, NaN behind masks, ties, dtypes. Each op's formula must survive them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm import Tensor, ops
from minillm.ops.activation import erf
from minillm.registry import OPS

LARGEST_HALF = 65504.0
EXTREME_ROWS = [
    [1e4, -1e4, 0.0],
    [LARGEST_HALF, -LARGEST_HALF, LARGEST_HALF],
    [-np.inf, 3.0, -1e4],
    [-1e4, -1e4, -1e4],
]


def leaf(array, dtype=np.float64):
    return Tensor(np.array(array, dtype), requires_grad=True)


# ---- softmax and cross-entropy ----


@pytest.mark.parametrize("row", EXTREME_ROWS, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_softmax_of_extreme_scores_is_the_exact_distribution(row, dtype):
    """Each score is a multiple of 1e4 or infinite below the largest: shares are equal among the largest, else 0."""
    x = leaf(row, dtype)
    with np.errstate(over="ignore"):  # in float16, -65504 - 65504 is -inf: its probability is 0 all the same
        p, log_p = ops.softmax(x), ops.log_softmax(x)
        (p * np.arange(3)).sum().backward()
    largest = np.array(row) == max(row)
    np.testing.assert_allclose(p.numpy(), largest / largest.sum(), rtol=1e-3)
    np.testing.assert_allclose(log_p.numpy()[largest], -math.log(largest.sum()), rtol=1e-3, atol=1e-7)
    assert not np.isnan(log_p.numpy()).any()
    assert np.isfinite(x.grad).all()
    assert p.dtype == log_p.dtype == x.grad.dtype == dtype


@pytest.mark.parametrize("row", EXTREME_ROWS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_extreme_logits_is_the_difference_to_the_largest(row, dtype):
    for target in range(3):
        logits = leaf([row], dtype)
        loss = ops.cross_entropy(logits, [target])
        loss.backward()
        ties = row.count(max(row))
        np.testing.assert_allclose(loss.item(), max(row) - row[target] + math.log(ties), rtol=1e-6)
        assert np.isfinite(logits.grad).all()
        assert abs(logits.grad.sum()) < 1e-6  # p - y: both sum to 1


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_rows_of_softmax_sum_to_one_and_ignore_a_shift(scores):
    x = np.array(scores, np.float32)
    p = ops.softmax(Tensor(x)).numpy()
    assert abs(p.sum() - 1) < 1e-6
    np.testing.assert_allclose(ops.softmax(Tensor(x.astype(float) + 1000)).numpy(), p, atol=1e-6)


def test_a_row_of_minus_infinity_gives_zeros():
    x = leaf([[-np.inf, -np.inf], [0.0, 0.0]])
    p = ops.softmax(x)
    np.testing.assert_array_equal(p.numpy(), [[0, 0], [0.5, 0.5]])
    (p * [1.0, 2.0]).sum().backward()
    np.testing.assert_array_equal(x.grad[0], [0, 0])


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"reduction": "sum"}], ids=str)
def test_with_every_target_ignored_loss_and_gradient_are_zero(options):
    logits = leaf(np.random.default_rng(0).normal(size=(2, 3, 5)))
    loss = ops.cross_entropy(logits, np.full((2, 3), -100), **options)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("garbage", [-np.inf, 1e30])
def test_an_ignored_position_may_hold_anything(garbage):
    logits = leaf([[1.0, 2.0, 3.0], [garbage, 0.0, 0.0]])
    loss = ops.cross_entropy(logits, [1, -100])
    loss.backward()
    np.testing.assert_allclose(loss.item(), math.log(sum(map(math.exp, (1, 2, 3)))) - 2)
    assert not logits.grad[1].any()


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_gradients_of_parts_with_uneven_ignored_counts_add_up_to_the_whole(parts):
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(8, 6, 5)), rng.integers(0, 5, size=(8, 6))
    targets[rng.random((8, 6)) < 0.4] = -100
    targets[3] = -100  # a part may be ignored as a whole
    whole, pieces = leaf(logits), leaf(logits)
    ops.cross_entropy(whole, targets).backward()
    count = float((targets != -100).sum())
    for rows in np.split(np.arange(8), parts):
        (ops.cross_entropy(pieces[rows], targets[rows], reduction="sum") / count).backward()
    np.testing.assert_allclose(pieces.grad, whole.grad, atol=1e-12)


# ---- attention ----


def qkv(dtype=np.float32, heads=2, queries=4, keys=4):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(1, heads, n, 8)).astype(dtype) for n in (queries, keys, keys)]


def attend(q, k, v, *args, upstream=None, **options):
    """Output and gradients of attention, as plain arrays."""
    tensors = [leaf(a, a.dtype) for a in (q, k, v)]
    out = ops.attention(*tensors, *args, **options)
    out.backward(np.ones(out.shape) if upstream is None else upstream)
    return [out.numpy(), *(t.grad for t in tensors)]


@pytest.mark.parametrize("causal", [False, True])
def test_a_query_that_may_look_nowhere_gets_exactly_zero_in_output_and_gradients(causal):
    q, k, v = qkv()
    mask = np.ones((4, 4), bool)
    mask[2] = False
    out, dq, dk, dv = attend(q, k, v, mask, causal=causal)
    assert not out[:, :, 2].any()
    assert not dq[:, :, 2].any()
    only = np.zeros(out.shape)
    only[:, :, 2] = 1  # a loss of that row alone reaches no key and no value
    assert not any(g.any() for g in attend(q, k, v, mask, causal=causal, upstream=only)[1:])
    nothing = attend(q, k, v, np.zeros((4, 4), bool), causal=causal)
    assert not any(a.any() for a in nothing)


@pytest.mark.parametrize("bad", [np.nan, 1e10, -1e10, np.inf, -np.inf, 3e38])
def test_what_masked_keys_and_values_hold_changes_nothing(bad):
    q, k, v = qkv()
    mask = np.array([True, False, True, True])
    clean = attend(q, k, v, mask)
    k[:, :, 1], v[:, :, 1] = bad, bad
    with np.errstate(invalid="ignore", over="ignore"):  # their scores are computed, and thrown away
        dirty = attend(q, k, v, mask)
    for a, b in zip(clean, dirty, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bad", [np.nan, 1e10])
def test_the_future_changes_nothing_even_where_it_is_nan(bad):
    q, k, v = qkv()
    past = np.zeros((1, 2, 4, 8))
    past[:, :, :3] = 1
    clean = attend(q, k, v, causal=True, upstream=past)
    k[:, :, 3], v[:, :, 3] = bad, bad
    dirty = attend(q, k, v, causal=True, upstream=past)
    np.testing.assert_array_equal(clean[0][:, :, :3], dirty[0][:, :, :3])
    np.testing.assert_array_equal(clean[1][:, :, :3], dirty[1][:, :, :3])


def test_a_visible_nan_is_not_hidden():
    q, k, v = qkv()
    v[:, :, 1, 0] = np.nan
    out = ops.attention(q, k, v, causal=True).numpy()
    assert not np.isnan(out[:, :, 0]).any()
    assert np.isnan(out[:, :, 1:, 0]).all()
    assert not np.isnan(out[..., 1:]).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_causal_and_padding_together_in_low_precision(dtype):
    """A mask made of -1e9 would overflow in float16, and two of them in float32 need care; booleans don't."""
    q, k, v = qkv(dtype)
    padding = np.array([True, True, False, False])
    out, dq, dk, dv = attend(q, k, v, padding, causal=True)
    short = attend(q[:, :, :2], k[:, :, :2], v[:, :, :2], causal=True)
    assert all(np.isfinite(a).all() and a.dtype == dtype for a in (out, dq, dk, dv))
    np.testing.assert_allclose(out[:, :, :2], short[0], rtol=1e-3, atol=1e-3)


# ---- activations ----


def test_erf_is_right_to_the_last_digits():
    x = np.concatenate([np.linspace(-7, 7, 20_001), np.geomspace(1e-300, 1, 500), [0.0, np.inf, -np.inf]])
    exact = np.array([math.erf(v) for v in x])
    assert np.abs(erf(np, x) - exact).max() <= 3 * 2.0**-53
    single = x[:20_001].astype(np.float32)
    exact = np.array([math.erf(float(v)) for v in single])
    assert np.abs(erf(np, single) - exact).max() <= 2 * 2.0**-24
    assert erf(np, single).dtype == np.float32
    assert np.isnan(erf(np, np.array([np.nan, 1.0]))).tolist() == [True, False]


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "relu", "sigmoid", "silu", "tanh"])
def test_activations_at_their_tails(name):
    activation, x = OPS[name], leaf([-LARGEST_HALF, -1e4, 1e4, LARGEST_HALF], np.float32)
    y = activation(x)
    y.sum().backward()
    saturates = name in ("sigmoid", "tanh")
    low = -1 if name == "tanh" else 0
    np.testing.assert_array_equal(y.numpy(), [low, low, 1, 1] if saturates else [0, 0, 1e4, LARGEST_HALF])
    np.testing.assert_array_equal(x.grad, [0, 0, 0, 0] if saturates else [0, 0, 1, 1])


# ---- normalisation ----


def test_a_constant_row_is_normalised_to_zero_and_a_zero_row_stays_zero():
    assert not ops.layer_norm(np.full((2, 8), 3.0)).numpy().any()
    assert not ops.rms_norm(np.zeros((2, 8))).numpy().any()


def test_layer_norm_survives_a_large_mean():
    """Var as E[x²] − E[x]² would cancel to nothing here."""
    x = np.array([[1e4, 1e4 + 1, 1e4 + 2, 1e4 + 3]], np.float32)
    wanted = (np.arange(4) - 1.5) / math.sqrt(1.25 + 1e-5)
    np.testing.assert_allclose(ops.layer_norm(x).numpy()[0], wanted, rtol=1e-5)


# ---- dropout ----


def test_dropout_keeps_the_mean_and_drops_the_share():
    x = Tensor(np.ones((300, 300), np.float32))
    for p in (0.1, 0.5, 0.9):
        y = ops.dropout(x, p=p, key=(1, 2)).numpy()
        deviation = math.sqrt(p * (1 - p) / y.size)
        assert abs((y == 0).mean() - p) < 5 * deviation
        np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)
        assert np.array_equal(y, ops.dropout(x, p=p, key=(1, 2)).numpy())
        assert not np.array_equal(y, ops.dropout(x, p=p, key=(1, 3)).numpy())
