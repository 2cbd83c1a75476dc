"""What an exercise consists of: what is right, on which inputs it is tried, and hints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Given:
    """Arguments that an answer is tried on, and what is special about them."""

    args: tuple
    kwargs: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def given(*args: Any, note: str = "", **kwargs: Any) -> Given:
    """`Given` as a call is written: given(x, y, axis=1, note="ties")."""
    return Given(args, kwargs, note)


@dataclass(frozen=True)
class Exercise:
    """A question of the book with its checker.

    id: chapter and number, "06.1"; title: what is asked for, in a few words.
    expected: a function that is right, called with the same arguments as the answer; or, if the answer is a value, that
        value.
    inputs: of a random generator, the arguments to try, small ones among them. They are tried from the smallest on.
    accepts: for questions with several right answers, instead of comparing with what `expected` returns: takes the
        answer's result and then the arguments, and says what is wrong with it, or None.
    hints: from a nudge to nearly the answer.
    rtol, atol: how close numbers must come, |a − b| ≤ atol + rtol |b|.
    """

    id: str
    title: str
    hints: tuple[str, ...]
    expected: Any = None
    inputs: Callable[[np.random.Generator], Iterable[Given]] | None = None
    accepts: Callable[..., str | None] | None = None
    rtol: float = 1e-6
    atol: float = 1e-9
