"""The glossary's two pages, English and Chinese, from docs/glossary.toml; the chapter of a term is found by reading."""

from __future__ import annotations

import itertools
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from docs.website import chapters
from docs.website.places import ROOT


@dataclass(frozen=True)
class Term:
    """A term in both languages, with a sentence each.

    anchor: its key in the file. words: how chapters write it, if otherwise than `en`. chapter: the number of the one
    that introduces it, where that isn't the one that uses it most. formula: an id of docs/equations.toml. see: anchors
    of related terms.
    """

    anchor: str
    en: str
    zh: str
    en_text: str
    zh_text: str
    words: tuple[str, ...] = ()
    chapter: str = ""
    formula: str = ""
    see: tuple[str, ...] = ()


def read() -> list[Term]:
    """The terms, in the file's order, which is that of subjects."""
    entries = tomllib.loads((ROOT / "docs" / "glossary.toml").read_text(encoding="utf-8"))
    lists = ("words", "see")
    made = []
    for anchor, entry in entries.items():
        values: dict[str, Any] = {key: tuple(value) if key in lists else value for key, value in entry.items()}
        made.append(Term(anchor, **values))
    return made


def english_page(terms: list[Term]) -> str:
    """The terms in alphabetical order, under their first letters."""
    parts = ["# Glossary\n\nThe words used in this project, with their Chinese counterparts. [术语表](/zh/glossary.md)"]
    by_anchor = {term.anchor: term for term in terms}
    for letter, group in itertools.groupby(sorted(terms, key=lambda t: t.en.lower()), key=lambda t: t.en[0].upper()):
        parts.append(f"## {letter}")
        for t in group:
            more = [_chapter(t, "", "chapter"), _formula(t)]
            more += [f"[{by_anchor[other].en}](#term-{other})" for other in t.see]
            links = " · ".join(link for link in more if link)
            text = f"{t.en_text} ({links})" if links else t.en_text
            parts.append(f"(term-{t.anchor})=\n**{t.en}** · [{t.zh}](#zh-{t.anchor})\n: {text}")
    return "\n\n".join(parts) + "\n"


def chinese_page(terms: list[Term]) -> str:
    """The terms in the order of their pronunciation, which is that of the common characters in GB 2312."""
    parts = ["# 术语表\n\n本项目所用的术语，附英文原词，按拼音排列。[Glossary](/glossary.md)"]
    by_anchor = {term.anchor: term for term in terms}
    for t in sorted(terms, key=lambda t: t.zh.lower().encode("gb18030")):
        more = [_chapter(t, "zh", "章"), _formula(t)]
        more += [f"[{by_anchor[other].zh}](#zh-{other})" for other in t.see]
        links = " · ".join(link for link in more if link)
        text = f"{t.zh_text}（{links}）" if links else t.zh_text
        parts.append(f"(zh-{t.anchor})=\n**{t.zh}** · [{t.en}](#term-{t.anchor})\n: {text}")
    return "\n\n".join(parts) + "\n"


def chapter_of(term: Term) -> Path | None:
    """The executed chapter that introduces the term: the one it names, else the first of those that speak of it most
    often; None if none does."""
    if term.chapter:
        return next((path for path in chapters.executed() if path.name[:2] == term.chapter), None)
    words = "|".join(re.escape(word.lower()) for word in (term.words or (term.en,)))
    pattern = re.compile(rf"(?<!\w)(?:{words})(?:s|es)?(?!\w)")
    found = [(len(pattern.findall(_prose(path))), path) for path in chapters.executed()]
    most = max((count for count, _ in found), default=0)
    return next(path for count, path in found if count == most) if most else None


@cache
def _prose(path: Path) -> str:
    cells = chapters.read(path)["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return " ".join(text.lower().replace("*", "").split())


def _chapter(term: Term, folder: str, word: str) -> str:
    """A link to the term's chapter, in `folder`'s language if it is there."""
    path = chapter_of(term)
    if path is None:
        return ""
    translated = [other for other in chapters.executed(folder) if other.name[:2] == path.name[:2]]
    target = translated[0] if translated else path
    page = f"/book/{folder + '/' if translated and folder else ''}{target.name}"
    number = int(path.name[:2])
    return f'[{f"第 {number} {word}" if folder else f"{word} {number}"}]({page} "{chapters.title(target)}")'


def _formula(term: Term) -> str:
    return f"[[{term.formula}]](#formula-{term.formula})" if term.formula else ""
