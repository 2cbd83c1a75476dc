"""Peers in processes of their own, in turn: ours, torch, ours, torch, ...

Two BLAS or OpenMP runtimes in one process slow each other down, and a machine whose speed drifts must slow both sides.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import threads

REPOSITORY = Path(__file__).resolve().parent.parent
PEERS = REPOSITORY / "benchmarks" / "peers"


class PeerError(RuntimeError):
    """A benchmark process failed or took too long."""


def run(command: list[str], variables: dict[str, str] | None = None, timeout: float | None = None) -> dict:
    """The JSON line that a benchmark process prints last. `command`: arguments for Python."""
    count = str(threads())
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment |= dict.fromkeys(("MINILLM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
    environment |= variables or {}
    try:
        result = subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            env=environment,
            cwd=REPOSITORY,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"{' '.join(command)} took more than {timeout} s") from error
    if result.returncode:
        raise PeerError(f"{' '.join(command)} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def alternate(sides: dict[str, Callable[[], dict]], pairs: int) -> dict[str, list[dict]]:
    """The results of `pairs` runs of each side, in turn."""
    results: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(pairs):
        for name, measure in sides.items():
            results[name].append(measure())
    return results


def median(values: list[float]) -> float | None:
    """None where nothing was measured."""
    return statistics.median(values) if values else None


def ratio(ours: list[float], theirs: list[float]) -> float | None:
    """How many times longer theirs takes: the median of the ratios pair by pair."""
    return median([b / a for a, b in zip(ours, theirs, strict=True)]) if theirs else None


def have_torch() -> bool:
    """Whether there is a PyTorch to compare with; says so where there is none."""
    found = importlib.util.find_spec("torch") is not None
    if not found:
        print("torch isn't installed (python -m pip install torch): measuring our side only", file=sys.stderr)
    return found
