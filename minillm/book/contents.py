"""The book's contents: what each chapter builds and which others it needs, found in the chapters and their list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from minillm.book.cells import cells, chapters, root
from minillm.book.formulas import formulas
from minillm.errors import DataError
from minillm.views import svg
from minillm.views.view import Step, View

ROW = re.compile(r"^\| \[\d\d (?P<title>[^\]]+)\]\((?P<stem>[^)]+)\.ipynb\) \| (?P<built>.+) \|$", re.MULTILINE)
NUMBER = re.compile(r"\b(\d\d)(?: to (\d\d))?\b")
TAKES = re.compile(r'\bmodule\("(\d\d)"')  # code that goes on with another chapter's
_ROW, _LEFT, _WIDTH = 42, 150, 640  # pixels: a chapter's height, the room for lines, all


@dataclass(frozen=True)
class Chapter:
    """A chapter: its number, title and line in notebooks/README.md, and the numbers of those to be read before it."""

    number: str
    title: str
    built: str
    path: Path
    needs: tuple[str, ...]


def contents() -> list[Chapter]:
    """The chapters there are, in order. DataError for one that notebooks/README.md doesn't list."""
    listed = {
        row["stem"]: row for row in ROW.finditer((root() / "notebooks" / "README.md").read_text(encoding="utf-8"))
    }
    paths = [path for path in chapters() if not path.name.startswith("00_")]
    if missing := [path.stem for path in paths if path.stem not in listed]:
        raise DataError(f"notebooks/README.md has no row for {', '.join(missing)}")
    there, found = {path.name[:2] for path in paths}, []
    for path in paths:
        row, number = listed[path.stem], path.name[:2]
        found.append(Chapter(number, row["title"], row["built"], path, needed(path, there)))
    return found


def needed(path: Path, there: Iterable[str]) -> tuple[str, ...]:
    """The chapters among `there` that one needs: its line `You need:` says so, or its code takes theirs.

    Of that line only the first sentence counts; the next ones say what helps.
    """
    said = re.search(r"^You need: (.+?)(?:\.(?:\s|$)|\n\n|\Z)", cells(path)[0].text, re.MULTILINE | re.DOTALL)
    numbers = set()
    for match in NUMBER.finditer(said[1] if said else ""):
        first, last = int(match[1]), int(match[2] or match[1])
        numbers |= {f"{number:02}" for number in range(first, last + 1)}
    for cell in cells(path):
        if not cell.markdown:
            numbers |= set(TAKES.findall(cell.text))
    return tuple(sorted(number for number in numbers & set(there) if number < path.name[:2]))


def contents_table() -> str:
    """The chapters as a Markdown table, for a notebook in notebooks/: with links, needs, formulas, solutions."""
    taught: dict[Path, list[str]] = {}
    for formula in formulas().values():
        for path in formula.chapters:
            taught.setdefault(path, []).append(f"[{formula.id}]")
    lines = ["| chapter | what is built | needs | formulas | |", "|---|---|---|---|---|"]
    for chapter in contents():
        name = chapter.path.with_suffix(".ipynb").name
        others = [("solutions", "solutions"), ("zh", "中文")]
        links = [
            f"[{word}]({folder}/{name})" for folder, word in others if (chapter.path.parent / folder / name).exists()
        ]
        ids = " ".join(taught.get(chapter.path, []))
        title = f"[{chapter.number} {chapter.title}]({name})"
        lines.append(f"| {title} | {chapter.built} | {' '.join(chapter.needs)} | {ids} | {' · '.join(links)} |")
    return "\n".join(lines)


def contents_map() -> View:
    """A picture of the chapters, in order, with a line from each to those that need it; a step for each chapter."""
    found = contents()
    first = "A line leads from a chapter to one that needs it; lines that follow from others are left out."
    steps = [Step("All of them", first, _drawn(found, None))]
    for at, chapter in enumerate(found):
        after = [other.number for other in found if chapter.number in other.needs]
        sentence = f"Built here: {chapter.built}. Needs {_series(chapter.needs)}. Needed by {_series(after)}."
        steps.append(Step(f"{chapter.number} {chapter.title}", escape(sentence), _drawn(found, at)))
    lines = [f"  {c.number} {c.title}: {c.built}{f' (needs {_series(c.needs)})' if c.needs else ''}" for c in found]
    summary = f"{len(found)} chapters in the order they are best read in. Step through them to see what each needs."
    return View("The map", summary, tuple(steps), "\n".join(lines))


def _drawn(found: Sequence[Chapter], at: int | None) -> str:
    """The picture: without `at` the lines that don't follow from others; else those of chapter `at`, the rest faint."""
    places = {chapter.number: i for i, chapter in enumerate(found)}
    needs = [{places[number] for number in chapter.needs} for chapter in found]
    if at is None:
        lines, near = _unimplied(needs), set(range(len(found)))
    else:
        lines = [(a, b) for b, sources in enumerate(needs) for a in sources if at in (a, b)]
        near = {at, *(i for line in lines for i in line)}
    shapes = [_line(a, b, strong=at is not None) for a, b in sorted(lines)]
    shapes += [_row(chapter, i, i == at, i in near) for i, chapter in enumerate(found)]
    described = "; ".join(f"{c.number} needs {_series(c.needs)}" for c in found if c.needs)
    return svg.picture("The chapters", described, _WIDTH, _ROW * len(found) + 4, "".join(shapes))


def _unimplied(needs: Sequence[set[int]]) -> list[tuple[int, int]]:
    """The lines (a, b), b needing a, without those where b needs another chapter that needs a, itself or in the end."""
    before: list[set[int]] = []  # all that each chapter needs in the end
    lines = []
    for b, sources in enumerate(needs):
        implied = set().union(*(before[a] for a in sources))
        lines += [(a, b) for a in sources - implied]
        before.append(sources | implied)
    return lines


def _line(a: int, b: int, *, strong: bool) -> str:
    """An arc on the left, down from row `a` to row `b`: the further, the wider."""
    top, bottom = _ROW * (a + 0.6) + 2, _ROW * (b + 0.4) + 2
    out = _LEFT - min(_LEFT - 8, 14 * (b - a) + 6) * 4 / 3  # a cubic reaches three quarters of the way
    d = f"M{_LEFT} {svg.coordinate(top)}C{svg.coordinate(out)} {svg.coordinate(top)} "
    d += f"{svg.coordinate(out)} {svg.coordinate(bottom)} {_LEFT - 8} {svg.coordinate(bottom)}"
    suffix = "-active" if strong else ""
    head = svg.path(f"M{_LEFT} {svg.coordinate(bottom)}l-8 -4v8z", f"mv-head{suffix}")
    return svg.path(d, f"mv-edge{suffix}") + head


def _row(chapter: Chapter, i: int, active: bool, near: bool) -> str:
    y, css = _ROW * i + 2, "mv-box-active" if active else "mv-box"
    shapes = svg.rect(_LEFT, y + 2, _WIDTH - _LEFT - 2, _ROW - 6, css, round=6)
    shapes += svg.text(_LEFT + 12, y + 12, f"{chapter.number}  {chapter.title}", "mv-strong")
    shapes += svg.text(_LEFT + 12, y + 28, chapter.built, "mv-quiet mv-medium", tip=chapter.built)
    return shapes if near else f'<g class="mv-faint">{shapes}</g>'


def _series(numbers: Sequence[str]) -> str:
    """ "04, 05 and 06", or "none of the others"."""
    if len(numbers) < 2:
        return numbers[0] if numbers else "none of the others"
    return f"{', '.join(numbers[:-1])} and {numbers[-1]}"
