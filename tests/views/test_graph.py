"""The graph view: the gradients it shows are those of `backward`, and it leaves everything as `backward` does."""

import numpy as np
import pytest

from minillm import Tensor, no_grad, ops
from minillm.errors import GraphError, ShapeError
from minillm.tape import topological_order
from minillm.views import graph
from minillm.views.text import numbers
from tests.views.page import Page


def leaves(seed=0):
    rng = np.random.default_rng(seed)
    return {name: Tensor(rng.normal(size=shape), True) for name, shape in {"x": (3,), "w": (2, 3), "b": (2,)}.items()}


def small_network(x, w, b):
    return (ops.tanh(w @ x + b) ** 2).sum() + (w * w).sum() * 0.5


def table(view):
    rows = Page(view._repr_html_()).tables["Leaves, and ops in forward order"]
    return {row[0]: row[1:] for row in rows[1:]}


def test_the_leaves_gradients_are_those_of_backward_to_the_bit():
    mine, same = leaves(), leaves()
    shown = table(graph(small_network(**mine), mine))
    small_network(**same).backward()
    for name, leaf in mine.items():
        assert leaf.grad.tobytes() == same[name].grad.tobytes()
        assert shown[name][1] == f"grad {numbers(same[name].grad)}"
        assert numbers(leaf.numpy()) in shown[name][0]


def test_an_intermediate_s_gradient_is_what_retain_grad_keeps():
    x, w, b = leaves().values()
    h = ops.tanh(w @ x + b)
    h.retain_grad()
    shown = table(graph((h * Tensor([2.0, -3.0])).sum()))
    assert h.grad.tolist() == [2.0, -3.0]
    assert shown["tanh (op 3)"][1] == "gradient [2.00, −3.00]"


def test_forward_steps_are_the_ops_in_order_and_backward_steps_the_walk_s():
    loss = small_network(**leaves())
    walk = topological_order(loss.node)
    ops_in_order = [f"{node.op} (op {len(walk) - i})" for i, node in enumerate(walk)]
    titles = [step.title for step in graph(loss).steps]
    assert titles[0] == "The leaves"
    assert titles[1 : len(walk) + 1] == [f"Forward: {name}" for name in ops_in_order[::-1]]
    assert titles[len(walk) + 1 :] == [f"Backward: {name}" for name in ops_in_order]


def test_a_leaf_s_gradient_grows_as_its_parts_arrive():
    """a² + 3a at a = 2: 3 comes from one op and 4 from the other; the sum is 7."""
    a = Tensor(2.0, requires_grad=True)
    view = graph(a * a + a * 3, {"a": a})
    backward = [step.body for step in view.steps if step.title.startswith("Backward")]
    assert "grad 7.00" not in backward[0] + backward[1]
    assert "grad 7.00" in backward[2]
    assert ("grad 3.00" in backward[1]) != ("grad 4.00" in backward[1])
    assert "(twice)" in "".join(step.text for step in view.steps)
    assert a.grad == 7


def test_a_grad_that_was_there_is_added_to():
    a = Tensor(2.0, requires_grad=True)
    a.grad = np.array(10.0, np.float32)
    view = graph(a * 3, {"a": a})
    assert "grad 10.0" in view.steps[0].body
    assert "added to" in view.steps[0].text
    assert a.grad == 13


def test_hooks_are_run_and_none_of_the_view_s_stay():
    a = Tensor(2.0, requires_grad=True)
    b = a * 3
    b.register_hook(lambda g: g * 10)
    loss = b * b
    nodes = topological_order(loss.node)
    graph(loss)
    assert a.grad == 3 * 10 * 2 * 6
    assert sum(len(hooks) for node in nodes for hooks in node.hooks.values()) == 1


def test_ops_with_several_results_and_arrays_too_large_for_numbers():
    x = Tensor(np.arange(12.0).reshape(4, 3), requires_grad=True)
    first, second = ops.split(x, sections=2)
    shown = table(graph((first * second).sum(), {"x": x}))
    assert shown["x"][1] == f"grad ‖·‖ = {numbers(np.linalg.norm(x.grad))}"
    assert x.grad.tolist() == [*x.numpy()[2:].tolist(), *x.numpy()[:2].tolist()]


def test_what_has_no_graph_is_refused_with_the_reason():
    x, w, b = leaves().values()
    with pytest.raises(GraphError, match="it is a leaf"):
        graph(x)
    with no_grad(), pytest.raises(GraphError, match="no graph behind it"):
        graph(small_network(x, w, b))
    with pytest.raises(ShapeError, match=r"not shape \(2,\)"):
        graph(w @ x)
    with pytest.raises(GraphError, match="'h' names the result of matmul"):
        graph(small_network(x, w, b), {"h": w @ x})
    loss = small_network(x, w, b)
    loss.backward()
    with pytest.raises(GraphError, match="retain_graph"):
        graph(loss)
    assert not any(hooks for node in topological_order(loss.node) for hooks in node.hooks.values())
    deep = x
    for _ in range(41):
        deep = deep * 2
    with pytest.raises(GraphError, match="up to 40 ops; behind this tensor are 42"):
        graph(deep.sum())
