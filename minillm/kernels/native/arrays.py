"""What the native kernels take: contiguous float32 arrays."""

from typing import Any

import numpy as np


def float32(*arrays: Any, **options: Any) -> bool:
    """Whether every floating-point array among the arguments is float32: the `supports` of most kernels."""
    dtypes = [a.dtype for a in arrays if hasattr(a, "dtype")]
    return np.float32 in dtypes and all(dtype == np.float32 for dtype in dtypes if dtype.kind == "f")


def contiguous(array: Any) -> Any:
    """`array` in C order and aligned, copied only if it isn't."""
    return np.require(array, requirements=["C", "A"])


def matrices(array: Any) -> Any:
    """`array` if the rows or the columns of its last two axes lie along memory (transposes do), else a copy."""
    unit = array.itemsize in array.strides[-2:] or 1 in array.shape[-2:]
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    return array if unit and whole and array.flags.aligned else np.ascontiguousarray(array)
