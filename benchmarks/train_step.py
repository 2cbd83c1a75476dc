"""One training step, ours beside PyTorch's, in float32 and in bfloat16: python -m benchmarks.train_step

Each side runs in a process of its own, in turn. PyTorch's float32 is eager; against our bfloat16 runs its fastest mode,
bfloat16 autocast eager or compiled (float32 on a processor that doesn't multiply bfloat16), chosen for each shape by a
trial. A third table holds our kernels without AVX-512
and NumPy alone. Peak memory is the process's. The PyTorch side is benchmarks/peers/torch_gpt.py.
"""

import argparse
import sys
from typing import Any

from benchmarks.machine import description, isas, multiplies_bfloat16, threads
from benchmarks.pairs import PEERS, PeerError, alternate, have_torch, median, ratio, run
from benchmarks.shapes import SHAPES
from benchmarks.tables import Table, document

STEPS = {"char": 50, "char-large": 4, "gpt2": 4, "gpt2-long": 2}
FEWER_PAIRS = {"gpt2-long": 2}  # its steps take seconds
SMALL = ["char", "gpt2"]  # shapes of the third table
BEST_OF = ("bf16", "compile-bf16")  # modes of PyTorch that our bfloat16 is compared with,
BEST_WITHOUT = ("eager", "compile")  # and those where the processor doesn't multiply bfloat16
COMPILE_SECONDS = 300  # torch.compile is given up after so long
SIZES = "shape (batch, context, vocabulary, layers, heads, width)"
COLUMNS = {
    SIZES: "",
    "ours ms": ".1f",
    "ours MB": ".0f",
    "torch ms": ".1f",
    "torch MB": ".0f",
    "torch's mode": "",
    "pairs": "",
    "torch / ours": ".2x",
}


def ours(shape: str, steps: int, dtype: str = "float32", variables: dict[str, str] | None = None) -> dict:
    """One run of our side; `variables` of the environment choose other kernels."""
    options = ["--shape", shape, "--steps", str(steps), "--warmup", "2", "--dtype", dtype]
    return run(["-m", "benchmarks.ours", *options], variables)


def torch(shape: str, steps: int, mode: str) -> dict:
    """One run of PyTorch's side."""
    options = ["--shape", shape, "--steps", str(steps), "--warmup", "2", "--mode", mode, "--threads", str(threads())]
    return run([str(PEERS / "torch_gpt.py"), *options], timeout=COMPILE_SECONDS if "compile" in mode else None)


def best_mode(shape: str, steps: int, modes: tuple[str, ...]) -> str:
    """PyTorch's fastest mode by one run each; one that fails is reported and out."""
    seconds = {}
    for mode in modes:
        try:
            seconds[mode] = torch(shape, steps, mode)["median_s"]
        except PeerError as error:
            print(f"{shape}: torch's {mode} is left out: {error}", file=sys.stderr)
    print(f"{shape}: {', '.join(f'{mode} {s * 1000:.1f} ms' for mode, s in seconds.items())}", file=sys.stderr)
    if not seconds:
        raise PeerError(f"{shape}: torch runs in none of its modes")
    return min(seconds, key=seconds.__getitem__)


def row(shape: str, results: dict[str, list[dict]], mode: str | None) -> dict[str, Any]:
    """One line: medians over the runs' medians, and the median of the ratios pair by pair."""
    sides = {side: results.get(side, []) for side in ("ours", "torch")}
    seconds = {side: [r["median_s"] for r in runs] for side, runs in sides.items()}
    cells: dict[str, Any] = {SIZES: f"{shape} {tuple(SHAPES[shape])}".replace("'", "")}
    for side, runs in sides.items():
        if runs:
            cells[f"{side} ms"] = 1000 * median(seconds[side])
            cells[f"{side} MB"] = median([r["peak_mb"] for r in runs])
    return cells | {
        "torch's mode": mode,
        "pairs": len(sides["ours"]),
        "torch / ours": ratio(seconds["ours"], seconds["torch"]),
    }


def compare(shapes: list[str], dtype: str, pairs: int, peer: bool, quick: bool) -> list[dict[str, Any]]:
    """A row for each shape."""
    rows = []
    modes = BEST_OF if multiplies_bfloat16() else BEST_WITHOUT
    for shape in shapes:
        steps = 2 if quick else STEPS[shape]
        mode = None
        if peer:
            mode = "eager" if dtype == "float32" else best_mode(shape, 2, modes[:1] if quick else modes)
        sides = {"ours": lambda shape=shape, steps=steps: ours(shape, steps, dtype)}
        if mode:
            sides["torch"] = lambda shape=shape, steps=steps, mode=mode: torch(shape, steps, mode)
        rows.append(row(shape, alternate(sides, min(pairs, FEWER_PAIRS.get(shape, pairs))), mode))
    return rows


def without(shapes: list[str], pairs: int, peer: bool, quick: bool) -> list[dict[str, Any]]:
    """Rows of our kernels for older processors, and of NumPy alone, each beside PyTorch's float32."""
    kinds = {"NumPy alone": {"MINILLM_BACKEND": "numpy"}}
    if "avx2" in isas() and isas()[0] != "avx2":
        kinds = {"avx2": {"MINILLM_ISA": "avx2"}} | kinds
    rows = []
    for shape in shapes:
        steps = 2 if quick else STEPS[shape]
        for kind, variables in kinds.items():
            sides = {"ours": lambda shape=shape, steps=steps, env=variables: ours(shape, steps, variables=env)}
            if peer:
                sides["torch"] = lambda shape=shape, steps=steps: torch(shape, steps, "eager")
            rows.append({"kernels": kind} | row(shape, alternate(sides, pairs), "eager" if peer else None))
    return rows


def tables(quick: bool, shapes: list[str] | None = None, pairs: int = 3) -> list[Table]:
    """float32, bfloat16, and the kernels for older processors."""
    shapes = shapes or (["char"] if quick else list(SHAPES))
    peer, pairs = have_torch(), 1 if quick else pairs
    note = "Forward, backward, clipping and AdamW on random tokens; medians of the paired runs."
    small = [shape for shape in SMALL if shape in shapes]
    return [
        Table("Training step, float32", COLUMNS, compare(shapes, "float32", pairs, peer, quick), note),
        Table("Training step, bfloat16", COLUMNS, compare(shapes, "bfloat16", pairs, peer, quick), note),
        Table("Other kernels, float32", {"kernels": ""} | COLUMNS, without(small, min(pairs, 2), peer, quick)),
    ]


def main() -> None:
    """Measure every shape asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side, in turn")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    print(document(tables(arguments.quick, arguments.shapes, arguments.pairs), description()))


if __name__ == "__main__":
    main()
