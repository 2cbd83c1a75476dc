"""Dropout of attention's weights on the GPU: the reference's mask, against the float64 formula with it."""

import numpy as np
import pytest

import minillm.kernels.cuda.attention as attention
from minillm.backend import on_cpu
from minillm.cuda.emulator import runtime, thread_order
from minillm.ops.dropout import keep_mask
from tests.gpu.attention_errors import BFLOAT16, OVERRIDE, assert_close, fast, formula, inputs, xp

DROPOUT = {"dropout": 0.3, "key": (11, 5)}
BOTH = pytest.mark.parametrize(("dtype", "d"), [(BFLOAT16, 32), (np.float32, 8)])


@pytest.fixture
def names(monkeypatch):
    """Of the kernels launched on tensor cores; those of multiply-adds, which would do a tile once more, aren't."""
    names = []

    def launch(file, name, *arguments, **options):
        if "plain" not in file:
            names.append(name)
            before(file, name, *arguments, **options)

    before = attention.launch
    monkeypatch.setattr(attention, "launch", launch)
    return names


# Keys by the hundred and a few: a row of the mask begins anywhere; by 16: 16 bytes at a time, the last tile in part.
@pytest.mark.parametrize("keys", [133, 144, 200])
@pytest.mark.parametrize("d", [32, 64, 96, 128])
def test_bfloat16_on_tensor_cores(names, d, keys):
    assert_close(inputs(np.random.default_rng(d), BFLOAT16, 1, 2, 1, 70, keys, d), causal=True, **DROPOUT)
    assert names == [
        f"attention_forward_{d}_dropout",
        "attention_backward_sums",
        *(f"attention_backward_{x}_{d}_dropout" for x in ("keys", "queries")),
    ]


@pytest.mark.parametrize("d", [32, 64, 96, 128])
def test_bfloat16_of_several_tiles_and_heads(names, d):
    """More than a tile of queries and of keys; two batches, heads that share keys and heads that don't; no order."""
    assert_close(inputs(np.random.default_rng(d), BFLOAT16, 2, 4, 2, 150, 160, d), **DROPOUT)


@pytest.mark.parametrize("axes", ["bk", "hqk", "q"])
@BOTH
def test_beside_a_mask(dtype, d, axes):
    rng, sizes = np.random.default_rng(1), {"b": 2, "h": 2, "q": 20, "k": 48}
    mask = rng.random([n if axis in axes else 1 for axis, n in sizes.items()]) < 0.6
    assert_close(inputs(rng, dtype, 2, 2, 1, 20, 48, d), mask, causal=axes == "bk", **DROPOUT)


@pytest.mark.parametrize("d", [(8, 8), (64, 32), (130, 140)])
def test_bfloat16_of_other_widths(d):
    assert_close(inputs(np.random.default_rng(2), BFLOAT16, 1, 2, 1, 20, 70, *d), causal=True, **DROPOUT)


@pytest.mark.parametrize("seed", range(6))
def test_float32_of_random_shapes(seed):
    rng = np.random.default_rng(seed)
    kv_heads, groups, batch = (int(n) for n in rng.integers(1, 3, size=3))
    queries, keys = int(rng.choice([1, 17, 64, 65, 130])), int(rng.choice([2, 17, 63, 64, 65, 130]))
    d_k, d_v = (int(rng.choice([1, 3, 16, 33, 150])) for _ in range(2))
    shape = (batch, kv_heads * groups, queries, keys)
    mask = rng.random([n if rng.random() < 0.6 else 1 for n in shape]) < 0.6 if seed % 2 else None
    arrays = inputs(rng, np.float32, batch, shape[1], kv_heads, queries, keys, d_k, d_v)
    assert_close(arrays, mask, causal=queries <= keys and rng.random() < 0.5, dropout=0.6, key=(seed, 2**40))


@BOTH
def test_one_key(dtype, d):
    """dQ and dK are 0, as differences of two sums of d products that are the same but for their roundings."""
    arrays = inputs(np.random.default_rng(0), dtype, 1, 2, 1, 20, 1, d)
    exact, actual = formula(np.float64, *arrays, **DROPOUT), fast(*arrays, **DROPOUT)
    little = np.finfo(np.float32).eps * 16 if dtype == np.float32 else 0.1
    for wanted, got in zip(exact, actual, strict=True):
        np.testing.assert_allclose(got.astype(np.float64), wanted, rtol=0.02, atol=little)
    assert (actual[0] == 0).all(-1).any()  # of some queries the only weight is dropped


@BOTH
def test_the_output_shows_which_weights_stay(dtype, d):
    """Equal scores, and values that are a number of their own in each column: the mask itself can be read."""
    q = np.zeros((1, 2, 140, d), dtype)
    v = np.zeros((1, 2, d, d), dtype)
    v[:, :] = np.eye(d)
    o = OVERRIDE.forward(xp, *(xp.asarray(x) for x in (q, v, v)), dropout=0.5, key=(3, 4))[0]
    keep = keep_mask(np, (1, 2, 140, d), 0.5, (3, 4))
    np.testing.assert_array_equal(on_cpu(o).astype(np.float32), keep * np.float32(2 / d))


@pytest.mark.parametrize("empty", [0, 3, 4, 5])
@BOTH
def test_sizes_of_zero(dtype, d, empty):
    sizes = [2, 2, 2, 3, 4, d]
    sizes[empty] = 0
    assert_close(inputs(np.random.default_rng(0), dtype, *sizes), scale=1.0, **DROPOUT)


@BOTH
def test_of_0_is_none(dtype, d):
    arrays = inputs(np.random.default_rng(0), dtype, 1, 2, 1, 20, 40, d)
    for a, b in zip(fast(*arrays), fast(*arrays, dropout=0.0, key=(1, 2)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dropout", [1.0, 1.5, -0.1])
def test_what_the_reference_says_of_other_probabilities(dropout):
    arrays = inputs(np.random.default_rng(0), np.float32, 1, 1, 1, 2, 3, 8)[:3]
    assert not OVERRIDE.supports(*arrays, dropout=dropout, key=(1, 2))


@pytest.mark.parametrize("order", [1, 2, 3, 7])
@pytest.mark.parametrize(("dtype", "d"), [(BFLOAT16, 32), (BFLOAT16, 96), (np.float32, 16)])
def test_any_order_of_threads(order, dtype, d):
    arrays = inputs(np.random.default_rng(3), dtype, 1, 2, 1, 70, 144, d)
    check_order(order, arrays)


@pytest.mark.parametrize("order", [1, 2, 3, 7])
def test_a_tile_to_do_once_more_in_any_order_of_threads(order):
    arrays = inputs(np.random.default_rng(0), BFLOAT16, 1, 1, 1, 140, 140, 32)
    arrays[2][:, :, 130:, 3] = np.nan  # in few threads' results
    check_order(order, arrays)


def check_order(order, arrays):
    once = fast(*arrays, causal=True, **DROPOUT)
    with thread_order(order):
        for a, b in zip(once, fast(*arrays, causal=True, **DROPOUT), strict=True):
            np.testing.assert_array_equal(a.astype(np.float32), b.astype(np.float32))  # bfloat16's NaN equals no other


@BOTH
def test_any_memory_layout(dtype, d):
    """Thirds of one array, elements apart, backwards: the values count, and the mask goes by place in the scores."""
    rng = np.random.default_rng(0)
    q, k, v = xp.asarray(rng.normal(size=(2, 20, 3, 2, d)).astype(dtype)).transpose(2, 0, 3, 1, 4)
    do = xp.asarray(rng.normal(size=q.shape).astype(dtype))
    every_other = xp.repeat(v, 2, axis=-1)[..., ::2]
    backwards = xp.ascontiguousarray(do[:, :, ::-1])[:, :, ::-1]

    def results(*given):
        o, saved = OVERRIDE.forward(xp, *given[:3], causal=True, **DROPOUT)
        return [on_cpu(x) for x in (o, *OVERRIDE.backward(xp, given[3], saved)[:3])]

    given = (q, k, every_other, backwards)
    for a, b in zip(results(*given), results(*(x.copy() for x in given)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rubbish", [np.nan, np.inf])
@BOTH
def test_a_tile_done_once_more_drops_the_same(dtype, d, rubbish):
    """What hidden keys hold makes the kernels on tensor cores unsure; those of multiply-adds repair o and dQ."""
    rng = np.random.default_rng(0)
    q, k, v, do = inputs(rng, dtype, 2, 2, 1, 20, 80, d)
    mask = rng.random((2, 1, 1, 80)) < 0.5
    exact = formula(np.float64, q, k, v, do, mask, **DROPOUT)
    for b in range(2):
        k[b, :, ~mask[b, 0, 0]] = v[b, :, ~mask[b, 0, 0]] = rubbish
    for wanted, actual in zip(exact, fast(q, k, v, do, mask, **DROPOUT), strict=True):
        np.testing.assert_allclose(actual.astype(np.float64), wanted, atol=0.08 if dtype == BFLOAT16 else 1e-5)


@pytest.mark.parametrize("which", range(3))
@BOTH
def test_visible_rubbish_shows_where_the_reference_shows_it(dtype, d, which):
    """A value that is NaN doesn't reach the output where it is dropped."""
    arrays = inputs(np.random.default_rng(1), dtype, 1, 2, 2, 20, 70, d)
    arrays[which][0, 1, 10, 3] = np.nan
    expected = formula(np.float32, *arrays, causal=True, **DROPOUT)[0]
    actual = fast(*arrays, causal=True, **DROPOUT)[0].astype(np.float32)
    np.testing.assert_array_equal(np.isfinite(actual), np.isfinite(expected))


@BOTH
def test_no_mask_is_kept_for_backward(dtype, d):
    """Between forward and backward there is less than a byte for each weight."""
    q, k, v, do = (xp.asarray(x) for x in inputs(np.random.default_rng(0), dtype, 1, 1, 1, 600, 600, d))
    before = runtime.used_memory
    _, saved = OVERRIDE.forward(xp, q, k, v, causal=True, **DROPOUT)
    assert runtime.used_memory - before < 600 * 600
    OVERRIDE.backward(xp, do, saved)
