"""Tables in MyST Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], name: str) -> str:
    """A table with a class of its own, so that a style sheet can set its columns' widths."""
    lines = [_row(head), _row(["---"] * len(head)), *[_row(row) for row in rows]]
    return "\n".join([f"{{.{name}}}", *lines])


def code(text: str) -> str:
    """Text as code, in a cell: as HTML, since backticks can't hold a `|` there."""
    escaped = html.escape(" ".join(text.split()))
    return f"<code>{re.sub(r'[|*_`~^]', lambda match: f'&#{ord(match[0])};', escaped)}</code>"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
