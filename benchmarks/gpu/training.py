"""A training step of GPT-2 124M in bfloat16, ours beside PyTorch's, eager and compiled, for several batches.

Each side runs in a process of its own, in turn, and waits for the GPU after every step. Memory: the most that arrays
took at one time, and what is taken of the GPU's in the end. Model FLOP utilisation (Chowdhery et al. 2022, appendix B)
is what the plan counts (minillm.planning.counts) against the measured bfloat16 product and the data sheet's.
"""

from typing import Any

from benchmarks.gpu import data_sheets
from benchmarks.gpu.context import Context, say
from benchmarks.gpu.deadline import Deadline
from benchmarks.gpu.turns import FULL, NO_TIME, Runs, in_turns, median_of, ratio_of_medians
from benchmarks.pairs import PEERS, have_torch, run
from benchmarks.shapes import SHAPES
from benchmarks.tables import Table
from minillm.cuda.driver import device_name
from minillm.models import GPTConfig
from minillm.planning.counts import flops_per_token

SECONDS = 215
SHAPE = "gpt2-long"
STEPS = {4: 30, 16: 20, 64: 10}  # by batch
ROUNDS = 2
LEAST = 15.0  # seconds that must be left for a run
COMPILE_LIMIT = 120.0
LIMIT = 75.0
OURS, OURS_EAGER, TORCH, TORCH_COMPILED = "ours", "ours, no graph", "torch eager", "torch compiled"
MODES = {TORCH: "bf16", TORCH_COMPILED: "compile-bf16"}


def options(batch: int) -> list[str]:
    """What both sides are told."""
    return ["--shape", SHAPE, "--batch", str(batch), "--steps", str(STEPS[batch])]


def ours(batch: int, limit: float, *more: str) -> dict[str, Any]:
    """One run of our side."""
    return run(["-m", "benchmarks.gpu.ours", *options(batch), *more], timeout=limit)


def torch(batch: int, mode: str, limit: float) -> dict[str, Any]:
    """One run of PyTorch's."""
    command = [str(PEERS / "torch_gpt.py"), *options(batch), "--mode", mode, "--device", "cuda"]
    return run(command, timeout=limit)


def compare(batch: int, peer: bool, deadline: Deadline) -> tuple[Runs, dict[str, str]]:
    """All sides in turn; ours without a graph only where it fails with one."""

    def limit(name: str) -> float:
        return min(COMPILE_LIMIT if name == TORCH_COMPILED else LIMIT, max(deadline.left(), 1))

    sides = {OURS: lambda: ours(batch, limit(OURS))}
    if peer:
        sides |= {name: lambda name=name: torch(batch, MODES[name], limit(name)) for name in MODES}
    runs, errors = in_turns(sides, ROUNDS, deadline, LEAST)
    if not runs[OURS] and errors[OURS] != FULL:
        more, why = in_turns({OURS_EAGER: lambda: ours(batch, limit(OURS), "--eager")}, 1, deadline, LEAST)
        runs |= more
        errors |= why
    return runs, errors


def measure(context: Context, values: dict[str, Any]) -> None:
    """Each batch; what fails is a row, too."""
    peer = have_torch()
    values.update(runs={}, errors={}, problems=[], rows=[], torch=peer)
    sheet = data_sheets.of(device_name())
    limits = {
        "measured": context.found.get("kernels", {}).get("limits", {}).get("flops"),
        "data sheet": sheet.bfloat16 * 1e12 if sheet else None,
    }
    for i, batch in enumerate(STEPS):
        runs, errors = compare(batch, peer, Deadline(context.deadline.left() / (len(STEPS) - i)))
        values["runs"][str(batch)], values["errors"][str(batch)] = runs, errors
        values["rows"] += rows(batch, runs, errors, limits)
        values["problems"] += problems(batch, runs, errors)
        for name, found in runs.items():
            say(f"  batch {batch}, {name}: {progress(found, errors.get(name))}")


def progress(found: list[dict[str, Any]], error: str | None) -> str:
    """A line for one side."""
    return f"{median_of(found, 'tokens_per_s'):,.0f} tokens/s" if found else (error or "").splitlines()[-1]


def problems(batch: int, runs: Runs, errors: dict[str, str]) -> list[str]:
    """What makes the section fail: our side, unless its memory was full or its time over; or an update it skipped."""
    skipped = {name: [r["skipped"] for r in found if r.get("skipped")] for name, found in runs.items()}
    found = [f"batch {batch}, {name}: an update was skipped: {why[0]}" for name, why in skipped.items() if why]
    ours_failed = [name for name in (OURS, OURS_EAGER) if errors.get(name, FULL) not in (FULL, NO_TIME)]
    return found + [f"batch {batch}, {name}: {errors[name]}" for name in ours_failed]


def step_flops(batch: int) -> int:
    """Of one training step: 6 N + 12 L d T for each token."""
    shape = SHAPES[SHAPE]
    config = GPTConfig(shape.vocabulary, shape.context, shape.layers, shape.heads, d_model=shape.width)
    return batch * shape.context * flops_per_token(config)


def rows(batch: int, runs: Runs, errors: dict[str, str], limits: dict[str, float | None]) -> list[dict[str, Any]]:
    """A row for each side."""
    tokens, flops = batch * SHAPES[SHAPE].context, step_flops(batch)
    mine = runs.get(OURS) or runs.get(OURS_EAGER) or []
    made = []
    for name, found in runs.items():
        seconds = median_of(found, "median_s")
        row: dict[str, Any] = {"batch": batch, "side": name, "runs": len(found), "result": errors.get(name, "")}
        if seconds:
            row |= {
                "ms": seconds * 1000,
                "tokens/s": tokens / seconds,
                "MFU": flops / seconds / limits["measured"] if limits["measured"] else None,
                "MFU, data sheet": flops / seconds / limits["data sheet"] if limits["data sheet"] else None,
                "peak MB": median_of(found, "peak_mb"),
                "taken MB": median_of(found, "taken_mb"),
                "its time / ours": ratio_of_medians(mine, found) if name in MODES else None,
            }
        made.append(row)
    return made


COLUMNS = {
    "batch": "",
    "side": "",
    "ms": ".1f",
    "tokens/s": ",.0f",
    "MFU": ".1%",
    "MFU, data sheet": ".1%",
    "peak MB": ",.0f",
    "taken MB": ",.0f",
    "its time / ours": ".2x",
    "runs": "",
    "result": "",
}


def tables(values: dict[str, Any]) -> list[Table]:
    """A line for each batch and side."""
    shown = [
        {**row, "result": row["result"].splitlines()[-1] if row["result"] else ""} for row in values.get("rows", [])
    ]
    note = (
        "GPT-2 124M, vocabulary 50,304, context 1,024, random tokens: forward, backward, clipping, AdamW. Medians over "
        "the runs of the runs' medians. MFU: 6 N + 12 layers width context operations a token, N the weights of the "
        "matrices, head included; of the measured bfloat16 product, and of the data sheet's. Peak: of arrays; taken: "
        "all that is of the GPU's memory."
    )
    if not values.get("torch", True):
        note += " torch isn't installed: our side only."
    return [Table("Training step", COLUMNS, shown, note)]
