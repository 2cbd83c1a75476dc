"""What a backward pass does, recorded: the graph behind a tensor, and the gradients as they arrive.

The tape keeps no intermediate tensors, so the record hooks its nodes (`Node.hooks`, what `Tensor.register_hook`
fills), runs `backward` once and takes the hooks away again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from minillm.errors import GraphError
from minillm.tape import Node, topological_order
from minillm.tensor import Tensor


@dataclass(frozen=True)
class Arrival:
    """One node's turn in the walk. gradients: by output, as they arrived; leaves: each leaf's grad after the turn."""

    node: int
    gradients: dict[int, np.ndarray]
    leaves: list[np.ndarray | None] = field(default_factory=list)


@dataclass(frozen=True)
class Walk:
    """A backward pass that has run.

    nodes: in forward order; leaves: as they are first used; inputs: what goes into each node, ("leaf", i) or
    ("node", i), None where no gradient is wanted; before: the leaves' grads that were there already; arrivals: in the
    order of the backward walk.
    """

    nodes: list[Node]
    leaves: list[Tensor]
    inputs: list[list[tuple[str, int] | None]]
    before: list[np.ndarray | None]
    arrivals: list[Arrival]


def walk(tensor: Tensor, most: int) -> Walk:
    """Run `tensor.backward()` and record it. The leaves' grads are what that call alone leaves, to the bit.

    Raises GraphError for a tensor without a graph, or with more than `most` ops; what `backward` raises otherwise.
    """
    if tensor.node is None:
        raise GraphError(
            "views.graph: this tensor has no graph behind it: it is a leaf, or was computed under no_grad(); "
            "give the result of ops on tensors with requires_grad=True"
        )
    order = topological_order(tensor.node)
    if len(order) > most:
        raise GraphError(f"views.graph draws up to {most} ops; behind this tensor are {len(order)}: show a smaller one")
    nodes = order[::-1]
    number = {node: i for i, node in enumerate(nodes)}
    leaves: list[Tensor] = []
    place: dict[Tensor, int] = {}
    inputs: list[list[tuple[str, int] | None]] = []
    for node in nodes:
        inputs.append([])
        for edge in node.edges:
            if isinstance(edge, Tensor) and edge not in place:
                place[edge] = len(leaves)
                leaves.append(edge)
            inputs[-1].append(
                None
                if edge is None
                else ("leaf", place[edge])
                if isinstance(edge, Tensor)
                else ("node", number[edge[0]])
            )
    return Walk(nodes, leaves, inputs, _grads(leaves), _record(tensor, nodes, leaves))


def _record(tensor: Tensor, nodes: list[Node], leaves: list[Tensor]) -> list[Arrival]:
    arrivals: list[Arrival] = []

    def arrived(i: int, output: int, gradient: Any) -> None:
        if not arrivals or arrivals[-1].node != i:
            if arrivals:  # the node before has passed its gradients on
                arrivals[-1].leaves.extend(_grads(leaves))
            arrivals.append(Arrival(i, {}))
        arrivals[-1].gradients[output] = np.array(gradient, copy=True)

    hooked: list[tuple[list, Callable]] = []
    for i, node in enumerate(nodes):
        for output in range(len(node.outputs)):
            hook: Callable = partial(arrived, i, output)
            node.hooks.setdefault(output, []).append(hook)
            hooked.append((node.hooks[output], hook))
    try:
        tensor.backward()
    finally:
        for hooks, hook in hooked:
            hooks.remove(hook)
    arrivals[-1].leaves.extend(_grads(leaves))
    return arrivals


def _grads(leaves: list[Tensor]) -> list[np.ndarray | None]:
    return [None if leaf.grad is None else np.array(leaf.grad, copy=True) for leaf in leaves]
