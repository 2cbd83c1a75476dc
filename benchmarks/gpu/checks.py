"""What an op's kernel must do on a GPU, beside agreeing in float32: bfloat16, NaN and infinity, the same bits again."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from minillm.backend import arrays_in, find_backend, on_cpu, use_backend
from minillm.registry import Case, Kernel, Op

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
ROUNDING = 1.01 * 2.0**-8  # bfloat16's largest relative rounding error, and a bit for what float32 adds
# Roundings that the largest error may have, of the largest magnitude: more than one where a kernel rounds a value
# between two steps: a product before its bias, x + residual before its norm, a softmax that backward is made from,
# attention's weights before they meet the values, and its output, whose error stays where the gradient of the scores
# cancels to little.
ROUNDINGS = {
    "linear": 2,
    "attention": 8,
    "linear_cross_entropy": 4,
    "layer_norm": 2,
    "rms_norm": 2,
    "softmax": 2,
    "log_softmax": 2,
}
PARAMETERS = {"weight", "bias", "scale", "cos", "sin"}  # float32, also beside bfloat16 activations
NOT_FINITE = (np.nan, np.inf, -np.inf)


def cast(case: Case, op: Op, dtype: Any) -> Case:
    """Its arrays of floats in `dtype`; parameters in float32 at least."""
    wide = np.float32 if dtype == BFLOAT16 else dtype
    names = op.arguments if not op.variadic else [""] * len(case.args)

    def converted(name: str, a: Any) -> Any:
        is_float = getattr(getattr(a, "dtype", None), "kind", "") == "f" or getattr(a, "dtype", None) == BFLOAT16
        return a.astype(wide if name in PARAMETERS else dtype) if is_float else a

    return Case(tuple(converted(*pair) for pair in zip(names, case.args, strict=False)), case.kwargs, case.note)


def gradient_for(result: Any, dtype: Any = None) -> Any:
    """What a backward pass is given: the same numbers every time, of the result's shape."""
    if isinstance(result, tuple):
        return tuple(gradient_for(part, dtype) for part in result)
    return np.random.default_rng(2).normal(size=result.shape).astype(dtype or result.dtype)


def moved(xp: Any, values: Any) -> Any:
    """NumPy arrays among the values as arrays of `xp`."""
    if isinstance(values, tuple):
        return tuple(moved(xp, value) for value in values)
    return xp.asarray(values) if isinstance(values, np.ndarray) and xp is not np else values


def run(kernel: Kernel, xp: Any, case: Case, gradient: Any = None) -> tuple[list[Any], Any]:
    """Results and gradients as NumPy arrays, and the gradient that backward was given."""
    result, saved = kernel.forward(xp, *moved(xp, case.args), **case.kwargs)
    results = [on_cpu(a) for a in arrays_in(result)]  # before backward, which may write over what it was given
    gradient = gradient_for(result) if gradient is None else gradient
    gradients = kernel.backward(xp, moved(xp, gradient), saved)
    return results + [on_cpu(a) for a in arrays_in(gradients)], gradient


def kernel_for(op: Op, backend: str, case: Case) -> Kernel:
    """What runs there on this case."""
    xp = find_backend(backend).array_module
    with use_backend(backend):
        return op.pick(list(moved(xp, case.args)), case.kwargs)


def as_float64(values: Any) -> Any:
    """The very same numbers."""
    return tuple(map(as_float64, values)) if isinstance(values, tuple) else np.asarray(values, np.float64)


def bfloat16_error(op: Op, backend: str, case: Case) -> float:
    """The largest error of bfloat16 activations against the formula in float64 on the same rounded inputs, as a share
    of what is allowed."""
    rounded = cast(case, op, BFLOAT16)
    if not any(getattr(a, "dtype", None) == BFLOAT16 for a in rounded.args):
        return 0.0
    xp = find_backend(backend).array_module
    with use_backend(backend):
        actual, gradient = run(kernel_for(op, backend, rounded), xp, rounded)
    exact, _ = run(op.reference, np, cast(rounded, op, np.float64), as_float64(gradient))
    allowed = ROUNDING * ROUNDINGS.get(op.name, 1)
    return max((_error(a, e) / allowed for a, e in zip(actual, exact, strict=True)), default=0.0)


def _error(actual: np.ndarray, exact: np.ndarray) -> float:
    """Of the largest magnitude; infinite for a wrong shape."""
    if actual.shape != exact.shape:
        return np.inf
    largest = np.abs(exact).max(initial=0)
    error = np.abs(actual.astype(np.float64) - exact).max(initial=0)
    return float(error / largest) if largest else float(error)


def not_finite_differs(op: Op, backend: str, case: Case) -> list[str]:
    """For which value, put into the middle of the first argument, NaN or infinity come out elsewhere than in NumPy."""
    single = cast(case, op, np.float32)
    xp, wrong = find_backend(backend).array_module, []
    for value in NOT_FINITE:
        first = single.args[0].copy()
        first.reshape(-1)[first.size // 2] = value
        given = Case((first, *single.args[1:]), single.kwargs)
        with use_backend(backend), np.errstate(all="ignore"):
            kernel = kernel_for(op, backend, given)
            actual = kernel.forward(xp, *moved(xp, given.args), **given.kwargs)[0]
            expected = op.reference.forward(np, *given.args, **given.kwargs)[0]
        if not all(_same_kinds(on_cpu(a), e) for a, e in zip(arrays_in(actual), arrays_in(expected), strict=True)):
            wrong.append(str(value))
    return wrong


def _same_kinds(a: np.ndarray, b: np.ndarray) -> bool:
    kinds: tuple[Callable, ...] = (np.isnan, np.isposinf, np.isneginf)
    return a.shape == b.shape and all(np.array_equal(kind(a), kind(b)) for kind in kinds)


def same_bits(op: Op, backend: str, case: Case) -> bool:
    """Whether a second run gives the bits of the first, forward and backward."""
    single = cast(case, op, np.float32)
    xp = find_backend(backend).array_module
    with use_backend(backend):
        kernel = kernel_for(op, backend, single)
        first, second = (run(kernel, xp, single)[0] for _ in range(2))
    return all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))
