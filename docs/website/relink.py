"""Links of the repository's Markdown, turned into links of the site.

A link to a document or a chapter becomes one to its page; a link to any other file becomes `source:PATH`, which
docs/website/sources.py resolves to a page with that file's lines.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from pathlib import PurePosixPath

from docs.website.places import ROOT, page_of
from minillm.errors import DataError

LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<target>[^)\s]+)\)")
LINE = re.compile(r":(\d+)\]$")  # a text such as "softmax, minillm/ops/softmax.py:27" names the line


def relink(text: str, origin: str, generated: Collection[str] = ()) -> str:
    """`text` with every link outside of code blocks rewritten.

    origin: the file of the repository that it is the text of, such as "docs/design.md".
    generated: pages that are no file of the repository, such as "ops"; links to them stay as they are.
    DataError, naming file and link, if there is nothing where it points.
    """
    lines, in_code = text.split("\n"), False
    for i, line in enumerate(lines):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            lines[i] = LINK.sub(lambda match: _rewritten(match, origin, generated), line)
    return "\n".join(lines)


def _rewritten(match: re.Match, origin: str, generated: Collection[str]) -> str:
    text, target = match["text"], match["target"]
    if re.match(r"[a-z]+:|#", target):
        return match[0]
    path, hash, anchor = target.partition("#")
    if path.removesuffix(".md") in generated:
        page = path.removesuffix(".md")
        return f"{text}(/{page}{'.rst' if page.startswith('api/') else '.md'}{hash}{anchor})"
    # What a notebook's cell shows is linked from notebooks/, wherever the notebook is.
    for folder in dict.fromkeys([posixpath.dirname(origin), "notebooks" if origin.startswith("notebooks/") else ""]):
        file = PurePosixPath(posixpath.normpath(posixpath.join(folder, path)))
        if file.is_relative_to("docs/images"):
            return f"{text}(/{file.relative_to('docs')})"
        if page := page_of(file):
            return f"{text}(/{page}{'.ipynb' if _is_chapter(page) else '.md'}{hash}{anchor})"
        if (file := _first_file(file)) is not None:
            line = LINE.search(text)
            return f"{text}(source:{file}{f'#L-{line[1]}' if line else ''})"
    raise DataError(f"{origin} links to {target!r}, but there is no such file or page")


def _first_file(path: PurePosixPath) -> PurePosixPath | None:
    """The file itself; of a folder, the file that says what is in it; None where there is neither."""
    for file in (path, path / "README.md", path / "__init__.py"):
        if (ROOT / file).is_file():
            return file
    return None


def _is_chapter(page: str) -> bool:
    return page.startswith("book/") and page != "book/index"
