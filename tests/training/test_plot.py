"""The picture of the losses."""

import io
from pathlib import Path

import numpy as np
import pytest

from minillm.training import plot

EVENTS = [
    {"event": "eval", "step": 0, "val_loss": 4.0},
    *({"event": "train", "step": step, "train_loss": 4.0 - step / 400} for step in range(1, 801)),
    {"event": "skip", "step": 801, "reason": "..."},
    {"event": "eval", "step": 800, "val_loss": 2.0},
]


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return imread(io.BytesIO(path.read_bytes()), format="png")


def has_colour(image: np.ndarray, colour: str) -> bool:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return bool((np.abs(image[..., :3] - wanted).max(-1) < 0.02).any())


def test_the_picture_shows_training_validation_and_baselines(tmp_path: Path) -> None:
    plot.draw(tmp_path / "loss.png", EVENTS, {"unigram": 3.0}, "a title")
    image = pixels(tmp_path / "loss.png")
    assert image.shape[0] > 400 and image.shape[1] > 800
    assert all(has_colour(image, colour) for colour in (plot._TRAIN, plot._VALIDATION, plot._BASELINE))


def test_axes_are_named_with_their_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    texts: dict = {}
    original = Axes.set
    monkeypatch.setattr(Axes, "set", lambda self, **options: (texts.update(options), original(self, **options))[1])
    plot.draw(tmp_path / "loss.png", EVENTS, {}, "a title")
    assert texts["xlabel"] == "step (weight updates)" and texts["ylabel"] == "loss (nats per token)"


@pytest.mark.parametrize("events", [[], EVENTS[:1], EVENTS[1:3]], ids=["nothing", "one evaluation", "two steps"])
def test_a_young_run_can_be_drawn(tmp_path: Path, events: list[dict]) -> None:
    plot.draw(tmp_path / "loss.png", events, {"uniform": 4.2}, "young")
    assert pixels(tmp_path / "loss.png").size


def test_a_long_curve_is_averaged_to_few_points_without_moving_it() -> None:
    steps, losses = np.arange(1.0, 100_001), np.full(100_000, 2.5)
    shown_steps, shown = plot._averaged(steps, losses)
    assert len(shown) <= 1100 and np.allclose(shown, 2.5)
    assert shown_steps[-1] <= steps[-1] and len(shown_steps) == len(shown)


def test_a_picture_that_cant_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loss.png").write_bytes(b"old")

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="No space"):
        plot.draw(tmp_path / "loss.png", [], {}, "")
    assert (tmp_path / "loss.png").read_bytes() == b"old"
