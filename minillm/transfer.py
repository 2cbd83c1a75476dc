"""What pre-training on one text saves on another: `python -m minillm.transfer --source python-docs --target FILE`.

Trains small GPTs on growing parts of the target text, from scratch and from the source text's weights, and writes their
validation losses into --out: transfer.md, transfer.json and transfer.png. Minutes; nothing is kept of a run that ends
before.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from minillm import cli
from minillm.finetune import RUNS, say
from minillm.memory import keep_freed_memory
from minillm.tasks.transfer import TransferSettings, compare, read_domains, table
from minillm.training import curves
from minillm.training.files import write_atomic
from minillm.training.run import free_folder


@dataclass(frozen=True)
class TransferOptions(TransferSettings):
    """Flags of the command."""

    out: Path | None = None
    """Folder of the results. By default runs/transfer, or runs/transfer-2 and so on where that is taken."""

    debug: bool = False
    """Show the full traceback of an error."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    import tyro

    description = (__doc__ or "").strip()
    options = tyro.cli(TransferOptions, args=argv, prog="python -m minillm.transfer", description=description)
    keep_freed_memory()
    rows = compare(options, read_domains(options), say)
    out = options.out or free_folder(RUNS, "transfer")
    out.mkdir(parents=True, exist_ok=True)
    heading = f"A: {options.source}, B: {options.target}; bits per byte of B's validation text"
    write_atomic(out / "transfer.md", f"# Transfer\n\n{heading}\n\n{table(rows)}\n".encode())
    settings = {name: value for name, value in asdict(options).items() if name not in ("out", "debug")}
    values = {"settings": settings, "rows": [row._asdict() for row in rows]}
    write_atomic(out / "transfer.json", json.dumps(values, indent=1, ensure_ascii=False).encode())
    learnt = rows[1:]
    curves.draw(
        out / "transfer.png",
        [row.size for row in learnt],
        {"from scratch": [row.scratch for row in learnt], "pre-trained on A": [row.pretrained for row in learnt]},
        title=f"{options.source} to {options.target}",
        labels=("bytes of B learnt from", "validation loss (bits per byte)"),
        levels={"A's model, without B": rows[0].pretrained},
    )
    say(f"\n{heading}\n\n{table(rows)}\n\n{out / 'transfer.md'}, {out / 'transfer.png'}")
    return 0


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    cli.run(main)
