"""The autograd engine: a tensor, the tape it records, and the walk back along it.

Reverse-mode differentiation (the backpropagation of document section 9.2). An
op that runs on tensors leaves a `Node` behind: which kernel ran, what it saved,
and where its inputs came from. `backward` visits the nodes from the result to
the leaves, hands each the gradient of its outputs, and passes on what the
kernel's backward formula returns. This file knows no op, no kernel and no
backend: a node only calls `kernel.backward(xp, gradient, saved)`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from minillm.backend import array_module
from minillm.errors import GraphError, ShapeError

Array = Any  # np.ndarray, or the array type of another backend
_grad_enabled: ContextVar[bool] = ContextVar("minillm_grad_enabled", default=True)
_tracing: ContextVar[bool] = ContextVar("minillm_trace_non_finite", default=False)


class Version:
    """How often an array was changed in place; shared by all tensors that view the same memory."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    array: anything NumPy can make an array of. Python numbers and lists become
        float32 (or int64, or bool); NumPy arrays keep their dtype. The memory is shared, not copied.
    requires_grad: whether `backward` should fill `grad` (floating-point tensors only).

    `grad` is a plain array of the tensor's shape and dtype, or None.
    """

    __array_priority__ = 1000  # array + tensor calls Tensor.__radd__, not NumPy's element loop
    __slots__ = ("_array", "requires_grad", "grad", "node", "output_index", "version", "hooks", "__weakref__")

    def __init__(self, array: Any, requires_grad: bool = False):
        if isinstance(array, Tensor):
            array = array._array
        from_python = not hasattr(array, "dtype")
        array = np.asarray(array) if from_python or np.isscalar(array) else array
        if from_python and array.dtype == np.float64:
            array = array.astype(np.float32)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"a Tensor holds numbers; this is an array of dtype {array.dtype} (ragged list? strings?)")
        if requires_grad and array.dtype.kind != "f":
            raise TypeError(f"only floating-point tensors can require gradients; this one is {array.dtype}")
        self._array = array
        self.requires_grad = requires_grad
        self.grad: Array | None = None
        self.node: Node | None = None  # what computed it; None for a leaf
        self.output_index = 0
        self.version = Version()
        self.hooks: list[Callable[[Array], Array | None]] = []

    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    is_leaf = property(lambda self: self.node is None)

    # ---- reading and writing the array ----

    def numpy(self) -> np.ndarray:
        """The values as a read-only NumPy view; `.numpy().copy()` for one to write to."""
        view = self._array.view() if isinstance(self._array, np.ndarray) else self._array.get()
        view.flags.writeable = False
        return view

    def mutable(self) -> Array:
        """The array itself, to be written in place.

        Marks the tensor as changed, so that a backward pass that still needs the old values refuses to run.
        """
        self.version.count += 1
        return self._array

    def __setitem__(self, index: Any, value: Any) -> None:
        if _grad_enabled.get() and self.requires_grad:
            raise GraphError(
                "writing into a tensor that requires gradients would not be differentiated; "
                "use ops.where to build a new one, or write under no_grad()"
            )
        self.mutable()[_plain(index)] = _plain(value)

    def item(self) -> float | int | bool:
        """The value of a tensor with one element, as a Python number."""
        if self.size != 1:
            raise ShapeError(f"item() needs a tensor of one element; this one has shape {self.shape}")
        return self._array.item()

    def detach(self) -> Tensor:
        """The same values (shared memory) without their history."""
        out = Tensor(self._array)
        out.version = self.version
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._array, dtype=dtype) if copy else np.asarray(self._array, dtype=dtype)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a tensor of shape () has no length")
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.item())

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({np.array2string(np.asarray(self._array), separator=', ', prefix='Tensor(')}{grad})"

    # ---- gradients ----

    def register_hook(self, hook: Callable[[Array], Array | None]) -> Callable[[], None]:
        """Call `hook(gradient)` in `backward`; what it returns, if not None, replaces the gradient.

        Returns a function that removes the hook again.
        """
        if not self.requires_grad:
            raise GraphError("a hook needs a tensor that requires gradients")
        hooks = self.node.hooks.setdefault(self.output_index, []) if self.node else self.hooks
        hooks.append(hook)
        return lambda: hooks.remove(hook)

    def retain_grad(self) -> None:
        """Keep `grad` on a tensor that isn't a leaf, too."""
        this = weakref.ref(self)

        def keep(gradient: Array) -> None:
            tensor = this()
            if tensor is not None:
                tensor.grad = gradient.copy() if tensor.grad is None else tensor.grad + gradient

        if self.node:
            self.register_hook(keep)

    def backward(self, gradient: Any = None, *, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add d(self)/d(leaf) to `leaf.grad` for every leaf that requires gradients.

        gradient: d(loss)/d(self), of this tensor's shape; may be left out for a single element (then 1).
        retain_graph: keep the saved values, so that backward can run again.
        Raises GraphError when there is nothing to differentiate, a needed value was freed or changed, or
        `create_graph` asks for second derivatives, which this engine doesn't compute.
        """
        if create_graph:
            raise GraphError(
                "second derivatives aren't supported: backward runs on plain arrays and leaves no tape; "
                "differentiate the gradient's own formula, or check it with minillm.testing.gradcheck"
            )
        if not self.requires_grad:
            raise GraphError(
                "backward() on a tensor that requires no gradient: no input had requires_grad=True, "
                "or it was computed under no_grad() or from detach()"
            )
        if gradient is None and self.size != 1:
            raise ShapeError(f"backward() without a gradient needs one element, not shape {self.shape}; take .sum()")
        xp = array_module(self._array)
        start = xp.ones_like(self._array) if gradient is None else xp.asarray(_plain(gradient), dtype=self.dtype)
        if start.shape != self.shape:
            raise ShapeError(f"backward() got a gradient of shape {start.shape} for a tensor of shape {self.shape}")
        walk_back(self, start, retain_graph)

    if TYPE_CHECKING:  # attached by ops/operators.py

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, exponent: Any) -> Tensor: ...
        def __rpow__(self, base: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def var(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Tensor: ...
        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...
        def tanh(self) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def astype(self, dtype: Any) -> Tensor: ...

        T: Tensor


class Node:
    """One op that ran: its kernel, what it saved, and the origin of each input.

    edges: for each input None (no gradient wanted), the leaf tensor, or (node, output index).
        Not the input tensors themselves: an intermediate array lives only as long as someone saved it.
    """

    __slots__ = ("op", "kernel", "saved", "edges", "outputs", "versions", "hooks", "__weakref__")

    def __init__(self, op: str, kernel: Any, saved: Any, inputs: list[Any], outputs: list[Tensor]):
        self.op = op
        self.kernel = kernel
        self.saved = saved
        self.edges = [_edge(x) for x in inputs]
        self.outputs = [(out.shape, out.dtype) for out in outputs]
        tensors = [x for x in inputs if isinstance(x, Tensor)] + outputs
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
        out = self.kernel.backward(xp, filled[0] if len(filled) == 1 else tuple(filled), self.saved)
        if _tracing.get():
            check_finite(f"backward of {self.op}", out, filled)
        if not retain_graph:
            self.saved = _FREED
        return out


_FREED = object()


class no_grad:
    """Within it, ops record nothing: less memory, no backward."""

    def __enter__(self) -> None:
        self._before = _grad_enabled.set(False)

    def __exit__(self, *exception: object) -> None:
        _grad_enabled.reset(self._before)


def is_grad_enabled() -> bool:
    """Whether ops record what they do."""
    return _grad_enabled.get()


def walk_back(root: Tensor, gradient: Array, retain_graph: bool) -> None:
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
        borrowed = {id(a) for a in [*received, *arrays_in(node.saved)]}
        pulled_back = node.pull_back(gradients, retain_graph)
        borrowed |= {id(g.base) for g in pulled_back if g is not None}
        for edge, g in zip(node.edges, pulled_back, strict=True):
            if edge is None or g is None:
                continue
            g = _checked(g, edge, node.op)
            # Fresh memory may be added to in place; a view, or an array someone else holds, may not.
            fresh = g.base is None and id(g) not in borrowed
            borrowed.add(id(g))
            if edge in pending:
                pending[edge].add(g, fresh)
            else:
                pending[edge] = Sum(g, fresh)
            if isinstance(edge, Tensor) and not edge.hooks:  # no need to wait for the rest of a leaf's gradient
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


@contextmanager
def trace_non_finite() -> Iterator[None]:
    """Within it, the first op whose result holds NaN or infinity raises FloatingPointError.

    The message names the op, forward or backward, and the range of each of its inputs.
    """
    token = _tracing.set(True)
    try:
        yield
    finally:
        _tracing.reset(token)


def is_tracing() -> bool:
    """Whether `trace_non_finite` is on."""
    return _tracing.get()


def check_finite(what: str, results: Any, inputs: Any) -> None:
    """Raise FloatingPointError if a floating-point array of `results` isn't finite."""
    for array in arrays_in(results):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FloatingPointError(
                f"{what} gave NaN or infinity; its inputs: {', '.join(map(_range, arrays_in(inputs)))}"
            )


def arrays_in(values: Any) -> Iterator[Array]:
    """The arrays in (nested tuples and lists of) values."""
    if isinstance(values, tuple | list):
        for value in values:
            yield from arrays_in(value)
    elif hasattr(values, "dtype") and hasattr(values, "shape"):
        yield values


def _range(array: Array) -> str:
    if not array.size:
        return f"{array.shape} empty"
    return f"{array.shape} {array.dtype} from {array.min():.4g} to {array.max():.4g}"


def _plain(value: Any) -> Any:
    """`value` with tensors replaced by their arrays (an index may be a tuple of tensors)."""
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    return value._array if isinstance(value, Tensor) else value


def _edge(x: Any) -> Any:
    if not isinstance(x, Tensor) or not x.requires_grad:
        return None
    return x if x.node is None else (x.node, x.output_index)


def _shares_memory(array: Array, others: list[Array]) -> bool:
    return any(array is other or array_module(array).may_share_memory(array, other) for other in others)


def _checked(gradient: Array, edge: Any, op: str) -> Array:
    shape, dtype = (edge.shape, edge.dtype) if isinstance(edge, Tensor) else edge[0].outputs[edge[1]]
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


def _add_to_leaf(leaf: Tensor, total: Sum) -> None:
    if leaf.grad is None:
        leaf.grad = total.value if total.owned else total.value.copy()
    else:
        leaf.grad += total.value
