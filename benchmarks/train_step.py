"""One training step, ours beside PyTorch's: python benchmarks/train_step.py

Each side runs in a process of its own (two BLAS or OpenMP runtimes in one process slow each other down), in turn:
A B A B ..., so that a machine whose speed drifts slows both. Prints one Markdown table of medians with the CPU, the
date and the versions; --output appends it to a file. Without torch, only our side is measured.

The PyTorch side is benchmarks/peers/torch_gpt.py; --peer takes another script that prints the same JSON line.
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # also run as a script: python benchmarks/train_step.py

from benchmarks.shapes import SHAPES  # noqa: E402

STEPS = {"char": 50, "char-large": 4, "gpt2": 4, "gpt2-long": 2}


def run(command: list[str]) -> dict:
    """The JSON line a benchmark process prints."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def compare(shape: str, pairs: int, peer: list[str] | None) -> tuple[list[dict], list[dict]]:
    """The results of `pairs` runs of each side, in turn."""
    ours, theirs = [], []
    options = ["--shape", shape, "--steps", str(STEPS[shape]), "--warmup", "2"]
    for _ in range(pairs):
        ours.append(run(["-m", "benchmarks.ours", *options]))
        if peer:
            theirs.append(run([*peer, *options]))
    return ours, theirs


def row(shape: str, ours: list[dict], theirs: list[dict]) -> str:
    """One line of the table: medians over the runs' medians, and the median of the ratios pair by pair."""
    b, t, vocabulary, layers, heads, width = SHAPES[shape]
    cells = [f"{shape} ({b}, {t}, {vocabulary}, {layers}, {heads}, {width})"]
    for side in (ours, theirs):
        if side:
            seconds, memory = (statistics.median(r[key] for r in side) for key in ("median_s", "peak_mb"))
            cells += [f"{seconds * 1000:.1f} ms", f"{memory:.0f} MB"]
        else:
            cells += ["", ""]
    ratios = [b["median_s"] / a["median_s"] for a, b in zip(ours, theirs, strict=False)]
    cells.append(f"{statistics.median(ratios):.2f}x" if ratios else "")
    return f"| {' | '.join(cells)} |"


def cpu_name() -> str:
    """The processor as /proc/cpuinfo names it (else as Python does), and how many cores this process may use."""
    cpuinfo = Path("/proc/cpuinfo")
    facts = (
        dict(line.split(":", 1) for line in cpuinfo.read_text().split("\n\n")[0].splitlines())
        if cpuinfo.exists()
        else {}
    )
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    name = facts.get("model name") or platform.processor()
    family = f" (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else ""
    return f"{name}{family}, {os.cpu_count()} cores"


def main() -> None:
    """Measure every shape asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side, in turn")
    parser.add_argument("--peer", type=Path, default=REPOSITORY / "benchmarks" / "peers" / "torch_gpt.py")
    parser.add_argument("--mode", default="eager", help="how the PyTorch side runs: eager, bf16, compile, compile-bf16")
    parser.add_argument("--output", type=Path, help="append the table to this file, too")
    arguments = parser.parse_args()

    peer = [str(arguments.peer), "--mode", arguments.mode, "--threads", str(os.cpu_count())]
    if importlib.util.find_spec("torch") is None:
        print("torch isn't installed (pip install 'minillm[oracle]'): measuring our side only", file=sys.stderr)
        peer = None
    lines, versions = [], set()
    for shape in arguments.shapes:
        ours, theirs = compare(shape, arguments.pairs, peer)
        versions |= {result["peer"] for result in ours + theirs}
        lines.append(row(shape, ours, theirs))
        print(lines[-1], file=sys.stderr)
    table = [
        f"Training step, float32, {datetime.date.today()}, {cpu_name()}; "
        f"{', '.join(sorted(versions))} ({arguments.mode}).",
        f"Medians of {arguments.pairs} paired runs; the ratio is the median of the pairs' ratios.",
        "",
        "| shape (batch, context, vocabulary, layers, heads, width) | ours | peak | torch | peak | torch / ours |",
        "|---|---|---|---|---|---|",
        *lines,
    ]
    print("\n".join(table))
    if arguments.output:
        with arguments.output.open("a", encoding="utf-8") as file:
            file.write("\n" + "\n".join(table) + "\n")


if __name__ == "__main__":
    main()
