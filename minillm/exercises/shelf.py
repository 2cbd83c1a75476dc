"""Where an exercise is found by its id."""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from functools import cache

import minillm.exercises
from minillm.errors import ConfigError
from minillm.exercises.exercise import Exercise


@cache
def all_exercises() -> dict[str, Exercise]:
    """Every exercise of every chapter, by its id, in order."""
    names = sorted(m.name for m in pkgutil.iter_modules(minillm.exercises.__path__) if m.name.startswith("chapter_"))
    found: dict[str, Exercise] = {}
    for name in names:
        for one in importlib.import_module(f"minillm.exercises.{name}").EXERCISES:
            found[one.id] = one
    return found


def exercise(id: str) -> Exercise:
    """The exercise of an id such as "06.1". ConfigError, with the nearest ids, if there is none."""
    found = all_exercises()
    if id not in found:
        near = [f"0{id}"] if f"0{id}" in found else get_close_matches(str(id), found, n=3, cutoff=0.4)
        raise ConfigError(
            f"there is no exercise {id!r}; did you mean {' or '.join(near) or 'one of ' + ', '.join(found)}?"
        )
    return found[id]
