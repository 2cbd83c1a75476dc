"""Boxes and lines of a graph, drawn once for every step: what has been reached in full, the rest faint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minillm.views import svg
from minillm.views.layout import Point, lay_out
from minillm.views.text import clipped, width

_LINE, _PAD, _WIDEST = 18, 12, 250  # line height, padding and widest text, in pixels
_TITLE, _SIZE = 13, 12


@dataclass(frozen=True)
class Box:
    """A leaf or an op. lines: what it says from the start (shape, value); gradient: lines once it has arrived."""

    title: str
    lines: tuple[str, ...]
    is_leaf: bool
    gradient: tuple[str, ...] = ()


class Drawing:
    """The places of a graph's boxes, and its pictures.

    states: the boxes at each step; a box is as large as its largest state, so that nothing moves from step to step.
    edges: (from, to) by the boxes' numbers, each going to a larger number.
    """

    def __init__(self, states: Sequence[Sequence[Box]], edges: Sequence[tuple[int, int]]):
        each = zip(*states, strict=True)
        self._sizes = [(max(map(_width, box)), max(map(_height, box))) for box in each]
        self._edges, self._layout = edges, lay_out(self._sizes, edges)

    def forward(self, boxes: Sequence[Box], at: int) -> str:
        """The picture when the op of box `at` has run: later ones are faint."""
        return self._drawn(boxes, at, at + 1, back=False)

    def backward(self, boxes: Sequence[Box], at: int) -> str:
        """The picture when the gradient has arrived at box `at` and goes on to its inputs."""
        return self._drawn(boxes, at, len(boxes), back=True)

    def _drawn(self, boxes: Sequence[Box], at: int, reached: int, *, back: bool) -> str:
        shapes = []
        for (_, target), line in zip(self._edges, self._layout.lines, strict=True):
            shapes.append(_faint(_edge(line, strong=target == at, back=back and target == at), target >= reached))
        for i, box in enumerate(boxes):
            drawn = _box(box, self._layout.centre[i], self._sizes[i], i == at and not box.is_leaf)
            shapes.append(_faint(drawn, i >= reached))
        w, h = self._layout.width + 8, self._layout.height + 8
        described = f"{'Backward' if back else 'Forward'}, at {boxes[at].title}" if not boxes[at].is_leaf else "Leaves"
        all_shapes = f'<g transform="translate(4 4)">{"".join(shapes)}</g>'
        return (
            f'<div class="mv-figure">{svg.picture(f"Graph of {len(boxes)} boxes", described, w, h, all_shapes)}</div>'
        )


def _width(box: Box) -> float:
    widest = max([width(box.title, _TITLE) * 1.1, *(width(line, _SIZE) for line in (*box.lines, *box.gradient))])
    return min(widest, _WIDEST) + 2 * _PAD


def _height(box: Box) -> float:
    return _LINE * (1 + len(box.lines) + len(box.gradient)) + _PAD


def _box(box: Box, centre: Point, size: tuple[float, float], active: bool) -> str:
    (w, h), css = size, "mv-box-active" if active else "mv-leaf" if box.is_leaf else "mv-box"
    x, y = centre[0] - w / 2, centre[1] - h / 2
    shapes = [svg.rect(x, y, w, h, css, round=14 if box.is_leaf else 6)]
    lines = [(box.title, "mv-strong", _TITLE), *((line, "mv-quiet mv-medium", _SIZE) for line in box.lines)]
    lines += [(line, "mv-active-text mv-medium", _SIZE) for line in box.gradient]
    for i, (line, css, font) in enumerate(lines):
        at = y + _PAD / 2 + _LINE * (i + 0.5)
        shapes.append(svg.text(centre[0], at, clipped(line, _WIDEST, font), css, anchor="middle", tip=line))
    return "".join(shapes)


def _edge(line: list[Point], *, strong: bool, back: bool) -> str:
    """A smooth line down, with an arrow head where it arrives: at its upper end when a gradient goes `back`."""
    d = f"M{svg.coordinate(line[0][0])} {svg.coordinate(line[0][1])}"
    for (x, y), (to_x, to_y) in zip(line, line[1:], strict=False):
        bend = f"C{svg.coordinate(x)} {svg.coordinate((y + to_y) / 2)} {svg.coordinate(to_x)} "
        d += f"{bend}{svg.coordinate((y + to_y) / 2)} {svg.coordinate(to_x)} {svg.coordinate(to_y)}"
    (x, y), side = (line[0], 1) if back else (line[-1], -1)
    head = f"M{svg.coordinate(x)} {svg.coordinate(y)}l-4.5 {8 * side}h9z"
    suffix = "-active" if strong else ""
    return svg.path(d, f"mv-edge{suffix}") + svg.path(head, f"mv-head{suffix}")


def _faint(shapes: str, faint: bool) -> str:
    return f'<g class="mv-faint">{shapes}</g>' if faint else shapes
