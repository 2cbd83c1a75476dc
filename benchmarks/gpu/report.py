"""The report: results.json and gpu.md in a folder, written anew whenever a section has ended."""

import json
import math
import os
from pathlib import Path
from typing import Any

from benchmarks.tables import Table

EMULATION = (
    "THIS IS AN EMULATION ON THE CPU (MINILLM_CUDASIM=1), ON TINY SHAPES. NO FIGURE IN HERE MEANS ANYTHING: "
    "it only shows that everything runs."
)


class Report:
    """What has been found so far. folder: None writes nothing."""

    def __init__(self, folder: Path | None, about: dict[str, Any]):
        self.folder = folder
        self.values: dict[str, Any] = {**about, "sections": {}}
        self._tables: dict[str, list[Table]] = {}

    def add(self, name: str, values: dict[str, Any], tables: list[Table]) -> None:
        """Put in a section, in place of what is there of it, and write."""
        self.values["sections"][name] = values
        self._tables[name] = tables
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(
                self.folder / "results.json", json.dumps(tidy(self.values), indent=1, ensure_ascii=False) + "\n"
            )
            write_whole(self.folder / "gpu.md", self.markdown())

    def section(self, name: str) -> str:
        """One section as Markdown."""
        values = self.values["sections"][name]
        parts = [f"## {name}", f"{values['seconds']:.0f} s of {values['budget']:.0f} s."]
        if "error" in values:
            parts.append(f"FAILED:\n\n```\n{values['error']}\n```")
        if values.get("interrupted"):
            parts.append("Interrupted: what was there by then.")
        parts += [f"FAILED: {problem}" for problem in values.get("problems", [])]
        return "\n\n".join([*parts, *(table.markdown() for table in self._tables[name])])

    def markdown(self) -> str:
        """All of it."""
        head = [
            "# On a GPU",
            *([EMULATION] if self.values["emulated"] else []),
            f"`python -m benchmarks.gpu`, {self.values['date']}.",
        ]
        return "\n\n".join([*head, *map(self.section, self.values["sections"])]) + "\n"


def write_whole(path: Path, text: str) -> None:
    """All of the file or nothing: a stop in the middle leaves the one before."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)


def tidy(values: Any) -> Any:
    """As JSON has it: no NaN and no infinity but as words."""
    if isinstance(values, dict):
        return {key: tidy(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [tidy(value) for value in values]
    return str(values) if isinstance(values, float) and not math.isfinite(values) else values
