"""Looking into a backward pass: hooks, gradients kept on intermediates, and where NaN came from."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.errors import GraphError
from minillm.registry import OPS


def leaf(*values):
    return Tensor(np.array(values, dtype=np.float64), requires_grad=True)


def test_a_hook_sees_the_whole_gradient_of_a_leaf():
    x, seen = leaf(2.0), []
    x.register_hook(lambda g: seen.append(g.copy()))
    (x * x + x * 3).backward()
    assert seen == [7.0]


def test_a_hook_on_an_intermediate_may_replace_its_gradient():
    x = leaf(2.0)
    y = x * x
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g + 1)  # in order of registration
    (y * 1).backward()
    assert x.grad == 4 * (10 + 1)


def test_a_removed_hook_is_not_called():
    x = leaf(2.0)
    remove = x.register_hook(lambda g: g * 100)
    remove()
    (x * 1).backward()
    assert x.grad == 1


def test_a_hooks_array_is_not_written_to():
    x, own = leaf(1.0), np.array([5.0])
    x.register_hook(lambda g: own)
    (x * 2).backward()
    (x * 2).backward()
    assert x.grad == 10
    assert own == 5


def test_hooks_are_refused_where_they_mean_nothing():
    with pytest.raises(GraphError, match="requires gradients"):
        Tensor([1.0]).register_hook(print)
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g[:1])
    with pytest.raises(GraphError, match=r"shape \(1,\) for a gradient of shape \(2,\)"):
        (x * 2).sum().backward()


def test_retain_grad_keeps_an_intermediates_gradient():
    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    z = y * 3
    z.backward(retain_graph=True)
    assert y.grad == 3
    assert z.grad is None  # not asked for
    z.backward()
    assert y.grad == 6  # adds up over calls, as a leaf's does


# ---- finding NaN ----


def test_trace_non_finite_names_the_op_and_the_ranges_of_its_inputs():
    with np.errstate(divide="ignore", over="ignore"):
        with (
            ml.trace_non_finite(),
            pytest.raises(FloatingPointError, match=r"log gave NaN .* \(2,\) float64 from 0 to 3"),
        ):
            ops.log(leaf(0.0, 3.0)).sum()
        root = ops.sqrt(leaf(0.0, 4.0)).sum()
        with ml.trace_non_finite(), pytest.raises(FloatingPointError, match="backward of sqrt gave NaN or infinity"):
            root.backward()
        ops.log(leaf(0.0))  # outside the block nothing is looked at


def test_a_backward_of_the_wrong_shape_names_the_op():
    @ml.op()
    def careless(xp, x):
        return x.sum(), None

    careless.backward(lambda xp, dy, saved: (dy,))
    del OPS["careless"]
    with pytest.raises(GraphError, match=r"careless: its backward returned shape \(\) for an input of shape \(2,\)"):
        careless(leaf(1.0, 2.0)).backward()
