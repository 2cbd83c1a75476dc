"""The roofline (Williams et al. 2009): how many operations a second each op reaches, over its operations a byte.

    python -m benchmarks.roofline

Draws docs/images/roofline.png from docs/benchmarks/ops.json, which `python -m benchmarks ops --write` makes (and then
draws). No op can lie above the lines; those whose arrays stay in the L3 cache may lie above memory's.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.pairs import REPOSITORY

VALUES = REPOSITORY / "docs" / "benchmarks" / "ops.json"
PICTURE = REPOSITORY / "docs" / "images" / "roofline.png"
LEAST = 0.02  # operations a byte: ops that do little but copy would stretch the picture to the left
SIDES = {"forward": ("o", "tab:blue"), "backward": ("s", "tab:orange"), "whole": ("D", "tab:green")}


def draw(rows: list[dict[str, Any]], limits: dict[str, float], picture: Path, where: str = "") -> None:
    """rows: those of the table of ops; limits: 10^9 operations or bytes a second, by name."""
    import matplotlib

    matplotlib.use("Agg")  # a file, no window
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(12, 8), dpi=110)
    points = [r for r in rows if r["operations a byte"] >= LEAST]
    draw_limits(axes, limits, points)
    for side, (marker, colour) in SIDES.items():
        chosen = [r for r in points if r["pass"] == side]
        label = "forward and backward in one" if side == "whole" else side
        axes.scatter(*_places(chosen), marker=marker, color=colour, label=label, zorder=3)
    axes.set(xscale="log", yscale="log", xlabel="operations a byte", ylabel="GFLOP/s")
    axes.set_title(f"Ops of a GPT-2, float32. {where}", fontsize=10)
    axes.grid(which="major", alpha=0.25)
    axes.legend(loc="lower right")
    name_points(figure, axes, points)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, bbox_inches="tight")
    pyplot.close(figure)


def _places(rows: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [r["operations a byte"] for r in rows], [r["GFLOP/s"] for r in rows]


def draw_limits(axes: Any, limits: dict[str, float], points: list[dict[str, Any]]) -> None:
    """Bytes a second are slanted lines that end at the level one of operations a second."""
    x, y = _places(points)
    peak = limits["operations"]
    left, right, bottom = min(x) / 3, max(x) * 3, min(y) / 3
    axes.set(xlim=(left, right), ylim=(bottom, max(peak, *y) * 2.5))
    for place, style in (("L3", "--"), ("memory", "-")):
        knee = peak / limits[place]
        axes.plot(
            [left, knee], [left * limits[place], peak], style, color="0.35", label=f"{place}, {limits[place]:.0f} GB/s"
        )
    start = min(peak / limits["L3"], right)
    axes.plot([start, right], [peak, peak], ":", color="0.35", label=f"multiply-adds, {peak:.0f} GFLOP/s")


def name_points(figure: Any, axes: Any, points: list[dict[str, Any]]) -> None:
    """Each point's op (and shape, where there are several) by a thin line, at the nearest place that is still free."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    centres = [axes.transData.transform(place) for place in zip(*_places(points), strict=True)]
    taken = [_box(x - 6, y - 6, x + 6, y + 6) for x, y in centres]
    taken.append(axes.get_legend().get_window_extent(renderer))
    shapes = {r["op"]: {other["shape"] for other in points if other["op"] == r["op"]} for r in points}
    for row, centre in zip(points, centres, strict=True):
        text = axes.annotate(
            f"{row['op']} {row['shape']}" if len(shapes[row["op"]]) > 1 else row["op"],
            (row["operations a byte"], row["GFLOP/s"]),
            xytext=(0, 0),
            textcoords="offset pixels",
            fontsize=9,
            color=SIDES[row["pass"]][1],
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85},
            va="center",
            ha="center",
            arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.5, "shrinkB": 3},
        )
        size = text.get_window_extent(renderer)
        for dx, dy in _offsets(size.width, size.height):
            x, y = centre[0] + dx, centre[1] + dy
            box = _box(x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2)
            inside = axes.bbox.x0 < box.x0 and box.x1 < axes.bbox.x1 and axes.bbox.y0 < box.y0 and box.y1 < axes.bbox.y1
            if inside and not any(box.overlaps(other) for other in taken):
                break
        text.set_position((dx, dy))
        taken.append(box)


def _offsets(width: float, height: float) -> list[tuple[float, float]]:
    """Places for the middle of a name, the nearest to its point first."""
    sides = [(width / 2 + 8) * side for side in (1, -1)]
    near = [
        (dx + (30 * out if dx > 0 else -30 * out), step * height * 0.6)
        for out in range(12)
        for dx in sides
        for step in range(-40, 41)
    ]
    return sorted([*near, (0, height), (0, -height)], key=lambda at: abs(at[0]) / 2 + abs(at[1]))


def _box(x0: float, y0: float, x1: float, y1: float) -> Any:
    from matplotlib.transforms import Bbox

    return Bbox([[x0, y0], [x1, y1]]).padded(1)


def main() -> None:
    """Draw the picture from the values on disk."""
    values = json.loads(VALUES.read_text(encoding="utf-8"))
    ops, limits = (table["rows"] for table in values["tables"])
    where = f"{values['cpu']}, {values['threads']} threads, {values['date']}"
    draw(ops, {row["limit"]: row["G/s"] for row in limits}, PICTURE, where)


if __name__ == "__main__":
    main()
