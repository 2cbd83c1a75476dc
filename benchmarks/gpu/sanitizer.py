"""NVIDIA's compute-sanitizer around every kernel: memory out of bounds (memcheck), then races in shared memory
(racecheck). It makes kernels many times slower, so shapes are small.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.context import Context, say
from benchmarks.pairs import REPOSITORY
from benchmarks.tables import Table

SECONDS = 75
TOOLS = ("memcheck", "racecheck")
PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/cuda/bin")
SCRIPT = "benchmarks.gpu.every_kernel"
ERRORS_FOUND = 86  # the exit code it is asked for
KEPT_LINES = 60
# The last line: "ERROR SUMMARY: 0 errors", or "RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)".
SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)")


def find() -> str | None:
    """The program; None where it isn't installed."""
    found = shutil.which("compute-sanitizer")
    candidates = [Path(place) / "compute-sanitizer" for place in PLACES]
    return found or next((str(path) for path in candidates if path.is_file()), None)


def command(program: str, tool: str) -> list[str]:
    """One tool around the script."""
    options = ["--tool", tool, "--target-processes", "all", "--error-exitcode", str(ERRORS_FOUND)]
    return [program, *options, sys.executable, "-m", SCRIPT]


def check(program: str, tool: str, seconds: float) -> dict[str, Any]:
    """What one tool finds: {"result", "count", "output"}."""
    try:
        done = subprocess.run(
            command(program, tool),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=REPOSITORY,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"tool": tool, "result": f"took more than {seconds:.0f} s", "count": None, "output": ""}
    return {"tool": tool, **judged(done.returncode, done.stdout)}


def judged(code: int, output: str) -> dict[str, Any]:
    """By exit code and summary: "nothing found", "found errors", or that the script itself failed."""
    summary = SUMMARY.findall(output)
    count = int(summary[-1]) if summary else None
    if count == 0 and code == 0:
        result = "nothing found"
    elif count or code == ERRORS_FOUND:
        result = "found errors"
    else:
        result = f"failed with exit code {code}"
    kept = "" if result == "nothing found" else "\n".join(output.splitlines()[:KEPT_LINES])
    return {"result": result, "count": count, "output": kept}


def measure(context: Context, values: dict[str, Any]) -> None:
    """Both tools, if there are any."""
    values["rows"], values["problems"] = [], []
    program = None if context.emulated else find()
    if program is None:
        why = "not run: no GPU, but an emulation" if context.emulated else "not installed"
        values["rows"] = [{"tool": tool, "result": why, "count": None} for tool in TOOLS]
        return
    for left, tool in zip(range(len(TOOLS), 0, -1), TOOLS, strict=True):
        found = check(program, tool, context.deadline.left() / left)
        values["rows"].append(found)
        say(f"  {tool}: {found['result']}")
        if found["result"].startswith(("found", "failed")):
            values["problems"].append(f"{tool} {found['result']}:\n{found['output']}")


def tables(values: dict[str, Any]) -> list[Table]:
    """A line for each tool."""
    note = "Every kernel of csrc/cuda once or more, on small shapes, each array in memory of its own."
    return [Table("compute-sanitizer", {"tool": "", "result": "", "count": ""}, values.get("rows", []), note)]
