"""A Sphinx extension: this project's docstrings, which are plain text, as reStructuredText.

Paragraphs stay paragraphs. Lines `name: what it is` become a list, indented or aligned lines a literal block, formulas
set off by two spaces literals, and [4.2.1] a link to the formula map.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache

from sphinx.application import Sphinx

from docs.website.places import ROOT

ITEM = re.compile(r"^([a-z]\w*(?:, \w+)*): (?=\S)")
ALIGNED = re.compile(r"^\S.*?\S {2,}\S|^ +\S")
BULLET = re.compile(r"^[-*] ")
CITATION = re.compile(r"\[(\d[\w.-]*)\]")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]) -> None:
    generated = what == "class" and lines and lines[0].startswith(f"{name.rpartition('.')[2]}(")
    lines[:] = [] if generated else to_rst("\n".join(lines)).split("\n")  # a dataclass without a docstring


def to_rst(docstring: str) -> str:
    """reStructuredText that reads as the docstring does."""
    blocks = [block.split("\n") for block in re.split(r"\n\s*\n", docstring.strip("\n"))]
    return "\n\n".join(_block([line.rstrip() for line in block]) for block in blocks) + "\n"


def _block(lines: list[str]) -> str:
    indented = all(line.startswith(" ") for line in lines)
    if indented or (len(lines) > 1 and all(ALIGNED.match(line) for line in lines)):
        return "::\n\n" + "\n".join(f"    {line}" for line in lines)
    paragraphs: list[tuple[str, list[str]]] = []  # a kind each: "item", "bullet", "prose"
    for line in lines:
        kind = "item" if ITEM.match(line) else "bullet" if BULLET.match(line) else "prose"
        # After an item, a line that begins like a sentence is a paragraph again.
        goes_on = paragraphs and kind == "prose" and (paragraphs[-1][0] == "prose" or not line[0].isupper())
        if goes_on:
            paragraphs[-1][1].append(line.strip())
        else:
            paragraphs.append((kind, [line.strip()]))
    return "\n\n".join(_paragraph(kind, " ".join(text)) for kind, text in paragraphs)


def _paragraph(kind: str, text: str) -> str:
    if kind == "item":
        names, _, meaning = text.partition(": ")
        return f"- **{_inline(names)}**: {_inline(meaning)}"
    if kind == "bullet":
        return f"- {_inline(text[2:])}"
    return _inline(text)


def _inline(text: str) -> str:
    return " ".join(_segment(part) for part in re.split(r" {2,}", text) if part)


def _segment(text: str) -> str:
    """A stretch of text; one that was set off by two spaces and says what something equals is a formula."""
    if re.search(r"^[^ ]+(?: ∘ [^ ]+)? [=≤] ", text) and "`" not in text and not CITATION.search(text):
        return f"``{text}``"
    pieces = re.split(r"`+([^`]+)`+", text)
    return "".join(f"``{piece.strip()}``" if i % 2 else _escaped(piece) for i, piece in enumerate(pieces))


def _escaped(text: str) -> str:
    text = re.sub(r"([\\*_|`])", r"\\\1", text)
    return CITATION.sub(lambda m: f":ref:`{m[0]} <formula-{m[1]}>`" if m[1] in _ids() else m[0], text)


@cache
def _ids() -> frozenset[str]:
    return frozenset(tomllib.loads((ROOT / "docs" / "equations.toml").read_text(encoding="utf-8")))
