"""Run every chapter and solution from its source, and say how long each took: python notebooks/execute.py [NAME ...]

Writes the executed notebooks to build/book/, outputs and all. With names, such as 04, only notebooks that begin so. Any
error ends it with exit code 1, and so does a notebook that takes more than a minute.
"""

import os
import sys
import time
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "book"
LIMIT = 60  # seconds a notebook may take


def execute(source: Path) -> float:
    """Run one notebook, save it with its outputs, and return the seconds that took."""
    notebook = jupytext.read(source)
    started = time.perf_counter()
    NotebookClient(notebook, timeout=5 * LIMIT, resources={"metadata": {"path": str(HERE)}}).execute()
    seconds = time.perf_counter() - started
    target = BUILD / source.relative_to(HERE).with_suffix(".ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    jupytext.write(notebook, target)
    return seconds


def main(names: list[str]) -> int:
    """Execute the notebooks; the exit code."""
    sources = sorted(HERE.rglob("[0-9][0-9]_*.py"))
    chosen = [source for source in sources if not names or source.name.startswith(tuple(names))]
    failed = 0
    for source in chosen:
        name = source.relative_to(HERE)
        try:
            seconds = execute(source)
        except CellExecutionError as error:
            print(f"{name}: {error}")
            failed += 1
            continue
        late = seconds > LIMIT
        failed += late
        print(f"{name}: {seconds:.1f} s{f', more than {LIMIT}' if late else ''}", flush=True)
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    os.environ.setdefault("MINILLM_THREADS", "2")
    sys.exit(main(sys.argv[1:]))
