"""Finding the op that made the first NaN or infinity."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from minillm.backend import Array, array_module, arrays_in, is_floating

_tracing: ContextVar[bool] = ContextVar("minillm_trace_non_finite", default=False)


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
        if is_floating(array.dtype) and not array_module(array).isfinite(array).all():
            raise FloatingPointError(
                f"{what} gave NaN or infinity; its inputs: {', '.join(map(_range, arrays_in(inputs)))}"
            )


def _range(array: Array) -> str:
    if not array.size:
        return f"{array.shape} empty"
    return f"{array.shape} {array.dtype} from {float(array.min()):.4g} to {float(array.max()):.4g}"
