"""Faster kernels: one module or folder a backend, each overriding ops of the table with `minillm.registry.kernel`."""

import importlib.util
import logging
import os
from collections.abc import Iterable
from typing import Any

from minillm.backend import current_backend

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
    """The native module, where the backend in use includes it; else None."""
    return importlib.import_module("minillm._native") if "native" in current_backend().lineage else None


def native_for(arrays: Iterable[Any]) -> Any:
    """`native_module`, where it can take all these arrays: its kernels want contiguous, aligned float32.

    For work outside the op table, such as an optimizer's.
    """
    fit = all(a.dtype == "float32" and a.flags.c_contiguous and a.flags.aligned for a in arrays)
    return native_module() if fit else None
