"""The formula map as a page: each formula, and the code, tests and chapters that `minillm.formula` finds for it."""

from __future__ import annotations

from pathlib import Path

from docs.website.places import ROOT
from minillm.book.examples import EXAMPLES
from minillm.book.formulas import Formula, Place, formulas
from minillm.formula import title

INTRO = """# Formula map

The formulas of the article that this project follows, by the ids that docstrings, tests and chapters cite in square
brackets: the lines that compute each, the tests that check it, the chapter that derives it, and an example with
numbers, computed when this page was made. On a command line: `python -m minillm.formula 4.2.1`.
"""


def page() -> str:
    """The page, as MyST Markdown; the anchor of formula 4.2.1 is `formula-4.2.1`."""
    return "\n\n".join([INTRO, *[_section(formula) for formula in formulas().values()]]) + "\n"


def _section(f: Formula) -> str:
    rows = [
        ("Computed in", [_place(place) for place in f.code]),
        ("Checked in", [_place(place) for place in f.tests]),
        ("Taught in", [_chapter(path) for path in f.chapters]),
    ]
    parts = [
        f"(formula-{f.id})=\n## [{f.id}] {f.title}",
        f"$$\n{f.latex}\n$$",
        f"Section {f.section} of the article. In plain characters: `{f.text}`",
        "\n".join(f"- {what}: {'; '.join(links)}" for what, links in rows if links),
        f"```{{code-block}} text\n{EXAMPLES[f.id]()}\n```",
    ]
    return "\n\n".join(parts)


def _place(place: Place) -> str:
    path = place.path.relative_to(ROOT).as_posix()
    return f"[{place.name}, {place}](source:{path}#L-{place.first})"


def _chapter(path: Path) -> str:
    return f"[{title(path)}]({path.relative_to(ROOT).as_posix()})"
