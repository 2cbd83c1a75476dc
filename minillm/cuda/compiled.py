"""Compiled kernels, each kept in a private folder under a name made of its sources: compiled once a machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from minillm.cuda import sources
from minillm.cuda.driver import array_module
from minillm.errors import ConfigError

# The second makes lambdas run on the GPU, where nvcc finds that out by itself.
OPTIONS = ["-std=c++17", "--device-as-default-execution-space", "--extra-device-vectorization"]


def cache_folder() -> Path:
    """$MINILLM_CACHE, else ~/.cache/minillm, made for this user alone: what lies there is run.

    Raises ConfigError where it belongs to somebody else or others may write to it.
    """
    base = Path(os.environ.get("MINILLM_CACHE") or Path.home() / ".cache" / "minillm")
    folder = base / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        raise ConfigError(
            f"{folder} holds compiled kernels, and others than you may write to it: chmod 700 it, or set "
            "MINILLM_CACHE to a folder of your own"
        )
    return folder


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The file `name` of the cache; where it isn't there yet, `make(path)` writes it. Never half a file."""
    path = cache_folder() / name
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / name
            make(made)
            made.replace(path)
    return path


@cache
def module(file: str) -> Any:
    """The kernels of csrc/cuda/FILE.cu for the current device: a cupy.RawModule."""
    cupy = array_module()
    architecture = f"sm_{cupy.cuda.Device().compute_capability}"
    path = sources.folder() / f"{file}.cu"
    conditions = (*OPTIONS, architecture, str(cupy.cuda.nvrtc.getVersion()))
    name = f"{file}-{architecture}-{sources.digest(path, *conditions)}.cubin"

    def make(made: Path) -> None:
        made.write_bytes(cubin(cupy.cuda.nvrtc, path, architecture))

    return cupy.RawModule(path=str(kept(name, make)))


def cubin(nvrtc: Any, path: Path, architecture: str) -> bytes:
    """What NVRTC (cupy.cuda.nvrtc) makes of a source for an architecture such as "sm_90". Needs no GPU.

    Raises ConfigError with the compiler's messages.
    """
    program = nvrtc.createProgram(path.read_text(encoding="utf-8"), path.name, [], [])
    try:
        nvrtc.compileProgram(program, [*OPTIONS, f"-arch={architecture}", f"-I{sources.folder()}"])
        return nvrtc.getCUBIN(program)
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise ConfigError(f"{path.name} can't be compiled for {architecture}: {error}\n{log}") from error
    finally:
        nvrtc.destroyProgram(program)
