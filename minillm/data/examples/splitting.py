"""Training and validation examples, chosen by a seed: the same on every machine, and equal texts on one side.

The order is that of SHA-256(seed, text): random enough to be fair, and it depends on no generator's version. Examples
with the same text have the same digest, hence stand together; on both sides they would be answers learnt by heart.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from minillm.errors import ConfigError, DataError

T = TypeVar("T")


def held_out(texts: Sequence[str], count: int, seed: int) -> set[int]:
    """Indices of up to `count` texts, all that are equal or none of them.

    Exactly `count`, unless only texts are left that repeat more often than there is room.
    """
    places = defaultdict(list)
    for i, text in enumerate(texts):
        places[text].append(i)
    chosen: set[int] = set()
    for text in sorted(places, key=lambda text: _digest(seed, text)):
        if len(chosen) + len(places[text]) <= count:
            chosen.update(places[text])
    return chosen


def split(
    examples: Sequence[T], n_validation: int, *, seed: int = 0, key: Callable[[T], str]
) -> tuple[list[T], list[T]]:
    """Training and validation examples, both in their first order; those with an equal `key` on one side.

    n_validation: how many to hold out (see `held_out`). ConfigError where one side would be empty by the count asked
    for, DataError where it is by repeated texts.
    """
    check_count(n_validation, len(examples))
    chosen = held_out([key(example) for example in examples], n_validation, seed)
    if not chosen:
        raise DataError(f"no text repeats {n_validation} times or less, so none can be held out; ask for more")
    return divide(examples, chosen)


def divide(examples: Sequence[T], chosen: set[int]) -> tuple[list[T], list[T]]:
    """The examples not chosen, and those chosen."""
    return (
        [example for i, example in enumerate(examples) if i not in chosen],
        [example for i, example in enumerate(examples) if i in chosen],
    )


def check_count(n_validation: int, total: int) -> None:
    """ConfigError unless both sides get an example."""
    if not 0 < n_validation < total:
        raise ConfigError(f"n_validation={n_validation} of {total} examples; hold out at least 1, and leave at least 1")


def _digest(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed} {text}".encode("utf-8", "surrogatepass")).digest()
