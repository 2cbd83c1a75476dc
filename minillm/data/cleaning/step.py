"""What a cleaning step is: a function from text to text that also says what it took out."""

import re
from collections.abc import Callable
from typing import NamedTuple


class Cleaned(NamedTuple):
    """A step's result."""

    text: str
    removed: int
    """How many things were removed or changed; what is counted, the step's docstring says."""
    example: str = ""
    """The first of them, as it was; empty where there was none."""


Step = Callable[[str], Cleaned]


def substitute(pattern: re.Pattern[str], replace: str | Callable[[re.Match[str]], str], text: str) -> Cleaned:
    """Replace every match, counting those that change."""
    removed: list[str] = []

    def changed(match: re.Match[str]) -> str:
        new = match.expand(replace) if isinstance(replace, str) else replace(match)
        if new != match[0]:
            removed.append(match[0] if not removed else "")
        return new

    result = pattern.sub(changed, text)
    return Cleaned(result, len(removed), removed[0] if removed else "")


def by_line(change: Callable[[str], str], text: str) -> Cleaned:
    """Change the text line by line, counting the lines that come out different. Line ends stay."""
    lines = text.split("\n")
    changed = [change(line) for line in lines]
    different = [old for old, new in zip(lines, changed, strict=True) if old != new]
    return Cleaned("\n".join(changed), len(different), different[0] if different else "")
