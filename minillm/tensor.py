"""The tensor: an array that remembers how it was computed, so that `backward` can find its gradients.

The walk itself is in tape.py; the operators and methods such as `+` and `sum` are attached from ops/operators.py.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minillm.backend import Array, array_module, beside, find_backend, is_floating, on_cpu, on_device
from minillm.errors import GraphError, ShapeError
from minillm.tape import Node, is_grad_enabled, walk_back


class Version:
    """How often an array was changed in place; shared by all tensors that view the same memory."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    array: anything NumPy can make an array of. Python numbers and lists become float32 (or int64, or bool); arrays
        keep their dtype. The memory is shared, not copied, unless the backend in use computes on a GPU: then a NumPy
        array is copied there.
    requires_grad: whether `backward` should fill `grad` (floating-point tensors only).

    `grad` is a plain array of the tensor's shape and dtype, or None.
    """

    __array_priority__ = 1000  # array + tensor calls Tensor.__radd__, not NumPy's element loop
    __slots__ = ("_array", "requires_grad", "grad", "node", "output_index", "version", "hooks", "__weakref__")

    def __init__(self, array: Any, requires_grad: bool = False):
        if type(array) is not np.ndarray:
            array = _as_array(array)
        array = on_device(array)
        if array.dtype.kind not in "iub" and not is_floating(array.dtype):
            raise TypeError(f"a Tensor holds numbers; this is an array of dtype {array.dtype} (ragged list? strings?)")
        if requires_grad and not is_floating(array.dtype):
            raise TypeError(f"only floating-point tensors can require gradients; this one is {array.dtype}")
        self._begin(array, requires_grad)

    def _begin(self, array: Array, requires_grad: bool) -> None:
        self._array: Array = array
        self.requires_grad = requires_grad
        self.grad: Array | None = None
        self.node: Node | None = None  # what computed it; None for a leaf
        self.output_index = 0
        self.version = Version()
        self.hooks: list[Callable[[Array], Array | None]] = []

    @classmethod
    def of(cls, array: Array) -> Tensor:
        """A tensor of an array that stays where it is: what ops make of their results."""
        tensor = cls.__new__(cls)
        tensor._begin(np.asarray(array) if isinstance(array, np.generic) else array, False)
        return tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op computed it: only leaves keep `grad`."""
        return self.node is None

    # ---- reading and writing the array ----

    def numpy(self) -> np.ndarray:
        """The values as a read-only NumPy view; `.numpy().copy()` for one to write to."""
        view = on_cpu(self._array).view()
        view.flags.writeable = False
        return view

    def mutable(self) -> Array:
        """The array itself, to be written in place.

        Marks the tensor as changed, so that a backward pass that still needs the old values refuses to run.
        """
        self.version.count += 1
        return self._array

    def __setitem__(self, index: Any, value: Any) -> None:
        if is_grad_enabled() and self.requires_grad:
            raise GraphError(
                "writing into a tensor that requires gradients would not be differentiated; "
                "use ops.where to build a new one, or write under no_grad()"
            )
        self.mutable()[_plain(index)] = beside(self._array, _plain(value))

    def assign(self, values: Any) -> None:
        """Write an array of this tensor's shape into it, wherever either of them lies."""
        self.mutable()[...] = beside(self._array, np.asarray(values) if isinstance(values, list | tuple) else values)

    def item(self) -> float | int | bool:
        """The value of a tensor with one element, as a Python number."""
        if self.size != 1:
            raise ShapeError(f"item() needs a tensor of one element; this one has shape {self.shape}")
        return self._array.item()

    def detach(self) -> Tensor:
        """The same values (shared memory) without their history."""
        out = Tensor.of(self._array)
        out.version = self.version
        return out

    def to(self, backend: str) -> Tensor:
        """The same values where `backend` computes ("cuda": on the GPU; "numpy", "native": in the CPU's memory),
        without their history. Shared memory where they are there already. Raises ConfigError for an unknown backend.
        """
        out = Tensor.of(moved(self._array, backend))
        if out._array is self._array:
            out.version = self.version
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(on_cpu(self._array), dtype=dtype) if copy else np.asarray(on_cpu(self._array), dtype=dtype)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("a tensor of shape () has no length")
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.item())

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({np.array2string(on_cpu(self._array), separator=', ', prefix='Tensor(')}{grad})"

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


def _as_array(values: Any) -> Array:
    """An array of whatever `values` is; what Python has as float becomes float32."""
    if isinstance(values, Tensor):
        return values._array
    if hasattr(values, "dtype"):
        return np.asarray(values) if np.isscalar(values) else values
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def moved(array: Array, backend: str) -> Array:
    """The array where `backend` computes: itself if it is there, else a copy."""
    module = find_backend(backend).array_module
    return on_cpu(array) if module is np else module.asarray(array)


def _plain(value: Any) -> Any:
    """`value` with tensors replaced by their arrays (an index may be a tuple of tensors)."""
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    return value._array if isinstance(value, Tensor) else value
