"""Tables of measurements: as Markdown, between markers in a document, and as JSON."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Table:
    """columns: each column's format, such as ".1f"; rows: values by column, None where nothing was measured."""

    title: str
    columns: dict[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""

    def markdown(self) -> str:
        """The title as a heading, the note, the rows."""
        lines = [f"| {' | '.join(self.columns)} |", "|" + "---|" * len(self.columns)]
        for row in self.rows:
            cells = [_cell(row.get(name), form) for name, form in self.columns.items()]
            lines.append(f"| {' | '.join(cells)} |")
        parts = [f"**{self.title}**", *([self.note] if self.note else []), "\n".join(lines)]
        return "\n\n".join(parts)


def _cell(value: Any, form: str) -> str:
    if value is None:
        return ""
    if form.endswith("x"):  # a ratio
        return f"{value:{form[:-1]}f}x"
    return f"{value:{form}}" if form else str(value)


def document(tables: list[Table], description: dict[str, str]) -> str:
    """All tables of one benchmark, under a line that says where they were measured."""
    facts = dict(description)
    count, isa = facts.pop("threads", ""), facts.pop("instruction set", "")
    line = "; ".join([*facts.values(), f"{count} threads, {isa}"]) + "."
    return "\n\n".join([line, *(table.markdown() for table in tables)])


def insert(text: str, name: str, content: str) -> str:
    """`text` with `content` between the lines <!-- begin NAME --> and <!-- end NAME -->. ValueError without them."""
    pattern = re.compile(rf"(<!-- begin {re.escape(name)} -->\n).*?(<!-- end {re.escape(name)} -->)", re.DOTALL)
    changed, count = pattern.subn(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text)
    if count != 1:
        raise ValueError(f"expected one pair of lines <!-- begin {name} --> and <!-- end {name} -->, found {count}")
    return changed


def write(name: str, tables: list[Table], description: dict[str, str], documents: list[Path], folder: Path) -> None:
    """The tables into the documents, and their values into folder/NAME.json."""
    content = document(tables, description)
    for path in documents:
        path.write_text(insert(path.read_text(encoding="utf-8"), name, content), encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    values = {**description, "tables": [{"title": t.title, "columns": list(t.columns), "rows": t.rows} for t in tables]}
    (folder / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def parse(markdown: str) -> list[Table]:
    """The tables in a benchmark's printed Markdown, cells as they stand; text above a table is its title."""
    tables: list[Table] = []
    above: list[str] = []
    names: list[str] = []
    for line in markdown.splitlines():
        if not line.startswith("|"):
            names = []
            above += [line] if line.strip() else []
        elif not names:
            names = _cells(line)
            tables.append(Table(" ".join(above), dict.fromkeys(names, "")))
            above = []
        elif set(line) - set("|-: "):
            tables[-1].rows.append(dict(zip(names, _cells(line), strict=True)))
    return tables


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
