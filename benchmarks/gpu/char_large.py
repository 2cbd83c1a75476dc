"""Training that people know: preset char-large on Shakespeare's characters, in bfloat16, until 1.48 nats or 3 minutes.

Only with the text: --corpus PATH, or the folder $MINILLM_DATA with tinyshakespeare.txt.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.context import Context, say
from benchmarks.pairs import REPOSITORY
from benchmarks.tables import Table
from minillm.data.shakespeare import FILE
from minillm.training import metrics

SECONDS = 200
GOAL, MOST = 1.48, 180.0  # nats a character; seconds from the start of the process
POLL = 0.2  # seconds
STOP_SECONDS = 15  # for the last checkpoint, once asked to stop


def corpus(context: Context) -> str | None:
    """What --corpus of the training gets; None where there is no text."""
    if context.corpus is not None:
        return str(context.corpus)
    folder = os.environ.get("MINILLM_DATA")
    return "shakespeare" if folder and (Path(folder) / FILE).exists() else None


def command(text: str, folder: Path) -> list[str]:
    """The training."""
    options = ["--preset", "char-large", "--backend", "cuda", "--dtype", "bfloat16"]
    return [sys.executable, "-m", "minillm.train", *options, "--corpus", text, "--out", str(folder)]


def losses(events: list[dict[str, Any]], known: dict[int, dict[str, Any]], seconds: float) -> None:
    """Note the evaluations that are new, and when they were seen."""
    for event in events:
        if event["event"] == "eval" and event["step"] not in known:
            known[event["step"]] = {"step": event["step"], "seconds": seconds, "loss": event["val_loss"]}
            say(f"  {seconds:.0f} s, step {event['step']}: {event['val_loss']:.4f}")


def watch(process: subprocess.Popen, file: Path, most: float, known: dict[int, dict[str, Any]]) -> None:
    """Until the goal, the end of the process, or of the time."""
    begun = time.monotonic()
    while True:
        running = process.poll() is None
        seconds = time.monotonic() - begun
        losses(metrics.read(file), known, seconds)
        if not running or seconds > most or any(row["loss"] <= GOAL for row in known.values()):
            return
        time.sleep(POLL)


def measure(context: Context, values: dict[str, Any]) -> None:
    """Train, and look at the metrics while they are written."""
    values["rows"], values["problems"] = [], []
    text = corpus(context)
    if text is None:
        values["result"] = f"not run: no text; --corpus PATH, or a folder with {FILE}: MINILLM_DATA=FOLDER"
        return
    known: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "output", "w+") as output:
        out = Path(folder) / "run"
        process = subprocess.Popen(command(text, out), stdout=output, stderr=subprocess.STDOUT, cwd=REPOSITORY)
        try:
            watch(process, out / "metrics.jsonl", min(MOST, context.deadline.left()), known)
        finally:
            code = stop(process)
            values["rows"] = list(known.values())
        output.seek(0)
        values["output"] = output.read()[-2000:]
    values["result"] = result(values["rows"])
    if code and not values["rows"]:
        values["problems"].append(f"the training ended with exit code {code}:\n{values['output']}")


def stop(process: subprocess.Popen) -> int:
    """Ask it to end, then make it. Its exit code; 0 where it was stopped."""
    if process.poll() is not None:
        return process.returncode
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return 0


def result(rows: list[dict[str, Any]]) -> str:
    """In words."""
    if not rows:
        return "no evaluation was reached"
    reached = next((row for row in rows if row["loss"] <= GOAL), None)
    if reached:
        return f"{GOAL} nats are reached after {reached['seconds']:.0f} s, at step {reached['step']}"
    best = min(rows, key=lambda row: row["loss"])
    return f"{GOAL} nats are not reached: {best['loss']:.4f} at step {best['step']}, after {best['seconds']:.0f} s"


def tables(values: dict[str, Any]) -> list[Table]:
    """A line for each evaluation."""
    columns = {"step": "", "seconds": ".0f", "loss": ".4f"}
    note = f"{values.get('result', '')}. Seconds from the start of the process, evaluations included."
    return [Table("char-large on Shakespeare, validation loss in nats", columns, values.get("rows", []), note)]
