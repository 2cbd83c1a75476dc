"""Each op of the models, forward and backward, beside PyTorch's, and how near it comes to the machine's limit.

    python -m benchmarks ops

An op's limit is the time its operations take at the multiply-add loop's speed or its bytes at that of the fastest of
read, copy and triad over as many bytes (in a cache, where they fit one), whichever is longer; both are measured beside
it. That is the roofline of Williams et al. 2009, which benchmarks/roofline.py draws.
"""

from typing import Any

from benchmarks.op_cases import CASES, OpCase, Work
from benchmarks.pairs import PEERS, alternate, have_torch, median, ratio, run
from benchmarks.tables import Table

LIMITS = {"operations": "multiply-adds, float32", "L3": "bytes, arrays in the L3 cache", "memory": "bytes, in memory"}
COLUMNS = {
    "op": "",
    "shape": "",
    "pass": "",
    "ours ms": ".3f",
    "torch ms": ".3f",
    "torch / ours": ".2x",
    "GFLOP/s": ".1f",
    "GB/s": ".1f",
    "of limit": ".0%",
}


def rows(results: dict[str, list[dict]]) -> list[dict[str, Any]]:
    """A row for each pass. results: each side's runs, as its process printed them."""
    return [
        _row(case, name, work, results)
        for case in CASES
        for name, work in case.passes().items()
        if f"{case.key} {name}" in results["ours"][0]["seconds"]
    ]


def _row(case: OpCase, name: str, work: Work, results: dict[str, list[dict]]) -> dict[str, Any]:
    key = f"{case.key} {name}"
    ours, theirs = ([r["seconds"][key] for r in results.get(side, [])] for side in ("ours", "torch"))
    seconds, peer = median(ours), median(theirs)
    limits = [r["limits"][key] for r in results["ours"]]
    least = [max(work.operations / limit["operations"], work.bytes / limit["bytes"]) for limit in limits]
    return {
        "op": case.name,
        "shape": "x".join(map(str, case.shape)),
        "pass": name if case.backward else "whole",
        "ours ms": 1000 * seconds,
        "torch ms": None if peer is None else 1000 * peer,
        "torch / ours": ratio(ours, theirs),
        "GFLOP/s": work.operations / seconds / 1e9,
        "GB/s": work.bytes / seconds / 1e9,
        "of limit": median([a / b for a, b in zip(least, ours, strict=True)]),
        "operations a byte": work.operations / work.bytes,  # not a column: for the picture
    }


def limits(results: list[dict]) -> list[dict[str, Any]]:
    """A row for each limit that the picture draws: medians over our side's runs."""
    return [
        {"limit": name, "what": what, "G/s": median([r["lines"][name] for r in results]) / 1e9}
        for name, what in LIMITS.items()
    ]


def tables(quick: bool) -> list[Table]:
    """The ops, and the limits of that sitting."""
    options = ["--quick"] if quick else []
    sides = {"ours": lambda: run(["-m", "benchmarks.ops_ours", *options])}
    if have_torch():
        sides["torch"] = lambda: run([str(PEERS / "torch_ops.py"), *options])
    pairs = 1 if quick else 3
    results = alternate(sides, pairs)
    note = f"float32; medians of {pairs} paired runs; torch / ours: the median of the pairs' ratios of times."
    ours = results["ours"]
    return [
        Table("Ops", COLUMNS, rows(results), note),
        Table("Their limits", {"limit": "", "what": "", "G/s": ".1f"}, limits(ours)),
    ]
