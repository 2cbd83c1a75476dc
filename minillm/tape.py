"""The tape: what ops leave behind, and the walk back along it that computes gradients.

Reverse-mode differentiation (the backpropagation of document section 9.2). An op that runs on tensors leaves a `Node`:
which kernel ran, what it saved, and where its inputs came from. `walk_back` visits the nodes from the result to the
leaves, hands each the gradient of its outputs, and passes on what the kernel's backward formula returns. This file
knows no op, no kernel and no tensor's methods: a node only calls `kernel.backward(xp, gradient, saved)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from minillm.backend import Array, RowGradient, array_module, arrays_in, shares_memory
from minillm.errors import GraphError
from minillm.tracing import check_finite, is_tracing

_grad_enabled: ContextVar[bool] = ContextVar("minillm_grad_enabled", default=True)
_edges: ContextVar[list[Any] | None] = ContextVar("minillm_edges", default=None)  # of the node being pulled back
_FREED = object()  # in place of what a node saved, once its backward has run


class Node:
    """One op that ran: its kernel, what it saved, and the origin of each input.

    edges: for each input None (no gradient wanted), the leaf tensor, or (node, output index).
        Not the input tensors themselves: an intermediate array lives only as long as someone saved it.
    """

    __slots__ = ("op", "kernel", "saved", "edges", "outputs", "versions", "hooks", "__weakref__")

    def __init__(self, op: str, kernel: Any, saved: Any, inputs: list[Any], outputs: list[Any]):
        self.op = op
        self.kernel = kernel
        self.saved = saved
        self.edges = [_edge(x) for x in inputs]
        self.outputs = [(out.shape, out.dtype) for out in outputs]
        tensors = [x for x in inputs if hasattr(x, "version")] + outputs
        kept = list(arrays_in(saved))
        self.versions = [(t.version, t.version.count) for t in tensors if _shares_memory(t._array, kept)]
        self.hooks: dict[int, list[Callable]] = {}

    def pull_back(self, gradients: list[Array | None], retain_graph: bool) -> tuple[Array | None, ...]:
        """The gradients of the inputs, given those of the outputs; drops what was saved unless told to keep it."""
        if self.saved is _FREED:
            raise GraphError(
                f"{self.op}: backward ran through this graph before and freed its saved values; "
                "pass retain_graph=True to the first backward to run it twice"
            )
        if any(version.count != count for version, count in self.versions):
            raise GraphError(
                f"{self.op}: a value that backward needs was changed in place after the forward pass; "
                "make a copy, or change it after backward"
            )
        xp = array_module(next(g for g in gradients if g is not None))
        filled = [
            xp.zeros(shape, dtype) if g is None else g
            for g, (shape, dtype) in zip(gradients, self.outputs, strict=True)
        ]
        token = _edges.set(self.edges)
        try:
            out = self.kernel.backward(xp, filled[0] if len(filled) == 1 else tuple(filled), self.saved)
        finally:
            _edges.reset(token)
        if is_tracing():
            check_finite(f"backward of {self.op}", out, filled)
        if not retain_graph:
            self.saved = _FREED
        return out


class no_grad:
    """Within it, ops record nothing: less memory, no backward."""

    def __enter__(self) -> None:
        self._before = _grad_enabled.set(False)

    def __exit__(self, *exception: object) -> None:
        _grad_enabled.reset(self._before)


class enable_grad(no_grad):
    """Within it, ops record what they do, also inside `no_grad`."""

    def __enter__(self) -> None:
        self._before = _grad_enabled.set(True)


def is_grad_enabled() -> bool:
    """Whether ops record what they do."""
    return _grad_enabled.get()


def is_wanted(i: int) -> bool:
    """In a kernel's backward: whether the gradient of input `i` has a use; if not, None may be returned in its place.

    For what is dear: a frozen weight's gradient is a third of a linear layer's work.
    """
    edges = _edges.get()
    return edges is None or edges[i] is not None


def walk_back(root: Any, gradient: Array, retain_graph: bool) -> None:
    """Visit every node between `root` and the leaves once, each after all that use its outputs."""
    pending: dict[Any, Sum] = {}  # gradients on their way, by leaf or by (node, output index)
    pending[_edge(root)] = Sum(gradient)
    for node in topological_order(root.node):
        gradients = [pending.pop((node, i)).value if (node, i) in pending else None for i in range(len(node.outputs))]
        for i, hooks in node.hooks.items():
            if gradients[i] is not None:
                gradients[i] = _run_hooks(hooks, gradients[i])
        if all(g is None for g in gradients):  # reached only through gradients that were None
            continue
        received = [g for g in gradients if g is not None]
        held = [*received, *arrays_in(node.saved)]  # alive until ids are compared: a freed array's goes to a new one
        borrowed = {id(a) for a in held}
        pulled_back = [
            _placed(g, edge) for g, edge in zip(node.pull_back(gradients, retain_graph), node.edges, strict=True)
        ]
        borrowed |= {id(g.base) for g in pulled_back if g is not None}
        times = Counter(map(id, pulled_back))  # one array may be the gradient of two inputs
        for edge, g in zip(node.edges, pulled_back, strict=True):
            if edge is None or g is None:
                continue
            g = _checked(g, edge, node.op)
            # Fresh memory may be added to in place; a view, or an array someone else holds, may not.
            fresh = g.base is None and id(g) not in borrowed and times[id(g)] == 1
            borrowed.add(id(g))
            if edge in pending:
                pending[edge].add(g, fresh)
            else:
                pending[edge] = Sum(g, fresh)
            if not isinstance(edge, tuple) and not edge.hooks:  # no need to wait for the rest of a leaf's gradient
                _add_to_leaf(edge, pending.pop(edge))
    for leaf, total in pending.items():  # the leaves with hooks, which see the whole gradient
        _add_to_leaf(leaf, Sum(_run_hooks(leaf.hooks, total.value)))  # copied: a hook may hold the array


def topological_order(root: Node | None) -> list[Node]:
    """The nodes `root` depends on, users before what they use. Iterative: a deep graph can't overflow the stack."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False)] if root else []
    while stack:
        node, inputs_done = stack.pop()
        if inputs_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((edge[0], False) for edge in node.edges if isinstance(edge, tuple))
    return order[::-1]


class Sum:
    """A gradient being summed: in place only once the tape owns the buffer."""

    __slots__ = ("value", "owned")

    def __init__(self, value: Array, owned: bool = False):
        self.value, self.owned = value, owned

    def add(self, gradient: Array, fresh: bool) -> None:
        if self.owned:
            self.value += gradient
        elif fresh:
            gradient += self.value
            self.value, self.owned = gradient, True
        else:
            self.value, self.owned = self.value + gradient, True


def _placed(gradient: Any, edge: Any) -> Array | None:
    """A gradient of some rows goes straight into a leaf that has one already (a tied embedding); else made whole."""
    if not isinstance(gradient, RowGradient):
        return gradient
    if edge is None:
        return None
    if isinstance(edge, tuple) or edge.hooks or edge.grad is None or edge.grad.dtype != gradient.values.dtype:
        return gradient.dense()
    gradient.add_to(edge.grad)
    return None


def _edge(x: Any) -> Any:
    if not getattr(x, "requires_grad", False):
        return None
    return x if x.node is None else (x.node, x.output_index)


def _shares_memory(array: Array, others: list[Array]) -> bool:
    return any(array is other or shares_memory(array, other) for other in others)


def _checked(gradient: Array, edge: Any, op: str) -> Array:
    shape, dtype = edge[0].outputs[edge[1]] if isinstance(edge, tuple) else (edge.shape, edge.dtype)
    if gradient.shape != shape:
        raise GraphError(f"{op}: its backward returned shape {gradient.shape} for an input of shape {shape}")
    return gradient if gradient.dtype == dtype else gradient.astype(dtype)


def _run_hooks(hooks: list[Callable], gradient: Array) -> Array:
    for hook in list(hooks):
        replaced = hook(gradient)
        if replaced is not None:
            if replaced.shape != gradient.shape:
                raise GraphError(f"a hook returned shape {replaced.shape} for a gradient of shape {gradient.shape}")
            gradient = replaced.astype(gradient.dtype, copy=False)
    return gradient


def _add_to_leaf(leaf: Any, total: Sum) -> None:
    if leaf.grad is None:
        leaf.grad = total.value if total.owned else total.value.copy()
    else:
        leaf.grad += total.value
