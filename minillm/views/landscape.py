"""A loss around a point, on the plane of two directions, and the way an optimiser took over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

from minillm.errors import ConfigError, DataError, ShapeError
from minillm.views import axes, svg
from minillm.views.text import number, table
from minillm.views.view import Step, View

_BANDS = 8
_LEFT, _TOP, _SIDE = 76, 16, 400  # pixels
_WIDE_RANGE = 30  # of losses: bands are then of equal ratio, not of equal width
_MOST_STEPS = 60


def landscape(
    loss: Callable[[np.ndarray], float],
    centre: Any,
    directions: Any,
    *,
    radius: float = 1.0,
    size: int = 25,
    path: Any = None,
    names: Sequence[str] = ("first direction", "second direction"),
    unit: str = "nats",
) -> View:
    """The loss at centre + a·d₁ + b·d₂ for a and b from −radius to radius (Li et al. 2018, equation 1).

    loss: of a flat vector (n,), called size² times; centre: (n,); directions: (2, n), not parallel, taken as they are:
    a and b count their lengths. path: (steps, n), points of an optimiser, projected onto the plane by least squares,
    a step of the view each, up to 60. names: of the directions; unit: of the loss. Computed in float64.
    Raises ShapeError for shapes that don't fit, naming both; ConfigError for a size or radius that can't be;
    DataError where no loss is finite.
    """
    middle, both = np.asarray(centre, np.float64), np.asarray(directions, np.float64)
    points = np.empty((0, middle.size)) if path is None else np.asarray(path, np.float64)
    _check(middle, both, points, radius, size, names)
    ticks = np.linspace(-radius, radius, size)
    losses = np.array([[float(loss(middle + a * both[0] + b * both[1])) for a in ticks] for b in ticks])
    if not np.isfinite(losses).any():
        raise DataError("views.landscape: no loss on the grid is finite; use a smaller radius or another centre")
    edges = _band_edges(losses)
    background, legend = _cells(losses, edges, size) + _axes(radius, names), _legend(edges, unit)
    placed, distances = _projected(points - middle, both)
    text = (
        f"Each cell is one evaluation of the loss, in {escape(unit)}; stronger green is a higher loss. "
        "The cross is the centre, 0, 0; the axes count the lengths of the two directions."
    )
    steps = [Step("The plane", text, _drawn(background, legend, placed[:0], radius))]
    path_losses = [float(loss(point)) for point in points]
    for i in range(len(points)):
        steps.append(
            Step(
                f"Point {i + 1} of the path",
                _point_text(placed[i], path_losses[i], distances[i], radius, unit),
                _drawn(background, legend, placed[: i + 1], radius),
            )
        )
    return View(
        "A loss landscape",
        f"Loss in {unit}, over {names[0]} and {names[1]}",
        tuple(steps),
        _plain_text(losses, ticks, path_losses, unit),
        _grid_table(losses, ticks, names) + _path_table(placed, path_losses, names, unit),
    )


def _check(
    middle: np.ndarray, both: np.ndarray, points: np.ndarray, radius: float, size: int, names: Sequence[str]
) -> None:
    if middle.ndim != 1 or both.shape != (2, middle.size):
        raise ShapeError(
            f"views.landscape: centre must be (n,) and directions (2, n); got {middle.shape} and {both.shape}"
        )
    if np.linalg.matrix_rank(both) < 2:
        raise ShapeError("views.landscape: the two directions are parallel, or one is 0; they must span a plane")
    if points.ndim != 2 or points.shape[1] != middle.size:
        raise ShapeError(
            f"views.landscape: path must be (steps, n) for centre (n,); got {points.shape} and {middle.shape}"
        )
    if len(points) > _MOST_STEPS:
        raise ShapeError(
            f"views.landscape shows a path of up to {_MOST_STEPS} points; this one has {len(points)}: take every "
            f"{-(-len(points) // _MOST_STEPS)}th"
        )
    if len(names) != 2:
        raise ConfigError(f"views.landscape: names are those of the two directions; got {len(names)}")
    if not radius > 0 or not 2 <= size <= 100:
        raise ConfigError(f"views.landscape: radius must be above 0 and size from 2 to 100; got {radius} and {size}")


def _band_edges(losses: np.ndarray) -> np.ndarray:
    """_BANDS + 1 losses from the lowest to the highest, equally far apart; by ratio where they span a wide range."""
    finite = losses[np.isfinite(losses)]
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high / low > _WIDE_RANGE:
        return np.geomspace(low, high, _BANDS + 1)
    return np.linspace(low, high, _BANDS + 1)


def _projected(offsets: np.ndarray, both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares places (steps, 2) on the plane, and how far from it each point is; rounding errors count as 0."""
    placed = np.linalg.lstsq(both.T, offsets.T, rcond=None)[0].T
    distances, lengths = np.linalg.norm(offsets - placed @ both, axis=1), np.linalg.norm(offsets, axis=1)
    placed[np.abs(placed) * np.linalg.norm(both, axis=1) < 1e-12 * lengths[:, None]] = 0
    return placed, np.where(distances < 1e-12 * lengths, 0, distances)


def _place(a: float, b: float, radius: float) -> tuple[float, float]:
    half = _SIDE / 2
    return _LEFT + half * (1 + a / radius), _TOP + half * (1 - b / radius)


def _opacity(band: int) -> float:
    return 0.06 + 0.94 * band / (_BANDS - 1)


def _cells(losses: np.ndarray, edges: np.ndarray, size: int) -> str:
    """The grid, cells of one band beside each other drawn as one."""
    bands = np.where(np.isfinite(losses), np.clip(np.searchsorted(edges, losses, "right") - 1, 0, _BANDS - 1), -1)
    shapes = []
    for i, row in enumerate(bands):
        bottom, top = (_TOP + _SIDE - round(line * _SIDE / size) for line in (i, i + 1))
        starts = [0, *(np.flatnonzero(np.diff(row)) + 1), size]
        for start, end in zip(starts, starts[1:], strict=False):
            band = int(row[start])
            css, opacity = ("mv-deep", _opacity(band)) if band >= 0 else ("mv-hidden", None)
            left, right = (_LEFT + round(column * _SIDE / size) for column in (start, end))
            shapes.append(svg.rect(left, top, right - left, bottom - top, css, opacity=opacity))
    return "".join(shapes)


def _axes(radius: float, names: Sequence[str]) -> str:
    x, y = _place(0, 0, radius)
    centre = f"M{svg.coordinate(x - 6)} {svg.coordinate(y)}h12m-6 -6v12"
    shapes = [svg.rect(_LEFT, _TOP, _SIDE, _SIDE, "mv-axis"), svg.path(centre, "mv-halo"), svg.path(centre, "mv-trace")]
    for tick in axes.round_ticks(-radius, radius):
        x, y = _place(tick, tick, radius)
        shapes.append(svg.path(f"M{svg.coordinate(x)} {_TOP + _SIDE}v5", "mv-axis"))
        shapes.append(svg.text(x, _TOP + _SIDE + 16, axes.plain(tick), "mv-quiet", anchor="middle"))
        shapes.append(svg.path(f"M{_LEFT} {svg.coordinate(y)}h-5", "mv-axis"))
        shapes.append(svg.text(_LEFT - 8, y, axes.plain(tick), "mv-quiet", anchor="end"))
    return "".join(shapes) + axes.titles(_LEFT, _TOP, _SIDE, _SIDE, names[0], names[1])


def _legend(edges: np.ndarray, unit: str) -> str:
    """The bands, the highest loss on top, with the losses between them."""
    w, h, top = 22, 32, 34
    shapes = [svg.text(0, 10, f"loss ({unit})", "mv-quiet")]
    for i in range(_BANDS):
        y = top + (_BANDS - 1 - i) * h
        shapes.append(svg.rect(0.5, y, w, h, "mv-deep", opacity=_opacity(i)) + svg.rect(0.5, y, w, h, "mv-cell-line"))
    for i, edge in enumerate(edges):
        shapes.append(svg.text(w + 8, top + (_BANDS - i) * h, number(float(edge)), "mv-quiet"))
    described = f"From {number(float(edges[0]))}, the faintest, to {number(float(edges[-1]))}, the strongest."
    return svg.picture("Colours of the loss", described, 110, top + _BANDS * h + 12, "".join(shapes))


def _drawn(background: str, legend: str, placed: np.ndarray, radius: float) -> str:
    """The plane, with the path so far; a point outside the plane's square stands at its edge."""
    points = [_place(a, b, radius) for a, b in np.clip(placed, -radius, radius)]
    shapes = [background]
    if len(points) > 1:
        shapes += [svg.polyline(points, "mv-halo"), svg.polyline(points, "mv-trace")]
    shapes += [svg.circle(x, y, 4, "mv-dot") for x, y in points[:-1]]
    shapes += [svg.circle(x, y, 7, "mv-dot-active") for x, y in points[-1:]]
    described = f"A path of {len(points)} points over it." if points else "Without a path."
    plane = svg.picture("The loss on a plane", described, _LEFT + _SIDE + 16, _TOP + _SIDE + 56, "".join(shapes))
    return f'<div class="mv-row"><div class="mv-scales">{plane}</div>{legend}</div>'


def _point_text(place: np.ndarray, loss: float, away: float, radius: float, unit: str) -> str:
    outside = " It lies outside the square and is drawn at its edge." if np.abs(place).max() > radius else ""
    return (
        f"Loss {number(loss)} {escape(unit)}, at {number(place[0])}, {number(place[1])} on the plane; "
        f"the point itself is {number(away)} away from the plane.{outside}"
    )


def _plain_text(losses: np.ndarray, ticks: np.ndarray, path_losses: list[float], unit: str) -> str:
    b, a = np.unravel_index(np.nanargmin(np.where(np.isfinite(losses), losses, np.nan)), losses.shape)
    lowest = f"  lowest loss {number(losses[b, a])} {unit} at {number(ticks[a])}, {number(ticks[b])}"
    if not path_losses:
        return lowest
    return f"{lowest}\n  along the path: {', '.join(map(number, path_losses))}"


def _grid_table(losses: np.ndarray, ticks: np.ndarray, names: Sequence[str]) -> str:
    """About nine rows and columns of the grid: more couldn't be read."""
    picked = np.unique(np.linspace(0, len(ticks) - 1, min(9, len(ticks))).round().astype(int))
    rows = [[number(ticks[i]), *(number(losses[i, j]) for j in picked)] for i in picked[::-1]]
    return table(f"Loss; rows {names[1]}, columns {names[0]}", ["", *(number(ticks[j]) for j in picked)], rows)


def _path_table(placed: np.ndarray, path_losses: list[float], names: Sequence[str], unit: str) -> str:
    rows = [
        [str(i), number(a), number(b), number(value)]
        for i, ((a, b), value) in enumerate(zip(placed, path_losses, strict=True), 1)
    ]
    return table("The path", ["point", names[0], names[1], f"loss ({unit})"], rows) if rows else ""
