"""Running on an NVIDIA GPU: finding CuPy, compiling the kernels of csrc/cuda, launching them.

Nothing here is imported unless a backend of the GPU is asked for. With MINILLM_CUDASIM=1 the same backends run
without a GPU, on the CPU, slowly: arrays are the emulator's, and the CUDA C++ sources are compiled by g++.

    driver.py     CuPy, or an explanation of what is missing
    sources.py    where the .cu files are, and what each is made of
    compiled.py   NVRTC, and the private folder where compiled kernels are kept
    launch.py     launch(file, kernel, grid, block, *arguments)
    emulator/     arrays and kernels on the CPU
"""

import os


def is_emulated() -> bool:
    """Whether GPU backends run on the CPU here: MINILLM_CUDASIM=1."""
    return os.environ.get("MINILLM_CUDASIM") == "1"
