"""What the environment says about the native kernels: how many threads, which instruction set."""

import os
from pathlib import Path
from typing import Any

from minillm.errors import ConfigError


def configure(native: Any) -> None:
    """Set up the module minillm._native: threads and instruction set. ConfigError for a variable that can't be met."""
    native.set_threads(threads_and_source()[0])
    isa = os.environ.get("MINILLM_ISA")
    if isa and not native.select_isa(isa):
        known = ", ".join(native.available_isas())
        raise ConfigError(f"MINILLM_ISA={isa!r}: this processor and build have {known}")


def threads_and_source() -> tuple[int, str]:
    """$MINILLM_THREADS, else $OMP_NUM_THREADS, else the processors this process may use; and which of them it was.

    A container's share of the processors (cgroup) counts: threads beyond it would only be made to wait.
    """
    for name in ("MINILLM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value:
            if not value.isdigit() or int(value) < 1:
                raise ConfigError(f"{name}={value!r} must be a whole number of threads, at least 1")
            return int(value), name
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cgroup_share()
    if share and round(share) < usable:
        return max(1, round(share)), f"the container's share, {share:g} processors"
    return usable, "processors this process may use"


def cgroup_share(root: Path = Path("/sys/fs/cgroup")) -> float | None:
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
