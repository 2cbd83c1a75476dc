"""The op table: a formula and its derivative under one name, and faster kernels that may replace the pair.

    @op(cases=softmax_cases)
    def softmax(xp, x, *, axis=-1):
        ...
        return p, (p, axis)              # the output, and what backward needs

    @softmax.backward
    def softmax_backward(xp, dp, saved):
        ...
        return (dx,)                     # one gradient for each positional argument, or None

Both are plain functions of arrays; `xp` is the arrays' module. Called with
tensors, the op picks a kernel for the backend in use, runs it, and records a
node on the tape. The same table drives the gradient checks, the agreement
tests between backends and `python -m minillm.ops`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minillm.backend import Array, array_module, arrays_in, backend_for, is_bfloat16, is_floating, owner
from minillm.errors import GraphError
from minillm.tape import Node, is_grad_enabled
from minillm.tensor import Tensor
from minillm.tracing import check_finite, is_tracing

OPS: dict[str, Op] = {}
_HOST = (np.ndarray, np.generic, int, float, type(None))
_strict: ContextVar[bool] = ContextVar("minillm_strict", default=False)


@dataclass(frozen=True)
class Case:
    """Arguments an op is tested with.

    args: floating-point arrays (float64: what gradients are checked in) are differentiated; others are constants,
        and so are those at the positions in `constants`.
    atol, rtol: how close float64 results must come to an independent reference; `why` if looser than usual.
    smooth: False where the op has a kink or a jump at these arguments, so that finite differences mean nothing.
    """

    args: tuple
    kwargs: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    atol: float = 1e-10
    rtol: float = 1e-10
    why: str = ""
    smooth: bool = True
    constants: tuple[int, ...] = ()

    def differentiated(self) -> list[int]:
        """The positions of the arguments that have a gradient."""
        floats = [i for i, a in enumerate(self.args) if getattr(getattr(a, "dtype", None), "kind", "") == "f"]
        return [i for i in floats if i not in self.constants]


@dataclass(frozen=True)
class ErrorCase:
    """Arguments an op must refuse, and what the message must say (a regular expression)."""

    args: tuple
    raises: type[Exception]
    match: str
    kwargs: dict[str, Any] = field(default_factory=dict)


def _always(*arrays: Any, **options: Any) -> bool:
    return True


@dataclass(frozen=True)
class Kernel:
    """One implementation of an op: forward and backward together, since what is saved is private to the pair."""

    backend: str
    forward: Callable
    backward: Callable
    supports: Callable[..., bool] = _always


class Op:
    """A differentiable function of tensors, its reference formula, and the kernels that may replace it."""

    def __init__(self, forward: Callable, cases: Callable | None, errors: Callable | None, ids: str | None):
        self.name = forward.__name__
        self.__name__ = self.__qualname__ = self.name
        self.__doc__ = forward.__doc__
        self.__module__ = forward.__module__
        self.reference = Kernel("numpy", forward, _no_backward)
        self.overrides: dict[str, Kernel] = {}
        self._cases, self._errors, self._ids = cases, errors, ids
        parameters = list(inspect.signature(forward).parameters.values())[1:]
        self.__signature__ = inspect.Signature(parameters)
        self.arguments = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        self._names = frozenset(self.arguments)
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        # The formulas of docs/equations.toml that the docstring cites, such as [4.2.1].
        self.formula_ids = re.findall(r"\[(\d[\w.-]*)\]", self.__doc__ or "")

    def backward(self, function: Callable) -> Callable:
        """Decorator: `function(xp, gradient, saved)` returns the gradient of each positional argument."""
        self.reference = Kernel("numpy", self.reference.forward, function)
        return function

    def cases(self, rng: np.random.Generator) -> list[Case]:
        """The arguments this op is tested with."""
        return list(self._cases(rng)) if self._cases else []

    def error_cases(self, rng: np.random.Generator) -> list[ErrorCase]:
        """The arguments this op must refuse."""
        return list(self._errors(rng)) if self._errors else []

    def pick(self, arrays: list[Any], kwargs: dict[str, Any]) -> Kernel:
        """The kernel of the backend in use, or of the nearest it falls back to (in the end the reference formula) that
        takes these arguments; that computes in float32 what is bfloat16."""
        backend = backend_for(_module_of(arrays))
        for name in backend.lineage:
            kernel = self.overrides.get(name)
            if kernel and kernel.supports(*arrays, **kwargs):
                return kernel
        if _strict.get() and backend.name != "numpy":
            raise RuntimeError(f"{self.name}: backend {backend.name!r} has no kernel for {_describe(arrays)}, {kwargs}")
        return widened(self.reference) if any(map(_is_bfloat16, arrays)) else self.reference

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on tensors (or arrays and numbers) and record the step if a gradient may be asked for."""
        args, kwargs = self._by_position(args, kwargs)
        arrays = _as_arrays(args)
        xp = _module_of(arrays)
        if xp is not np:
            _check_same_device(self.name, args)
            arrays = [self._moved(xp, i, a) for i, a in enumerate(arrays)]
        kernel = self.pick(arrays, kwargs)
        result, saved = kernel.forward(xp, *arrays, **kwargs)
        if is_tracing():
            check_finite(self.name, result, arrays)
        outputs = [Tensor.of(a) for a in (result if isinstance(result, tuple) else (result,))]
        _share_versions(args, outputs)
        if is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in args):
            record(self.name, kernel, saved, args, outputs)
        return tuple(outputs) if isinstance(result, tuple) else outputs[0]

    def _moved(self, xp: Any, place: int, a: Any) -> Any:
        """An argument beside arrays of a GPU; ids stay where they are until the op has looked at them."""
        if not isinstance(a, np.ndarray) or (self._ids and self.arguments[place] == self._ids):
            return a
        return xp.asarray(a)

    def _by_position(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """Move tensors given by name (weight=w), or as one list (concat([a, b])), to their positions."""
        if self.variadic and len(args) == 1 and isinstance(args[0], list | tuple):
            return tuple(args[0]), kwargs
        if not kwargs or self._names.isdisjoint(kwargs):
            return args + (None,) * (len(self.arguments) - len(args)), kwargs  # optional tensors left out
        named = inspect.signature(self).bind(*args, **kwargs)
        named.apply_defaults()
        return named.args, named.kwargs

    def __repr__(self) -> str:
        return f"<op {self.name}: {', '.join(['numpy', *self.overrides])}>"


def op(
    *,
    cases: Callable[[np.random.Generator], Iterator[Case]] | None = None,
    errors: Callable | None = None,
    ids: str | None = None,
) -> Callable[[Callable], Op]:
    """Decorator: make the forward formula `f(xp, *arrays, **options)` an `Op` of the table.

    ids: the argument that holds token ids or classes. An op checks them, and a look at what is on a GPU waits for it;
    so NumPy ids come as they are, and the op moves them.
    """

    def register(forward: Callable) -> Op:
        OPS[forward.__name__] = Op(forward, cases, errors, ids)
        return OPS[forward.__name__]

    return register


def kernel(target: Op, backend: str, backward: Callable, supports: Callable[..., bool] | None = None) -> Callable:
    """Decorator: make `f(xp, *arrays, **options)` the forward of `backend`'s kernel for the op `target`.

    The op's backward and forward are replaced together. `supports(*arrays, **options)` says which arguments
    the kernel takes; the others go to the parent backend.
    """

    def register(forward: Callable) -> Callable:
        target.overrides[backend] = Kernel(backend, forward, backward, supports or _always)
        return forward

    return register


class strict_kernels:
    """Within it, an op for which the backend in use has no kernel raises, instead of running the reference."""

    def __enter__(self) -> None:
        self._before = _strict.set(True)

    def __exit__(self, *exception: object) -> None:
        _strict.reset(self._before)


def widened(kernel: Kernel) -> Kernel:
    """The kernel computing in float32 what is given and wanted in bfloat16; a result that is one number stays float32.

    Gradients come in float32, too: the tape makes them bfloat16 where the input was.
    """

    def forward(xp: Any, *arrays: Any, **options: Any) -> tuple:
        narrow = next(a.dtype for a in arrays if _is_bfloat16(a))
        result, saved = kernel.forward(xp, *map(_wide, arrays), **options)
        parts = result if isinstance(result, tuple) else (result,)
        parts = tuple(a.astype(narrow) if a.ndim and a.dtype == "float32" else a for a in parts)
        return parts if isinstance(result, tuple) else parts[0], saved

    def backward(xp: Any, gradient: Any, saved: Any) -> tuple:
        wide = tuple(map(_wide, gradient)) if isinstance(gradient, tuple) else _wide(gradient)
        return kernel.backward(xp, wide, saved)

    return Kernel(kernel.backend, forward, backward)


def _is_bfloat16(a: Any) -> bool:
    return hasattr(a, "dtype") and is_bfloat16(a.dtype)


def _wide(a: Any) -> Any:
    return a.astype(np.float32) if _is_bfloat16(a) else a


def _no_backward(xp: Any, gradient: Array, saved: Any) -> tuple:
    raise TypeError("this op has no backward formula: write one under @NAME.backward")


def record(name: str, kernel: Kernel, saved: Any, args: tuple, outputs: list[Tensor]) -> None:
    """Leave a node on the tape: `kernel` ran on `args`, saved this, and made `outputs`."""
    for i, out in enumerate(outputs):
        out.requires_grad, out.output_index = True, i
    node = Node(name, kernel, saved, list(args), outputs)
    for out in outputs:
        out.node = node


def _as_arrays(args: tuple) -> list[Any]:
    """Plain arrays for a kernel. Python numbers stay as they are: they take the other operand's dtype."""
    if all(a is None or isinstance(a, Tensor) for a in args):
        return [a if a is None else a._array for a in args]
    dtype = next((a.dtype for a in args if isinstance(a, Tensor) and is_floating(a.dtype)), None)
    return [_as_array(a, dtype) for a in args]


def _as_array(a: Any, dtype: Any) -> Any:
    if isinstance(a, Tensor):
        return a._array
    if isinstance(a, np.floating | np.integer):  # np.float64(2) would turn a float32 result into float64; 2.0 doesn't
        return a.item() if dtype is not None else np.asarray(a)
    if a is None or isinstance(a, int | float) or hasattr(a, "shape"):
        return a
    array = np.asarray(a)
    return array.astype(dtype) if dtype is not None and array.dtype.kind == "f" else array


def _module_of(arrays: list[Any]) -> Any:
    """The module whose arrays these are: that of a GPU, if any of them is there."""
    for a in arrays:
        if not isinstance(a, _HOST) and hasattr(a, "shape"):
            return array_module(a)
    return np


def _check_same_device(name: str, args: tuple) -> None:
    """GraphError where a tensor to be differentiated lies elsewhere; constants (token ids, a mask) are moved."""
    for i, a in enumerate(args):
        if isinstance(a, Tensor) and a.requires_grad and isinstance(a._array, np.ndarray):
            raise GraphError(
                f"{name}: argument {i}, shape {a.shape}, is in the CPU's memory and others are on the GPU; "
                "move the model there first: model.to('cuda')"
            )


def _share_versions(args: tuple, outputs: list[Tensor]) -> None:
    """An output that views an input's memory changes when the input does."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    for out in outputs:
        memory = owner(out._array)
        for a in tensors:
            if memory is owner(a._array):
                out.version = a.version


def _describe(arrays: list[Any]) -> str:
    return ", ".join(f"{a.dtype}{a.shape}" for a in arrays_in(arrays))
