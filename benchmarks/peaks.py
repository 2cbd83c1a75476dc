"""What this machine can do: multiply-adds and bytes a second, by loops that do nothing else.

    python -m benchmarks peaks

The loops are csrc/cpu/kernels/peaks.cpp. A processor's clock varies from hour to hour, so everything measured as a
fraction of a limit measures the limit again, beside it: `flops` and `bandwidth` below.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from benchmarks.tables import Table
from benchmarks.timing import fastest_seconds
from minillm import _native

ROUNDS = 300_000  # about 2 ms of multiply-adds
MEGABYTES = {"L2": 0.5, "L3": 12, "memory": 256}  # working sets that stay in a cache, or in none


def flops(precision: str = "float32", repeats: int = 8) -> float:
    """Floating-point operations a second that this instruction set and team reach at most."""
    loop = _native.peak_bf16 if precision == "bfloat16" else _native.peak_fma
    return loop(ROUNDS) / fastest_seconds(lambda: loop(ROUNDS), repeats)


def streams(megabytes: float, repeats: int = 4) -> dict[str, float]:
    """Bytes a second of read, copy and triad, whose arrays together have this size."""
    rates = {}
    for name, arrays in (("read", 1), ("copy", 2), ("triad", 3)):
        data = [np.ones(max(1, int(megabytes * 2**20 / 4 / arrays)), np.float32) for _ in range(arrays)]
        loop, scale = getattr(_native, f"stream_{name}"), (2.0,) if name == "triad" else ()
        rounds = max(1, round(64 / megabytes))
        loop(*data, *scale, rounds)
        seconds = fastest_seconds(partial(loop, *data, *scale, rounds), repeats)
        rates[name] = sum(x.nbytes for x in data) * rounds / seconds
    return rates


def bandwidth(megabytes: float, repeats: int = 4) -> float:
    """Bytes a second that the fastest of the loops moves, over arrays of this size."""
    return max(streams(megabytes, repeats).values())


@contextmanager
def using(isa: str, threads: int) -> Iterator[None]:
    """Within it, the native kernels of this instruction set on so many threads."""
    before = _native.isa(), _native.threads()
    _native.select_isa(isa)
    _native.set_threads(threads)
    try:
        yield
    finally:
        _native.select_isa(before[0])
        _native.set_threads(before[1])


def tables(quick: bool) -> list[Table]:
    """Arithmetic by instruction set, memory by working set; each on one thread and on all."""
    counts = sorted({1, _native.threads()})
    arithmetic = Table(
        "Multiply-adds",
        {"instruction set": "", "threads": "", "float32 GFLOP/s": ".0f", "bfloat16 GFLOP/s": ".0f"},
        note="Without bfloat16 dot products in hardware (avx512bf16 has them) its numbers are multiplied as float32.",
    )
    memory = Table(
        "Memory, bytes read and written as a program sees them",
        {"arrays in": "", "MB": "g", "threads": "", "read GB/s": ".1f", "copy GB/s": ".1f", "triad GB/s": ".1f"},
    )
    for isa in _native.available_isas():
        for count in counts:
            with using(isa, count):
                rates = {f"{name} GFLOP/s": flops(name, 2 if quick else 20) / 1e9 for name in ("float32", "bfloat16")}
            arithmetic.rows.append({"instruction set": isa, "threads": count} | rates)
    for place, size in MEGABYTES.items():
        for count in counts:
            with using(_native.isa(), count):
                rates = {f"{name} GB/s": rate / 1e9 for name, rate in streams(size, 2 if quick else 10).items()}
            memory.rows.append({"arrays in": place, "MB": size, "threads": count} | rates)
    return [arithmetic, memory]
