"""`metrics.jsonl`: one JSON object a line, appended and flushed as things happen, readable while training runs.

    {"event": "train", "step": 12, "train_loss": 3.1, "learning_rate": 1e-4, "grad_norm": 0.9, "tokens_per_s": 41000}
    {"event": "eval", "step": 12, "train_loss": 3.0, "val_loss": 3.2, "bits_per_byte": 2.2}
    {"event": "skip", "step": 13, "reason": "..."}

`step` counts finished updates. A resumed run continues the file from its checkpoint's step, so that it ends up with
the lines of a run never stopped.
"""

import json
import os
from pathlib import Path

from minillm.training.files import write_atomic


def read(path: Path) -> list[dict]:
    """Events of a metrics file, oldest first, without a last line that a kill cut short. Empty if there is no file."""
    if not path.exists():
        return []
    events = []
    for line in path.read_bytes().split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:  # the empty end of the file, or a line a kill cut short
            continue
        if isinstance(event, dict) and isinstance(event.get("step"), int) and "event" in event:
            events.append(event)
    return events


def _line(event: dict) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode() + b"\n"


class Metrics:
    """The metrics file of a running training, and its events in memory for the plot."""

    def __init__(self, path: Path, step: int, evaluated: bool) -> None:
        """Continue `path` after `step` updates, with the evaluation at that step or without.

        Later events belong to work that was lost with a kill: they are cut off, and will come again.
        """
        updates = ("train", "skip")
        last = step, evaluated
        self.events = [e for e in read(path) if (e["step"], e["event"] not in updates) <= last]
        write_atomic(path, b"".join(_line(event) for event in self.events))
        self._file = open(path, "ab")  # noqa: SIM115 - stays open for the whole run

    def append(self, event: str, step: int, **values: object) -> None:
        """Add one event and hand it to the operating system at once."""
        record = {"event": event, "step": step, **values}
        self.events.append(record)
        self._file.write(_line(record))
        self._file.flush()

    def sync(self) -> None:
        """Wait until all events are on the disk: a checkpoint must not know of events the file may still lose."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
