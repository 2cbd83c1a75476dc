"""A plain picture of a few curves, for comparisons: drawn without a screen, written whole or not at all."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from minillm.training import plot
from minillm.training.files import write_atomic

COLOURS = ("#7aa6d6", "#c2410c", "#3f7d4e", "#6b4fa0")


def draw(
    path: Path,
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    title: str,
    labels: tuple[str, str],
    levels: Mapping[str, float] | None = None,
) -> None:
    """Replace `path` by a PNG of curves by name over x, on a logarithmic scale; levels: dashed lines by name.

    labels: what x and y are, with their units. Raises OSError, leaving the old picture.
    """
    figure_type, canvas_type = plot.load()
    figure = figure_type(figsize=(8, 4.8), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for (name, y), colour in zip(curves.items(), COLOURS, strict=False):
        axes.plot(x, y, color=colour, linewidth=1.8, marker="o", markersize=4, label=name)
    for name, value in (levels or {}).items():
        axes.axhline(value, color="#8a8a8a", linewidth=1, linestyle=(0, (5, 4)), zorder=0, label=name)
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1], xscale="log")
    axes.set_xticks(list(x), [f"{value:,}" for value in x])
    axes.minorticks_off()
    axes.grid(axis="y", color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(edgecolor="none", fontsize=9)
    image = io.BytesIO()
    canvas_type(figure).print_png(image)
    write_atomic(path, image.getvalue())
