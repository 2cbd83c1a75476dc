"""Random numbers of a step that is recorded as a graph.

Dropout's mask is a function of (seed, counter), and a graph freezes numbers: so the kernels add a number to the counter
that they read from the GPU's memory, by how many draws the step is later than the recorded one.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

_later: ContextVar[Any] = ContextVar("minillm_later_draws", default=None)


def later() -> Any:
    """What the kernels add to their counters: an int64 (1,) on the GPU, or None outside a recording."""
    return _later.get()


class counted_from:
    """Within it, kernels read from `array` how much later than the recorded ones their draws are."""

    def __init__(self, array: Any):
        self.array = array

    def __enter__(self) -> None:
        self._before = _later.set(self.array)

    def __exit__(self, *exception: object) -> None:
        _later.reset(self._before)
