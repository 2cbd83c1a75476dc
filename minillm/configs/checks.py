"""Checks of settings, whose messages name the field, the value given and the rule it breaks (ConfigError)."""

import math
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from minillm.errors import ConfigError


def suggestion(given: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` where a known name is close, else the list of known names."""
    names = sorted(known)
    close = get_close_matches(given, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(hint)[0]) for item in value)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


_NAMES = {int: "a whole number", float: "a finite number", str: "a text", bool: "true or false", NoneType: "none"}


def _described(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_described, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"a list, each {_described(get_args(hint)[0])}"
    return _NAMES.get(hint, str(hint))


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def value_type(kind: type, name: str, value: object) -> None:
    """The value is of the type that the dataclass `kind` gives to field `name`."""
    hint = _hints(kind)[name]
    if not _fits(value, hint):
        guess = suggestion(value, get_args(hint)) if isinstance(value, str) and get_origin(hint) is Literal else ""
        raise ConfigError(f"{name} is {value!r}, it must be {_described(hint)}{guess if 'did you' in guess else ''}")


def types(section: object) -> None:
    """Every field's value is of the field's annotated type."""
    kind: Any = type(section)
    for name in _hints(kind):
        value_type(kind, name, getattr(section, name))


def _refuse(section: object, name: str, rule: str) -> None:
    raise ConfigError(f"{name} is {getattr(section, name)!r}, it must be {rule}")


def at_least(section: object, least: float, *names: str) -> None:
    """Each field is `least` or more."""
    for name in names:
        if getattr(section, name) < least:
            _refuse(section, name, f"at least {least}")


def above(section: object, bound: float, *names: str) -> None:
    """Each field is more than `bound`."""
    for name in names:
        if getattr(section, name) <= bound:
            _refuse(section, name, f"more than {bound}")


def between(section: object, low: float, high: float, *names: str) -> None:
    """Each field lies strictly between the two."""
    for name in names:
        if not low < getattr(section, name) < high:
            _refuse(section, name, f"between {low} and {high}")


def from_to_below(section: object, low: float, high: float, *names: str) -> None:
    """Each field is `low` or more, and less than `high`."""
    for name in names:
        if not low <= getattr(section, name) < high:
            _refuse(section, name, f"at least {low} and less than {high}")


def at_most(section: object, small: str, large: str) -> None:
    """One field isn't larger than another."""
    if getattr(section, small) > getattr(section, large):
        _refuse(section, small, f"at most {large} ({getattr(section, large)!r})")


def divides(section: object, divisor: str, whole: str) -> None:
    """One field divides another."""
    if getattr(section, whole) % getattr(section, divisor):
        _refuse(section, divisor, f"a divisor of {whole} ({getattr(section, whole)})")
