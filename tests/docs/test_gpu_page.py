"""docs/gpu.md quotes the code as it is, counts as the code does, and what it tells a reader to run does run."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import minillm as ml
from docs.website.places import ROOT

PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
README = (ROOT / "csrc" / "README.md").read_text(encoding="utf-8")
QUOTES = re.findall(r"^\[`(\S+)`\]\(\.\./\1\)\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SNIPPETS = re.findall(r"^```python\n(import .*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def printed(code, **variables):
    """By a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(QUOTES)))
def test_quoted_lines_stand_in_their_file_in_this_order(number):
    file, quoted = QUOTES[number]
    text, place = f"\n{(ROOT / file).read_text(encoding='utf-8')}", 0
    for part in quoted.split("...\n"):  # what is between two parts is left out
        place = text.find(f"\n{part}", place)
        assert place >= 0, f"not in {file}:\n{part}"


def test_every_step_is_quoted():
    assert len(QUOTES) >= 9
    assert {file.split("/")[0] for file, _ in QUOTES} == {"minillm", "csrc"}


class Counted(np.ndarray):
    """Counts the bytes that NumPy's functions read and write."""

    moved = (0, 0)

    def __array_ufunc__(self, function, method, *inputs, **options):
        options.pop("out", None)
        result = np.asarray(getattr(function, method)(*[np.asarray(a) for a in inputs], **options))
        read = sum(a.nbytes for a in inputs if isinstance(a, np.ndarray))
        Counted.moved = Counted.moved[0] + read, Counted.moved[1] + result.nbytes
        return result.view(Counted)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_formula_moves_as_many_bytes_as_the_page_says(direction):
    x = np.zeros((4, 10_000), np.float32).view(Counted)
    formula = ml.ops.softmax.reference
    _, saved = formula.forward(np, x)
    Counted.moved = 0, 0
    formula.forward(np, x) if direction == "forward" else formula.backward(np, x, saved)
    moved = tuple(round(n / x.size, 1) for n in Counted.moved)
    assert moved == {"forward": (20, 12), "backward": (24, 12)}[direction]
    assert ("20 + 12" if direction == "forward" else "6 reads and 3 writes") in PAGE


def test_the_messages_it_explains_are_the_code_s():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "minillm" / "cuda").glob("*.py"))
    messages = re.findall(r"^\| `(.*?)` \|", PAGE.split("## Messages")[1], re.MULTILINE)
    assert len(messages) >= 9
    for message in messages:
        for part in re.split(r"\d+\.\d+|sm_\.\.\.", message):  # versions and the GPU's kind are filled in
            assert part in sources, message


def test_the_measurement_of_the_cpu_runs():
    pytest.importorskip("minillm._native")
    assert "ms; ratio" in printed(SNIPPETS[0].replace("12_288", "8"))


def test_the_measurement_of_a_gpu_runs_in_the_emulator():
    pytest.importorskip("numba.cuda", exc_type=ImportError, reason="numba-cuda isn't installed")
    small = SNIPPETS[1].replace("12_288, 1024", "2, 40").replace("range(20)", "range(1)")
    assert re.findall(r"^\w+", printed(small, MINILLM_CUDASIM="1"), re.MULTILINE) == ["cupy", "numba_cuda", "cuda"]


def test_the_kernel_of_the_readme_runs_in_the_emulator(tmp_path):
    pytest.importorskip("ml_dtypes", reason="ml_dtypes isn't installed")
    (source,) = re.findall(r'^```\n(#include "common.cuh".*?)^```', README, re.MULTILINE | re.DOTALL)
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "add.cu").write_text(source, encoding="utf-8")
    assert "2000" in printed(code.replace("/tmp/add", str(tmp_path / "add")), MINILLM_CUDASIM="1")


def test_every_file_of_the_cuda_sources_is_described():
    folder = ROOT / "csrc" / "cuda"
    names = [path.name for path in folder.rglob("*") if path.suffix in (".cu", ".cuh", ".hpp", ".cpp", ".toml")]
    assert [name for name in names if f"`{name}`" not in README] == []
