"""The matrix product from three loops to the library's own, each step's speed and gain.

    python -m benchmarks ladder

csrc/README.md explains the steps; csrc/cpu/kernels/ladder.cpp is their code. Each result is checked against NumPy's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import peaks
from benchmarks.tables import Table
from benchmarks.timing import median_seconds
from minillm import _native, no_grad, ops

STEPS = [
    "three loops, i j k",
    "loops in the order i k j",
    "vectors",
    "blocks of B that stay in the L2 cache",
    "blocks packed",
    "panels and a small tile of sums in registers",
    "the largest tile that fits the registers",
    "all threads",
]
LIBRARY = "the library's own (ops.matmul)"
SIZES = (512, 1024)


def check(name: str, c: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """RuntimeError unless c is a b, to the rounding errors of sums of float32."""
    exact = a.astype(np.float64) @ b
    allowed = 2**-23 * a.shape[1] * (np.abs(a).astype(np.float64) @ np.abs(b))  # n u |A| |B|, Higham 2002, section 3.5
    if not (np.abs(c - exact) <= allowed).all():
        raise RuntimeError(f"{name}: the product is wrong by up to {np.abs(c - exact).max()}")


def product(step: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b by this step of the ladder."""
    c = np.empty((a.shape[0], b.shape[1]), np.float32)
    _native.ladder(step, a, b, c)
    return c


def products(a: np.ndarray, b: np.ndarray) -> list[tuple[str, int, Callable[[], np.ndarray]]]:
    """Each step's name, the threads it uses, and its product."""
    team = _native.threads()
    steps: list[tuple[str, int, Callable[[], np.ndarray]]] = [
        (name, 1 if step < len(STEPS) else team, partial(product, step, a, b)) for step, name in enumerate(STEPS, 1)
    ]
    return [*steps, (LIBRARY, team, lambda: ops.matmul(a, b).numpy())]


def measure(size: int, quick: bool) -> list[dict[str, Any]]:
    """The rows of one size: GFLOP/s, gain over the step before, fraction of the peak of the threads used."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, size, size)).astype(np.float32)
    rows: list[dict[str, Any]] = []
    for step, (name, threads, work) in enumerate(products(a, b), 1):
        with no_grad():
            check(name, work(), a, b)
            seconds = median_seconds(work, 0.02 if quick else 1.0, least=1)
        with peaks.using(_native.isa(), threads):
            peak = peaks.flops(repeats=3 if quick else 10)
        rate = 2 * size**3 / seconds
        gain = rate / 1e9 / rows[-1]["GFLOP/s"] if rows else None
        rows.append({"step": step, "what": name, "threads": threads, "GFLOP/s": rate / 1e9, "gain": gain})
        rows[-1]["of peak"] = rate / peak
    return rows


def tables(quick: bool) -> list[Table]:
    """One table a size."""
    columns = {"step": "", "what": "", "threads": "", "GFLOP/s": ".1f", "gain": ".2x", "of peak": ".1%"}
    return [
        Table(f"C = A B, matrices of {size} x {size}, float32", columns, measure(size, quick))
        for size in (SIZES[:1] if quick else SIZES)
    ]
