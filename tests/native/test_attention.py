"""Native attention against the float64 reference: shapes, options, memory layouts, instruction sets, threads."""

import numpy as np
import pytest

native = pytest.importorskip("minillm._native", reason="the native module isn't built")

import minillm.kernels.native  # noqa: E402, F401
from minillm import ops  # noqa: E402
from minillm.backend import use_backend  # noqa: E402
from minillm.testing import agree  # noqa: E402

ISAS = native.available_isas()
OVERRIDE, REFERENCE = ops.attention.overrides["native"], ops.attention.reference


@pytest.fixture(params=ISAS)
def isa(request):
    before = native.isa()
    native.select_isa(request.param)
    yield request.param
    native.select_isa(before)


@pytest.fixture
def two_threads():
    before = native.threads()
    native.set_threads(2)
    yield
    native.set_threads(before)


def both(kernel, q, k, v, do, mask=None, **options):
    """Output and the three gradients."""
    o, saved = kernel.forward(np, q, k, v, mask, **options)
    return [o, *kernel.backward(np, do, saved)[:3]]


def inputs(rng, batch, heads, kv_heads, queries, keys, d_k, d_v):
    """q, k, v, do: float32 in (batch, time, heads, d) order, as the model makes them."""

    def heads_of(n, time, d):
        return rng.normal(size=(batch, time, n, d)).astype(np.float32).transpose(0, 2, 1, 3)

    return (
        heads_of(heads, queries, d_k),
        heads_of(kv_heads, keys, d_k),
        heads_of(kv_heads, keys, d_v),
        heads_of(heads, queries, d_v),
    )


def assert_close(arrays, mask=None, **options):
    """Error at most twice that of the float32 reference, and a few units in the last place.

    (Where a product is by one column, the BLAS below the reference adds in many parts, so more exactly than in tiles.)
    """
    exact = both(REFERENCE, *(x.astype(np.float64) for x in arrays), mask, **options)
    plain = both(REFERENCE, *arrays, mask, **options)
    fast = both(OVERRIDE, *arrays, mask, **options)
    for name, truth, reference, actual in zip(("o", "dq", "dk", "dv"), exact, plain, fast, strict=True):
        assert actual.shape == truth.shape and actual.dtype == np.float32
        allowed = 2 * np.abs(reference - truth).max(initial=0) + 16 * np.finfo(np.float32).eps * max(
            1, np.abs(truth).max(initial=0)
        )
        error = np.abs(actual - truth).max(initial=0)
        assert error <= allowed, f"{name}: {error:.3g} > {allowed:.3g} for {[x.shape for x in arrays]}, {options}"


def random_options(rng, queries, keys, shape):
    options = {}
    if queries <= keys and rng.random() < 0.5:
        options["causal"] = True
    if rng.random() < 0.2:
        options["scale"] = float(rng.normal())
    if rng.random() < 0.2:
        options |= {"dropout": 0.3, "key": (5, int(rng.integers(100)))}
    if rng.random() < 0.4:
        full = [n if rng.random() < 0.6 else 1 for n in shape]
        options["mask"] = rng.random(full) < rng.choice([0.1, 0.7])
    return options


def test_op_cases(isa):
    assert set(agree(ops.attention, "native").values()) == {"native"}


@pytest.mark.parametrize("seed", range(60))
def test_random_shapes(isa, seed):
    rng = np.random.default_rng(seed)
    kv_heads, groups, batch = (int(n) for n in rng.integers(1, 4, size=3))
    queries, keys = (int(rng.choice([1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 130])) for _ in range(2))
    d_k, d_v = (int(rng.choice([1, 3, 4, 8, 15, 16, 17, 32, 33, 64])) for _ in range(2))
    arrays = inputs(rng, batch, kv_heads * groups, kv_heads, queries, keys, d_k, d_v)
    assert_close(arrays, **random_options(rng, queries, keys, (batch, kv_heads * groups, queries, keys)))


@pytest.mark.parametrize("empty", [0, 3, 4, 5, 6])
def test_sizes_of_zero(isa, empty):
    sizes = [2, 2, 2, 3, 4, 5, 6]
    sizes[empty] = 0
    q, k, v, do = inputs(np.random.default_rng(0), *sizes)
    for expected, actual in zip(
        both(REFERENCE, q, k, v, do, scale=1.0), both(OVERRIDE, q, k, v, do, scale=1.0), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_a_long_head_in_parts(isa, two_threads, causal):
    assert_close(inputs(np.random.default_rng(0), 1, 2, 1, 600, 700, 64, 80), causal=causal)


def test_any_memory_layout():
    """Thirds of one array, elements apart, backwards, broadcast, misaligned: the values count, not where they lie."""
    rng = np.random.default_rng(0)
    thirds = rng.normal(size=(2, 20, 3, 4, 8)).astype(np.float32)
    q, k, v = thirds.transpose(2, 0, 3, 1, 4)
    do = rng.normal(size=q.shape).astype(np.float32)
    expected = both(OVERRIDE, *(np.ascontiguousarray(x) for x in (q, k, v, do)), causal=True)
    misaligned = np.frombuffer(b"x" + k.tobytes(), np.uint8)[1:].view(np.float32).reshape(k.shape)
    every_other = np.repeat(v, 2, axis=-1)[..., ::2]
    backwards = np.ascontiguousarray(do[:, :, ::-1])[:, :, ::-1]
    q.flags.writeable = False
    for a, b in zip(expected, both(OVERRIDE, q, misaligned, every_other, backwards, causal=True), strict=True):
        np.testing.assert_array_equal(a, b)
    one_key_for_all = np.broadcast_to(k[:, :, :1], k.shape)
    assert_close((q, one_key_for_all, v, do))


def test_joining_the_heads_copies_nothing():
    o, dq, dk, dv = both(OVERRIDE, *inputs(np.random.default_rng(0), 2, 4, 2, 6, 6, 8, 8))
    assert all(x.transpose(0, 2, 1, 3).flags.c_contiguous for x in (o, dq, dk, dv))


@pytest.mark.parametrize("rubbish", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("queries", [3, 70])
def test_hidden_keys_change_nothing(isa, rubbish, causal, queries):
    rng = np.random.default_rng(0)
    q, k, v, do = inputs(rng, 2, 4, 2, queries, 150, 16, 24)
    mask = rng.random((2, 1, 1, 150)) < 0.5
    expected = both(OVERRIDE, q, k, v, do, mask, causal=causal)
    hidden = ~mask[:, 0, 0]
    for b in range(2):
        k[b, :, hidden[b]] = rubbish
        v[b, :, hidden[b]] = rubbish
    for a, b in zip(expected, both(OVERRIDE, q, k, v, do, mask, causal=causal), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(b).all()


def test_future_keys_change_nothing(isa):
    """With no mask but causal's: the last tile of keys holds rubbish behind the diagonal."""
    q, k, v, do = inputs(np.random.default_rng(0), 1, 1, 1, 100, 100, 16, 16)
    expected = OVERRIDE.forward(np, q, k, v, causal=True)[0][:, :, :90]
    k[:, :, 90:] = v[:, :, 90:] = np.nan
    np.testing.assert_array_equal(OVERRIDE.forward(np, q, k, v, causal=True)[0][:, :, :90], expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("queries", [5, 70])
def test_visible_rubbish_shows_where_the_reference_shows_it(isa, value, which, queries):
    arrays = inputs(np.random.default_rng(1), 1, 2, 2, queries, 70, 8, 8)
    arrays[which][0, 1, queries // 2, 3] = value
    with np.errstate(invalid="ignore"):
        expected = REFERENCE.forward(np, *arrays[:3], causal=True)[0]
    actual = OVERRIDE.forward(np, *arrays[:3], causal=True)[0]
    np.testing.assert_array_equal(np.isfinite(actual), np.isfinite(expected))


def test_queries_that_see_nothing_get_zeros(isa):
    q, k, v, do = inputs(np.random.default_rng(0), 1, 2, 2, 40, 70, 8, 8)
    mask = np.ones((40, 70), bool)
    mask[5] = mask[33] = False
    mask[7, :64] = False  # sees its first key in the second tile
    o, dq, dk, dv = both(OVERRIDE, q, k, v, do, mask)
    assert (o[:, :, [5, 33]] == 0).all() and (dq[:, :, [5, 33]] == 0).all()
    assert (o[:, :, 7] != 0).all()
    assert_close((q, k, v, do), mask)
    assert all((x == 0).all() for x in both(OVERRIDE, q, k, v, do, np.zeros((40, 70), bool)))


def test_scores_far_apart(isa):
    q, k, v, do = inputs(np.random.default_rng(0), 1, 1, 1, 70, 140, 8, 8)
    for factor in (30, 1e4, 1e18):
        expected, actual = (kernel.forward(np, q * factor, k, v)[0] for kernel in (REFERENCE, OVERRIDE))
        assert np.isfinite(actual).all()
        if factor < 1e18:
            np.testing.assert_allclose(actual, expected, atol=factor * 1e-6)


@pytest.mark.parametrize("sizes", [(2, 3, 3, 70, 70, 16, 16), (1, 2, 1, 300, 900, 32, 32), (1, 1, 1, 700, 700, 8, 8)])
def test_threads(isa, two_threads, sizes):
    """The output is the same for any number of threads; gradients, which threads may add up in parts, every time."""
    arrays = inputs(np.random.default_rng(0), *sizes)
    once = both(OVERRIDE, *arrays, causal=True)
    for threads in (1, 3, 2):
        native.set_threads(threads)
        again = both(OVERRIDE, *arrays, causal=True)
        np.testing.assert_array_equal(once[0], again[0])
        for a, b in zip(once, again, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    for a, b in zip(once, again, strict=True):  # two threads once more
        np.testing.assert_array_equal(a, b)


def test_the_kernel_runs_for_float32_only():
    q, k, v, _ = inputs(np.random.default_rng(0), 1, 1, 1, 2, 2, 4, 4)
    with use_backend("native"):
        assert ops.attention.pick([q, k, v, None], {}).backend == "native"
        assert ops.attention.pick([x.astype(np.float64) for x in (q, k, v)], {}).backend == "numpy"


def test_the_module_refuses_what_would_leave_the_arrays():
    q = np.zeros((1, 2, 4, 8), np.float32)
    statistics = np.empty((2, 1, 2, 4), np.float32)

    def call(q=q, k=q, v=q, mask=None, causal=False, keep=None, o=q, statistics=statistics):
        native.attention_forward(q, k, v, mask, causal, 1.0, keep, 1.0, o.copy(), statistics)

    call()
    for wrong in (
        {"k": q[..., :7]},
        {"k": q[:, :, :3]},
        {"v": q[:, :1]},
        {"k": np.zeros((1, 3, 4, 8), np.float32), "v": np.zeros((1, 3, 4, 8), np.float32)},
        {"k": q[:, :, :3], "v": q[:, :, :3], "causal": True},
        {"q": q.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)},
        {"mask": np.ones((1, 2, 4, 3), bool)},
        {"keep": np.ones((1, 1, 4, 4), bool)},
        {"o": q[:, :, :3]},
        {"statistics": statistics[:, :, :1].copy()},
    ):
        with pytest.raises((ValueError, TypeError)):
            call(**wrong)
