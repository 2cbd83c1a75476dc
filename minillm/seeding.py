"""Named random streams that can be saved: each is a seed and a count, nothing else.

A stream's n-th draw is a pure function of (seed, name, n), by a counter-based
generator, so a resumed run needs two integers to go on exactly where it stopped.
"""

import zlib

import numpy as np

_state = {"seed": 1337, "init": 0, "dropout": 0}


def seed(value: int) -> None:
    """Start every stream anew from `value`: the same seed gives the same weights and dropout masks."""
    _state.update(seed=int(value), **{name: 0 for name in _state if name != "seed"})


def next_key(name: str) -> tuple[int, int]:
    """The next (key, counter) of stream `name`, for a counter-based generator."""
    counter = _state[name]
    _state[name] += 1
    return (_state["seed"] * 0x1_0000_0000 + zlib.crc32(name.encode())) % 2**64, counter


def generator(name: str) -> np.random.Generator:
    """A NumPy generator for the next draw of stream `name`."""
    key, counter = next_key(name)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, counter, 0]))


def get_state() -> dict[str, int]:
    """The seed and the counts of all streams; JSON-ready."""
    return dict(_state)


def set_state(state: dict[str, int]) -> None:
    """Continue from what `get_state` returned."""
    _state.update({name: int(state[name]) for name in _state})
