"""Running on an NVIDIA GPU: finding CuPy, compiling the kernels of csrc/cuda, launching them.

Nothing here is imported unless a backend of the GPU is asked for. With MINILLM_CUDASIM=1 the same backends run
without a GPU, on the CPU, slowly: arrays are the emulator's, and the CUDA C++ sources are compiled by g++.

    driver.py     CuPy, or an explanation of what is missing
    sources.py    where the .cu files are, and what each is made of
    compiled.py   NVRTC, and the private folder where compiled kernels are kept
    launch.py     launch(file, kernel, grid, block, *arguments)
    graph.py      forward and backward as one CUDA graph; draws.py: its dropout
    memory.py     how much is free, what an array takes, what to say when it is full; peaks.py: how fast it can be
    emulator/     arrays and kernels on the CPU
"""

import os

from minillm.errors import ConfigError


def is_emulated() -> bool:
    """Whether GPU backends run on the CPU here: MINILLM_CUDASIM=1. Raises ConfigError for other values than 0 and 1."""
    value = os.environ.get("MINILLM_CUDASIM") or "0"
    if value not in ("0", "1"):
        raise ConfigError(f"MINILLM_CUDASIM is {value!r}; 1 runs the GPU's backends on the CPU, 0 doesn't")
    return value == "1"
