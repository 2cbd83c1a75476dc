"""Compile every CUDA source for this GPU: later sections find the kernels in the cache, and a file that can't be
compiled is named here."""

import time
from typing import Any

from benchmarks.gpu.context import Context, say
from benchmarks.gpu.items import run_items, side_by_side
from benchmarks.gpu.sizes import Sizes
from benchmarks.tables import Table
from minillm.cuda import is_emulated, sources

SECONDS = 40
MOST = 120  # seconds for one file
AT_ONCE = 8


def item(file: str, sizes: Sizes) -> dict[str, Any]:
    """Seconds until the kernels of csrc/cuda/FILE.cu could be launched."""
    begun = time.perf_counter()
    if is_emulated():
        from minillm.cuda.emulator.build import library

        library(file)
    else:
        from minillm.cuda.compiled import module

        module(file)
    return {"seconds": time.perf_counter() - begun}


def measure(context: Context, values: dict[str, Any]) -> None:
    """A process for each file, some at a time."""
    files = sorted(path.stem for path in sources.folder().glob("*.cu"))
    values["rows"], values["problems"] = [], []

    def compile_one(file: str) -> None:
        for outcome in run_items("benchmarks.gpu.compiling", [file], context.size, context.deadline, MOST):
            note(outcome, values)

    side_by_side(compile_one, files, 2 if context.emulated else AT_ONCE, context.deadline)


def note(outcome: dict[str, Any], values: dict[str, Any]) -> None:
    """A row for the file."""
    file = f"{outcome['item']}.cu"
    seconds = outcome.get("values", {}).get("seconds")
    result = outcome.get("skipped", "failed" if seconds is None else "compiled")
    values["rows"].append({"file": file, "seconds": seconds, "result": result})
    if "error" in outcome:
        values["problems"].append(f"{file}: {outcome['error']}")
    say(f"  {file}: {'failed' if seconds is None else f'{seconds:.1f} s'}")


def tables(values: dict[str, Any]) -> list[Table]:
    """A line for each file."""
    columns = {"file": "", "result": "", "seconds": ".1f"}
    return [Table("Kernels compiled", columns, values.get("rows", []), "By NVRTC, or found in the cache.")]
