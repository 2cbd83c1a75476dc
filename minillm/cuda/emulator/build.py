"""Compile a CUDA C++ source for the processor, by g++ and csrc/cuda/emulator."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from minillm.cuda import sources
from minillm.cuda.compiled import kept
from minillm.errors import ConfigError

# -ffp-contract=fast, since nvcc makes multiply-adds, too. Assignment of one pack of 16 bytes to another is aliasing.
OPTIONS = ["-std=c++20", "-O2", "-g1", "-fPIC", "-shared", "-fno-strict-aliasing", "-ffp-contract=fast"]


@cache
def library(file: str) -> ctypes.CDLL:
    """The kernels of csrc/cuda/FILE.cu as functions run_NAME (csrc/cuda/emulator/fibers.hpp)."""
    path = sources.folder() / f"{file}.cu"
    fibers = sources.folder() / "emulator" / "fibers.cpp"
    options = [*OPTIONS, *os.environ.get("MINILLM_CUDASIM_FLAGS", "").split()]  # such as -fsanitize=address
    name = f"{file}-{sources.digest(path, *options, fibers.read_text(encoding='utf-8'))}.so"
    return ctypes.CDLL(str(kept(name, lambda made: compile_library(path, fibers, options, made))))


def compile_library(path: Path, fibers: Path, options: list[str], made: Path) -> None:
    """Write the shared library `made`. Raises ConfigError with the compiler's messages."""
    program = made.with_suffix(".cpp")
    runs = "".join(f"EMULATED({name})\n" for name in kernels_in(path))
    program.write_text(f'#include "{path}"\n{runs}', encoding="utf-8")
    _compiler([*options, str(program), str(fibers), "-o", str(made)])


def kernels_in(path: Path) -> dict[str, list[str]]:
    """The `extern "C"` kernels of a source with their parameters, after the preprocessor has expanded its macros."""
    text = _compiler(["-std=c++20", "-E", "-P", "-x", "c++", "-DMINILLM_KEEP_GLOBAL", str(path)])
    found = re.findall(r'extern "C"\s+__global__\s+void\s+(\w+)\s*\(([^)]*)\)', text)
    return {name: [" ".join(p.split()) for p in parameters.split(",")] for name, parameters in found}


@cache
def parameters(file: str) -> dict[str, list[str]]:
    """The kernels of csrc/cuda/FILE.cu, and of each its parameters as they are declared."""
    path = sources.folder() / f"{file}.cu"
    if not path.is_file():
        raise ConfigError(f"there is no CUDA source {path}")
    return kernels_in(path)


def _compiler(arguments: list[str]) -> str:
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise ConfigError("MINILLM_CUDASIM=1 compiles the kernels for the CPU and needs g++, which isn't there")
    done = subprocess.run([compiler, f"-I{sources.folder()}", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"g++ can't compile the kernels for the emulator:\n{done.stderr}")
    return done.stdout
