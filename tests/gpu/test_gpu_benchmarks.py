"""python -m benchmarks.gpu without a GPU: all of it in the emulator, PyTorch's side on the CPU, what checks find."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.gpu import (
    checks,
    correctness,
    golden,
    peaks,
    work,
)
from benchmarks.gpu.report import EMULATION
from benchmarks.gpu.sizes import BY_NAME, TINY
from benchmarks.pairs import PEERS, REPOSITORY
from minillm import ops
from minillm.backend import find_backend
from minillm.models import GPT, GPTConfig

# ---- checks that must find what is wrong ----


def wrong_softmax(monkeypatch, change):
    """The CUDA kernel of softmax with `change` applied to its forward result."""
    find_backend("cuda")
    chosen = ops.softmax.overrides["cuda"]

    def forward(xp, x, **options):
        y, saved = chosen.forward(xp, x, **options)
        return change(xp, y), saved

    monkeypatch.setitem(ops.softmax.overrides, "cuda", dataclasses.replace(chosen, forward=forward))


def test_a_right_kernel_passes():
    found = correctness.item("cuda softmax", TINY)
    assert found["problems"] == [] and found["kernels"]["cuda"] > 5 and found["not finite"] and found["same bits"]


def test_a_wrong_kernel_is_found(monkeypatch):
    wrong_softmax(monkeypatch, lambda xp, y: y * 1.01)
    problems = correctness.item("cuda softmax", TINY)["problems"]
    assert any("forward" in problem and "error" in problem for problem in problems)
    assert any(problem.startswith("bfloat16") for problem in problems)


def test_a_check_that_raises_hides_no_other(monkeypatch):
    monkeypatch.setattr(checks, "bfloat16_error", lambda *arguments: 1 / 0)
    found = correctness.item("cuda softmax", TINY)
    assert found["bfloat16"] is None and found["same bits"] and found["kernels"]["cuda"] > 5
    assert all("ZeroDivisionError" in problem and "bfloat16" in problem for problem in found["problems"])


def test_a_kernel_that_hides_nan_is_found(monkeypatch):
    wrong_softmax(monkeypatch, lambda xp, y: xp.nan_to_num(y))
    case = ops.softmax.cases(np.random.default_rng(0))[0]
    assert "nan" in checks.not_finite_differs(ops.softmax, "cuda", case)


def test_other_bits_are_found(monkeypatch):
    again = iter(range(1, 100))
    wrong_softmax(monkeypatch, lambda xp, y: y + 1e-7 * next(again))
    case = ops.softmax.cases(np.random.default_rng(0))[0]
    assert not checks.same_bits(ops.softmax, "cuda", case)


# ---- all of it ----


def run_command(*arguments, **variables):
    """python -m ARGUMENTS: exit code and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_the_emulated_run(tmp_path):
    names = ["machine", "correctness", "golden", "kernels", "sanitizer"]
    code, printed, errors = run_command("-m", "benchmarks.gpu", *names, "--out", str(tmp_path), MINILLM_CUDASIM="1")
    sections = json.loads((tmp_path / "results.json").read_text())["sections"]
    assert (code, errors) == (0, ""), printed
    assert list(sections) == names and printed.startswith(EMULATION)
    assert {row["result"] for row in sections["correctness"]["rows"]} == {"agrees"}
    assert {row["backend"] for row in sections["correctness"]["rows"]} == {"cupy", "numba_cuda", "cuda"}
    assert list(sections["golden"]["differences"]) == golden.RUNS
    passes = [(row["kernel"], row["pass"]) for row in sections["kernels"]["rows"]]
    assert passes == [(name, one) for name, of in work.KERNELS.items() for one in of(TINY)]
    assert set(sections["kernels"]["peaks"]) == set(peaks.NAMES)
    assert "not run: no GPU" in (tmp_path / "gpu.md").read_text()


def test_without_a_gpu_it_says_what_is_missing():
    code, printed, errors = run_command("-m", "benchmarks.gpu", "machine", MINILLM_CUDASIM="0", CUDA_VISIBLE_DEVICES="")
    assert code == 2 and printed == "" and re.search("driver|device|CuPy", errors) and "Traceback" not in errors


def test_our_step_prints_what_the_comparison_reads(monkeypatch, capsys):
    from benchmarks.gpu import ours
    from benchmarks.shapes import Shape

    small = Shape(2, 8, 16, 1, 1, 32)
    monkeypatch.setattr(ours, "SHAPES", {"gpt2-long": small})
    for options in ([], ["--eager"]):
        monkeypatch.setattr(sys, "argv", ["ours", "--steps", "2", "--warmup", "1", "--batch", "3", *options])
        ours.main()
        found = json.loads(capsys.readouterr().out)
        assert found["batch"] == 3 and found["tokens_per_s"] == 3 * 8 / found["median_s"] and found["skipped"] is None
        assert found["graph"] == (not options) and 2 < found["loss"] < 4
        weights = GPT(GPTConfig(16, 8, 1, 1, d_model=32)).num_parameters()
        assert found["peak_mb"] * 2**20 > 16 * weights  # weights, gradients and two moments


@pytest.mark.parametrize("script", ["torch_kernels.py", "torch_gpt.py"])
def test_torch_s_side_on_the_cpu(script):
    pytest.importorskip("torch")
    options = {
        "torch_kernels.py": ["--sizes", "tiny", "--device", "cpu"],
        "torch_gpt.py": ["--shape", "char", "--batch", "2", "--mode", "bf16", "--steps", "1", "--warmup", "1"],
    }
    code, printed, errors = run_command(str(PEERS / script), *options[script])
    assert code == 0, errors
    found = json.loads(printed)
    if script == "torch_gpt.py":
        assert (found["batch"], found["device"]) == (2, "cpu") and found["tokens_per_s"] == 2 * 64 / found["median_s"]
        return
    assert found["errors"] == {} and list(found["milliseconds"]) == list(work.KERNELS)
    for name, of in work.KERNELS.items():
        assert set(found["milliseconds"][name]) == set(of(BY_NAME["tiny"]))
