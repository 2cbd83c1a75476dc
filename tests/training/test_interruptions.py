"""Killed, signalled, or started twice: real processes, real signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minillm.training import checkpoints
from minillm.training.run import RunFolder
from tests.training import tiny

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and kill -9 are sent the POSIX way")
ROOT = Path(__file__).parents[2]


def start(folder: Path, *plan: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.training.driver", str(folder), *map(str, plan)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, encoding="utf-8", **pipes)  # type: ignore[call-overload]


def read_until(process: subprocess.Popen, word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    pytest.fail(f"{word!r} never came: {process.communicate()[1]}")


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate("go on\n" if process.poll() is None else None, timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    folder = tmp_path_factory.mktemp("whole") / "run"
    code, out, err = finish(start(folder))
    assert (code, out.split()) == (0, ["ready", "finished"]), err
    return tiny.outcome(folder)


def kill_again_and_again(folder: Path, kills: int, seed: int) -> int:
    """Start, kill, start again...: half of the kills at a random call inside a save, half at a random time. Returns
    how many landed. A last start, if needed, runs to the end."""
    rng = np.random.default_rng(seed)
    landed = 0
    for number in range(kills):
        inside_a_save = number % 2 == 0
        process = start(folder, *(["kill-in-save", rng.integers(1, 60)] if inside_a_save else []))
        if not inside_a_save:
            read_until(process, "ready")
            time.sleep(rng.uniform(0, 0.15))
            process.kill()
        code, _, err = finish(process)
        assert code in (0, -signal.SIGKILL), err
        assert "damaged" not in err
        landed += code != 0
        if RunFolder(folder).checkpoints.exists():
            checkpoints.newest(RunFolder(folder).checkpoints, pytest.fail)  # whatever is there is whole
    code, _, err = finish(start(folder))
    assert code == 0, err
    return landed


def check_killed(tmp_path: Path, never_stopped: tuple, seed: int, kills: int) -> int:
    folder = tmp_path / f"run-{seed}"
    landed = kill_again_and_again(folder, kills, seed)
    for ours, theirs in zip(tiny.outcome(folder), never_stopped, strict=True):
        assert ours == theirs
    assert not [path for path in folder.rglob(".*") if path.name != ".lock"]
    return landed


def test_killed_at_random_moments_it_ends_bit_identical(tmp_path: Path, never_stopped: tuple) -> None:
    assert check_killed(tmp_path, never_stopped, seed=0, kills=4) + check_killed(tmp_path, never_stopped, 1, 4) >= 4


@pytest.mark.slow
def test_killed_at_fifty_random_moments_it_ends_bit_identical(tmp_path: Path, never_stopped: tuple) -> None:
    landed, seed = 0, 2
    while landed < 50:
        landed += check_killed(tmp_path, never_stopped, seed, kills=6)
        seed += 1


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("step", signal.SIGTERM),
        ("evaluation", signal.SIGTERM),
        ("sample", signal.SIGTERM),
        ("save", signal.SIGTERM),
        ("step", signal.SIGINT),
        ("save", signal.SIGINT),
    ],
)
def test_a_signal_ends_it_after_a_save_and_the_resumed_run_is_the_same(
    tmp_path: Path, never_stopped: tuple, where: str, number: signal.Signals
) -> None:
    process = start(tmp_path / "run", f"pause-in-{where}", 2)
    read_until(process, "paused")
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out.split()[-1]) == (0, "stopped"), err
    saved = checkpoints.newest(RunFolder(tmp_path / "run").checkpoints, pytest.fail)
    assert saved is not None
    if where == "step":
        assert saved.step == 2  # the step in hand was finished, no other begun
    assert finish(start(tmp_path / "run"))[0] == 0
    for ours, theirs in zip(tiny.outcome(tmp_path / "run")[:5], never_stopped[:5], strict=True):
        assert ours == theirs


def test_a_second_ctrl_c_ends_it_at_once_and_nothing_is_lost(tmp_path: Path, never_stopped: tuple) -> None:
    process = start(tmp_path / "run", "pause-in-save", 3)
    read_until(process, "paused")
    while process.poll() is None:  # two that come together count as one, so it may take a third
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    code, _, err = finish(process)
    assert code != 0 and "KeyboardInterrupt" in err
    assert finish(start(tmp_path / "run"))[0] == 0
    for ours, theirs in zip(tiny.outcome(tmp_path / "run")[:5], never_stopped[:5], strict=True):
        assert ours == theirs


def test_a_second_process_on_one_folder_is_refused(tmp_path: Path) -> None:
    first = start(tmp_path / "run", "pause-in-step", 1)
    read_until(first, "paused")
    code, out, err = finish(start(tmp_path / "run"))
    assert code != 0 and out == "" and "is in use by another process" in err
    assert finish(first)[:2] == (0, "finished\n")


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    first = start(tmp_path / "run", "pause-in-step", 1)
    read_until(first, "paused")
    first.kill()
    finish(first)
    assert finish(start(tmp_path / "run"))[0] == 0
