"""Results this project claims, reproduced: python -m pytest -m slow tests/test_results.py (minutes)."""

import json
import os
import subprocess
import sys

import pytest

from tests.data_files import real_file


@pytest.mark.slow
def test_the_char_preset_reaches_its_loss_on_shakespeare(tmp_path):
    """Characters, context 64, batch 12, 4 layers, 4 heads, width 128, 2,000 steps, no dropout: at most 1.90 nats."""
    folder = real_file("tinyshakespeare.txt").parent
    subprocess.run(
        [sys.executable, "-m", "minillm.train", "--preset", "char", "--out", str(tmp_path / "run")],
        env={**os.environ, "MINILLM_DATA": str(folder)},
        check=True,
    )
    events = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    final = [event for event in events if event["event"] == "eval"][-1]
    assert final["step"] == 2000
    assert final["val_loss"] <= 1.90
