"""Run every chapter from its source, two at a time, and say how long each took: python notebooks/execute.py [NAME ...]

Writes the executed notebooks to build/book/, outputs and all. With names, such as 04 or zh/04, only notebooks that begin
so; solutions/04 runs a chapter's solutions, which the tests run, too. Any error ends it with exit code 1, and so does a
notebook that takes more than a minute.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "book"
LIMIT = 60  # seconds a notebook may take
FOLDERS = (".", "zh", "solutions")
UNLESS_TOLD = ("0", "1", "zh/")  # the chapters, in both languages
AT_ONCE = 2  # each in a process of its own, on one thread


def execute(source: Path) -> float:
    """Run one notebook, save it with its outputs, and return the seconds that took."""
    notebook = jupytext.read(source)
    started = time.perf_counter()
    NotebookClient(notebook, timeout=5 * LIMIT, resources={"metadata": {"path": str(source.parent)}}).execute()
    seconds = time.perf_counter() - started
    target = BUILD / source.relative_to(HERE).with_suffix(".ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    jupytext.write(notebook, target)
    return seconds


def report(source: Path) -> bool:
    """Execute one notebook and print a line about it; whether it ran in time."""
    name = source.relative_to(HERE)
    try:
        seconds = execute(source)
    except CellExecutionError as error:
        print(f"{name}: {error}", flush=True)
        return False
    late = seconds > LIMIT
    print(f"{name}: {seconds:.1f} s{f', more than {LIMIT}' if late else ''}", flush=True)
    return not late


def main(names: list[str]) -> int:
    """Execute the notebooks; the exit code."""
    sources = [source for folder in FOLDERS for source in sorted((HERE / folder).glob("[0-9][0-9]_*.py"))]
    wanted = tuple(names) or UNLESS_TOLD
    chosen = [source for source in sources if source.relative_to(HERE).as_posix().startswith(wanted)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ran = list(pool.map(report, chosen))
    return 0 if chosen and all(ran) else 1


if __name__ == "__main__":
    for variable in ("MINILLM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    sys.exit(main(sys.argv[1:]))
