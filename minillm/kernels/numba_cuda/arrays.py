"""What the kernels take: contiguous float32 arrays, flat or as rows.

xp is CuPy on a GPU; in the simulator it is NumPy, whose arrays numba copies in and out at every launch.
"""

from typing import Any

import numpy as np

FLOAT32 = np.dtype(np.float32)
LOWEST = np.finfo(np.float32).min  # below every finite score, and x - LOWEST isn't NaN for x = -inf


def takes_float32(*arrays: Any, **options: Any) -> bool:
    """Whether every floating-point array among the arguments is float32: the `supports` of most kernels."""
    dtypes = {a.dtype for a in arrays if hasattr(a, "dtype")}
    return FLOAT32 in dtypes and all(d == FLOAT32 or d.kind != "f" for d in dtypes)


def contiguous(xp: Any, x: Any) -> Any:
    """x in C order, copied only if it isn't; or if it is read-only, in the simulator, which writes arguments back."""
    return np.require(x, requirements=["C", "W"]) if xp is np else xp.ascontiguousarray(x).reshape(x.shape)


def as_rows(xp: Any, x: Any) -> Any:
    """x (..., n) as (rows, n), contiguous."""
    rows = x.size // x.shape[-1] if x.size else 0
    return contiguous(xp, x).reshape(rows, x.shape[-1])


def as_flat(xp: Any, x: Any) -> Any:
    """The elements of x in one contiguous axis."""
    return contiguous(xp, x).reshape(x.size)
