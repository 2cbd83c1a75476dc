"""The run folder: who may start in it, who may go on, and with which settings."""

import dataclasses
from pathlib import Path

import pytest

from minillm.configs.config import Config
from minillm.errors import CheckpointError, ConfigError
from minillm.training.run import (
    RunFolder,
    check_may_resume,
    check_may_start,
    check_steps,
    free_folder,
    locked,
    newest_folder,
)
from tests.training import tiny


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "my run")


def test_a_missing_or_empty_folder_may_be_started_in(run: RunFolder) -> None:
    check_may_start(run)
    with locked(run):  # leaves its lock file, which doesn't count
        check_may_start(run)
    check_may_start(run)


def test_a_start_that_was_killed_may_be_started_again(run: RunFolder) -> None:
    (run.path / ".tmp-prepared" / "tokens").mkdir(parents=True)
    check_may_start(run)
    with locked(run):
        assert [path.name for path in run.path.iterdir()] == [".lock"]


def test_a_folder_with_other_things_is_not_touched(run: RunFolder) -> None:
    run.path.mkdir(parents=True)
    (run.path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(CheckpointError, match="isn't empty and isn't a run; give another folder: --out FOLDER"):
        check_may_start(run)


def test_a_file_is_no_folder(run: RunFolder) -> None:
    run.path.parent.mkdir()
    run.path.write_text("", encoding="utf-8")
    with pytest.raises(CheckpointError, match="is a file"):
        check_may_start(run)


def test_an_existing_run_is_refused_with_the_command_to_type(run: RunFolder) -> None:
    run.path.mkdir(parents=True)
    run.save_config(tiny.CONFIG)
    with pytest.raises(CheckpointError) as caught:
        check_may_start(run)
    assert f"python -m minillm.train --out '{run.path}' --resume" in str(caught.value)


def test_the_config_comes_back_as_it_was(run: RunFolder) -> None:
    with pytest.raises(CheckpointError, match=r"holds no run \(it doesn't exist\)"):
        run.load_config()
    run.path.mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"holds no run \(no config\.toml\)"):
        run.load_config()
    run.save_config(tiny.CONFIG)
    assert run.load_config() == tiny.CONFIG


def test_what_may_change_may_and_the_rest_is_listed() -> None:
    check_may_resume(tiny.CONFIG, tiny.settings(steps=99, patience=5, eval_interval=1, samples=0))
    wanted = tiny.settings(seed=1, batch_size=8)
    wanted = dataclasses.replace(wanted, model=dataclasses.replace(tiny.MODEL, n_layer=3))
    with pytest.raises(ConfigError) as caught:
        check_may_resume(tiny.CONFIG, wanted)
    for line in ("model.n_layer was 1, now 3", "training.batch_size was 4, now 8", "training.seed was 1337, now 1"):
        assert line in str(caught.value)
    assert "steps" in str(caught.value)


def test_every_field_that_may_change_exists() -> None:
    from minillm.training.run import MAY_CHANGE

    names = {
        f.name for section in dataclasses.fields(Config()) for f in dataclasses.fields(getattr(Config(), section.name))
    }
    assert names >= MAY_CHANGE


def test_one_process_holds_a_run_and_lets_it_go(run: RunFolder) -> None:
    with locked(run), pytest.raises(CheckpointError, match="in use by another process"), locked(run):
        pass
    with locked(run):
        pass


def test_taking_the_lock_cleans_up_after_a_killed_process(run: RunFolder) -> None:
    (run.checkpoints / ".tmp-step-3").mkdir(parents=True)
    (run.path / ".tmp-loss.png").write_bytes(b"half")
    with locked(run):
        assert sorted(path.name for path in run.path.rglob(".*")) == [".lock"]


def test_a_refused_second_process_cleans_nothing_of_the_first(run: RunFolder) -> None:
    with locked(run):
        (run.path / ".tmp-loss.png").write_bytes(b"being written")
        with pytest.raises(CheckpointError), locked(run):
            pass
        assert (run.path / ".tmp-loss.png").exists()


def test_a_run_goes_on_to_a_step_that_lies_ahead(run: RunFolder) -> None:
    check_steps(run, 1)  # nothing saved yet
    for step in (5, 40, 300):
        (run.checkpoints / f"step-{step}").mkdir(parents=True)
    check_steps(run, 300)
    with pytest.raises(ConfigError, match="is at step 300 already; --steps 299 is before that"):
        check_steps(run, 299)


def test_new_runs_are_numbered_and_the_last_is_found(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run"):
        newest_folder(tmp_path, "char")
    for name in ("char", "char-2", "char-3"):
        folder = free_folder(tmp_path, "char")
        assert folder.name == name
        folder.mkdir()
        (tmp_path / "char-large").mkdir(exist_ok=True)
        assert newest_folder(tmp_path, "char") == folder
