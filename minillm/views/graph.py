"""The autograd graph behind a tensor: the ops in the order they ran, then the gradient coming back node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

from minillm.errors import GraphError
from minillm.tensor import Tensor
from minillm.views.backward_walk import Arrival, Walk, walk
from minillm.views.graph_drawing import Box, Drawing
from minillm.views.text import number_lines, numbers, table
from minillm.views.view import Step, View

MOST_OPS = 40
_LEAVES = "What the gradient is asked for: tensors that no op computed. Inputs without requires_grad leave no trace."
_BEFORE = " The grads that stand here already will be added to, as backward always does."


def graph(tensor: Tensor, names: Mapping[str, Tensor] | None = None) -> View:
    """The graph that `tensor.backward()` walks: forward order, then every gradient as it arrives.

    This runs the backward pass, once: the leaves' `.grad` and the graph are then as after `tensor.backward()`.
    tensor: one element (a loss), not a leaf. names: what leaves are called. Up to 40 ops. Arrays of up to 6 elements
    are shown by their numbers, larger ones by their norm; values of intermediate results aren't kept by the tape.
    Raises GraphError where there is no graph, or it is too large, was freed, or a named tensor isn't a leaf;
    ShapeError for more than one element.
    """
    for name, leaf in (names or {}).items():
        if leaf.node:
            raise GraphError(f"views.graph: {name!r} names the result of {leaf.node.op}, not a leaf; name leaves only")
    value = tensor.numpy().copy()
    walked = walk(tensor, MOST_OPS)
    called = {leaf: name for name, leaf in (names or {}).items()}
    boxes = [_leaf_box(leaf, called.get(leaf, f"leaf {i + 1}")) for i, leaf in enumerate(walked.leaves)]
    boxes += [_op_box(i, node.op, [shape for shape, _ in node.outputs]) for i, node in enumerate(walked.nodes)]
    boxes[-1] = replace(boxes[-1], lines=(*boxes[-1].lines, *number_lines("value", value)))
    boxes = _with_grads(boxes, walked.before)
    states = [_after(boxes, walked, walked.arrivals[:i]) for i in range(1, len(walked.arrivals) + 1)]
    edges, n_leaves = _edges(walked), len(walked.leaves)
    drawing = Drawing([boxes, *states], edges)
    had_grads = any(grad is not None for grad in walked.before)
    steps = [Step("The leaves", _LEAVES + _BEFORE * had_grads, drawing.forward(boxes, n_leaves - 1))]
    for at in range(n_leaves, len(boxes)):
        title = f"Forward: {boxes[at].title}"
        steps.append(Step(title, _forward_text(boxes, edges, at), drawing.forward(boxes, at)))
    for arrival, now in zip(walked.arrivals, states, strict=True):
        at = n_leaves + arrival.node
        steps.append(Step(f"Backward: {now[at].title}", _backward_text(now, edges, at), drawing.backward(now, at)))
    final = states[-1]
    rows = [[box.title, *_described(box)] for box in final]
    return View(
        "The graph of a computation, forward and back",
        f"Ops: {len(walked.nodes)}; leaves: {n_leaves}; result: {numbers(value)}",
        tuple(steps),
        "\n".join(f"  {box.title}: {', '.join(x for x in _described(box) if x)}" for box in final),
        table("Leaves, and ops in forward order", ["what", "shape and value", "gradient"], rows),
    )


def _leaf_box(leaf: Tensor, name: str) -> Box:
    lines = (f"shape {leaf.shape}",) if leaf.shape else ()
    return Box(name, (*lines, *number_lines("value", leaf.numpy())), True)


def _op_box(i: int, op: str, shapes: list[tuple[int, ...]]) -> Box:
    return Box(f"{op} (op {i + 1})", (f"shape {', '.join(map(str, shapes))}",), False)


def _edges(walked: Walk) -> list[tuple[int, int]]:
    """Between boxes (leaves first, then nodes); an op that uses one input twice has two edges from it."""
    first = len(walked.leaves)
    return [
        (index if kind == "leaf" else first + index, first + i)
        for i, inputs in enumerate(walked.inputs)
        for kind, index in filter(None, inputs)
    ]


def _after(boxes: list[Box], walked: Walk, arrivals: list[Arrival]) -> list[Box]:
    """The boxes with the gradients that have arrived by the last of `arrivals`."""
    boxes, first = list(boxes), len(walked.leaves)
    for arrival in arrivals:
        lines = [line for _, g in sorted(arrival.gradients.items()) for line in number_lines("gradient", g)]
        boxes[first + arrival.node] = replace(boxes[first + arrival.node], gradient=tuple(lines))
    return _with_grads(boxes, arrivals[-1].leaves)


def _with_grads(boxes: list[Box], grads: list[Any]) -> list[Box]:
    """The boxes, the first of which are the leaves, with the leaves' grads."""
    lines = [() if grad is None else tuple(number_lines("grad", grad)) for grad in grads]
    return [replace(box, gradient=line) for box, line in zip(boxes, lines, strict=False)] + boxes[len(grads) :]


def _described(box: Box) -> tuple[str, str]:
    return " ".join(box.lines), " ".join(box.gradient)


def _inputs(boxes: list[Box], edges: list[tuple[int, int]], at: int) -> str:
    times = Counter(a for a, b in edges if b == at)
    named = [f"<strong>{escape(boxes[a].title)}</strong>{' (twice)' * (n == 2)}" for a, n in times.items()]
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _forward_text(boxes: list[Box], edges: list[tuple[int, int]], at: int) -> str:
    return f"It takes {_inputs(boxes, edges, at)}. Its result: {escape(', '.join(boxes[at].lines))}."


def _backward_text(boxes: list[Box], edges: list[tuple[int, int]], at: int) -> str:
    return (
        f"The gradient of its result is complete: {escape(' '.join(boxes[at].gradient).removeprefix('gradient '))}. "
        f"Its backward formula turns it into a gradient for {_inputs(boxes, edges, at)}."
    )
