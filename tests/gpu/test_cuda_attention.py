"""Attention on the GPU against the float64 formula: on tensor cores in bfloat16, by multiply-adds else."""

import numpy as np
import pytest

import minillm.kernels.cuda.attention as attention
from minillm import ops
from minillm.backend import on_cpu
from minillm.cuda.emulator import thread_order
from minillm.testing import agree
from tests.gpu.attention_errors import BFLOAT16, OVERRIDE, REFERENCE, U, assert_close, fast, formula, inputs, xp

BOTH = pytest.mark.parametrize(("dtype", "d"), [(BFLOAT16, 32), (np.float32, 8)])


@pytest.fixture
def on_tensor_cores(monkeypatch):
    """The names of the kernels launched, without those of multiply-adds: nobody does a tile once more."""
    names = []

    def launch(file, name, *arguments, **options):
        if "plain" not in file:
            names.append(name)
            before(file, name, *arguments, **options)

    before = attention.launch
    monkeypatch.setattr(attention, "launch", launch)
    return names


def test_op_cases():
    assert set(agree(ops.attention, "cuda").values()) == {"cuda"}


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((1, 2, 2, 70, 70, 64), {"causal": True}),
        ((2, 4, 2, 9, 133, 32), {"causal": True}),
        ((1, 2, 1, 150, 40, 96), {}),
        ((1, 1, 1, 33, 97, 128), {"scale": 0.3}),
        ((1, 1, 1, 260, 260, 32), {"causal": True}),
    ],
)
def test_bfloat16_on_tensor_cores(on_tensor_cores, sizes, options):
    assert_close(inputs(np.random.default_rng(0), BFLOAT16, *sizes), **options)
    d = sizes[-1]
    names = [
        f"attention_forward_{d}",
        "attention_backward_sums",
        *(f"attention_backward_{x}_{d}" for x in ("keys", "queries")),
    ]
    assert on_tensor_cores == names


@pytest.mark.parametrize("d", [32, 128])
@pytest.mark.parametrize("axes", ["bk", "hqk", "bhqk", "q"])
def test_a_mask_of_any_shape(on_tensor_cores, d, axes):
    rng, sizes = np.random.default_rng(1), {"b": 2, "h": 2, "q": 20, "k": 50}
    mask = rng.random([n if axis in axes else 1 for axis, n in sizes.items()]) < 0.6
    assert_close(inputs(rng, BFLOAT16, 2, 2, 1, 20, 50, d), mask, causal=axes == "bk")


@pytest.mark.parametrize("d", [(8, 8), (48, 48), (64, 32), (130, 140)])
def test_bfloat16_of_other_widths(d):
    assert_close(inputs(np.random.default_rng(2), BFLOAT16, 1, 2, 1, 20, 70, *d), causal=True)


def test_a_scale_that_turns_scores_over():
    assert_close(inputs(np.random.default_rng(2), BFLOAT16, 1, 1, 1, 20, 30, 32), scale=-0.2)


@pytest.mark.parametrize("seed", range(8))
def test_float32_of_random_shapes(seed):
    rng = np.random.default_rng(seed)
    kv_heads, groups, batch = (int(n) for n in rng.integers(1, 3, size=3))
    queries, keys = (int(rng.choice([1, 2, 17, 63, 64, 65, 130])) for _ in range(2))
    d_k, d_v = (int(rng.choice([1, 3, 16, 33, 64, 128, 150])) for _ in range(2))
    shape = (batch, kv_heads * groups, queries, keys)
    mask = rng.random([n if rng.random() < 0.6 else 1 for n in shape]) < 0.6 if seed % 2 else None
    arrays = inputs(rng, np.float32, batch, shape[1], kv_heads, queries, keys, d_k, d_v)
    assert_close(arrays, mask, causal=queries <= keys and rng.random() < 0.5)


@pytest.mark.parametrize("empty", [0, 3, 4, 5, 6])
@BOTH
def test_sizes_of_zero(dtype, d, empty):
    sizes = [2, 2, 2, 3, 4, d, d]
    sizes[empty] = 0
    assert_close(inputs(np.random.default_rng(0), dtype, *sizes), scale=1.0)


@pytest.mark.parametrize("order", [1, 2, 3, 7])
def test_any_order_of_threads_on_tensor_cores(on_tensor_cores, order):
    check_order(order, inputs(np.random.default_rng(3), BFLOAT16, 1, 2, 1, 70, 140, 32))


@pytest.mark.parametrize("order", [1, 2, 3, 7])
def test_any_order_of_threads(order):
    check_order(order, inputs(np.random.default_rng(3), np.float32, 1, 2, 1, 40, 140, 16))


@pytest.mark.parametrize("order", [1, 2, 3, 7])
def test_a_tile_to_do_once_more_in_any_order_of_threads(order):
    arrays = inputs(np.random.default_rng(0), BFLOAT16, 1, 1, 1, 140, 140, 32)
    arrays[2][:, :, 130:, 3] = np.nan  # in few threads' results
    check_order(order, arrays)


def check_order(order, arrays):
    once = fast(*arrays, causal=True)
    with thread_order(order):
        for a, b in zip(once, fast(*arrays, causal=True), strict=True):
            np.testing.assert_array_equal(a.astype(np.float32), b.astype(np.float32))  # bfloat16's NaN equals no other


@BOTH
def test_any_memory_layout(dtype, d):
    """Thirds of one array, elements apart, not at a multiple of 16 bytes, backwards, broadcast: the values count."""
    rng = np.random.default_rng(0)
    thirds = xp.asarray(rng.normal(size=(1, 20, 3, 2, d)).astype(dtype))
    q, k, v = thirds.transpose(2, 0, 3, 1, 4)
    do = xp.asarray(rng.normal(size=q.shape).astype(dtype))
    every_other = xp.repeat(v, 2, axis=-1)[..., ::2]
    one_further = xp.concatenate([q[..., :1], q], axis=-1)[..., 1:]
    backwards = xp.ascontiguousarray(do[:, :, ::-1])[:, :, ::-1]
    one_key = xp.broadcast_to(k[:, :, :1], k.shape)

    def results(*given):
        o, saved = OVERRIDE.forward(xp, *given[:3], causal=True)
        return [on_cpu(x) for x in (o, *OVERRIDE.backward(xp, given[3], saved)[:3])]

    for given in ((q, k, v, backwards), (one_further, k, every_other, do), (q, one_key, v, do)):
        for a, b in zip(results(*given), results(*(x.copy() for x in given)), strict=True):
            np.testing.assert_array_equal(a, b)


@BOTH
def test_joining_the_heads_copies_nothing(dtype, d):
    q, k, v, do = (xp.asarray(x) for x in inputs(np.random.default_rng(0), dtype, 1, 4, 2, 6, 6, d))
    o, saved = OVERRIDE.forward(xp, q, k, v)
    for x in (o, *OVERRIDE.backward(xp, do, saved)[:3]):
        assert x.transpose(0, 2, 1, 3).flags.c_contiguous


@pytest.mark.parametrize("rubbish", [np.nan, np.inf])
@pytest.mark.parametrize("causal", [False, True])
@BOTH
def test_hidden_keys_change_nothing(dtype, d, causal, rubbish):
    rng = np.random.default_rng(0)
    q, k, v, do = inputs(rng, dtype, 2, 2, 1, 20, 80, d)
    mask = rng.random((2, 1, 1, 80)) < 0.5
    exact = formula(np.float64, q, k, v, do, mask, causal=causal)
    for b in range(2):
        k[b, :, ~mask[b, 0, 0]] = v[b, :, ~mask[b, 0, 0]] = rubbish
    for wanted, actual in zip(exact, fast(q, k, v, do, mask, causal=causal), strict=True):
        np.testing.assert_allclose(actual.astype(np.float64), wanted, atol=0.05 if dtype == BFLOAT16 else 1e-5)


@BOTH
def test_future_keys_change_nothing(dtype, d):
    """With no mask but causal's: NaN in keys and values that the last ten of 140 queries see."""
    q, k, v, do = inputs(np.random.default_rng(0), dtype, 1, 1, 1, 140, 140, d)
    exact = formula(np.float64, q, k, v, do, causal=True)
    k[:, :, 130:] = v[:, :, 130:] = np.nan
    o, dq, *_ = fast(q, k, v, do, causal=True)
    for wanted, actual in ((exact[0], o), (exact[1], dq)):
        error = np.abs(actual.astype(np.float64) - wanted)[:, :, :130]
        assert error.max() < (0.05 if dtype == BFLOAT16 else 1e-5)
        assert np.isnan(actual[:, :, 130:].astype(np.float32)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", range(3))
@BOTH
def test_visible_rubbish_shows_where_the_reference_shows_it(dtype, d, which, value):
    arrays = inputs(np.random.default_rng(1), dtype, 1, 2, 2, 20, 70, d)
    arrays[which][0, 1, 10, 3] = value
    with np.errstate(invalid="ignore"):
        expected = formula(np.float32, *arrays, causal=True)[0]
    actual = fast(*arrays, causal=True)[0].astype(np.float32)
    np.testing.assert_array_equal(np.isfinite(actual), np.isfinite(expected))


@BOTH
def test_queries_that_see_nothing_get_zeros(dtype, d):
    arrays = inputs(np.random.default_rng(0), dtype, 1, 2, 2, 20, 140, d)
    mask = np.ones((20, 140), bool)
    mask[5] = mask[13] = False
    mask[7, :128] = False  # sees its first key in a later tile
    o, dq, *_ = fast(*arrays, mask)
    assert (o[:, :, [5, 13]] == 0).all() and (dq[:, :, [5, 13]] == 0).all() and (o[:, :, 7] != 0).any()
    assert_close(arrays, mask)
    assert all((x == 0).all() for x in fast(*arrays, np.zeros((20, 140), bool)))


@pytest.mark.parametrize("factor", [30, 1e4, 1e18])
def test_scores_far_apart(factor):
    q, k, v, _ = inputs(np.random.default_rng(0), BFLOAT16, 1, 8, 1, 1, 140, 32)  # one query a tile
    q = (q.astype(np.float64) * factor).astype(BFLOAT16)
    o = OVERRIDE.forward(xp, *(xp.asarray(x) for x in (q, k, v)))[0]
    exact = REFERENCE.forward(np, *(x.astype(np.float64) for x in (q, k, v)))[0]
    np.testing.assert_allclose(on_cpu(o).astype(np.float64), exact, atol=4 * U * np.abs(v.astype(float)).max())
