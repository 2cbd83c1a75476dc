"""The tape: what backward adds up, keeps, frees, refuses, and tells hooks."""

import gc
import weakref

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import arrays_in
from minillm.errors import GraphError, ShapeError
from minillm.registry import OPS


def leaf(*values):
    return Tensor(np.array(values, dtype=np.float64), requires_grad=True)


# ---- sums over paths, calls and uses ----


def test_a_diamond_adds_both_paths():
    x = leaf(3.0)
    a = x * x
    y = a * a + a  # x⁴ + x²
    y.backward()
    assert x.grad == 4 * 3**3 + 2 * 3


def test_a_ladder_of_diamonds_visits_each_node_once():
    x = y = leaf(1.0)
    for _ in range(200):  # 2²⁰⁰ paths
        y = y * 0.5 + y * 0.5
    y.backward()
    assert x.grad == 1


def test_a_chain_of_10_000_nodes_overflows_no_stack():
    x = y = leaf(1.0)
    for _ in range(10_000):
        y = y + 1
    y.backward()
    assert x.grad == 1
    del y
    gc.collect()


def test_gradients_add_up_over_calls_until_zeroed():
    x = leaf(1.0, 2.0)
    for times in (1, 2, 3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad, times * 2 * x.numpy())
    x.grad = None
    (x * 5).sum().backward()
    np.testing.assert_array_equal(x.grad, [5, 5])


def test_an_input_used_twice_in_one_op_gets_both_gradients():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad == 6
    x.grad = None
    ops.concat(x, x, x).sum().backward()
    assert x.grad == 3


def test_outputs_of_split_that_are_not_used_count_as_zero():
    x = leaf(1, 2, 3, 4, 5, 6)
    a, _, c = ops.split(x, sections=3)
    (a * 2).sum().backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, [2, 2, 0, 0, 0, 0])
    x.grad = None
    (a.sum() + (c * c).sum()).backward()
    np.testing.assert_array_equal(x.grad, [1, 1, 0, 0, 10, 12])


def test_a_gradient_given_to_backward_weighs_the_result():
    x = leaf(1.0, 2.0)
    (x * 3).backward([1.0, -2.0])
    np.testing.assert_array_equal(x.grad, [3, -6])
    with pytest.raises(ShapeError, match=r"gradient of shape \(3,\) for a tensor of shape \(2,\)"):
        (x * 3).backward(np.ones(3))
    with pytest.raises(ShapeError, match=r"one element, not shape \(2,\)"):
        (x * 3).backward()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_gradient_has_the_shape_and_dtype_of_its_tensor(dtype):
    x = Tensor(np.ones((2, 3), dtype), requires_grad=True)
    y = Tensor(np.ones((3,), np.float64), requires_grad=True)
    (x * y).sum().backward()
    assert (x.grad.shape, x.grad.dtype) == ((2, 3), dtype)
    assert (y.grad.shape, y.grad.dtype) == ((3,), np.float64)


# ---- what isn't recorded ----


def test_no_grad_and_detach_record_nothing():
    x = leaf(2.0)
    with ml.no_grad():
        y = x * x
    assert y.is_leaf and not y.requires_grad
    (x * x.detach()).backward()
    assert x.grad == 2  # the detached factor is a constant
    with pytest.raises(GraphError, match="requires no gradient"):
        y.backward()


def test_no_grad_ends_with_its_block_even_by_an_exception():
    with pytest.raises(KeyError), ml.no_grad(), ml.no_grad():
        raise KeyError
    assert (leaf(1.0) * 2).requires_grad


def test_constants_get_no_gradient():
    x, constant = leaf(2.0), Tensor([3.0])
    (x * constant).backward()
    assert constant.grad is None


def test_second_derivatives_are_refused():
    with pytest.raises(GraphError, match="second derivatives aren't supported"):
        (leaf(1.0) * 2).backward(create_graph=True)


# ---- memory ----


def test_a_second_backward_needs_retain_graph():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad == 12
    with pytest.raises(GraphError, match="mul: backward ran .* retain_graph=True"):
        y.backward()


def test_saved_memory_is_freed_by_backward():
    x = leaf(0.5, 1.0)
    y = ops.exp(x * 2)
    loss = ops.exp(y * y).sum()
    saved = [weakref.ref(a) for a in arrays_in(y.node.saved)]
    del y
    assert saved and all(ref() is not None for ref in saved)
    loss.backward()
    assert all(ref() is None for ref in saved)  # though `loss` and its tape are still held


def test_an_intermediate_array_nobody_saved_is_freed_at_once():
    x = leaf(1.0, 2.0)
    middle = x + 1
    result = middle + 1  # addition saves shapes only
    array = weakref.ref(middle._array)
    del middle
    assert array() is None
    assert result.requires_grad


def test_gradients_never_share_memory_with_a_users_array():
    x, y, upstream = leaf(1.0, 2.0), leaf(3.0, 4.0), np.array([5.0, 6.0])
    (x + y).backward(upstream)
    assert not np.shares_memory(x.grad, upstream)
    assert not np.shares_memory(y.grad, upstream)
    assert not np.shares_memory(x.grad, y.grad)
    x.grad *= 0
    np.testing.assert_array_equal(upstream, [5, 6])
    x.backward(upstream)  # a leaf itself
    assert not np.shares_memory(x.grad, upstream)


def test_a_backward_that_returns_views_of_one_array_stays_right():
    """Gradients are added in place only into memory no other gradient uses."""

    @ml.op()
    def add_turned(xp, a, b):
        return a + b.T, None

    @add_turned.backward
    def add_turned_backward(xp, dc, saved):
        fresh = dc * 1
        return fresh, fresh.T

    del OPS["add_turned"]
    a, b = (Tensor(np.ones((2, 2)), requires_grad=True) for _ in range(2))
    u, v = a * 1, b * 1
    (add_turned(u, v) + (u * 10 + v * 10)).sum().backward()
    np.testing.assert_array_equal(a.grad, np.full((2, 2), 11.0))
    np.testing.assert_array_equal(b.grad, np.full((2, 2), 11.0))


# ---- values changed in place ----


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.mutable().fill(0),
        lambda x: x.detach().__setitem__(0, 9.0),
        lambda x: x.reshape(2, 1).mutable().fill(0),
        lambda x: x[:1].mutable().fill(0),
    ],
    ids=["mutable()", "[0] = of the detached", "a reshaped view", "a slice"],
)
def test_a_value_backward_needs_must_not_change(change):
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    change(x)
    with pytest.raises(GraphError, match="mul: a value that backward needs was changed in place"):
        y.backward()


def test_changing_the_base_of_a_saved_view_is_noticed():
    base = Tensor(np.ones((2, 2)))
    x = leaf(1.0, 2.0)
    y = (x * base.T[0]).sum()
    base[0, 0] = 5.0
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_changing_a_saved_result_is_noticed():
    x = leaf(1.0)
    y = ops.exp(x)
    y.mutable()[...] = 0
    with pytest.raises(GraphError, match="exp: .* changed in place"):
        y.backward()


def test_what_backward_does_not_need_may_change():
    x = leaf(1.0, 2.0)
    y = (x + 1).sum()  # the derivative of a sum needs no values
    x.mutable()[...] = 0
    y.backward()
    np.testing.assert_array_equal(x.grad, [1, 1])


def test_writing_into_a_tensor_that_requires_gradients_is_refused():
    x = leaf(1.0, 2.0)
    with pytest.raises(GraphError, match=r"ops\.where"):
        x[0] = 3.0
    with ml.no_grad():
        x[0] = 3.0
    assert x.numpy()[0] == 3


def test_one_array_for_two_inputs_is_not_added_to_in_place():
    """rms_norm's backward returns one array for x and for the residual; what x gets besides isn't the residual's."""
    x, r = (Tensor(np.random.default_rng(i).normal(size=(3, 4)), requires_grad=True) for i in range(2))
    middle, other = x * 1.0, r * 1.0
    # The last term has `other` wait for its gradients until the product has added to those of `middle`.
    (ops.rms_norm(middle, None, other).sum() + (middle * 5.0).sum() + (other * 2.0).sum()).backward()
    alone = Tensor(r.numpy(), requires_grad=True)
    ops.rms_norm(Tensor(x.numpy()), None, alone).sum().backward()
    np.testing.assert_allclose(x.grad, alone.grad + 5, atol=1e-12)
    np.testing.assert_allclose(r.grad, alone.grad + 2, atol=1e-12)
