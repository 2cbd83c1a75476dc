"""Ctrl-C and SIGTERM ask a run to stop: the step in hand is finished, a checkpoint saved, and the exit code is 0.

A second Ctrl-C doesn't wait: it raises KeyboardInterrupt where the program stands. Checkpoints survive that too,
since they are renamed into place only when whole.
"""

import signal
import threading
from types import FrameType, TracebackType


class StopRequest:
    """`with StopRequest() as stop:` - inside, `stop.requested` turns true at the first signal.

    Signals can only be caught in the main thread; in another one the flag stays false and signals act as always.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
