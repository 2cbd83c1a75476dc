"""What every command does when it is interrupted."""

import sys

import pytest

from minillm import cli


def interrupted() -> int:
    raise KeyboardInterrupt


def test_ctrl_c_is_a_line_and_code_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["command"])
    with pytest.raises(SystemExit) as ended:
        cli.run(interrupted)
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_with_debug_it_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--debug"])
    with pytest.raises(KeyboardInterrupt):
        cli.run(interrupted)
