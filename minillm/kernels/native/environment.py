"""What the environment says about the native kernels: how many threads, which instruction set."""

import os
from pathlib import Path
from typing import Any

from minillm.errors import ConfigError


def configure(native: Any) -> None:
    """Set up the module minillm._native: threads and instruction set. ConfigError for a variable that can't be met."""
    native.set_threads(thread_count())
    isa = os.environ.get("MINILLM_ISA")
    if isa and not native.select_isa(isa):
        known = ", ".join(native.available_isas())
        raise ConfigError(f"MINILLM_ISA={isa!r}: this processor and build have {known}")


def thread_count() -> int:
    """$MINILLM_THREADS, else $OMP_NUM_THREADS, else the processors this process may use.

    A container's share of the processors (cgroup) counts: threads beyond it would only be made to wait.
    """
    for name in ("MINILLM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value:
            if not value.isdigit() or int(value) < 1:
                raise ConfigError(f"{name}={value!r} must be a whole number of threads, at least 1")
            return int(value)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _cgroup_share()
    return max(1, min(usable, round(share))) if share else usable


def _cgroup_share(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Processors the container may use, such as 1.5; None without a limit."""
    try:
        quota, period = (root / "cpu.max").read_text().split()  # cgroup v2: "150000 100000" or "max 100000"
    except (OSError, ValueError):
        try:  # cgroup v1: -1 is no limit
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return int(quota) / int(period) if quota.isdigit() and int(quota) > 0 else None
