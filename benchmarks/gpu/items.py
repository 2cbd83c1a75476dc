"""Items of a section, done by a process of their own, which is started anew for the rest when one of them ends it."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.gpu.deadline import Deadline
from benchmarks.gpu.worker import MARK
from benchmarks.pairs import REPOSITORY

READY_SECONDS = 90  # until a process has imported what it needs
ERROR_LINES = 12  # of what a process that died has printed
POLL = 0.5  # seconds until the deadline is looked at again, which another thread may end
NOT_REACHED = "not reached in the time"


class Child:
    """A worker, and what it answers."""

    def __init__(self, module: str, sizes: str, names: list[str]):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `stop`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.worker", module, sizes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            json.dump(names, self._process.stdin)
            self._process.stdin.close()
        except BrokenPipeError:  # it died already: `answer` says how
            pass

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def answer(self, most: float, deadline: Deadline) -> dict[str, Any]:
        """Its next answer, within `most` seconds; {"error": ...} where it ended or took too long."""
        own = Deadline(most)
        while own.left() and deadline.left():
            try:
                line = self._lines.get(timeout=min(POLL, own.left()))
            except queue.Empty:
                continue
            if line is None:
                return {"error": self._last_words()}
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        return {"error": f"took more than {most:.0f} s"}

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        return "\n".join([f"the process ended with code {code}", *self._errors.read().splitlines()[-ERROR_LINES:]])

    def stop(self) -> None:
        """End it, if it hasn't ended."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._errors.close()


def run_items(
    module: str,
    names: list[str],
    sizes: str,
    deadline: Deadline,
    most: float,
) -> Iterator[dict[str, Any]]:
    """For each name {"item": name, "values": ...}, or "error", or "skipped", in their order.

    most: seconds an item may take; one that takes longer, or ends its process, fails alone.
    """
    left = list(names)
    while left and deadline.left():
        child = Child(module, sizes, left)
        try:
            begun = child.answer(READY_SECONDS, deadline)
            if "ready" not in begun:
                begun = begun if deadline.left() else {"skipped": NOT_REACHED}
                yield from ({"item": name, **begun} for name in left)
                return
            for outcome in _outcomes(child, left, deadline, most):
                del left[0]
                yield outcome
        finally:
            child.stop()
    yield from ({"item": name, "skipped": NOT_REACHED} for name in left)


def side_by_side(work: Callable[[Any], object], parts: list[Any], at_once: int, deadline: Deadline) -> None:
    """work(part) for every part, so many at a time. Ctrl-C ends the deadline, and with it what is under way."""
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for _ in pool.map(work, parts):
                pass
        except BaseException:
            deadline.end()
            raise


def _outcomes(child: Child, names: list[str], deadline: Deadline, most: float) -> Iterator[dict[str, Any]]:
    """Until the process can't go on, or there is no time left."""
    for name in list(names):
        if not deadline.left():
            return
        outcome = child.answer(most, deadline)
        lost = "item" not in outcome
        if lost and not deadline.left():
            yield {"item": name, "skipped": NOT_REACHED}
            return
        yield {"item": name, **outcome}
        if lost or outcome.get("fatal"):
            return
