"""What the native kernels take: contiguous float32 arrays."""

from typing import Any

import numpy as np

FLOAT32 = np.dtype(np.float32)


def float32(*arrays: Any, **options: Any) -> bool:
    """Whether every floating-point array among the arguments is float32: the `supports` of most kernels."""
    dtypes = {a.dtype for a in arrays if hasattr(a, "dtype")}
    return FLOAT32 in dtypes and (len(dtypes) == 1 or all(d.kind != "f" for d in dtypes - {FLOAT32}))


def contiguous(array: Any) -> Any:
    """`array` in C order and aligned, copied only if it isn't."""
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else np.require(array, requirements=["C", "A"])


def matrices(array: Any) -> Any:
    """`array` if the rows or the columns of its last two axes lie along memory (transposes do), else a copy."""
    unit = array.itemsize in array.strides[-2:] or 1 in array.shape[-2:]
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    return array if unit and whole and array.flags.aligned else np.ascontiguousarray(array)
