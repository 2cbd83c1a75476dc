"""What cleaning took out, step by step, with an example of each."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from minillm.data.cleaning.step import Cleaned

_EXAMPLE_WIDTH = 48


@dataclass
class StepReport:
    """The work of one step: how much it removed, and the first thing."""

    name: str
    removed: int = 0
    example: str = ""

    def add(self, result: Cleaned) -> None:
        """Count one more document."""
        self.removed += result.removed
        self.example = self.example or result.example


@dataclass
class CleaningReport:
    """The work of all steps, in their order. Prints as a table."""

    steps: dict[str, StepReport] = field(default_factory=dict)
    characters_before: int = 0
    characters_after: int = 0

    def start(self, names: Iterable[str]) -> None:
        """Forget everything, for a new reading."""
        self.steps = {name: StepReport(name) for name in names}
        self.characters_before = self.characters_after = 0

    def __str__(self) -> str:
        lines = [f"{'step':<18}{'removed':>9}  first example"]
        lines += [f"{step.name:<18}{step.removed:>9}  {_shown(step.example)}".rstrip() for step in self.steps.values()]
        lines.append(f"{self.characters_before} characters before, {self.characters_after} after")
        return "\n".join(lines)


def _shown(example: str) -> str:
    """An example with everything invisible written out, cut to one line."""
    if not example:
        return ""
    short = example if len(example) <= _EXAMPLE_WIDTH else example[: _EXAMPLE_WIDTH - 3] + "..."
    return short if short.isprintable() and short.strip() == short else ascii(short)
