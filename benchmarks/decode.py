"""Generation, ours beside PyTorch's: python benchmarks/decode.py

Greedy decoding with a 124M-parameter GPT-2 shape of random weights, by batch and type of the weights. As in
train_step.py each side runs in a process of its own, in turn, and without torch only ours is measured. One Markdown
table; "of memory" is the share of the read bandwidth, measured beside it, at which the weights are read.
"""

import argparse
import datetime
import importlib.util
import os
import statistics
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))  # also run as a script: python benchmarks/decode.py

from benchmarks.machine import cpu_name  # noqa: E402
from benchmarks.pairs import run  # noqa: E402

PEER = REPOSITORY / "benchmarks" / "peers" / "torch_decode.py"


def compare(options: list[str], pairs: int, peer: bool) -> tuple[list[dict], list[dict]]:
    """The results of `pairs` runs of each side, in turn."""
    ours, theirs = [], []
    for _ in range(pairs):
        ours.append(run(["-m", "benchmarks.decode_ours", *options]))
        if peer:
            theirs.append(run([str(PEER), "--threads", str(os.cpu_count()), *options]))
    return ours, theirs


def row(weights: str, batch: int, ours: list[dict], theirs: list[dict]) -> str:
    """One line of the table: the fastest token of all runs of a side, and the median of the pairs' ratios."""
    fastest = min(ours, key=lambda result: result["min_s"])
    cells = [weights, str(batch), f"{fastest['min_s'] * 1000:.1f} ms", f"{batch / fastest['min_s']:.0f}"]
    cells += [f"{fastest['weight_gb_s']:.1f} GB/s", f"{max(r['of_read_bandwidth'] for r in ours):.0%}"]
    if theirs:
        ratio = statistics.median(b["min_s"] / a["min_s"] for a, b in zip(ours, theirs, strict=True))
        cells += [f"{min(r['min_s'] for r in theirs) * 1000:.1f} ms", f"{ratio:.2f}x"]
    else:
        cells += ["", ""]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure every batch and type asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--weights", nargs="+", default=["float32", "bfloat16", "int8"])
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side, in turn")
    parser.add_argument("--tokens", type=int, default=30)
    arguments = parser.parse_args()
    peer = importlib.util.find_spec("torch") is not None
    lines = []
    for batch in arguments.batches:
        for weights in arguments.weights:
            options = ["--batch", str(batch), "--weights", weights, "--tokens", str(arguments.tokens)]
            lines.append(row(weights, batch, *compare(options, arguments.pairs, peer)))
            print(lines[-1], file=sys.stderr)
    header = f"Greedy decoding, {datetime.date.today()}, {cpu_name()}; fastest token of {arguments.pairs} paired runs."
    columns = "| weights | batch | a token | tokens/s | weights read at | of memory | torch | torch / ours |"
    print("\n".join([header, "", columns, "|---|---|---|---|---|---|---|---|", *lines]))


if __name__ == "__main__":
    main()
