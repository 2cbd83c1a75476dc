"""All measurements: python -m benchmarks [peaks train-step gemm ops tokenizer decode ladder] [--quick] [--write]

Without names, all of them. Prints Markdown tables; --write also puts them into docs/benchmarks.md (and the ladder into
csrc/README.md) between their markers, puts the values into docs/benchmarks/NAME.json, and draws
docs/images/roofline.png; with --document PAGE, into another machine's page and the folder of its name alone. --quick
tries everything on small samples: its figures mean little, and --write refuses them.
A peer that isn't installed is left out.
"""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import description
from benchmarks.pairs import REPOSITORY, PeerError
from benchmarks.tables import Table, document, parse, write

NAMES = ["peaks", "train-step", "gemm", "ops", "tokenizer", "decode", "ladder"]
BUSY = 0.5  # load average above which figures aren't worth much
DATA = Path(os.environ.get("MINILLM_DATA", REPOSITORY.parent / "shared" / "data"))
DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"
STEPS = REPOSITORY / "csrc" / "README.md"  # the page that explains the ladder


def tokenizer_options(quick: bool) -> list[str]:
    """The text, and how many pairs."""
    text = DATA / "tinyshakespeare.txt"
    if not text.exists():
        raise PeerError(f"needs {text.name}, gpt2_encoder.json and gpt2_vocab.bpe in the folder $MINILLM_DATA")
    return [str(text), *(["--pairs", "1"] if quick else [])]


def decode_options(quick: bool) -> list[str]:
    """Fewer and shorter runs."""
    return ["--batches", "1", "--pairs", "1", "--tokens", "5"] if quick else []


PRINTED = {"tokenizer": tokenizer_options, "decode": decode_options}  # commands of their own, which print Markdown


def printed_tables(name: str, quick: bool) -> list[Table]:
    """The tables that `python -m benchmarks.NAME` prints."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *PRINTED[name](quick)]
    variables = {**os.environ, "MINILLM_DATA": str(DATA)}
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=variables, check=False)
    if result.returncode:
        raise PeerError(f"{' '.join(command[1:])} failed")
    return parse(result.stdout)


def warn_if_busy() -> None:
    """Say so if other programs are running: two threads that wait for each other lose most of their speed then."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0
    if load > BUSY:
        print(
            f"load average {load:.1f}: other programs are running here, so these figures will be wrong", file=sys.stderr
        )


def measure(name: str, quick: bool) -> list[Table]:
    """The tables of one benchmark."""
    if name in PRINTED:
        return printed_tables(name, quick)
    return importlib.import_module(f"benchmarks.{name.replace('-', '_')}").tables(quick)


def write_down(name: str, tables: list[Table], document: Path) -> None:
    """Put the tables into the document, their values beside it; the main one's go where else they are shown, too."""
    is_main = document.resolve() == DOCUMENT.resolve()
    documents = [document, *([STEPS] if is_main and name == "ladder" else [])]
    write(name, tables, description(), documents, document.with_suffix(""))
    if is_main and name == "ops":
        importlib.import_module("benchmarks.roofline").main()


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit code is 1 if one of the benchmarks failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="small samples, to see that everything runs")
    parser.add_argument("--write", action="store_true", help="into the documents, too")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="where --write writes: another machine's page")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if options.quick and options.write:
        parser.error("--quick figures aren't worth writing down: leave out one of --quick and --write")
    warn_if_busy()
    failures = 0
    for name in options.names or NAMES:
        try:
            tables = measure(name, options.quick)
        except PeerError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failures += 1
            continue
        print(f"## {name}\n\n{document(tables, description())}\n", flush=True)
        if options.write:
            write_down(name, tables, options.document)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
