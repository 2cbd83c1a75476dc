"""The metrics file: a line an event, flushed at once, cut back to the checkpoint on resume."""

import json
from pathlib import Path

from minillm.training import metrics
from minillm.training.metrics import Metrics


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_event_is_on_file_before_the_next(tmp_path: Path) -> None:
    log = Metrics(tmp_path / "m", 0, False)
    log.append("train", 1, train_loss=0.1 + 0.2)
    assert lines(tmp_path / "m") == [{"event": "train", "step": 1, "train_loss": 0.1 + 0.2}]
    log.append("sample", 1, text="诗\n")
    assert lines(tmp_path / "m")[1]["text"] == "诗\n"
    log.close()


def test_resuming_cuts_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    log = Metrics(tmp_path / "m", 0, False)
    for event, step in [("eval", 0), ("train", 1), ("train", 2), ("eval", 2), ("sample", 2), ("train", 3), ("eval", 3)]:
        log.append(event, step)
    log.close()
    with open(tmp_path / "m", "ab") as file:
        file.write(b'{"event": "train", "st')  # killed while writing
    expected = [("eval", 0), ("train", 1), ("train", 2), ("eval", 2), ("sample", 2)]
    for evaluated, kept in [(True, expected), (False, expected[:3])]:
        resumed = Metrics(tmp_path / "m", 2, evaluated)
        resumed.close()
        assert [(e["event"], e["step"]) for e in resumed.events] == kept
        assert lines(tmp_path / "m") == resumed.events


def test_reading_passes_over_lines_that_are_no_events(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b'\n[1]\n{"step": "x"}\n\xff\n{"event": "eval", "step": 1, "val_loss": 2.0}\n')
    assert metrics.read(tmp_path / "m") == [{"event": "eval", "step": 1, "val_loss": 2.0}]
    assert metrics.read(tmp_path / "missing") == []
