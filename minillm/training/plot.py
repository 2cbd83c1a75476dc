"""`loss.png`: the training and validation loss so far, over the baselines the model has to beat."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minillm.training.files import write_atomic

_TRAIN, _VALIDATION, _BASELINE, _TEXT = "#7aa6d6", "#c2410c", "#8a8a8a", "#333333"
_MOST_POINTS = 1000  # the training curve is averaged down to this many points


def _averaged(steps: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of neighbouring points, so that a curve of a million steps can be drawn and read."""
    width = max(1, len(losses) // 200)
    if width == 1:
        return steps, losses
    kernel = np.ones(width) / width
    stride = max(1, len(losses) // _MOST_POINTS)
    smooth = np.convolve(losses, kernel, mode="valid")
    return steps[width - 1 :][::stride], smooth[::stride]


def _series(events: Sequence[dict], event: str, value: str) -> tuple[np.ndarray, np.ndarray]:
    points = [(e["step"], e[value]) for e in events if e["event"] == event and e.get(value) is not None]
    return np.array([p[0] for p in points], dtype=float), np.array([p[1] for p in points], dtype=float)


def load() -> tuple[Any, Any]:
    """Load matplotlib, some 40 MB: called before memory is planned, so that it counts as the program's own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    return Figure, FigureCanvasAgg


def draw(path: Path, events: Sequence[dict], baselines: Mapping[str, float], title: str) -> None:
    """Replace `path` by a PNG of the losses in `events` (see metrics.py), in nats per token.

    `baselines` maps a label to a loss, drawn as a dashed line. Raises OSError, leaving the old picture.
    """
    figure_type, canvas_type = load()
    figure = figure_type(figsize=(8, 4.8), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    train_steps, train = _averaged(*_series(events, "train", "train_loss"))
    steps, validation = _series(events, "eval", "val_loss")
    last = max([1.0, *train_steps[-1:], *steps[-1:]])
    axes.plot(train_steps, train, color=_TRAIN, linewidth=1.2, label="training (running mean)")
    axes.plot(steps, validation, color=_VALIDATION, linewidth=1.8, marker="o", markersize=3.5, label="validation")
    for label, value in baselines.items():
        axes.axhline(value, color=_BASELINE, linewidth=1, linestyle=(0, (5, 4)), zorder=0)
        axes.annotate(f"{label} {value:.2f}", (1, value), (-4, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", fontsize=8, color=_BASELINE,
                      bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})  # fmt: skip
    if len(validation):
        axes.annotate(f"{validation[-1]:.3f}", (steps[-1], validation[-1]), (5, 0), textcoords="offset points",
                      va="center", fontsize=9, color=_VALIDATION)  # fmt: skip
    axes.set(title=title, xlabel="step (weight updates)", ylabel="loss (nats per token)", xlim=(0, last * 1.08))
    axes.title.set_fontsize(11)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_TEXT)
    axes.legend(framealpha=1, edgecolor="none", fontsize=9, loc="upper right", bbox_to_anchor=(1, 0.92))
    image = io.BytesIO()
    canvas_type(figure).print_png(image)
    write_atomic(path, image.getvalue())
