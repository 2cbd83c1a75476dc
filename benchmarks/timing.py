"""How long work takes and how much memory it holds, the same way on every side. Imports neither minillm nor a peer."""

import platform
import re
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
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


def peak_megabytes() -> float:
    """The most memory this process has held so far, in units of 2²⁰ bytes.

    On Linux from VmHWM: getrusage starts from what the program that started this one held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if platform.system() == "Darwin" else peak / 1024  # bytes on macOS, else kilobytes
