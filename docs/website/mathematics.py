"""A Sphinx extension: formulas as HTML, by the KaTeX in docs/_static/katex.

Where there is node, they are rendered now, and a formula that KaTeX can't read is a warning. Without node, pages hold
LaTeX and render it in the reader's browser. Neither needs a network. (sphinxcontrib-katex does the same, but hides
formulas that are wrong, and fails on a busy machine when its server is slow to start.)
"""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from docs.website.places import ROOT

NODE = shutil.which("node")
KATEX = ROOT / "docs" / "_static" / "katex" / "katex.min.js"
AUTO_RENDER = r"""document.addEventListener("DOMContentLoaded", () => renderMathInElement(document.body, {
  delimiters: [{left: "\\(", right: "\\)", display: false}, {left: "\\[", right: "\\]", display: true}]}));"""

log = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("prerendered", (_visit_inline, None), (_visit_block, None))
    app.add_css_file("katex/katex.min.css")
    if NODE is None:
        log.info("node isn't installed: formulas will be rendered in the browser")
        app.add_js_file("katex/katex.min.js")
        app.add_js_file("katex/auto-render.min.js")
        app.add_js_file(None, body=AUTO_RENDER)
    app.connect("build-finished", lambda app, error: _stop())
    return {"parallel_read_safe": True}


@cache
def rendered(latex: str, display: bool) -> str:
    """A formula as HTML. ValueError, with KaTeX's message, for one it can't read."""
    if NODE is None:
        left, right = (r"\[", r"\]") if display else (r"\(", r"\)")
        return html.escape(f"{left}{latex}{right}")
    process = _started()
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps([latex, display]) + "\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    if "error" in answer:
        raise ValueError(f"{answer['error']}, in the formula {latex!r}")
    return answer["html"]


@cache
def _started() -> subprocess.Popen[str]:
    command = [str(NODE), str(Path(__file__).with_name("katex.js")), str(KATEX)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")


def _stop() -> None:
    if _started.cache_info().currsize:
        _started().communicate()  # closes its input, and so it ends
        _started.cache_clear()


def _visit_inline(self, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{_html(node, display=False)}</span>')
    raise nodes.SkipNode


def _visit_block(self, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{_html(node, display=True)}</div>')
    raise nodes.SkipNode


def _html(node: nodes.Element, display: bool) -> str:
    try:
        return rendered(node.astext(), display)
    except ValueError as error:
        log.warning("%s", error, location=node)
        return f"<code>{html.escape(node.astext())}</code>"
