"""Faster kernels: one module or folder a backend, each overriding ops of the table with `minillm.registry.kernel`."""

import importlib.util

NATIVE_BUILT = importlib.util.find_spec("minillm._native") is not None  # False where no compiler was found


def load_native() -> None:
    """Register the backend "native" if its module was built; without it everything runs on NumPy."""
    if NATIVE_BUILT:
        importlib.import_module("minillm.kernels.native")
