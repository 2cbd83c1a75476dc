"""What a person sees while training runs."""

import io
import re

import pytest

from minillm.training.progress import Progress, duration, memory


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3600, "1 h 00 min"),
        (90_061, "25 h 01 min"),
    ],
)
def test_durations_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_memory_reads_at_a_glance() -> None:
    assert (memory(88_000_000), memory(2_640_000_000)) == ("88 MB", "2.64 GB")


def test_a_terminal_gets_a_bar_with_loss_speed_and_memory() -> None:
    stream = Terminal()
    progress = Progress(10, 4, stream)
    progress.update(5, 1.23456, 41_000.4)
    progress._bar.refresh()
    progress.say("step 5  validation loss")
    progress.close()
    shown = stream.getvalue()
    assert "5/10" in shown and "loss 1.235" in shown and "41,000 tokens/s" in shown and re.search(r"\d [MG]B", shown)
    assert "step 5  validation loss\n" in shown


def test_a_log_file_gets_plain_lines_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    stream = io.StringIO()
    progress = Progress(30, 0, stream)
    for step in range(1, 31):
        now[0] = float(step)
        progress.update(step, 2.0, 1000)
    progress.close()
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["10", "20", "30"]
    assert "of 30  loss 2.000  1,000 tokens/s  20 s left" in lines[0]
    assert "\r" not in stream.getvalue()
