"""The notebooks as text: each is a Python file whose cells begin with `# %%` (jupytext's percent format)."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import minillm
from minillm.errors import DataError

HEADER = re.compile(r"^# %%(?P<kind> \[markdown\])?(?P<rest>.*)$")
TAGS = re.compile(r"tags=\[(?P<tags>[^\]]*)\]")


@dataclass(frozen=True)
class Cell:
    """A cell of a notebook: its text (of a markdown cell, without the `# `), its tags, and the line it begins on."""

    text: str
    markdown: bool
    tags: tuple[str, ...]
    line: int


def root() -> Path:
    """The clone's folder, with `notebooks/`, `tests/` and `docs/` in it. DataError where there is only the package."""
    folder = Path(minillm.__file__).resolve().parents[1]
    if not (folder / "notebooks").is_dir():
        raise DataError(
            f"the book (notebooks/, tests/, docs/) isn't beside the package in {folder}; it comes with a clone of the "
            "repository, installed by `pip install -e .`"
        )
    return folder


def chapters(folder: str = "") -> list[Path]:
    """The chapters' sources in order, or those of `folder` in notebooks/, such as "solutions" or "zh"."""
    return sorted((root() / "notebooks" / folder).glob("[0-9][0-9]_*.py"))


def chapter(number: str, folder: str = "") -> Path:
    """The source of one chapter, such as "06". DataError if there is none."""
    found = [path for path in chapters(folder) if path.name.startswith(f"{number}_")]
    if not found:
        there = ", ".join(path.name[:2] for path in chapters(folder))
        raise DataError(f"there is no chapter {number!r}{f' in {folder}' if folder else ''}; there are: {there}")
    return found[0]


def cells(path: Path) -> list[Cell]:
    """The cells of a notebook's source, in order."""
    lines = path.read_text(encoding="utf-8").split("\n")
    starts = [i for i, line in enumerate(lines) if HEADER.match(line)]
    found = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        header = HEADER.match(lines[start])
        assert header
        markdown, body = bool(header["kind"]), lines[start + 1 : end]
        if markdown:
            body = [re.sub(r"^# ?", "", line) for line in body]
        tags = TAGS.search(header["rest"])
        names = tuple(re.findall(r'"([^"]+)"', tags["tags"])) if tags else ()
        found.append(Cell("\n".join(body).strip("\n"), markdown, names, start + 1))
    return found


@cache  # one module for all: chapters share its classes
def module(number: str, tag: str) -> ModuleType:
    """The code that a chapter wrote in its cells tagged `tag`, as a module: what later chapters go on with.

    DataError for a chapter or a tag that isn't there.
    """
    path = chapter(number)
    tagged = [cell for cell in cells(path) if tag in cell.tags and not cell.markdown]
    if not tagged:
        raise DataError(f"{path.name} has no cell tagged {tag!r}")
    made = ModuleType(f"chapter_{number}_{tag}", f"The cells tagged {tag!r} of {path.name}.")
    sys.modules[made.__name__] = made  # so that dataclasses and pickles find their module
    for cell in tagged:
        padding = "\n" * cell.line  # so that a traceback names the notebook's own line
        exec(compile(padding + cell.text, str(path), "exec"), made.__dict__)
    return made
