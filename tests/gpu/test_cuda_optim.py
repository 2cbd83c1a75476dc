"""AdamW, the gradients' norm and clipping on the GPU, over arrays of all sizes at once, against float64."""

import math

import numpy as np
import pytest

from minillm.backend import on_cpu
from minillm.cuda.driver import array_module
from minillm.cuda.emulator import runtime, thread_order
from minillm.kernels.cuda import optim

xp = array_module()
SHAPES = [(3,), (1,), (0,), (7, 9), (16, 16), (33, 31), (70_001,), (16_384,), (2, 3, 5)]
GAIN1, GAIN2, EPS, STEP, ROOT, KEPT = 0.1, 0.001, 1e-8, 0.02, 1.7, 0.99


def drawn(seed, size=1.0):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=shape) * size).astype(np.float32) for shape in SHAPES]


def state():
    """theta, g, m and v of every shape."""
    return drawn(0), drawn(1), drawn(2, 0.1), [v * v for v in drawn(3, 0.1)]


DECAYS = [len(shape) >= 2 for shape in SHAPES]


def there(values, offset=0):
    """On the device; with an offset, where packs can't be read from."""
    copies = [xp.asarray(np.concatenate([np.zeros(offset, np.float32), a.reshape(-1)])) for a in values]
    return [c[offset:].reshape(a.shape) for c, a in zip(copies, values, strict=True)]


def stepped(dtype, theta, g, m, v, scale=1.0):
    """The formula on NumPy arrays."""
    out = []
    for t, gradient, first, second, decays in zip(theta, g, m, v, DECAYS, strict=True):
        t, gradient, first, second = (a.astype(dtype) for a in (t, gradient, first, second))
        gradient = gradient * dtype(scale)
        first = first + dtype(GAIN1) * (gradient - first)
        second = second + dtype(GAIN2) * (gradient * gradient - second)
        change = first / (np.sqrt(second) * dtype(ROOT) + dtype(EPS))
        out.append((t * dtype(KEPT if decays else 1) - dtype(STEP) * change, first, second))
    return out


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_error_is_at_most_twice_that_of_the_formula_in_float32(offset, scale):
    values = state()
    theta, g, m, v = (there(a, offset) for a in values)
    optim.adam_step(theta, g, m, v, DECAYS, GAIN1, GAIN2, EPS, STEP, ROOT, KEPT, scale)
    exact, plain = stepped(np.float64, *values, scale), stepped(np.float32, *values, scale)
    for truths, references, actuals in zip(exact, plain, zip(theta, m, v, strict=True), strict=True):
        for truth, reference, actual in zip(truths, references, actuals, strict=True):
            allowed = 2 * np.abs(reference - truth).max(initial=0) + 1e-6 * np.abs(truth).max(initial=0)
            assert np.abs(on_cpu(actual) - truth).max(initial=0) <= allowed
    assert all(np.array_equal(on_cpu(a), b) for a, b in zip(g, values[1], strict=True))


def after(scale, g=None):
    """Values and moments after a step with this scale."""
    theta, gradients, m, v = map(there, state())
    optim.adam_step(theta, g or gradients, m, v, DECAYS, GAIN1, GAIN2, EPS, STEP, ROOT, KEPT, scale)
    return [on_cpu(a) for a in (*theta, *m, *v)]


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_the_scale_may_lie_on_the_device():
    assert same(after(xp.asarray(np.array([0.25], np.float32))), after(0.25))


def test_gradients_that_are_not_finite_leave_weights_and_moments_as_they_are():
    theta, _, m, v = state()
    for bad in (np.nan, np.inf, -np.inf):
        gradients = drawn(1)
        gradients[3][2, 5] = bad
        g = there(gradients)
        assert same(after(optim.clip_scale(optim.sum_of_squares(g), 1.0), g), [*theta, *m, *v])


def test_new_constants_in_the_same_memory_are_read_by_the_next_step():
    """The same arguments, with another step size in them."""
    theta, g, m, v = map(there, state())
    lists = optim.array_lists(theta, g, m, v, decays=DECAYS)
    constants = xp.asarray(optim.adam_constants(GAIN1, GAIN2, EPS, 0.5, 2.0, 1.0, 3.0))
    constants.set(optim.adam_constants(GAIN1, GAIN2, EPS, STEP, ROOT, KEPT, 0.3))
    optim.adam_update(lists, constants)
    assert same([on_cpu(a) for a in (*theta, *m, *v)], after(0.3))


@pytest.mark.parametrize("offset", [0, 1])
def test_the_sum_of_squares_is_that_in_float64(offset):
    values = drawn(4, 3.0)
    total = optim.sum_of_squares(there(values, offset))
    assert total.shape == (1,) and total.dtype == np.float32
    np.testing.assert_allclose(on_cpu(total)[0], sum((a.astype(np.float64) ** 2).sum() for a in values), rtol=3e-7)


def test_nothing_to_add_up_is_0_and_nothing_to_move_is_left():
    empty = [xp.asarray(np.zeros((0, 3), np.float32))]
    assert on_cpu(optim.sum_of_squares([])) == on_cpu(optim.sum_of_squares(empty)) == 0
    optim.scale_arrays(empty, 0.5)
    optim.adam_step(*[[]] * 5, GAIN1, GAIN2, EPS, STEP, ROOT, KEPT, 1.0)


@pytest.mark.parametrize(
    ("total", "expected"),
    [(4.0, 0.75), (2.25, 1.0), (1.0, 1.0), (0.0, 1.0), (np.inf, np.nan), (np.nan, np.nan), (1e30, 1.5e-15)],
)
def test_gradients_longer_than_the_norm_are_scaled_to_it(total, expected):
    scale = on_cpu(optim.clip_scale(xp.asarray(np.array([total], np.float32)), 1.5))
    np.testing.assert_allclose(scale, [expected], rtol=1e-6)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("on_device", [False, True])
def test_arrays_are_scaled_in_place(on_device, offset):
    values = drawn(5)
    scaled = there(values, offset)
    optim.scale_arrays(scaled, xp.asarray(np.array([0.3], np.float32)) if on_device else 0.3)
    assert same([on_cpu(a) for a in scaled], [a * np.float32(0.3) for a in values])
    optim.scale_arrays(scaled, np.nan)
    assert same([on_cpu(a) for a in scaled], [a * np.float32(0.3) for a in values])


def test_tables_are_made_once_and_anew_for_other_arrays():
    first, second = there(drawn(6)), there(drawn(7))
    assert optim.array_lists(first) is optim.array_lists(list(first))
    assert optim.array_lists(first) is not optim.array_lists(second)
    assert optim.array_lists(first).chunks is optim.array_lists(second).chunks  # of the sizes alone
    before = on_cpu(optim.sum_of_squares(second))
    optim.scale_arrays(first, 2.0)
    assert on_cpu(optim.sum_of_squares(second)) == before


def test_a_clipped_step_waits_for_nothing():
    theta, g, m, v = map(there, state())
    with runtime.forbid_waiting():
        scale = optim.clip_scale(optim.sum_of_squares(g), 1.0)
        optim.adam_step(theta, g, m, v, DECAYS, GAIN1, GAIN2, EPS, STEP, ROOT, KEPT, scale)
    norm = math.sqrt(sum((a.astype(np.float64) ** 2).sum() for a in drawn(1)))
    np.testing.assert_allclose(on_cpu(scale), 1 / norm, rtol=1e-6)


def test_lists_that_do_not_fit_are_refused():
    a, b = there(drawn(0)), there(drawn(1))
    with pytest.raises(ValueError, match="differ in length"):
        optim.array_lists(a, b[:-1])
    with pytest.raises(ValueError, match="differ in length"):
        optim.array_lists(a, decays=[True])
    columns = xp.asarray(np.zeros((4, 4), np.float32))[:, 1:]
    for other in (columns, xp.asarray(np.zeros(3))):
        with pytest.raises(ValueError, match="contiguous float32"):
            optim.array_lists([other])


@pytest.mark.parametrize("order", [1, 7])
def test_same_bits_in_any_order_of_threads(order):
    def results():
        g = there(drawn(1))
        scale = optim.clip_scale(optim.sum_of_squares(g), 1.0)
        return [on_cpu(scale), *after(scale)]

    expected = results()
    with thread_order(order):
        assert same(results(), expected)
