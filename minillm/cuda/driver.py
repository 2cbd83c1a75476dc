"""CuPy and the GPU behind it, or a message that says what is missing. The only file that imports cupy."""

from __future__ import annotations

import importlib.util
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from minillm.cuda import is_emulated
from minillm.errors import ConfigError

EXTRAS = {12: "gpu-cuda12", 13: "gpu-cuda13"}
SIMULATOR = "MINILLM_CUDASIM=1 runs the same kernels on the CPU, slowly, to read and check them"


@cache
def array_module() -> ModuleType:
    """CuPy, ready to use; under MINILLM_CUDASIM=1 the emulator's module of the same functions.

    Raises ConfigError where CuPy isn't installed or was built for another CUDA, and where there is no driver or no
    device; each says what to do.
    """
    if is_emulated():
        _check_bfloat16("MINILLM_CUDASIM=1")
        from minillm.cuda.emulator import arrays

        return arrays
    if importlib.util.find_spec("cupy") is None:
        extras = " or ".join(f'pip install -e ".[{extra}]"' for extra in EXTRAS.values())
        raise ConfigError(
            f"a GPU's backend (cuda, numba_cuda, cupy) needs CuPy, which isn't installed: {extras}, for the CUDA "
            f"version that nvidia-smi shows. {SIMULATOR}"
        )
    _check_bfloat16("a GPU's backend")
    try:
        import cupy
    except ImportError as error:
        raise ConfigError(f"CuPy is installed, but can't be imported: {error}") from error
    check_device(cupy.cuda.runtime)
    return cupy


@cache
def device_name() -> str:
    """Of the GPU in use, such as "NVIDIA H100 80GB HBM3"."""
    if is_emulated():
        return "emulated GPU (its figures say nothing of a real one)"
    cuda = array_module().cuda
    return cuda.runtime.getDeviceProperties(cuda.Device().id)["name"].decode()


def _check_bfloat16(who: str) -> None:
    """ConfigError unless NumPy can have arrays of it."""
    if importlib.util.find_spec("ml_dtypes") is None:
        raise ConfigError(
            f'{who} needs ml_dtypes, for bfloat16: pip install -e ".[cudasim]" (or pip install ml_dtypes)'
        )


def pinned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """A NumPy array in memory that the GPU can read by itself, so that a copy doesn't hold up the CPU."""
    if is_emulated():
        return np.empty(shape, dtype)
    import cupyx

    return cupyx.empty_pinned(shape, dtype)


def check_device(runtime: Any) -> None:
    """ConfigError unless there is a driver, new enough for the CUDA that CuPy was built for, and a device.

    runtime: cupy.cuda.runtime, or anything with its functions.
    """
    built, driver = runtime.runtimeGetVersion(), _driver_version(runtime)
    if driver == 0:
        raise ConfigError(
            "there is no NVIDIA driver on this machine (nvidia-smi would show it): install one, or leave "
            f"the backend out to run on the CPU. {SIMULATOR}"
        )
    if driver // 1000 < built // 1000:
        extra = EXTRAS.get(driver // 1000, "a version for it")
        raise ConfigError(
            f"this CuPy is for CUDA {_dotted(built)}, the driver goes up to CUDA {_dotted(driver)}: "
            f'pip uninstall cupy-cuda{built // 1000}x, then pip install -e ".[{extra}]", or update the driver'
        )
    try:
        devices = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        raise ConfigError(f"the NVIDIA driver finds no usable device: {error}") from error
    if not devices:
        raise ConfigError("the NVIDIA driver finds no device; is CUDA_VISIBLE_DEVICES empty?")


def _driver_version(runtime: Any) -> int:
    """Such as 12040 for 12.4; 0 where there is no driver."""
    try:
        return runtime.driverGetVersion()
    except runtime.CUDARuntimeError:
        return 0


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
