"""What a measurement was made on: processor, threads, instruction set, versions."""

import datetime
import os
import platform
from importlib import metadata
from pathlib import Path

import minillm
from minillm.kernels import NATIVE_BUILT


def cpu_name() -> str:
    """The processor as /proc/cpuinfo names it (else as Python does), and how many cores this machine has."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().split("\n\n")[0].splitlines() if cpuinfo.exists() else []
    facts = {key.strip(): value.strip() for key, value in (line.split(":", 1) for line in lines if ":" in line)}
    name = facts.get("model name") or platform.processor() or platform.machine()
    family = f" (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else ""
    return f"{name}{family}, {os.cpu_count()} cores"


def threads() -> int:
    """How many threads both sides of a comparison get."""
    if not NATIVE_BUILT:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    from minillm.kernels.native.environment import threads_and_source

    return threads_and_source()[0]


def isas() -> list[str]:
    """The native kernels' instruction sets, the one in use first; none where they aren't built."""
    if not NATIVE_BUILT:
        return []
    from minillm import _native

    return sorted(_native.available_isas(), key=lambda name: name != _native.isa())


def multiplies_bfloat16() -> bool:
    """Whether the processor has bfloat16 dot products. Without them PyTorch's bfloat16 is many times slower than its
    float32 (a step of `char` took 25 times as long on a processor with AVX2 alone): no peer to measure against.
    """
    return isas()[:1] == ["avx512bf16"]


def versions() -> str:
    """Of minillm, and of those peers that are installed."""
    found = [f"minillm {minillm.__version__}"]
    for name in ("numpy", "torch", "tokenizers", "tiktoken"):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def description() -> dict[str, str]:
    """All of it, with the date: printed above every table and kept with its figures."""
    return {
        "date": str(datetime.date.today()),
        "cpu": cpu_name(),
        "threads": str(threads()),
        "instruction set": (isas() or ["NumPy alone"])[0],
        "versions": versions(),
    }
