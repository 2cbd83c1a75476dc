"""Checks for gradients and kernels, for a reader's own ops as much as for this library's.

gradcheck(fn, inputs)                    derivatives against finite differences
check(op, forward=..., backward=...)     your own formula, on the op's own cases
agree(op, backend)                       a faster kernel against the reference
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm.backend import arrays_in, find_backend, on_cpu, use_backend
from minillm.errors import UserError
from minillm.registry import Case, Kernel, Op
from minillm.tensor import Tensor

FULL_JACOBIAN = 512  # elements of input and output up to which every coordinate is checked
DIRECTIONS = 8  # random directions checked in larger ones


class CheckError(UserError, AssertionError):
    """A gradient or a result that isn't what it should be; says where, and both values."""


@dataclass(frozen=True)
class GradientReport:
    """What `gradcheck` compared: how many numbers, and the largest |analytic − numeric| among them."""

    compared: int
    largest_error: float


def gradcheck(
    fn: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    seed: int = 0,
    name: str | None = None,
) -> GradientReport:
    """Compare the gradients of `fn` with central differences (f(x + ε) − f(x − ε)) / 2ε, in float64.

    fn: takes tensors, returns a tensor or a tuple of them; must give the same result every time.
    inputs: arrays or tensors; the floating-point ones are differentiated, as float64; the others are passed on.
    The whole Jacobian is compared up to 512 elements of input and output, else 8 random directions.
    Raises CheckError, naming input, element and both values, unless |a − n| ≤ atol + rtol |n| everywhere.
    """
    tensors = [_float64(x) for x in inputs]
    differentiated = [i for i, t in enumerate(tensors) if isinstance(t, Tensor) and t.requires_grad]
    name = name or str(getattr(fn, "__name__", "fn"))
    if not differentiated:
        raise CheckError(f"gradcheck of {name}: none of the {len(tensors)} inputs is floating-point")
    check = _Check(name, lambda: _outputs(fn, tensors), tensors, eps, atol, rtol, np.random.default_rng(seed))
    reports = [check.one_input(i) for i in differentiated]
    return GradientReport(sum(r.compared for r in reports), max(r.largest_error for r in reports))


def gradcheck_case(op: Op, case: Case) -> GradientReport:
    """`gradcheck` of an op on one of its cases, with the case's constants held fixed."""
    places = case.differentiated()

    def of_the_differentiated(*tensors: Tensor) -> Any:
        given = dict(zip(places, tensors, strict=True))
        return op(*[given.get(i, a) for i, a in enumerate(case.args)], **case.kwargs)

    return gradcheck(of_the_differentiated, [case.args[i] for i in places], name=op.name)


@dataclass
class _Check:
    name: str
    run: Callable[[], list[Tensor]]
    tensors: list[Any]
    eps: float
    atol: float
    rtol: float
    rng: np.random.Generator

    def one_input(self, i: int) -> GradientReport:
        n_in, n_out = self.tensors[i].size, sum(y.size for y in self.run())
        full = max(n_in, n_out) <= FULL_JACOBIAN
        if full:
            inward, outward = np.eye(n_in), np.eye(n_out)
        else:
            inward, outward = self.rng.normal(size=(DIRECTIONS, n_in)), self.rng.normal(size=(DIRECTIONS, n_out))
        analytic = np.array([self.pulled_back(i, v) for v in outward]).reshape(len(outward), n_in)
        numeric = np.array([self.moved(i, u) for u in inward]).reshape(len(inward), n_out).T
        if not full:  # the identity would change nothing, but smear a NaN over its row
            analytic, numeric = analytic @ inward.T, outward @ numeric
        self.compare(i, analytic, numeric, "element" if full else "random direction")
        error = np.abs(analytic - numeric)
        return GradientReport(error.size, float(error.max(initial=0)))

    def pulled_back(self, i: int, v: np.ndarray) -> np.ndarray:
        """Jᵀ v: what backward gives for the weighted sum v · f(x)."""
        for t in self.tensors:
            if isinstance(t, Tensor):
                t.grad = None
        start = 0
        for y in self.run():
            part = v[start : start + y.size].reshape(y.shape)
            start += y.size
            if y.requires_grad:
                y.backward(part, retain_graph=True)  # other outputs share the graph
        gradient = self.tensors[i].grad
        return np.zeros(self.tensors[i].size) if gradient is None else on_cpu(gradient).reshape(-1)

    def moved(self, i: int, u: np.ndarray) -> np.ndarray:
        """J u, by central differences."""
        x = self.tensors[i]
        values = x.numpy().copy()
        step = self.eps * u.reshape(x.shape)
        sides = []
        for sign in (1, -1):
            x.assign(values + sign * step)
            sides.append(np.concatenate([y.numpy().reshape(-1) for y in self.run()]).copy())
        x.assign(values)
        return (sides[0] - sides[1]) / (2 * self.eps)

    def compare(self, i: int, analytic: np.ndarray, numeric: np.ndarray, what: str) -> None:
        wrong = ~(np.abs(analytic - numeric) <= self.atol + self.rtol * np.abs(numeric))  # NaN is wrong, too
        if not wrong.any():
            return
        row, column = (int(k) for k in np.argwhere(wrong)[0])
        shape = self.tensors[i].shape
        place = tuple(int(k) for k in np.unravel_index(column, shape)) if what == "element" else column
        raise CheckError(
            f"{self.name}: the gradient of input {i}, shape {shape}, is wrong in {int(wrong.sum())} of {wrong.size} "
            f"places; first at {what} {place}, output element {row}: backward gives {analytic[row, column]:.8g}, "
            f"finite differences give {numeric[row, column]:.8g}"
        )


def check(op: Op, *, forward: Callable, backward: Callable | None = None, seed: int = 0) -> int:
    """Run your own formula on the cases `op` is tested with; returns how many passed.

    forward: f(xp, *arrays, **options) -> (result, saved), as the ops of this library are written;
    backward: f(xp, gradient, saved) -> one gradient for each array. Both are compared with the reference in float64.
    Raises CheckError with the smallest failing case: the arguments, what was expected, what came.
    """
    cases = sorted(op.cases(np.random.default_rng(seed)), key=lambda case: sum(a.size for a in arrays_in(case.args)))
    for case in cases:
        rng = np.random.default_rng(seed)
        expected, saved = op.reference.forward(np, *case.args, **case.kwargs)
        actual, own_saved = forward(np, *case.args, **case.kwargs)
        _compare(f"{op.name} forward", case, expected, actual)
        if backward is not None:
            gradient = _random_like(rng, expected)
            wanted = op.reference.backward(np, gradient, saved)
            _compare(f"{op.name} backward", case, wanted, backward(np, gradient, own_saved))
    return len(cases)


def agree(op: Op, backend: str, *, seed: int = 0, factor: float = 2.0) -> dict[str, str]:
    """Compare `backend`'s kernel with the float64 reference on float32 copies of the op's cases.

    Its error may be at most `factor` times that of the float32 reference (plus a few units in the last place).
    Returns, for each case, the name of the backend whose kernel ran; raises CheckError where results differ.
    """
    ran = {}
    for n, case in enumerate(op.cases(np.random.default_rng(seed))):
        single = Case(tuple(_cast(a, np.float32) for a in case.args), case.kwargs, case.note)
        exact = Case(tuple(_cast(a, np.float64) for a in single.args), case.kwargs, case.note)
        xp = find_backend(backend).array_module
        with use_backend(backend):
            kernel = op.pick(_moved(xp, single.args), single.kwargs)
        results = [_both(np, op.reference, exact, seed), _both(np, op.reference, single, seed)]
        results.append(_both(xp, kernel, single, seed))
        for part, (truth, reference, actual) in zip(("forward", "backward"), zip(*results, strict=True), strict=True):
            _within(f"{op.name} {part}, {backend} kernel", case, truth, reference, actual, factor)
        ran[f"{n}: {case.note}"] = kernel.backend
    return ran


def _both(xp: Any, kernel: Kernel, case: Case, seed: int) -> tuple[list, list]:
    """Results and gradients as NumPy arrays, computed where `xp` has its arrays."""
    result, saved = kernel.forward(xp, *_moved(xp, case.args), **case.kwargs)
    gradient = _random_like(np.random.default_rng(seed), result)
    gradient = tuple(_moved(xp, gradient)) if isinstance(gradient, tuple) else _moved(xp, [gradient])[0]
    made = list(arrays_in(result)), list(arrays_in(kernel.backward(xp, gradient, saved)))
    return [on_cpu(a) for a in made[0]], [on_cpu(a) for a in made[1]]


def _moved(xp: Any, values: Sequence[Any]) -> list[Any]:
    """The values, NumPy arrays among them turned into arrays of `xp`."""
    return [xp.asarray(a) if isinstance(a, np.ndarray) and xp is not np else a for a in values]


def _within(what: str, case: Case, truth: list, reference: list, actual: list, factor: float) -> None:
    for exact, plain, fast in zip(truth, reference, actual, strict=True):
        if fast.shape != exact.shape:
            raise CheckError(f"{what}, {_show(case)}: shape {fast.shape} instead of {exact.shape}")
        allowed = factor * np.abs(plain - exact).max(initial=0) + 4 * np.finfo(np.float32).eps * np.abs(exact).max(
            initial=0
        )
        error = np.abs(fast - exact).max(initial=0)
        if not error <= allowed and not np.array_equal(fast, plain, equal_nan=True):
            raise CheckError(f"{what}, {_show(case)}: error {error:.3g}, allowed {allowed:.3g}")


def _compare(what: str, case: Case, expected: Any, actual: Any) -> None:
    pairs = list(zip(_flat(expected), _flat(actual), strict=False))
    if len(_flat(expected)) != len(_flat(actual)):
        raise CheckError(f"{what}, {_show(case)}: {len(_flat(actual))} results instead of {len(_flat(expected))}")
    for wanted, got in pairs:
        if wanted is None:
            continue
        got = np.asarray(got, dtype=float)
        if got.shape != wanted.shape:
            raise CheckError(f"{what}, {_show(case)}: shape {got.shape} instead of {wanted.shape}")
        if not np.allclose(got, wanted, rtol=1e-7, atol=1e-9, equal_nan=True):
            place = tuple(int(k) for k in np.argwhere(~np.isclose(got, wanted, rtol=1e-7, atol=1e-9))[0])
            raise CheckError(
                f"{what}, {_show(case)}: at {place} it gives {got[place]:.8g}, expected {wanted[place]:.8g}"
            )


def _show(case: Case) -> str:
    arguments = [f"shape {a.shape}" if getattr(a, "size", 1) > 6 else repr(a) for a in case.args]
    options = [f"{k}={v!r}" for k, v in case.kwargs.items()]
    return f"({', '.join(arguments + options)}){' ' + case.note if case.note else ''}"


def _flat(values: Any) -> list[Any]:
    return list(values) if isinstance(values, tuple | list) else [values]


def _random_like(rng: np.random.Generator, result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(_random_like(rng, part) for part in result)
    return rng.normal(size=result.shape).astype(result.dtype)


def _cast(a: Any, dtype: Any) -> Any:
    return a.astype(dtype) if getattr(getattr(a, "dtype", None), "kind", "") == "f" else a


def _float64(x: Any) -> Any:
    array = np.asarray(x) if hasattr(x, "dtype") or isinstance(x, list) else x
    if getattr(getattr(array, "dtype", None), "kind", "") != "f":
        return x
    copy = np.empty_like(array, dtype=np.float64)  # keeps the memory order of a transposed input
    copy[...] = array
    return Tensor(copy, requires_grad=True)


def _outputs(fn: Callable, tensors: list[Any]) -> list[Tensor]:
    result = fn(*tensors)
    return list(result) if isinstance(result, tuple) else [result]
