"""A matrix as coloured cells, with its numbers where there is room, and as a table of text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minillm.views import svg
from minillm.views.text import clipped, number, table, width

HIDDEN = "hidden"
NUMBERED = 12  # rows and columns up to which cells have room for their numbers
_CELL, _SMALL = (56, 28), (15, 15)
_LABEL, _LONGEST_LABEL = 13, 110  # font size, and widest label, in pixels


class Cell(NamedTuple):
    """text: what it says; shade: how much of the colour `css` it has, from 0 to 1."""

    text: str
    shade: float = 0.0
    css: str = "mv-high"


def signed(values: np.ndarray, visible: np.ndarray | None = None) -> list[list[Cell]]:
    """Cells in blue and orange by sign, the largest magnitude in full colour; hidden where not `visible`.

    values: (rows, columns).
    """
    seen = values[np.isfinite(values) if visible is None else np.isfinite(values) & visible]
    largest = float(np.abs(seen).max(initial=0)) or 1.0
    return [
        [_signed(x, largest) if visible is None or visible[i, j] else Cell(HIDDEN) for j, x in enumerate(row)]
        for i, row in enumerate(values)
    ]


def shares(values: np.ndarray, visible: np.ndarray | None = None) -> list[list[Cell]]:
    """Cells in green by the square root of the value, 1 in full colour; hidden where not `visible`.

    values: (rows, columns), from 0 to 1.
    """
    return [
        [
            Cell(number(x), float(np.sqrt(x)) if np.isfinite(x) else 0.0, "mv-share")
            if visible is None or visible[i, j]
            else Cell(HIDDEN)
            for j, x in enumerate(row)
        ]
        for i, row in enumerate(values)
    ]


def _signed(x: float, largest: float) -> Cell:
    shade = min(1.0, abs(x) / largest) if np.isfinite(x) else 0.0
    return Cell(number(x), shade, "mv-low" if x < 0 else "mv-high")


def draw(
    name: str,
    cells: Sequence[Sequence[Cell]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    active: int | None = None,
) -> str:
    """The figure of a matrix: `name` above, row and column labels, `active` row framed."""
    numbered = max(len(rows), len(columns)) <= NUMBERED
    cell_w, cell_h = _CELL if numbered else _SMALL
    row_labels = [clipped(row, _LONGEST_LABEL, _LABEL) for row in rows]
    left = max(width(label, _LABEL) for label in row_labels) + 10
    top = 24 if numbered else max(width(clipped(c, _LONGEST_LABEL, _LABEL), _LABEL) for c in columns) + 12
    shapes = [_column_label(left + (j + 0.5) * cell_w, top, c, numbered) for j, c in enumerate(columns)]
    for i, (label, row) in enumerate(zip(row_labels, cells, strict=True)):
        y = top + i * cell_h
        css = "mv-active-text mv-strong" if i == active else ""
        shapes.append(svg.text(left - 7, y + cell_h / 2, label, css, anchor="end", tip=rows[i]))
        for j, cell in enumerate(row):
            shapes.append(_cell(left + j * cell_w, y, cell_w, cell_h, cell, numbered, (rows[i], columns[j])))
    if active is not None:
        shapes.append(svg.rect(left, top + active * cell_h, len(columns) * cell_w, cell_h, "mv-active", round=2))
    size = f"{len(rows)} × {len(columns)}"
    described = f"{size} cells; the numbers are in the table below." if numbered else f"{size} cells by colour."
    drawing = svg.picture(
        name, described, left + len(columns) * cell_w + 2, top + len(rows) * cell_h + 2, "".join(shapes)
    )
    return svg.figure(name, drawing)


def _column_label(x: float, top: float, label: str, numbered: bool) -> str:
    if numbered:
        return svg.text(x, top - 11, clipped(label, _CELL[0] - 4, _LABEL), anchor="middle", tip=label)
    return svg.text(x, top - 6, clipped(label, _LONGEST_LABEL, _LABEL), tip=label, turn=-90)


def _cell(x: float, y: float, w: float, h: float, cell: Cell, numbered: bool, labels: tuple[str, str]) -> str:
    if not numbered:
        tip = f"{labels[0]}, {labels[1]}: {cell.text}"
        if cell.text == HIDDEN:
            return svg.rect(x + 1, y + 1, w - 2, h - 2, "mv-hidden", tip=tip)
        return svg.rect(x, y, w, h, cell.css, opacity=cell.shade, tip=tip)
    middle = x + w / 2, y + h / 2
    if cell.text == HIDDEN:
        background = svg.rect(x + 2, y + 2, w - 4, h - 4, "mv-hidden", round=2)
        return background + svg.text(*middle, HIDDEN, "mv-quiet mv-small", anchor="middle")
    frame = svg.rect(x, y, w, h, "mv-cell-line")
    css = "mv-small" if len(cell.text) > 7 else ""
    filled = svg.rect(x, y, w, h, cell.css, opacity=cell.shade)
    return filled + frame + svg.text(*middle, cell.text, css, anchor="middle")


def as_table(name: str, cells: Sequence[Sequence[Cell]], rows: Sequence[str], columns: Sequence[str]) -> str:
    """The same matrix as an HTML table."""
    body = ([label, *(cell.text for cell in row)] for label, row in zip(rows, cells, strict=True))
    return table(name, ["", *columns], body)
