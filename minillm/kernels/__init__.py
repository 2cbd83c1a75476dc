"""Faster kernels: one module or folder a backend, each overriding ops of the table with `minillm.registry.kernel`."""

import importlib.util
import logging
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from minillm.backend import array_module, backend_for

NATIVE_BUILT = importlib.util.find_spec("minillm._native") is not None  # False where no compiler was found
WITHOUT = (
    "minillm: the C++ kernels weren't built, so everything runs on NumPy, several times slower; to have them, install "
    "a C++20 compiler with OpenMP (g++ 11 or newer) and install minillm again (MINILLM_BACKEND=numpy hides this line)"
)


def load_native() -> None:
    """Register the backend "native" if its module was built; else everything runs on NumPy, and a line says so."""
    if NATIVE_BUILT:
        importlib.import_module("minillm.kernels.native")
    elif os.environ.get("MINILLM_BACKEND") != "numpy":
        logging.getLogger("minillm").warning(WITHOUT)


def native_module() -> Any:
    """The native module, where the CPU's backend in use includes it; else None."""
    return importlib.import_module("minillm._native") if "native" in backend_for(np).lineage else None


# Where a backend has kernels for work outside the op table: adam_step, sum_of_squares, scale_arrays.
OPTIMIZERS = {
    "native": "minillm._native",
    "numba_cuda": "minillm.kernels.numba_cuda.adamw",
    "cuda": "minillm.kernels.cuda.optim",
}


def optimizer_kernels(arrays: Iterable[Any]) -> Any:
    """The optimizer's kernels for these arrays, as a module of functions; None where there are none.

    They want contiguous, aligned float32.
    """
    arrays = list(arrays)
    if not arrays or not all(a.dtype == "float32" and a.flags.c_contiguous for a in arrays):
        return None
    if any(isinstance(a, np.ndarray) and not a.flags.aligned for a in arrays):
        return None
    lineage = backend_for(array_module(arrays[0])).lineage
    return next((importlib.import_module(OPTIMIZERS[name]) for name in lineage if name in OPTIMIZERS), None)
