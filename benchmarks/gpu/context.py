"""What a section is given: sizes, the time it has, what sections before it have found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.deadline import Deadline
from benchmarks.gpu.sizes import BY_NAME, Sizes


@dataclass
class Context:
    """Of one section. found: the values of the sections before it, by name."""

    size: str
    emulated: bool
    deadline: Deadline
    found: dict[str, Any]
    corpus: Path | None = None

    @property
    def sizes(self) -> Sizes:
        """Full, or tiny for the emulator."""
        return BY_NAME[self.size]


def say(text: str) -> None:
    """Progress, at once, also into a pipe."""
    print(text, flush=True)
