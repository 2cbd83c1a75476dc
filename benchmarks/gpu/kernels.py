"""This GPU's limits, and how near each kernel comes to them; beside it PyTorch's ops that do the same.

Times are medians by the GPU's own clock, its L2 cache filled with something else before each run, on arrays as large
as a training step of GPT-2 124M has them, bfloat16 (work.py says how bytes and operations are counted). PyTorch runs
in a process of its own (benchmarks/peers/torch_kernels.py).
"""

from typing import Any

from benchmarks.gpu import data_sheets, peaks
from benchmarks.gpu.context import Context, say
from benchmarks.gpu.items import run_items
from benchmarks.gpu.sizes import Sizes
from benchmarks.gpu.work import KERNELS, Work, is_bound_by_products
from benchmarks.pairs import PEERS, PeerError, have_torch, run
from benchmarks.tables import Table
from minillm.cuda.driver import device_name

SECONDS = 100
MOST = 60  # seconds for a kernel


def item(name: str, sizes: Sizes) -> dict[str, Any]:
    """One limit, or all passes of one kernel."""
    if name in peaks.NAMES:
        return peaks.item(name, sizes)
    from benchmarks.gpu.kernel_cases import CASES
    from benchmarks.gpu.timing import flushing, measured
    from minillm.backend import use_backend
    from minillm.cuda.driver import array_module

    xp = array_module()
    with use_backend("cuda"):
        flush = flushing(xp, sizes.flushed)
        return {one: measured(xp, work, sizes.repeats, flush) for one, work in CASES[name](xp, sizes).items()}


def measure(context: Context, values: dict[str, Any]) -> None:
    """The limits first, then the kernels, then PyTorch."""
    values.update(peaks={}, ours={}, torch={}, problems=[], notes=[], sheet=None)
    names = [*peaks.NAMES, *KERNELS]
    for outcome in run_items("benchmarks.gpu.kernels", names, context.size, context.deadline, MOST):
        note(outcome, values)
    values["limits"] = peaks.limits(values["peaks"])
    sheet = data_sheets.of(device_name())
    values["sheet"] = sheet and sheet._asdict()
    torch(context, values)
    values["rows"] = rows(context.sizes, values)


def note(outcome: dict[str, Any], values: dict[str, Any]) -> None:
    """Where an item's values belong."""
    name = outcome["item"]
    if "values" in outcome:
        values["peaks" if name in peaks.NAMES else "ours"][name] = outcome["values"]
        say(f"  {name}: {shown(outcome['values'])}")
    elif "skipped" in outcome:
        values["notes"].append(f"{name}: {outcome['skipped']}")
    else:
        values["problems"].append(f"{name}: {outcome['error']}")


def shown(found: dict[str, Any]) -> str:
    """Milliseconds, in a line."""
    return f"{found['ms']:.3f} ms" if "ms" in found else ", ".join(f"{k} {v['ms']:.3f} ms" for k, v in found.items())


def torch(context: Context, values: dict[str, Any]) -> None:
    """PyTorch's times for the same kernels, by name and pass."""
    if not have_torch():
        values["notes"].append("torch isn't installed: no times to compare with")
        return
    device = "cpu" if context.emulated else "cuda"
    options = ["--sizes", context.size, "--device", device]
    try:
        values["torch"] = run([str(PEERS / "torch_kernels.py"), *options], timeout=max(context.deadline.left(), 1))
        values["notes"] += [f"torch, {name}: {error}" for name, error in values["torch"]["errors"].items()]
    except PeerError as error:
        values["notes"].append(f"torch failed: {error}")


def rows(sizes: Sizes, values: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each pass of each kernel that was measured."""
    theirs = values["torch"].get("milliseconds", {})
    return [
        row(name, one, work, values["ours"][name][one], theirs.get(name, {}).get(one), values["limits"])
        for name, of in KERNELS.items()
        for one, work in of(sizes).items()
        if one in values["ours"].get(name, {})
    ]


def row(
    name: str, one: str, work: Work, times: dict[str, Any], theirs: float | None, limits: dict[str, float]
) -> dict[str, Any]:
    """Achieved bytes or operations a second, and the share of the measured limit."""
    seconds = times["ms"] / 1000
    unit = "flops" if is_bound_by_products(name) else "bytes"
    rate = (work.flops if unit == "flops" else work.bytes) / seconds
    return {
        "kernel": name,
        "pass": one,
        "ours ms": times["ms"],
        "torch ms": theirs,
        "torch / ours": theirs / times["ms"] if theirs else None,
        "GB/s": None if unit == "flops" else rate / 1e9,
        "TFLOP/s": rate / 1e12 if unit == "flops" else None,
        "of limit": rate / limits[unit] if unit in limits else None,
        "counted": work.formula,
        "launch bound": "yes" if times["launch bound"] else "",
    }


COLUMNS = {
    "kernel": "",
    "pass": "",
    "ours ms": ".3f",
    "torch ms": ".3f",
    "torch / ours": ".2x",
    "GB/s": ".0f",
    "TFLOP/s": ".1f",
    "of limit": ".0%",
    "launch bound": "",
    "counted": "",
}


def tables(values: dict[str, Any]) -> list[Table]:
    """The limits; the kernels."""
    sheet = values.get("sheet") or {}
    of_sheet = {name: sheet.get("memory", 0) * 1e9 for name in peaks.MEMORY} | {
        peaks.PRODUCTS[0]: sheet.get("bfloat16", 0) * 1e12
    }
    measured = [
        {
            "limit": name,
            "ms": found["ms"],
            "GB/s": found["rate"] / 1e9 if name in peaks.MEMORY else None,
            "TFLOP/s": None if name in peaks.MEMORY else found["rate"] / 1e12,
            "of data sheet": found["rate"] / of_sheet[name] if of_sheet.get(name) else None,
            "MHz, MHz, W, °C": ", ".join(found.get("under load", {}).values()),
        }
        for name, found in values.get("peaks", {}).items()
    ]
    columns = {"limit": "", "ms": ".3f", "GB/s": ".0f", "TFLOP/s": ".1f", "of data sheet": ".0%", "MHz, MHz, W, °C": ""}
    note = (
        "copy: an array read, another written; add: two read, a third written. Square products: 2 n³ operations; "
        "beside them the clocks of processors and memory, power and temperature meanwhile."
    )
    about = "Medians; the limit is the faster of copy and add, or the bfloat16 product. " + " ".join(
        values.get("notes", [])
    )
    return [
        Table("Limits, measured", columns, measured, note),
        Table("Kernels", COLUMNS, values.get("rows", []), about.strip()),
    ]
