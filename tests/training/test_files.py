"""A file is replaced whole or stays as it was."""

import os
import stat
from pathlib import Path

import pytest

from minillm.training import files


def test_an_atomic_write_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "x", b"old")
    files.write_atomic(tmp_path / "x", "新".encode())
    assert (tmp_path / "x").read_text(encoding="utf-8") == "新"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    files.write_atomic(tmp_path / "x", b"old")

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomic(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file modes")
def test_other_people_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    """A temporary file made by mkstemp would stay readable by its owner alone."""
    before = os.umask(0o022)
    try:
        files.write_atomic(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644


def test_cleaning_removes_temporaries_only(tmp_path: Path) -> None:
    (tmp_path / ".tmp-x").write_bytes(b"half")
    (tmp_path / ".tmp-folder").mkdir()
    (tmp_path / "kept").write_bytes(b"")
    (tmp_path / ".lock").write_bytes(b"")
    files.clean_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "kept"]
