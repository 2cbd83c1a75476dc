"""Everything that only a GPU can answer, in one go: python -m benchmarks.gpu [SECTION ...] [--out FOLDER]

Needs CuPy (pip install -e ".[gpu-cuda13]" or ".[gpu-cuda12]"); with numba-cuda, torch and compute-sanitizer it answers
more. It takes at most 10 minutes; what doesn't fit is left out, and the report says so.

    machine       which GPU, clocks, limits, versions?
    compile       does NVRTC compile every kernel for this GPU, and how long does that take?
    correctness   does every op give its formula's numbers on backends cupy, numba_cuda and cuda? NaN? The same bits?
    golden        do twenty updates of a small GPT give the CPU's losses, in float32, bfloat16, with CUDA graphs?
    kernels       how near is each kernel to this GPU's measured limits, and how fast is PyTorch's op?
    step          GPT-2 124M in bfloat16: tokens a second and memory, beside PyTorch eager and compiled
    sanitizer     does compute-sanitizer find an access out of bounds, or a race?
    char-large    does the preset reach 1.48 nats within 3 minutes? Only with --corpus PATH, or if it is named here and
                  $MINILLM_DATA has tinyshakespeare.txt; 200 seconds more

--out FOLDER (docs/benchmarks/gpu if not given) gets results.json and gpu.md, written whenever a section has ended;
Ctrl-C keeps what is there. --seconds: for all of it; what a section doesn't use is there for the next ones.
The exit code is 1 if a check or a section failed, 2 without a GPU, 130 after Ctrl-C.

With MINILLM_CUDASIM=1 it runs on the CPU, on tiny shapes, to see that it runs; it then writes only with --out.
"""

import argparse
import datetime
import importlib
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks.gpu.context import Context, say
from benchmarks.gpu.deadline import Deadline, share
from benchmarks.gpu.report import EMULATION, Report
from benchmarks.pairs import REPOSITORY
from minillm.cuda import is_emulated
from minillm.cuda.driver import array_module
from minillm.errors import ConfigError

MODULES = {
    "machine": "machine",
    "compile": "compiling",
    "correctness": "correctness",
    "golden": "golden",
    "kernels": "kernels",
    "step": "training",
    "sanitizer": "sanitizer",
    "char-large": "char_large",
}
ASKED_FOR = "char-large"  # left out unless it is named, or has its text
NOT_EMULATED = ("step", "char-large")  # nothing could be learnt from them
FOLDER = REPOSITORY / "docs" / "benchmarks" / "gpu"
INTERRUPTED = 130


def module(name: str) -> Any:
    """A section's module: SECONDS, measure(context, values), tables(values)."""
    return importlib.import_module(f"benchmarks.gpu.{MODULES[name]}")


def run_section(name: str, budget: float, context: Context, report: Report) -> dict[str, Any]:
    """Measure and report one section. What it raises is in the report; Ctrl-C goes on from here, once that is written.

    Returns the section's values: JSON-ready, with "problems" that make the script fail.
    """
    values: dict[str, Any] = {"budget": budget, "seconds": 0.0, "problems": []}
    begun = time.monotonic()
    say(f"{name} (at most {budget:.0f} s)")
    try:
        module(name).measure(context, values)
    except Exception:
        values["error"] = traceback.format_exc()
        say(values["error"])
    except KeyboardInterrupt:
        values["interrupted"] = True
        raise
    finally:
        context.deadline.end()
        values["seconds"] = time.monotonic() - begun
        report.add(name, values, tables_of(name, values))
        say(report.section(name) + "\n")
    return values


def tables_of(name: str, values: dict[str, Any]) -> list[Any]:
    """The section's tables; where its values are too few for them, the report has the values all the same."""
    try:
        return module(name).tables(values)
    except Exception:
        values.setdefault("error", traceback.format_exc())
        return []


def run_all(names: list[str], seconds: float, corpus: Path | None, report: Report) -> bool:
    """Every section in turn; whether all went well."""
    whole, emulated = Deadline(seconds), is_emulated()
    weights = [float(module(name).SECONDS) for name in names]
    good = True
    for i, name in enumerate(names):
        budget = share(whole.left(), weights[i], weights[i + 1 :])
        found = report.values["sections"]
        context = Context("tiny" if emulated else "full", emulated, Deadline(budget), found, corpus)
        values = run_section(name, budget, context, report)
        good &= "error" not in values and not values["problems"]
    return good


def chosen(names: list[str], corpus: Path | None) -> list[str]:
    """The sections to run, in the order of MODULES."""
    every = [name for name in MODULES if name != ASKED_FOR or corpus is not None]
    wanted = set(names) or set(every)
    return [name for name in MODULES if name in wanted and not (is_emulated() and name in NOT_EMULATED)]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(MODULES))
    made.add_argument("--out", type=Path, help="folder of the report")
    made.add_argument("--seconds", type=float, help="for all sections together, instead of each one's own")
    made.add_argument("--corpus", type=Path, help="tiny Shakespeare, for char-large")
    return made


def terminate(*_: object) -> None:
    """SIGTERM, as `timeout` sends it, is Ctrl-C: the report is written."""
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for. Returns the exit code."""
    command = parser()
    options = command.parse_args(arguments)
    if unknown := set(options.sections) - set(MODULES):
        command.error(f"no section is called {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    try:
        array_module()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    emulated = is_emulated()
    if emulated:
        say(EMULATION + "\n")
    names = chosen(options.sections, options.corpus)
    report = Report(
        options.out or (None if emulated else FOLDER), {"date": str(datetime.date.today()), "emulated": emulated}
    )
    seconds = options.seconds or sum(module(name).SECONDS for name in names)
    try:
        good = run_all(names, seconds, options.corpus, report)
    except KeyboardInterrupt:
        say("interrupted; what was found by then is in the report")
        return INTERRUPTED
    if report.folder is not None:
        say(f"written to {report.folder}: results.json, gpu.md")
    return 0 if good else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, terminate)
    sys.exit(main())
