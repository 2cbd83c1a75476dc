"""Sections of python -m benchmarks.gpu, one by one, with stand-ins for what only a GPU's machine has."""

import os
import stat
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.gpu import (
    char_large,
    correctness,
    every_kernel,
    golden,
    machine,
    sanitizer,
)
from benchmarks.gpu.deadline import Deadline
from benchmarks.gpu.sizes import FULL, TINY
from minillm.cuda import emulator, is_emulated, sources
from minillm.cuda.emulator.build import kernels_in
from minillm.errors import ConfigError


def test_an_old_nvidia_smi_is_asked_field_by_field(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *mig.mode*) echo "Field \\"mig.mode.current\\" is not valid"; exit 2;; esac\n'
        'case "$*" in *=name*) echo "NVIDIA X";; *) echo 7;; esac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    answers = machine.nvidia_smi()
    assert answers["name"] == "NVIDIA X" and answers["power.limit"] == "7" and "mig.mode.current" not in answers
    monkeypatch.setenv("PATH", "")
    assert machine.nvidia_smi() == {}


def test_what_the_cuda_runtime_says():
    runtime = SimpleNamespace(
        getDeviceProperties=lambda i: {"name": b"NVIDIA X", "multiProcessorCount": 132, "l2CacheSize": 1 << 25},
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 12090,
    )
    device, nvrtc = SimpleNamespace(id=0, compute_capability="90"), SimpleNamespace(getVersion=lambda: (13, 0))
    cuda = SimpleNamespace(runtime=runtime, Device=lambda: device, nvrtc=nvrtc)
    found = machine.device_properties(SimpleNamespace(cuda=cuda, __version__="14.0"))
    assert found["name"] == "NVIDIA X" and found["multiProcessorCount"] == 132 and found["NVRTC"] == "13.0"
    rows = machine.tables({"device": found, "cpu": "a CPU"})[0].rows
    assert {"what": "CUDA of the driver", "is": 13000} in rows and rows[0] == {"what": "CPU", "is": "a CPU"}


def test_a_backend_that_is_not_installed_is_a_row(monkeypatch):
    def missing(backend, *rest):
        raise ConfigError(f"{backend} needs a library")

    monkeypatch.setattr(correctness, "names", missing)
    values = {}
    correctness.measure(SimpleNamespace(sizes=TINY, size="tiny", emulated=True, deadline=Deadline(9)), values)
    assert [row["result"] for row in values["rows"]][0] == "cuda needs a library" and values["problems"] == []
    assert correctness.tables(values)[0].rows[-1]["backend"] == "numba_cuda"


@pytest.mark.parametrize(
    ("code", "output", "result"),
    [
        (0, "every kernel has been launched\n========= ERROR SUMMARY: 0 errors\n", "nothing found"),
        (0, "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n", "nothing found"),
        (86, "========= Invalid __global__ write\n========= ERROR SUMMARY: 1 error\n", "found errors"),
        (0, "========= RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)\n", "found errors"),
        (1, "Traceback\n========= ERROR SUMMARY: 0 errors\n", "failed with exit code 1"),
        (127, "no such file", "failed with exit code 127"),
    ],
)
def test_what_the_sanitizer_says(code, output, result):
    found = sanitizer.judged(code, output)
    assert found["result"] == result and (found["output"] == "") == (result == "nothing found")


def test_a_sanitizer_that_is_not_there_is_reported(monkeypatch):
    monkeypatch.setattr(sanitizer, "find", lambda: None)
    values = {}
    sanitizer.measure(SimpleNamespace(emulated=False), values)
    assert {row["result"] for row in values["rows"]} == {"not installed"} and values["problems"] == []


def test_the_sanitizer_runs_both_tools_around_the_script(tmp_path, monkeypatch):
    program = tmp_path / "compute-sanitizer"
    program.write_text(
        '#!/bin/sh\necho "$*"\ncase "$*" in *racecheck*) echo "RACECHECK SUMMARY: 1 hazard";; *) '
        'echo "ERROR SUMMARY: 0 errors";; esac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    values = {}
    sanitizer.measure(SimpleNamespace(emulated=False, deadline=Deadline(20)), values)
    memcheck, racecheck = values["rows"]
    assert memcheck == {"tool": "memcheck", "result": "nothing found", "count": 0, "output": ""}
    assert racecheck["result"] == "found errors" and f"-m {sanitizer.SCRIPT}" in racecheck["output"]
    assert len(values["problems"]) == 1


@pytest.mark.skipif(not is_emulated(), reason="the emulator counts the kernels that are launched")
def test_every_kernel_is_launched_for_the_sanitizer(monkeypatch):
    launched, launch = set(), emulator.launch
    monkeypatch.setattr(
        emulator, "launch", lambda file, name, *rest: launched.add((file, name)) or launch(file, name, *rest)
    )
    every_kernel.main()
    assert launched == {(path.stem, name) for path in sources.folder().glob("*.cu") for name in kernels_in(path)}


def test_golden_batches_can_be_learnt():
    """The rule behind the texts: each token's successor is always the same."""
    for batch in golden.batches(FULL)[:2]:
        pairs = {tuple(pair) for row in batch["ids"] for pair in pairwise(row)}
        assert len({before for before, _ in pairs}) == len(pairs) and batch["ids"].max() < FULL.golden["vocab_size"]
        np.testing.assert_array_equal(batch["ids"][:, 1:], batch["targets"][:, :-1])


def test_losses_beyond_their_bound_are_problems():
    runs = {
        golden.EXACT: {"losses": [2.0, 1.0]},
        "numpy float32": {"losses": [2.0, 1.0 + 5e-5]},
        "cuda float32": {"losses": [2.0, 1.0 + 5e-4]},
        "cuda bfloat16": {"losses": [2.0, 1.0 + 5e-4]},
        "cuda bfloat16 graph": {"losses": [2.0, float("nan")]},
        "cuda float32 graph": {"losses": []},
    }
    found = golden.differences(runs)
    assert "cuda float32 graph" not in found and found["cuda float32"] == pytest.approx(5e-4)
    assert [problem.split(":")[0] for problem in golden.too_large(found)] == ["cuda float32", "cuda bfloat16 graph"]


def test_char_large_says_when_the_goal_was_reached():
    known = {}
    events = [{"event": "eval", "step": 250, "val_loss": 2.0}, {"event": "train", "step": 300, "train_loss": 1.0}]
    char_large.losses(events, known, 20.0)
    char_large.losses([*events, {"event": "eval", "step": 500, "val_loss": 1.47}], known, 41.0)
    assert list(known.values())[0] == {"step": 250, "seconds": 20.0, "loss": 2.0}
    assert char_large.result(list(known.values())) == "1.48 nats are reached after 41 s, at step 500"
    assert char_large.result(list(known.values())[:1]) == "1.48 nats are not reached: 2.0000 at step 250, after 20 s"


def test_char_large_needs_its_text(tmp_path, monkeypatch):
    context = SimpleNamespace(corpus=None)
    monkeypatch.delenv("MINILLM_DATA", raising=False)
    assert char_large.corpus(context) is None
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path))
    assert char_large.corpus(context) is None
    (tmp_path / char_large.FILE).touch()
    assert char_large.corpus(context) == "shakespeare"
    assert char_large.corpus(SimpleNamespace(corpus=Path("a.txt"))) == "a.txt"


def test_char_large_stops_when_the_goal_is_reached(tmp_path, monkeypatch):
    script = (
        "import json, pathlib, sys, time\n"
        "out = pathlib.Path(sys.argv[1]); out.mkdir()\n"
        "with open(out / 'metrics.jsonl', 'w') as file:\n"
        "    for step, loss in enumerate([2.5, 1.9, 1.4, 1.3]):\n"
        "        print(json.dumps({'event': 'eval', 'step': step, 'val_loss': loss}), file=file, flush=True)\n"
        "        time.sleep(0.5 if step < 2 else 60)\n"
    )
    monkeypatch.setattr(char_large, "command", lambda text, folder: [sys.executable, "-c", script, str(folder)])
    values = {}
    char_large.measure(SimpleNamespace(corpus=Path("a.txt"), deadline=Deadline(30)), values)
    assert [row["loss"] for row in values["rows"]] == [2.5, 1.9, 1.4]
    assert "are reached after" in values["result"] and values["problems"] == []
