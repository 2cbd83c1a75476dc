"""What the CUDA kernels take: activations in float32 or bfloat16, with parameters in float32."""

from typing import Any

import ml_dtypes
import numpy as np

FLOAT32 = np.dtype(np.float32)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def activations(*arrays: Any, **options: Any) -> bool:
    """Whether the first array is float32 or bfloat16, every other of floats float32 or as the first: a `supports`."""
    first, *others = [a.dtype for a in arrays if hasattr(a, "dtype")]
    return first in (FLOAT32, BFLOAT16) and all(d in (FLOAT32, first) or d.kind in "iub" for d in others)
