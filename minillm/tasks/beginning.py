"""What a task's model begins with: its shape, its tokenizer, and another model's weights or none."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from minillm.errors import ConfigError


class Beginning(NamedTuple):
    """A model's config and tokenizer, and the weights to begin with, by name; None where it begins at random."""

    model: Any
    tokenizer: Any
    weights: Mapping[str, np.ndarray] | None


def shaped_like(found: Any, asked: Any, default: Any, free: Sequence[str], start: str) -> dict[str, Any]:
    """The fields of a config for a model that begins with the weights of one of shape `found`.

    asked: the config that the flags gave; `free` fields, which change no weight's shape or meaning, are its own.
    ConfigError for another field that differs from both `default` and `found`: somebody asked for another shape. (Who
    asks for a default's value can't be told from who asks for nothing, and gets what `found` has.)
    """
    names = [field.name for field in fields(found) if field.name not in free]
    clashes = [name for name in names if getattr(asked, name) not in (getattr(default, name), getattr(found, name))]
    if clashes:
        told = ", ".join(_flag(name, getattr(asked, name)) for name in clashes)
        has = ", ".join(f"{name}={getattr(found, name)}" for name in clashes)
        raise ConfigError(f"--from {start} brings the model's shape with it, {has}; leave out {told}")
    return {field.name: getattr(asked if field.name in free else found, field.name) for field in fields(found)}


def _flag(name: str, value: Any) -> str:
    """As it stands on the command line."""
    name = name.replace("_", "-")
    return f"--{'' if value else 'no-'}{name}" if isinstance(value, bool) else f"--{name} {value}"
