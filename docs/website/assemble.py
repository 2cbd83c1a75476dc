"""Gather every page of the site in build/docs/source."""

from __future__ import annotations

import shutil

from docs.website import api, chapters, formula_map, glossary, op_table
from docs.website.places import DOCUMENTS, EXECUTED, ROOT, SOURCE
from docs.website.relink import relink
from minillm.errors import DataError

# Pages that stand in no file of the repository.
GENERATED = ("ops", "formulas", "glossary", "book/index", "api/index", "zh/index", "zh/glossary")


def assemble() -> None:
    """Write the pages anew. DataError if no chapter has been executed."""
    if not chapters.executed():
        raise DataError(f"there are no executed chapters in {EXECUTED}; run: python notebooks/execute.py")
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "images", SOURCE / "images")
    for path in sorted((ROOT / "docs").glob("*.md")):
        _write(f"{path.stem}.md", relink(path.read_text(encoding="utf-8"), f"docs/{path.name}", GENERATED))
    for document, page in DOCUMENTS.items():
        _write(f"{page}.md", relink((ROOT / document).read_text(encoding="utf-8"), document, GENERATED))
    for folder in ("", "solutions", "zh"):
        for path in chapters.executed(folder):
            _write(f"book/{path.relative_to(EXECUTED).as_posix()}", chapters.prepared(path))
    _write("book/index.md", chapters.index())
    _write("zh/index.md", chapters.chinese_index())
    _write("ops.md", op_table.page())
    _write("formulas.md", relink(formula_map.page(), "formulas.md"))
    terms = glossary.read()
    _write("glossary.md", glossary.english_page(terms))
    _write("zh/glossary.md", glossary.chinese_page(terms))
    for name, text in api.pages().items():
        _write(f"{name}.rst", text)


def _write(name: str, text: str) -> None:
    path = SOURCE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
