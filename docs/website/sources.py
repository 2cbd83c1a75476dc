"""A Sphinx extension: pages with the source files that links `source:PATH#L-12` name, each line with an anchor.

API entries are linked to their lines in the same way (`linkcode_resolve`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx.application import Sphinx

from docs.website.places import ROOT
from minillm.registry import Op

SCHEME = "source:"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    linked: set[str] = set()
    app.connect("doctree-resolved", lambda app, tree, page: _resolve(app, tree, page, linked))
    app.connect("html-collect-pages", lambda app: _pages(sorted(linked)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """The lines of a documented object, as a `source:` link; None for one without lines of its own."""
    found: Any = sys.modules.get(info["module"])
    try:
        found = reduce(getattr, info["fullname"].split("."), found)
        found = found.reference.forward if isinstance(found, Op) else found
        found = inspect.unwrap(getattr(found, "fget", found))  # a property has its lines in its function
        path = Path(inspect.getsourcefile(found) or "").relative_to(ROOT)
        return f"{SCHEME}{path.as_posix()}#L-{inspect.getsourcelines(found)[1]}"
    except (AttributeError, TypeError, ValueError, OSError):
        return None


def _resolve(app: Sphinx, tree: nodes.document, page: str, linked: set[str]) -> None:
    for node in tree.findall(nodes.reference):
        uri = node.get("refuri", "")
        if uri.startswith(SCHEME):
            path, hash, anchor = uri.removeprefix(SCHEME).partition("#")
            linked.add(path)
            node["refuri"] = app.builder.get_relative_uri(page, f"source/{path}") + hash + anchor
            node["internal"] = True


def _pages(paths: list[str]) -> Iterator[tuple[str, dict[str, Any], str]]:
    for path in paths:
        text = (ROOT / path).read_text(encoding="utf-8")
        try:
            lexer = get_lexer_for_filename(path, stripnl=False)
        except ClassNotFound:
            lexer = TextLexer(stripnl=False)
        lines = highlight(text, lexer, HtmlFormatter(nowrap=True)).split("\n")  # a span of Pygments ends with its line
        numbered = "".join(f'<span id="L-{i}">{line}\n</span>' for i, line in enumerate(lines, 1))
        body = f'<h1>{path}</h1><div class="highlight source-lines"><pre>{numbered}</pre></div>'
        yield f"source/{path}", {"title": path, "body": body}, "page.html"
