"""The formulas of docs/equations.toml, and what computes, tests and teaches each: found by reading the sources."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

from minillm.book.cells import cells, chapters, root
from minillm.errors import DataError

CITATION = re.compile(r"\[(\d[\w.-]*)\]")
Documented = ast.Module | ast.ClassDef | ast.FunctionDef


@dataclass(frozen=True)
class Place:
    """Some lines of a file: what is defined there, from its first line to its last."""

    path: Path
    name: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.path.relative_to(root()).as_posix()}:{self.first}"

    @property
    def source(self) -> str:
        """The lines themselves."""
        return "\n".join(self.path.read_text(encoding="utf-8").split("\n")[self.first - 1 : self.last])


@dataclass(frozen=True)
class Formula:
    """A formula of the document, as it should read there.

    text: in plain characters; latex: for a page. prose: the document states it in words, and no single op computes it.
    code: ops first, then the layers and models composed of them; tests: those marked with the id; chapters: sources of
    the notebooks that teach it.
    """

    id: str
    section: str
    title: str
    text: str
    latex: str
    prose: bool
    code: tuple[Place, ...]
    tests: tuple[Place, ...]
    chapters: tuple[Path, ...]


@cache
def formulas() -> dict[str, Formula]:
    """Every formula, by its id. DataError where the sources aren't at hand, or a citation names no formula."""
    path = root() / "docs" / "equations.toml"
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    code, tests, taught = _by_id(_citing_code()), _by_id(_marked_tests()), _taught()
    for id in {*code, *tests, *taught} - set(entries):
        citing = [*code.get(id, []), *tests.get(id, []), *taught.get(id, [])][0]
        raise DataError(f"{citing} cites [{id}], but {path} has no such formula")
    return {
        id: Formula(
            id=id,
            section=entry["section"],
            title=entry["title"],
            text=entry["text"],
            latex=entry["latex"],
            prose=entry.get("prose", False),
            code=tuple(sorted(code.get(id, []), key=lambda place: _order(place, entry["title"]))),
            tests=tuple(tests.get(id, [])),
            chapters=tuple(taught.get(id, [])),
        )
        for id, entry in entries.items()
    }


def _by_id(pairs: Iterator[tuple[str, Place]]) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = {}
    for id, place in pairs:
        found.setdefault(id, []).append(place)
    return found


def _citing_code() -> Iterator[tuple[str, Place]]:
    """Each module, class and function of the package whose docstring cites a formula."""
    for path in sorted((root() / "minillm").rglob("*.py")):
        for node in _defined(path):
            for id in dict.fromkeys(CITATION.findall(ast.get_docstring(node) or "")):
                yield id, _place(path, node)


def _marked_tests() -> Iterator[tuple[str, Place]]:
    """Each test with `@pytest.mark.formula(id)`."""
    for path in sorted((root() / "tests").rglob("test_*.py")):
        for node in _defined(path):
            for mark in getattr(node, "decorator_list", []):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.formula":
                    for argument in mark.args:
                        yield ast.literal_eval(argument), _place(path, node)


def _taught() -> dict[str, list[Path]]:
    """The chapters that say of a formula, in their first cell's line `Formulas:`, that they teach it."""
    found: dict[str, list[Path]] = {}
    for path in chapters():
        line = re.search(r"^Formulas: .*$", cells(path)[0].text, re.MULTILINE)
        for id in CITATION.findall(line[0]) if line else []:
            found.setdefault(id, []).append(path)
    return found


def _defined(path: Path) -> Iterator[Documented]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Documented):
            yield node


def _place(path: Path, node: Documented) -> Place:
    if isinstance(node, ast.Module):
        return Place(path, path.stem, 1, len(path.read_text(encoding="utf-8").split("\n")))
    first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
    return Place(path, node.name, first, node.end_lineno or first)


def _order(place: Place, title: str) -> tuple:
    """Ops first, then layers; among them what is named like the formula; whole files last."""
    folder = place.path.relative_to(root() / "minillm").parts[0]
    whole_file = place.name == place.path.stem and place.first == 1
    alike = SequenceMatcher(None, title.replace("-", "_"), place.name).ratio()
    return whole_file, folder != "ops", folder != "nn", -alike, str(place)
