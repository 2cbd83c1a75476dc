"""A run stopped anywhere and resumed is the run never stopped, bit for bit."""

from pathlib import Path

import pytest

from minillm.training import checkpoints
from minillm.training.run import RunFolder
from tests.training import tiny


class StopAfter:
    """Asks to stop at the n-th time it is looked at: every place a signal can take effect."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def requested(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minillm.training.plot.draw", lambda *arguments: None)
        assert tiny.trainer(folder).train()
    return tiny.outcome(folder)


def same(folder: Path, expected: tuple) -> None:
    """Weights, moments, state, metrics and samples; which checkpoints are kept depends on where one stopped."""
    for ours, theirs in zip(tiny.outcome(folder)[:5], expected[:5], strict=True):
        assert ours == theirs


def stop_and_resume(folder: Path, looks: int, expected: tuple) -> bool:
    """Whether the run was stopped at all before its end."""
    finished = tiny.trainer(folder, stop=StopAfter(looks)).train()
    if not finished:
        assert tiny.trainer(folder).train()
    same(folder, expected)
    return not finished


def test_two_runs_of_one_seed_are_equal(tmp_path: Path, never_stopped: tuple, quick: None) -> None:
    assert tiny.trainer(tmp_path / "run").train()
    assert tiny.outcome(tmp_path / "run") == never_stopped


@pytest.mark.parametrize("at", range(1, 12))
def test_stopped_at_every_step(tmp_path: Path, never_stopped: tuple, quick: None, at: int) -> None:
    trainer = tiny.trainer(tmp_path / "run")
    batch = trainer.task.data.batch

    def stop_here(step: int) -> tuple:
        trainer.stop.requested = step == at - 1
        return batch(step)

    tiny.replace_batches(trainer, stop_here)
    assert not trainer.train()
    assert checkpoints.saved_steps(RunFolder(tmp_path / "run").checkpoints)[-1] == at
    assert tiny.trainer(tmp_path / "run").train()
    same(tmp_path / "run", never_stopped)


@pytest.mark.parametrize("looks", [0, 2, 4, 5, 6, 12, 14, 20])
def test_stopped_inside_evaluations_and_samples(tmp_path: Path, never_stopped: tuple, quick: None, looks: int) -> None:
    assert stop_and_resume(tmp_path / "run", looks, never_stopped)


@pytest.mark.slow
def test_stopped_wherever_a_signal_can_take_effect(tmp_path: Path, never_stopped: tuple, quick: None) -> None:
    looks = 0
    while stop_and_resume(tmp_path / str(looks), looks, never_stopped):
        looks += 1
    assert looks > 30


def test_stopped_after_every_look_in_one_run(tmp_path: Path, never_stopped: tuple, quick: None) -> None:
    """A run that is stopped again and again, a little later each time, still ends as it should."""
    for looks in range(1, 60):
        if tiny.trainer(tmp_path / "run", stop=StopAfter(looks)).train():
            break
    else:
        pytest.fail("never finished")
    same(tmp_path / "run", never_stopped)


def test_a_damaged_last_checkpoint_costs_steps_but_not_the_result(
    tmp_path: Path, never_stopped: tuple, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not tiny.trainer(tmp_path / "run", stop=StopAfter(24)).train()
    folder = RunFolder(tmp_path / "run").checkpoints
    step = checkpoints.saved_steps(folder)[-1]
    (folder / f"step-{step}" / "optimizer.safetensors").write_bytes(b"damaged")
    assert tiny.trainer(tmp_path / "run").train()
    assert f"step-{step} is damaged: optimizer.safetensors" in capsys.readouterr().err
    same(tmp_path / "run", never_stopped)


def test_a_finished_run_resumed_does_nothing(tmp_path: Path, never_stopped: tuple, quick: None) -> None:
    assert tiny.trainer(tmp_path / "run").train()
    assert tiny.trainer(tmp_path / "run").train()
    assert tiny.outcome(tmp_path / "run") == never_stopped


def test_what_a_kill_before_the_last_removal_left_is_removed(
    tmp_path: Path, never_stopped: tuple, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(checkpoints, "prune", lambda *_: None)
        assert tiny.trainer(tmp_path / "run").train()
    assert tiny.outcome(tmp_path / "run") != never_stopped
    assert tiny.trainer(tmp_path / "run").train()
    assert tiny.outcome(tmp_path / "run") == never_stopped


def test_more_steps_go_on_from_the_end(tmp_path: Path, quick: None) -> None:
    assert tiny.trainer(tmp_path / "run").train()
    trainer = tiny.trainer(tmp_path / "run", tiny.settings(steps=15))
    assert trainer.train() and trainer.state.step == 15


def test_patience_is_remembered_over_a_stop(tmp_path: Path, quick: None) -> None:
    """A learning rate of almost nothing: the loss hardly moves, and three evaluations without a better one end it."""
    config = tiny.settings(steps=60, learning_rate=1e-30, min_learning_rate=0.0, eval_interval=2, patience=3)
    whole = tiny.trainer(tmp_path / "whole", config)
    assert whole.train() and whole.state.step < 60 and whole.state.evaluations_since_best == 3
    for looks in range(20, 300, 20):
        if tiny.trainer(tmp_path / "run", config, stop=StopAfter(looks)).train():
            break
    same(tmp_path / "run", tiny.outcome(tmp_path / "whole"))
    assert tiny.trainer(tmp_path / "run", config).train()
    same(tmp_path / "run", tiny.outcome(tmp_path / "whole"))


def test_the_best_checkpoint_is_kept(tmp_path: Path, quick: None) -> None:
    """A learning rate far too large after the start: the best evaluation comes early."""
    config = tiny.settings(steps=20, learning_rate=3.0, warmup_steps=0, min_learning_rate=3.0, eval_interval=2)
    trainer = tiny.trainer(tmp_path / "run", config)
    assert trainer.train()
    best = trainer.state.best_step
    folder = RunFolder(tmp_path / "run").checkpoints
    found = checkpoints.best(folder)
    assert found is not None and best is not None and best < 18
    assert found.step == best and checkpoints.saved_steps(folder) == [best, 18, 20]


def test_stopped_before_its_first_evaluation_it_is_used_as_far_as_it_was_trained(tmp_path: Path, quick: None) -> None:
    trainer = tiny.trainer(tmp_path / "run", tiny.settings(eval_interval=12))

    def batch(step: int) -> tuple:
        trainer.stop.requested = step == 4
        return tiny.batch(step)

    tiny.replace_batches(trainer, batch)
    assert not trainer.train()
    found = checkpoints.best(RunFolder(tmp_path / "run").checkpoints)
    assert found is not None and found.step == trainer.state.step == 5
