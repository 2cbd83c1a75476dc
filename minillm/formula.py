"""One formula of the document: python -m minillm.formula ID   (without an ID, all of them)

The formula, the section it stands in, the lines that compute it, the tests that check it, the chapter that teaches it,
and an example with numbers, computed now. In a notebook: `from minillm.formula import formula; formula("4.2.1")`.
"""

from __future__ import annotations

import argparse
import html
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from minillm import cli
from minillm.book.cells import cells, root
from minillm.book.examples import EXAMPLES
from minillm.book.formulas import Formula, formulas
from minillm.errors import ConfigError

LISTED = 6  # places named of each kind
LINES = 50  # of code shown


class Entry:
    """What is known of a formula, as text for a terminal and as a page's part for a notebook."""

    def __init__(self, formula: Formula):
        self.formula = formula

    def __repr__(self) -> str:
        f = self.formula
        parts = [
            f"[{f.id}]  {f.title}  (section {f.section} of the document)",
            f"  {f.text}\n\n  LaTeX: {f.latex}",
            "computed in\n" + _listed([f"{place}  {place.name}" for place in f.code]),
            _indented(f.code[0].source) if f.code and f.code[0].last - f.code[0].first < LINES else "",
            "checked in\n" + _listed([f"{place}  {place.name}" for place in f.tests]),
            "taught in\n" + _listed([f"{_relative(path)}  {title(path)}" for path in f.chapters]),
            "for example\n" + _indented(EXAMPLES[f.id]()),
        ]
        return "\n\n".join(part for part in parts if part)

    def _repr_markdown_(self) -> str:
        f = self.formula
        rows = [
            ("computed in", [_link(p.path, f"{p.name}, {p}") for p in f.code]),
            ("checked in", [_link(p.path, f"{p.name}, {p}") for p in f.tests]),
            ("taught in", [_link(path, title(path)) for path in f.chapters]),
        ]
        lines = [f"- {what} {'; '.join(links[:LISTED])}" for what, links in rows if links]
        return f"**[{f.id}]** {f.title} (section {f.section})\n\n$${f.latex}$$\n\n" + "\n".join(lines)


def formula(id: str) -> Entry:
    """What is known of the formula `id`, such as "4.2.1". ConfigError, with the nearest ids, if there is none."""
    known = formulas()
    if id not in known:
        near = get_close_matches(id, known, n=3, cutoff=0.3)
        raise ConfigError(
            f"there is no formula {id!r}; did you mean {' or '.join(near) or 'one of ' + ', '.join(known)}?"
        )
    return Entry(known[id])


def title(path: Path) -> str:
    """A chapter's title: its first heading."""
    return cells(path)[0].text.split("\n")[0].lstrip("# ")


def _listed(lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return "\n".join(f"  {line}" for line in [*lines[:LISTED], *more]) if lines else "  (nowhere)"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n"))


def _relative(path: Path) -> str:
    return path.relative_to(root()).as_posix()


def _link(path: Path, text: str) -> str:
    """A link that works in the notebook that shows it: from its folder, which is where its code runs."""
    notebooks, here = root() / "notebooks", Path.cwd()
    target = path.with_suffix(".ipynb") if path.parent == notebooks else path
    start = here if here.is_relative_to(notebooks) else notebooks
    return f"[{html.escape(text)}]({Path(os.path.relpath(target, start)).as_posix()})"


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m minillm.formula", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("id", nargs="?", help="such as 4.2.1; all formulas, a line each, if none is given")
    id = parser.parse_args(argv).id
    if id:
        print(formula(id))
    else:
        for known in formulas().values():
            print(f"{known.id:<14} {known.title}\n{'':<14} {known.text}")


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    cli.run(main)
