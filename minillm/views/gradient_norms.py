"""Gradient norms layer by layer, for runs to compare: where a network's gradients fade or grow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minillm.errors import DataError, ShapeError
from minillm.views import axes, svg
from minillm.views.text import clipped, number, table, width
from minillm.views.view import Step, View

MOST_RUNS = 4
_LEFT, _TOP, _HEIGHT = 76, 16, 300
_SMALLEST_WIDTH, _WIDEST_LABEL, _LABEL = 420, 84, 13


def gradient_norms(layers: Sequence[str], runs: Mapping[str, Any]) -> View:
    """The norm of the gradient at each layer, on a logarithmic scale, a line a run.

    layers: labels, first layer first; runs: name → (n_layer,) norms, up to 4, such as those of post-norm and pre-norm
    layers (Xiong et al. 2020, figure 3). Norms of 0, which have no logarithm, stand on a line of their own.
    Raises ShapeError where norms and layers don't fit, naming both; DataError for none, for negative ones or NaN.
    """
    labels = [str(layer) for layer in layers]
    if not labels or not 0 < len(runs) <= MOST_RUNS:
        raise DataError(
            f"views.gradient_norms: {len(labels)} layers, {len(runs)} runs; needs a layer, 1 to {MOST_RUNS} runs"
        )
    norms = {name: np.asarray(values, np.float64) for name, values in runs.items()}
    for name, values in norms.items():
        if values.shape != (len(labels),):
            raise ShapeError(f"views.gradient_norms: run {name!r} has shape {values.shape} for {len(labels)} layers")
        if not (np.isfinite(values) & (values >= 0)).all():
            raise DataError(f"views.gradient_norms: run {name!r} has norms that are negative or not finite: {values}")
    rows = [[name, *map(number, values)] for name, values in norms.items()]
    text = (
        "Each line is a run. Where it falls from right to left, gradients fade on their way back to the first layers."
    )
    step = Step("Norm of the gradient at each layer", text, _drawn(labels, norms))
    lines = [f"  {name}: {', '.join(map(number, values))}" for name, values in norms.items()]
    return View(
        "Gradient norms by layer",
        "On a logarithmic scale: equal distances are equal ratios.",
        (step,),
        "\n".join(lines),
        table("Norm of the gradient", ["run", *labels], rows),
    )


def _drawn(labels: list[str], norms: dict[str, np.ndarray]) -> str:
    every = np.concatenate(list(norms.values()))
    positive = every[every > 0]
    low, high = axes.decades(positive.min(), positive.max()) if positive.size else (0, 1)
    has_zero = positive.size < every.size
    low -= has_zero  # a line of its own for 0
    label_width = min(_WIDEST_LABEL, max(width(label, _LABEL) for label in labels))
    w = max(_SMALLEST_WIDTH, (label_width + 12) * len(labels))

    def place(i: int, norm: float) -> tuple[float, float]:
        share = (math.log10(norm) - low) / (high - low) if norm > 0 else 0.0
        return _LEFT + (i + 0.5) * w / len(labels), _TOP + _HEIGHT * (1 - share)

    shapes = []
    every_nth = 1 + (high - low - 1) // 8
    for power in range(low, high + 1, every_nth):
        y = place(0, 10.0**power)[1]
        shapes.append(
            svg.path(f"M{_LEFT} {svg.coordinate(y)}h{svg.coordinate(w)}", "mv-axis" if power == low else "mv-gridline")
        )
        shapes.append(
            svg.text(
                _LEFT - 8, y, "0" if has_zero and power == low else axes.power_of_ten(power), "mv-quiet", anchor="end"
            )
        )
    for i, label in enumerate(labels):
        x = place(i, 1)[0]
        shown = clipped(label, label_width, _LABEL)
        shapes.append(svg.text(x, _TOP + _HEIGHT + 16, shown, "mv-quiet", anchor="middle", tip=label))
    ends = []
    for r, (name, values) in enumerate(norms.items(), 1):
        points = [place(i, norm) for i, norm in enumerate(values)]
        shapes.append(svg.polyline(points, f"mv-series mv-{r}"))
        for (x, y), label, norm in zip(points, labels, values, strict=True):
            shapes.append(_marker(r, x, y, svg.tip(f"{name}, {label}", "norm", norm)))
        ends.append((points[-1][1], r, name))
    shapes.append(axes.titles(_LEFT, _TOP, w, _HEIGHT, "layer", "norm of the gradient"))
    right = _LEFT + w
    room = max(width(name, _LABEL) for _, _, name in ends) + 64
    shapes += _end_labels(ends, right)
    described = "; ".join(f"{n} from {number(v[0])} to {number(v[-1])}" for n, v in norms.items())
    drawing = svg.picture(
        "Norm of the gradient at each layer", described, right + room, _TOP + _HEIGHT + 56, "".join(shapes)
    )
    return f'<div class="mv-figure">{drawing}</div>'


def _marker(r: int, x: float, y: float, tip: str) -> str:
    """A shape for each run, so that colour isn't needed to tell them apart: dot, square, diamond, triangle."""
    if r == 1:
        return svg.circle(x, y, 4.5, f"mv-marker mv-{r}", tip)
    if r == 2:
        return svg.rect(x - 4, y - 4, 8, 8, f"mv-marker mv-{r}", tip=tip)
    at = f"M{svg.coordinate(x)} {svg.coordinate(y)}"
    outline = "m0 -6l6 6l-6 6l-6 -6z" if r == 3 else "m0 -6l6 10h-12z"
    return svg.path(at + outline, f"mv-marker mv-{r}")


def _end_labels(ends: list[tuple[float, int, str]], x: float) -> list[str]:
    """A piece of each run's line, its marker and its name, beside its end; moved apart where ends are close."""
    shapes, last = [], -math.inf
    for y, r, name in sorted(ends):
        last = max(y, last + 18)
        shapes.append(svg.path(f"M{svg.coordinate(x + 12)} {svg.coordinate(last)}h28", f"mv-series mv-{r}"))
        shapes.append(_marker(r, x + 26, last, name))
        shapes.append(svg.text(x + 48, last, name, f"mv-series-text mv-{r}"))
    return shapes
