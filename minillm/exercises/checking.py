"""`check`: tells a right answer from a wrong one, by the smallest input on which it goes wrong."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm.backend import arrays_in
from minillm.exercises.compare import difference, shown
from minillm.exercises.exercise import Exercise, Given
from minillm.exercises.shelf import exercise


@dataclass(frozen=True)
class Result:
    """Whether an answer is right, and if not, why: true or false, and a text to read. `answered`: there was one."""

    id: str
    right: bool
    text: str
    answered: bool = True

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{self.id}: {self.text}"


def check(id: str, answer: Any) -> Result:
    """Try an answer to exercise `id`: a function on inputs from the smallest to the largest, a value as it is.

    Never raises for a wrong answer: an error inside it is part of what the result says. ConfigError for an unknown id.
    """
    question = exercise(id)
    if answer is None or answer is Ellipsis:
        return Result(id, False, f"not answered yet ({question.title})", answered=False)
    if question.inputs is None:
        return _value(question, answer)
    if not callable(answer):
        return Result(id, False, f"not right yet: this asks for a function ({question.title}), not for {shown(answer)}")
    return _function(question, answer)


def _value(question: Exercise, answer: Any) -> Result:
    if question.accepts:
        wrong = question.accepts(answer)
    else:  # the right value isn't given away
        wrong = difference(answer, question.expected, question.rtol, question.atol) and f"{shown(answer)} isn't it"
    return Result(question.id, not wrong, f"not right yet: {wrong}" if wrong else "right")


def _function(question: Exercise, answer: Any) -> Result:
    assert question.inputs
    inputs = sorted(question.inputs(np.random.default_rng(0)), key=_size)
    for count, case in enumerate(inputs):
        got, error = _called(answer, case)
        if got is None and not error and not count:
            return Result(question.id, False, f"not answered yet: it returns None ({question.title})", answered=False)
        if wrong := error or _wrong(question, case, got):
            passed = f"right on {count} smaller, but " if count else ""
            return Result(question.id, False, f"not right yet: {passed}for {_call(answer, case)}\n  {wrong}")
    return Result(question.id, True, f"right, on {len(inputs)} inputs")


def _called(function: Any, case: Given) -> tuple[Any, str | None]:
    """The result on copies of the arguments, or what went wrong: it raised, or changed what it was given."""
    args, kwargs = copy.deepcopy(case.args), copy.deepcopy(case.kwargs)
    try:
        with np.errstate(all="ignore"):
            result = function(*args, **kwargs)
        result = list(result) if isinstance(result, Iterator) else result
    except Exception as error:
        return None, f"it raises {type(error).__name__}: {error}{_where(error)}"
    if any(_changed(a, b) for a, b in zip(args, case.args, strict=True)):
        return None, "it changes what it was given; work on a copy"
    return result, None


def _where(error: Exception) -> str:
    """The line that raised; nothing where that is the call itself, as with a wrong number of arguments."""
    line = traceback.extract_tb(error.__traceback__)[-1]
    return "" if line.filename == __file__ else f" (line {line.lineno} of {line.name}: {line.line})"


def _wrong(question: Exercise, case: Given, got: Any) -> str | None:
    if question.accepts:
        return question.accepts(got, *copy.deepcopy(case.args), **copy.deepcopy(case.kwargs))
    expected, error = _called(question.expected, case)
    if error:
        raise RuntimeError(f"the checker of {question.id} is broken on {case}: {error}")
    return difference(got, expected, question.rtol, question.atol)


def _call(function: Any, case: Given) -> str:
    arguments = [*map(shown, case.args), *(f"{name}={shown(value)}" for name, value in case.kwargs.items())]
    name = getattr(function, "__name__", "answer")
    return f"{name}({', '.join(arguments)}){f'  ({case.note})' if case.note else ''}"


def _size(case: Given) -> int:
    arguments = (*case.args, *case.kwargs.values())
    return sum(a.size if hasattr(a, "size") else len(a) if hasattr(a, "__len__") else 1 for a in arguments)


def _changed(after: Any, before: Any) -> bool:
    if isinstance(before, list | dict):
        return repr(after) != repr(before)
    pairs = zip(arrays_in(after), arrays_in(before), strict=True)
    return any(difference(a, b, 0, 0) is not None for a, b in pairs)
