"""How an answer differs from what was expected: numbers, arrays, texts, and lists and dicts of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minillm.tensor import Tensor

SHOWN = 12  # elements up to which an array is printed whole


def difference(actual: Any, expected: Any, rtol: float, atol: float, place: str = "") -> str | None:
    """What differs first, in words; None where the two agree. A Tensor counts as its array, as numbers in a list do."""
    at = f" at {place}" if place else ""
    if isinstance(expected, dict):
        return _dicts(actual, expected, rtol, atol, place)
    if isinstance(expected, str | bytes | bool | None):
        return None if _equal(actual, expected) else f"expected{at} {shown(expected)}, got {shown(actual)}"
    if isinstance(expected, tuple | list) and not _numeric(expected):
        return _sequences(actual, expected, rtol, atol, place)
    return _arrays(actual, expected, rtol, atol, at)


def _equal(actual: Any, expected: Any) -> bool:
    if isinstance(expected, bool):
        return isinstance(actual, bool | np.bool_) and bool(actual) == expected
    return isinstance(actual, type(expected)) and actual == expected


def _dicts(actual: Any, expected: dict, rtol: float, atol: float, place: str) -> str | None:
    if not isinstance(actual, dict):
        return f"expected{f' at {place}' if place else ''} a dict, got {shown(actual)}"
    for name, keys in (("lacks", expected.keys() - actual.keys()), ("has also", actual.keys() - expected.keys())):
        if keys:
            return f"the dict {name} {shown(sorted(keys, key=repr)[0])}"
    parts = (difference(actual[key], value, rtol, atol, f"{place}[{key!r}]") for key, value in expected.items())
    return next((part for part in parts if part), None)


def _sequences(actual: Any, expected: Any, rtol: float, atol: float, place: str) -> str | None:
    if not isinstance(actual, tuple | list):
        return f"expected{f' at {place}' if place else ''} {len(expected)} results, got {shown(actual)}"
    for i, (got, wanted) in enumerate(zip(actual, expected, strict=False)):
        if found := difference(got, wanted, rtol, atol, f"{place}[{i}]"):
            return found
    if len(actual) != len(expected):
        return f"expected{f' at {place}' if place else ''} {len(expected)} elements, got {len(actual)}: {shown(actual)}"
    return None


def _arrays(actual: Any, expected: Any, rtol: float, atol: float, at: str) -> str | None:
    wanted = np.asarray(_array(expected))
    try:
        got = np.asarray(_array(actual))
        numeric = got.dtype.kind in "fiub"
    except (ValueError, TypeError):
        numeric = False
    if not numeric:
        return f"expected{at} {shown(expected)}, got {shown(actual)}"
    if got.shape != wanted.shape:
        return f"expected{at} {shown(wanted)} of shape {wanted.shape}, got shape {got.shape}: {shown(got)}"
    close = np.isclose(got.astype(float), wanted.astype(float), rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return None
    if wanted.size <= SHOWN:
        return f"expected{at} {shown(wanted)}, got {shown(got)}"
    index = tuple(int(i) for i in np.argwhere(~close)[0])
    where = f"{at} in {int((~close).sum())} of {close.size} places, first at {list(index)}:"
    return f"expected{where} {wanted[index]:.8g}, got {got[index]:.8g}"


def shown(value: Any) -> str:
    """A value as a reader would write it, large arrays by their shape."""
    value = _array(value)
    if isinstance(value, np.ndarray):
        if value.size > SHOWN:
            return f"array of shape {value.shape}"
        return " ".join(np.array2string(value, separator=", ", precision=6).split())
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, tuple | list):
        inner = ", ".join(map(shown, value[:SHOWN])) + (", …" if len(value) > SHOWN else "")
        return f"({inner}{',' if len(value) == 1 else ''})" if isinstance(value, tuple) else f"[{inner}]"
    if callable(value):
        return str(getattr(value, "__name__", value))
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _array(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


def _numeric(values: Any) -> bool:
    """Whether a list is an array written out: numbers, or lists of them of one length."""
    try:
        return len(values) > 0 and np.asarray(values).dtype.kind in "fiu" and not any(map(_holds_array, values))
    except ValueError:
        return False


def _holds_array(value: Any) -> bool:
    return isinstance(_array(value), np.ndarray)
