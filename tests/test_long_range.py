"""The comparison at long ranges: what it measures, and its files."""

import json
from pathlib import Path

import numpy as np
import pytest

from minillm import long_range
from minillm.data import Recall
from minillm.errors import ConfigError
from minillm.long_range import LongRangeSettings, Result, accuracy, recall, table
from minillm.tensor import Tensor


@pytest.mark.parametrize("name", ["GPT", "LSTM"])
def test_both_models_recall_a_symbol_close_by_and_stop_there(name: str) -> None:
    result = recall(name, 3, LongRangeSettings(symbols=4, d_model=16, batch_size=32))
    assert result.accuracy >= 0.99 and 0 < result.steps < 300 and result.steps % 25 == 0


def test_accuracy_is_of_the_first_symbol_at_the_last_position() -> None:
    """By models of known score: one that knows the first symbol; one that always says 0 (six deviations: 0.12)."""
    task = Recall(distance=6, symbols=4)

    def answering(choose):
        def model(ids: np.ndarray) -> tuple[Tensor, None]:
            logits = np.zeros((*ids.shape, task.vocab_size), np.float32)
            logits[np.arange(len(ids)), -1, choose(ids)] = 1
            return Tensor(logits), None

        return model

    assert accuracy(answering(lambda ids: ids[:, 0]), task) == 1
    assert accuracy(answering(lambda ids: np.zeros(len(ids), int)), task) == pytest.approx(0.25, abs=0.12)


def test_a_gpt_reaches_further_than_an_lstm_in_as_many_updates() -> None:
    settings = LongRangeSettings(steps=100)
    assert recall("GPT", 24, settings).accuracy >= 0.99
    assert recall("LSTM", 24, settings).accuracy < 0.5


def test_the_table_has_a_row_for_each_distance() -> None:
    at_4 = [Result("GPT", 4, 1, 25), Result("LSTM", 4, 0.5, 50)]
    at_8 = [Result("LSTM", 8, 0.125, 50), Result("GPT", 8, 1, 50)]
    results = [*at_8, *at_4]
    assert table(results).split("\n") == [
        "| distance | GPT | LSTM |",
        "|---:|---:|---:|",
        "| 4 | 100.0% (25 steps) | 50.0% (50 steps) |",
        "| 8 | 100.0% (50 steps) | 12.5% (50 steps) |",
    ]


def test_the_command_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--distances", "2", "3", "--steps", "5", "--d-model", "8", "--batch-size", "8", "--symbols", "3"]
    assert long_range.main([*flags, "--out", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "long_range.json").read_text())
    assert [r["distance"] for r in content["results"]] == [2, 2, 3, 3]
    assert [r["model"] for r in content["results"]] == ["GPT", "LSTM"] * 2
    shown = table([Result(**result) for result in content["results"]])
    assert shown in capsys.readouterr().out
    assert shown in (tmp_path / "out" / "long_range.md").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "long_range.png").read_bytes().startswith(b"\x89PNG")


def test_distances_must_grow() -> None:
    with pytest.raises(ConfigError, match="each larger than the one before"):
        LongRangeSettings(distances=(8, 4))
