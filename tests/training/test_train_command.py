"""`python -m minillm.train`, from its flags to its last line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minillm import cli, train
from minillm.planning import Plan
from minillm.training import checkpoints, metrics
from minillm.training.run import RunFolder

ROOT = Path(__file__).parents[2]
POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\nThe moon is bright, the frost is white.\n"
SMALL = ["--preset", "tiny", "--steps", "6", "--eval-interval", "3", "--eval-tokens", "100", "--context-length", "8"]


@pytest.fixture
def poems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small bilingual corpus; the working directory is the test's own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "诗.txt"
    path.write_text(POEM * 40, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def planned_in_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan measures the machine for some seconds; the command in a process of its own, below, makes one."""
    plan = Plan({}, {}, 10**8, 10**9, 0.0, 6, 64, 0.1, 0.0, 50.0, "assumed", "not measured")
    monkeypatch.setattr(train, "plan_run", lambda config, validation_tokens: plan)


def command(monkeypatch: pytest.MonkeyPatch, *flags: object) -> int:
    """Run the command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["train", *map(str, flags)])
    with pytest.raises(SystemExit) as caught:
        cli.run(train.main)
    return int(caught.value.code or 0)


@pytest.mark.parametrize("tokenizer", ["char", "word", "bpe"])
def test_it_trains_and_ends_with_samples_losses_plan_and_what_to_type(
    poems: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tokenizer: str
) -> None:
    flags = ["--corpus", poems, "--out", "run", "--tokenizer", tokenizer, "--vocab-size", 300]
    assert command(monkeypatch, *SMALL, *flags) == 0
    out = capsys.readouterr().out
    for word in ("--- a sample ---", "this model", "uniform", "unigram", "bits/byte", "planned", "loss.png"):
        assert word in out
    assert "python -m minillm.generate run\n" in out and "python -m minillm.train --out run --resume" in out
    names = {path.name for path in Path("run").iterdir()}
    assert names >= {"config.toml", "tokenizer.json", "tokens", "metrics.jsonl", "samples.txt", "checkpoints"}
    assert checkpoints.saved_steps(RunFolder(Path("run")).checkpoints)[-1] == 6


def test_resuming_with_more_steps_goes_on(poems: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(monkeypatch, *SMALL, "--corpus", poems, "--out", "run") == 0
    poems.unlink()  # a run needs nothing but its folder
    assert command(monkeypatch, "--out", "run", "--resume", "--steps", 8) == 0
    assert metrics.read(Path("run/metrics.jsonl"))[-2]["step"] == 8
    assert RunFolder(Path("run")).load_config().training.steps == 8


def test_the_preset_may_be_named_again_on_resume(poems: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(monkeypatch, *SMALL, "--corpus", poems, "--out", "run") == 0
    assert command(monkeypatch, *SMALL, "--corpus", poems, "--out", "run", "--resume") == 0


def test_without_out_runs_are_numbered_and_the_newest_is_resumed(
    poems: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert command(monkeypatch, *SMALL, "--corpus", poems) == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["tiny", "tiny-2"]
    capsys.readouterr()
    assert command(monkeypatch, "--preset", "tiny", "--resume", "--steps", 7) == 0
    assert str(Path("runs") / "tiny-2") in capsys.readouterr().out


def test_print_config_prints_and_makes_nothing(
    poems: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "--preset", "char", "--n-layer", 2, "--print-config") == 0
    out = capsys.readouterr().out
    assert "n_layer = 2" in out and "[training]" in out
    Path("again.toml").write_text(out, encoding="utf-8")
    assert command(monkeypatch, "--config", "again.toml", "--print-config") == 0
    assert capsys.readouterr().out == out
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--corpus", "nowhere.txt"], "nowhere.txt"),
        (["--corpus", "latin.txt"], "UTF-8"),
        (["--corpus", "short.txt"], "too short"),
        (["--corpus", "诗.txt", "--context-length", "5000"], "too short"),
        (["--corpus", "诗.txt", "--prompt", "€"], "€"),
        (["--corpus", "诗.txt", "--tokenizer", "chars"], "did you mean 'char'"),
        (["--corpus", "诗.txt", "--d-model", "33"], "33"),
        (["--corpus", "诗.txt", "--backend", "nupy"], "nupy"),
        (["--preset", "tinny"], "did you mean 'tiny'"),
        (["--resume"], "no run"),
        (["--out", "missing", "--resume"], "holds no run"),
        (["--out", "诗.txt"], "is a file"),
        (["--out", "full"], "isn't empty and isn't a run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_refused_with_code_2_and_leaves_nothing(
    poems: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    Path("latin.txt").write_bytes("é".encode("latin-1") * 1000)
    Path("short.txt").write_text("a", encoding="utf-8")
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("", encoding="utf-8")
    before = sorted(Path().rglob("*"))
    assert command(monkeypatch, *([] if "--preset" in flags else SMALL), *flags) == 2
    shown = capsys.readouterr().err
    assert message in shown and "Traceback" not in shown
    assert [path for path in sorted(Path().rglob("*")) if path != Path("runs")] == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "tokenizer.json").write_text("{}", encoding="utf-8"), "tokenizer"),
        (lambda run: (run / "tokens" / "train.bin").write_bytes(b"xx"), "damaged"),
        (
            lambda run: (run / "config.toml").write_text("[model]\nn_layr = 1", encoding="utf-8"),
            "did you mean 'n_layer'",
        ),
        (lambda run: (run / "baselines.json").write_text("[1]", encoding="utf-8"), "baselines.json"),
    ],
    ids=["tokenizer", "tokens", "config", "baselines"],
)
def test_a_damaged_run_is_refused_by_name(
    poems: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage, message: str
) -> None:
    assert command(monkeypatch, *SMALL, "--corpus", poems, "--out", "run") == 0
    damage(Path("run"))
    capsys.readouterr()
    assert command(monkeypatch, "--out", "run", "--resume") == 2
    shown = capsys.readouterr().err
    assert message in shown and "Traceback" not in shown


def test_another_runs_tokenizer_is_refused(
    poems: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, *SMALL, "--corpus", poems, "--out", "one") == 0
    poems.write_text(POEM.replace("moon", "XYZQ") * 40, encoding="utf-8")
    assert command(monkeypatch, *SMALL, "--corpus", poems, "--out", "two") == 0
    os.replace("two/tokenizer.json", "one/tokenizer.json")
    assert command(monkeypatch, "--out", "one", "--resume") == 2
    assert "tokenizer" in capsys.readouterr().err


def test_other_settings_on_resume_are_refused_and_listed(
    poems: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, *SMALL, "--corpus", poems, "--out", "run") == 0
    assert command(monkeypatch, "--out", "run", "--resume", "--n-layer", 3) == 2
    assert "model.n_layer was 2, now 3" in capsys.readouterr().err
    assert command(monkeypatch, *SMALL, "--corpus", poems, "--out", "run") == 2
    assert "--out run --resume" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_code_2(
    poems: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    assert command(monkeypatch, *SMALL, "--corpus", poems, "--out", "run") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not Path("run").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals are sent the POSIX way")
def test_ctrl_c_saves_exits_0_and_says_how_to_go_on(poems: Path) -> None:
    flags = [*SMALL, "--corpus", str(poems), "--out", "run", "--steps", "100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "minillm.train", *flags],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    deadline = time.monotonic() + 60
    while not Path("run/checkpoints/step-3").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "everything is saved. Go on with:\n  python -m minillm.train --out run --resume" in out
    assert checkpoints.newest(RunFolder(Path("run")).checkpoints, pytest.fail) is not None
