"""Faster kernels: one module or folder a backend, each overriding ops of the table with `minillm.registry.kernel`."""

import importlib.util
from collections.abc import Iterable
from typing import Any

from minillm.backend import current_backend

NATIVE_BUILT = importlib.util.find_spec("minillm._native") is not None  # False where no compiler was found


def load_native() -> None:
    """Register the backend "native" if its module was built; without it everything runs on NumPy."""
    if NATIVE_BUILT:
        importlib.import_module("minillm.kernels.native")


def native_for(arrays: Iterable[Any]) -> Any:
    """The native module, where the backend in use includes it and it can take all these arrays; else None.

    For work outside the op table, such as an optimizer's. The kernels take contiguous, aligned float32 arrays.
    """
    if "native" not in current_backend().lineage():
        return None
    if all(a.dtype == "float32" and a.flags.c_contiguous and a.flags.aligned for a in arrays):
        return importlib.import_module("minillm._native")
    return None
