"""The power a computation draws: read from the processor where the system lets us, else assumed."""

import os
import time
from pathlib import Path

GPU_WATTS = 700.0  # the most an H100 SXM draws, by its data sheet
WATTS_PER_CORE = 8.0
"""Assumed draw of a busy core, with its share of the rest of the processor. Desktop processors of 8 cores are sold
with a thermal design power of 65 W (AMD Ryzen 7 7700, Intel Core i7-13700 with 16), servers of 96 cores with 360 W
(AMD EPYC 9654): 4 to 8 W a core. Memory and losses of the power supply come on top, so the upper end is taken."""

POWERCAP = Path("/sys/class/powercap")


def cores() -> int:
    """Processor cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def assumed_watts() -> float:
    """All cores busy."""
    return WATTS_PER_CORE * cores()


class Meter:
    """Joules drawn by the processor packages since it was made, by Intel's and AMD's RAPL counters (Linux)."""

    def __init__(self, folder: Path = POWERCAP):
        packages = sorted(p for p in folder.glob("intel-rapl:*") if p.name.count(":") == 1)  # a:b:c is part of a:b
        self._packages = [(p, joules) for p in packages if (joules := _read(p / "energy_uj")) is not None]
        self._started = time.perf_counter()

    def watts(self) -> float | None:
        """The mean since the start; None where no counter can be read."""
        if not self._packages:
            return None
        return sum(self._drawn(p, before) for p, before in self._packages) / (time.perf_counter() - self._started)

    def _drawn(self, package: Path, before: float) -> float:
        """Joules of one package. The counter starts again from 0 at its largest value."""
        drawn = (_read(package / "energy_uj") or before) - before
        return drawn if drawn >= 0 else drawn + (_read(package / "max_energy_range_uj") or 0)


def _read(path: Path) -> float | None:
    """A counter in joules; None where it isn't there or only root may read it."""
    try:
        return int(path.read_text(encoding="ascii")) / 1e6
    except (OSError, ValueError):
        return None
