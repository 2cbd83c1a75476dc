"""Sides in turn, A B C A B C: a clock that drifts slows all of them. One that fails is left out from then on."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.gpu.deadline import Deadline
from benchmarks.pairs import PeerError

Runs = dict[str, list[dict[str, Any]]]
NO_TIME, FULL = "no time for another run", "out of memory"
MARGIN = 1.2
MEMORY_FULL = ("OutOfMemoryError", "out of memory", "memory is full")


def in_turns(
    sides: dict[str, Callable[[], dict[str, Any]]], rounds: int, deadline: Deadline, least: float
) -> tuple[Runs, dict[str, str]]:
    """The runs of each side, and why a side stopped.

    A run begins only if as much time is left as the side's last one took and a bit more; at first `least` seconds.
    """
    runs: Runs = {name: [] for name in sides}
    errors: dict[str, str] = {}
    needed = dict.fromkeys(sides, least)
    for _ in range(rounds):
        for name, measure in sides.items():
            if name in errors:
                continue
            if deadline.left() < needed[name]:
                errors[name] = NO_TIME
                continue
            begun = time.monotonic()
            try:
                runs[name].append(measure())
            except PeerError as error:
                errors[name] = reason(str(error))
            needed[name] = MARGIN * (time.monotonic() - begun)
    return runs, errors


def reason(error: str) -> str:
    """What a process that failed said, in few words where its memory was full."""
    if any(words in error for words in MEMORY_FULL):
        return FULL
    return "\n".join(error.splitlines()[-12:])


def median_of(runs: list[dict[str, Any]], name: str) -> float | None:
    """Over the runs; None without any."""
    return statistics.median(run[name] for run in runs) if runs else None


def ratio_of_medians(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> float | None:
    """How many times longer theirs takes."""
    if not ours or not theirs:
        return None
    return median_of(theirs, "median_s") / median_of(ours, "median_s")
