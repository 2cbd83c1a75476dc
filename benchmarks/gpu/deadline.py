"""Time that is left, and what doesn't fit into it any more."""

import time


class Deadline:
    """So many seconds from now on."""

    def __init__(self, seconds: float):
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then, at least 0."""
        return max(self._end - time.monotonic(), 0.0)

    def end(self) -> None:
        """Let nothing more begin."""
        self._end = 0.0


def share(left: float, own: float, later: list[float]) -> float:
    """What a section gets of the time that is left: as much as its own part of all parts yet to come.

    So what one section doesn't use is there for those after it.
    """
    return left * own / (own + sum(later))
