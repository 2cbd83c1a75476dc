"""Every CUDA source, compiled for an A100 (sm_80) and an H100 (sm_90) without a GPU: no warnings, no spilled registers.

By nvcc, which warns more, and by NVRTC, which compiles them where they run. pytest -rP shows each kernel's registers.
"""

import importlib.util
import re
import shutil
import subprocess
import tomllib

import pytest

from minillm.cuda import sources
from minillm.cuda.compiled import OPTIONS
from minillm.cuda.emulator.build import kernels_in

NVCC = shutil.which("nvcc")
FOLDER = sources.folder()
FILES = sorted(path.name for path in FOLDER.glob("*.cu"))
BUDGET = tomllib.loads((FOLDER / "budget.toml").read_text(encoding="utf-8"))
REGISTERS = 1 << 16  # of a multiprocessor; a warp gets them in steps of 256, 8 for each of its threads

every_file = pytest.mark.parametrize("file", FILES)
every_architecture = pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])


def usage(log):
    """Kernel: (registers of a thread, bytes spilled), from what ptxas reports."""
    _, *parts = re.split(r"Compiling entry function '(\w+)'", log)
    found = {}
    for name, report in zip(parts[::2], parts[1::2], strict=True):
        spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", report)
        (registers,) = re.findall(r"Used (\d+) registers", report)
        found[name] = int(registers), sum(int(n) for pair in spills for n in pair)
    return found


def check_usage(log, file):
    """Every kernel of the file was compiled, and spills no more than its budget."""
    found = usage(log)
    for name, (registers, spilled) in found.items():
        most = REGISTERS // (-(-registers // 8) * 256) * 32
        print(f"{name}: {registers} registers, so at most {min(most, 1024)} threads a block; {spilled} bytes spilled")
    assert set(found) == set(kernels_in(FOLDER / file))
    beyond = {name: spilled for name, (_, spilled) in found.items() if spilled > BUDGET.get(name, {}).get("bytes", 0)}
    assert not beyond, f"bytes spilled beyond csrc/cuda/budget.toml: {beyond}"


@pytest.mark.skipif(NVCC is None, reason="nvcc isn't installed")
@every_file
@every_architecture
def test_nvcc_has_nothing_to_warn_of(file, architecture, tmp_path):
    options = ["-std=c++17", f"-arch={architecture}", f"-I{FOLDER}", "-Werror", "all-warnings", "-Xptxas", "-v"]
    command = [NVCC, *options, "-cubin", str(FOLDER / file), "-o", str(tmp_path / "made.cubin")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    check_usage(done.stdout + done.stderr, file)


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy, which brings NVRTC, isn't installed")
@every_file
@every_architecture
@pytest.mark.slow
def test_nvrtc_compiles_the_same(file, architecture):
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram((FOLDER / file).read_text(encoding="utf-8"), file, [], [])
    try:
        nvrtc.compileProgram(program, [*OPTIONS, f"-arch={architecture}", f"-I{FOLDER}", "--ptxas-options=-v"])
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    log = nvrtc.getProgramLog(program)
    assert "warning" not in log, log
    assert nvrtc.getCUBIN(program)
    check_usage(log, file)


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="CuPy, which brings NVRTC, isn't installed")
@every_file
def test_nvrtc_understands_the_source(file):
    """As far as PTX, the assembly that ptxas takes: nvcc has the rest, and the slow tests NVRTC's."""
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram((FOLDER / file).read_text(encoding="utf-8"), file, [], [])
    try:
        nvrtc.compileProgram(program, [*OPTIONS, "-arch=compute_90", f"-I{FOLDER}"])
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    assert "warning" not in nvrtc.getProgramLog(program)
    assert b".entry" in nvrtc.getPTX(program)


def test_what_the_budget_allows_has_a_reason_and_a_kernel():
    kernels = {name for file in FILES for name in kernels_in(FOLDER / file)}
    assert set(BUDGET) <= kernels
    assert all(set(entry) == {"bytes", "reason"} and entry["reason"] for entry in BUDGET.values())
