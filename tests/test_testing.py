"""The checks check: right formulas pass, each kind of wrong one is caught, and the report says where."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.registry import OPS, Case
from minillm.testing import DIRECTIONS, CheckError, check, gradcheck


@pytest.fixture
def own_op():
    """Makes ops outside this library's table, as a reader would."""
    before = set(OPS)

    def make(forward, backward, cases=None):
        made = ml.op(cases=cases)(forward)
        made.backward(backward)
        return made

    yield make
    for name in set(OPS) - before:
        del OPS[name]


def cube(xp, x):
    return x**3, x


def cube_derivative(xp, dy, x):
    return (3 * dy * x**2,)


def wrong_at_2_1(xp, dy, x):
    dx = 3 * dy * x**2
    dx[2, 1] *= 1.01
    return (dx,)


X = np.arange(1.0, 13.0).reshape(3, 4) / 4


def test_a_readers_own_op_passes(own_op):
    report = gradcheck(own_op(cube, cube_derivative), [X])
    assert report.compared == 12 * 12  # the whole Jacobian
    assert report.largest_error < 1e-6


def test_a_wrong_derivative_in_one_element_is_caught_with_op_index_and_both_values(own_op):
    op = own_op(cube, wrong_at_2_1)
    exact = 3 * X[2, 1] ** 2
    with pytest.raises(CheckError) as error:
        gradcheck(op, [X])
    message = str(error.value)
    assert message.startswith("cube: the gradient of input 0, shape (3, 4), is wrong in 1 of 144 places")
    assert "element (2, 1)" in message
    assert f"backward gives {exact * 1.01:.8g}" in message
    told = float(message.rsplit("finite differences give ", 1)[1])
    assert abs(told - exact) < 1e-6


def test_an_error_of_a_tenth_of_a_percent_passes_and_one_of_two_tenths_does_not(own_op):
    """|a − n| ≤ 1e-5 + 1e-3 |n|: both bounds add up, so that tiny gradients are checked absolutely."""
    x = np.array([[10.0]])
    gradcheck(own_op(cube, lambda xp, dy, x: (3 * dy * x**2 * 1.0009,)), [x])
    with pytest.raises(CheckError):
        gradcheck(own_op(cube, lambda xp, dy, x: (3 * dy * x**2 * 1.002,)), [x])


@pytest.mark.parametrize("gradient", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_wrong_and_found(own_op, gradient):
    def backward(xp, dy, x):
        dx = 3 * dy * x**2
        dx[1, 2] = gradient
        return (dx,)

    with pytest.raises(CheckError, match=rf"12 of 144 places; first at element \(1, 2\), .* gives {gradient},"):
        gradcheck(own_op(cube, backward), [X])


def test_a_forgotten_gradient_is_wrong(own_op):
    with pytest.raises(CheckError, match="backward gives 0,"):
        gradcheck(own_op(cube, lambda xp, dy, x: (None,)), [X])


def test_large_inputs_are_checked_in_random_directions(own_op):
    x = np.linspace(0.5, 1.5, 40 * 30).reshape(40, 30)
    report = gradcheck(own_op(cube, cube_derivative), [x])
    assert report.compared == DIRECTIONS**2
    with pytest.raises(CheckError, match="random direction"):
        gradcheck(own_op(cube, lambda xp, dy, x: (2.9 * dy * x**2,)), [x])


def test_every_input_and_every_output_is_checked():
    def both(a, b):
        return a * b, a + b.sum()

    gradcheck(both, [X, X[0]])
    with pytest.raises(CheckError, match="input 1, "):
        gradcheck(lambda a, b: a * b.detach(), [X, X])


def test_inputs_are_checked_in_float64_and_left_alone():
    single = X.astype(np.float32)
    seen = []

    def remember(x, ids):
        seen.append((x.dtype, ids.dtype))
        return x[ids]

    gradcheck(remember, [single, np.array([2, 0])])
    assert set(seen) == {(np.dtype(np.float64), np.dtype(np.int64))}
    np.testing.assert_array_equal(single, X.astype(np.float32))
    with pytest.raises(CheckError, match="none of the 1 inputs is floating-point"):
        gradcheck(lambda ids: ids, [np.array([1])])


# ---- check: the reader's own formula on an op's cases ----


def test_check_accepts_a_softmax_written_another_way():
    def forward(xp, x, axis=-1):
        e = np.exp(x - x.max(axis, keepdims=True, initial=-1e300))
        return e / e.sum(axis, keepdims=True), (e, axis)

    def backward(xp, dp, saved):
        e, axis = saved
        p = e / e.sum(axis, keepdims=True)
        return (p * dp - p * (p * dp).sum(axis, keepdims=True),)

    assert check(ops.softmax, forward=forward, backward=backward) == len(ops.softmax.cases(np.random.default_rng(0)))


def naive_tanh(xp, x):
    return np.tanh(x), np.tanh(x)


def test_check_shows_the_smallest_failing_case():
    """A wrong derivative of tanh shows up in a case of one element, not in one of thirty."""
    with pytest.raises(CheckError) as error:
        check(ops.tanh, forward=naive_tanh, backward=lambda xp, dy, y: (dy * (1 - y),))
    message = str(error.value)
    assert message.startswith("tanh backward, (array(")  # the case of shape () comes first, shown whole
    assert "it gives" in message and "expected" in message


def test_check_refuses_wrong_results_shapes_and_counts():
    with pytest.raises(CheckError, match="tanh forward, "):
        check(ops.tanh, forward=lambda xp, x: (np.sinh(x), None))
    with pytest.raises(CheckError, match=r"shape \(.*\) instead of"):
        check(ops.tanh, forward=lambda xp, x: (np.tanh(x)[..., None], None))
    with pytest.raises(CheckError, match="2 results instead of 1"):
        check(ops.tanh, forward=naive_tanh, backward=lambda xp, dy, y: (dy * (1 - y * y), dy))
    assert check(ops.tanh, forward=naive_tanh) > 0  # without a backward, the forward alone


def test_a_case_says_which_arguments_are_differentiated():
    case = Case((np.zeros(2), np.zeros(2, int), 1.5, np.zeros(2)), constants=(3,))
    assert case.differentiated() == [0]


def test_gradcheck_is_the_same_every_time():
    fn, x = ops.tanh, np.random.default_rng(0).normal(size=(30, 20))
    assert gradcheck(fn, [x]) == gradcheck(fn, [Tensor(x)])
