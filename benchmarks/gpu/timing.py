"""How long the GPU works: by events in its stream, with arrays that lie in memory and not in its caches."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARM_UPS = 3
WRITES = 2  # of the array that empties the caches: meanwhile the CPU has time to launch what is to be measured


def event_milliseconds(
    xp: Any, work: Callable[[], object], repeats: int, between: Callable[[], object]
) -> tuple[list[float], float, float]:
    """Of each run of `work` by the GPU's clock; from the first to the last; and of the CPU, to launch them all.

    between: called before each run, not measured.
    """
    for _ in range(WARM_UPS):
        between()
        work()
    events = []
    xp.cuda.get_current_stream().synchronize()
    begun = time.perf_counter()
    for _ in range(repeats):
        between()
        start, end = xp.cuda.Event(), xp.cuda.Event()
        start.record()
        work()
        end.record()
        events.append((start, end))
    launched = (time.perf_counter() - begun) * 1000
    events[-1][1].synchronize()
    elapsed = xp.cuda.get_elapsed_time
    return [elapsed(*pair) for pair in events], elapsed(events[0][0], events[-1][1]), launched


def flushing(xp: Any, n_bytes: int) -> Callable[[], None]:
    """A function that fills the L2 cache with what nobody needs."""
    scratch = xp.empty(max(n_bytes // 4, 1), np.float32)

    def flush() -> None:
        for _ in range(WRITES):
            scratch.fill(0)

    return flush


def measured(xp: Any, work: Callable[[], object], repeats: int, flush: Callable[[], None]) -> dict[str, Any]:
    """{"ms": the median, "fastest ms", "runs", "launch bound"}.

    launch bound: the CPU needed longer to launch the runs than the GPU for all it did, so it may have waited within
    them, and the times are too long.
    """
    times, span, launched = event_milliseconds(xp, work, repeats, flush)
    return {
        "ms": statistics.median(times),
        "fastest ms": min(times),
        "runs": len(times),
        "launch bound": launched > span,
    }
