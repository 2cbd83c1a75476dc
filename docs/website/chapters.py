"""The book's pages: the executed chapters that are there, with their links, and a list of them."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from docs.website.places import EXECUTED
from docs.website.relink import relink
from minillm.book.formulas import CITATION

NUMBERED = "[0-9][0-9]_*.ipynb"
FORMULAS = re.compile(r"^(?:Formulas|公式).*$", re.MULTILINE)  # the line with what a chapter teaches


@cache  # every page speaks of the same ones, though others be written meanwhile
def executed(folder: str = "") -> tuple[Path, ...]:
    """The executed notebooks in order: chapters, or those of `folder`: "solutions", "zh"."""
    return tuple(sorted((EXECUTED / folder).glob(NUMBERED)))


def prepared(path: Path) -> str:
    """An executed notebook as the site shows it: links rewritten, in its text and in what its cells show."""
    notebook = read(path)
    origin = f"notebooks/{path.relative_to(EXECUTED).as_posix()}"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = FORMULAS.sub(lambda line: CITATION.sub(r"[[\1]](#formula-\1)", line[0]), "".join(cell["source"]))
            cell["source"] = relink(text, origin)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/markdown" in data:
                data["text/markdown"] = relink("".join(data["text/markdown"]), origin)
    return json.dumps(notebook, ensure_ascii=False)


def read(path: Path) -> dict[str, Any]:
    """A notebook, as its file has it: texts are lists of lines."""
    return json.loads(path.read_text(encoding="utf-8"))


def title(path: Path) -> str:
    """A notebook's title: its first heading."""
    first = "".join(read(path)["cells"][0]["source"])
    heading = re.search(r"^# (.*)$", first, re.MULTILINE)
    return heading[1] if heading else path.stem


def index() -> str:
    """The list of chapters, with their solutions and translations."""
    lines = [
        "# The book\n",
        "Each chapter builds one thing from nothing, line by line, checks its derivative, shows it equal to what",
        "`minillm` has, and asks questions that check themselves. What you see here was run when this site was built;",
        "`make book` opens the chapters to work in.\n",
    ]
    others = {folder: {path.name[:2]: path for path in executed(folder)} for folder in ("solutions", "zh")}
    for path in executed():
        links = [f"[{_escaped(title(path))}]({path.name})"]
        for folder, word in (("solutions", "solutions"), ("zh", "中文")):
            if other := others[folder].get(path.name[:2]):
                links.append(f"[{word}]({folder}/{other.name})")
        lines.append(f"- {' · '.join(links)}")
    lines += ["", _toctree([path.stem for path in executed()], "Chapters")]
    lines += [_toctree([f"solutions/{path.stem}" for path in executed("solutions")], "Solutions")]
    return "\n".join(lines)


def chinese_index() -> str:
    """The start page of the Chinese part."""
    lines = [
        "# 中文\n",
        "minillm 从零开始构建一个语言模型：自动微分、每个算子及其导数、Transformer、BPE 分词器和训练循环，"
        "都写在读得完的短文件里。这里是中文版的章节和术语表；接口说明、算子表等其余页面是英文的。\n",
        *[f"- [{_escaped(title(path))}](/book/zh/{path.name})" for path in executed("zh")],
        "- [术语表](glossary.md)",
        "",
        _toctree([*[f"/book/zh/{path.stem}" for path in executed("zh")], "glossary"], "中文"),
    ]
    return "\n".join(lines)


def _toctree(pages: list[str], caption: str) -> str:
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```\n"])


def _escaped(text: str) -> str:
    return re.sub(r"([\[\]*_`])", r"\\\1", text)
