"""How long a piece of work takes, the same way on every side. Imports neither minillm nor a peer."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def median_seconds(
    work: Callable[..., Any], budget: float, least: int = 3, prepare: Callable[[], tuple] = lambda: ()
) -> float:
    """The median time of work(*prepare()), repeated for `budget` seconds but at least `least` times, after one warm-up.

    Only `work` is timed.
    """
    work(*prepare())
    seconds: list[float] = []
    end = time.perf_counter() + budget
    while len(seconds) < least or time.perf_counter() < end:
        arguments = prepare()
        start = time.perf_counter()
        work(*arguments)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def fastest_seconds(work: Callable[[], Any], repeats: int) -> float:
    """The shortest of `repeats` runs: for limits, which noise can only hide."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
