"""A view: a title, steps, and buttons to go through them; in a notebook or as a page of its own."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

_shown: Counter[str] = Counter()  # how often this process has rendered each view: the same one twice needs two ids


@dataclass(frozen=True)
class Step:
    """One thing to see. title: plain text; text, body and table: HTML, whose parts are escaped by who made it."""

    title: str
    text: str
    body: str
    table: str = ""


@dataclass(frozen=True, repr=False)
class View:
    """Steps to go through, drawn in a notebook (`_repr_html_`) or saved as a page.

    title and summary: plain text; table: HTML that holds the view's numbers as text; text: what a terminal shows.
    Without JavaScript all steps stand one under the other.
    """

    title: str
    summary: str
    steps: tuple[Step, ...]
    text: str
    table: str = ""

    def _repr_html_(self) -> str:
        """HTML for a notebook: every call has an id of its own, the same in every run of the same program."""
        digest = self._digest()
        _shown[digest] += 1
        return self._html(f"mv-{digest}-{_shown[digest]}", level=3)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a complete page, UTF-8, that works offline. Raises OSError."""
        page = (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(self.title)}</title>'
            f'\n</head>\n<body class="minillm-page">\n<main>\n{self._html(f"mv-{self._digest()}", level=1)}\n</main>\n'
            f"</body>\n</html>\n"
        )
        Path(path).write_text(page, encoding="utf-8", newline="\n")

    def __repr__(self) -> str:
        return f"{self.title} ({len(self.steps)} step{'s' * (len(self.steps) > 1)})\n{self.text}"

    def _digest(self) -> str:
        return hashlib.sha256(repr((self.title, self.summary, self.steps, self.table)).encode()).hexdigest()[:10]

    def _html(self, name: str, level: int) -> str:
        numbered = [f"{i}. " if len(self.steps) > 1 else "" for i in range(1, len(self.steps) + 1)]
        steps = "\n".join(map(_step_html, numbered, self.steps, [level + 1] * len(self.steps)))
        summary = f'<p class="mv-summary">{escape(self.summary)}</p>' if self.summary else ""
        return (
            f'<section class="minillm-view" id="{name}" aria-labelledby="{name}-title">\n'
            f"<style>{_file('style.css')}</style>\n"
            f'<h{level} class="mv-title" id="{name}-title">{escape(self.title)}</h{level}>\n{summary}\n'
            f"{_navigation(len(self.steps))}\n"
            f'<div class="mv-steps" tabindex="0" role="group" aria-label="Steps; arrow keys go through them">\n'
            f"{steps}\n</div>\n{_details('The numbers as tables', self.table)}\n"
            f"<script>{_file('stepper.js').replace('VIEW_ID', name)}</script>\n</section>"
        )


def _step_html(numbered: str, step: Step, level: int) -> str:
    return (
        f'<div class="mv-step"><h{level} class="mv-step-title">{numbered}{escape(step.title)}</h{level}>\n'
        f"<p>{step.text}</p>\n{step.body}\n{_details('This step as text', step.table)}</div>"
    )


def _navigation(n: int) -> str:
    """Hidden until the script runs, for without it there is nothing to press."""
    return (
        '<div class="mv-nav" hidden><button type="button">Previous</button><button type="button">Next</button>'
        f'<input type="range" min="1" max="{n}" value="1" aria-label="Step">'
        f'<p class="mv-where" role="status" aria-live="polite">step 1 of {n}</p></div>'
    )


def _details(summary: str, tables: str) -> str:
    return f'<details><summary>{summary}</summary><div class="mv-tables">{tables}</div></details>' if tables else ""


@cache
def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
