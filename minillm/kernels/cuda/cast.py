"""astype between float32 and bfloat16 (csrc/cuda/cast.cu); other pairs stay with the reference."""

from typing import Any

import numpy as np

from minillm import ops
from minillm.cuda.launch import launch
from minillm.kernels.cuda.arrays import BFLOAT16, FLOAT32
from minillm.registry import kernel

BLOCK, ELEMENTS = 256, 4096  # threads of a block, and what it converts (THREADS * GROUP * GROUPS)


def cast(xp: Any, x: Any, dtype: Any) -> Any:
    """x, float32 or bfloat16, in the other of the two: rounded to the nearest, ties to the even one; or exactly."""
    y = xp.empty(x.shape, dtype)
    if x.size:
        blocks = -(-x.size // ELEMENTS)
        launch(
            "cast", f"cast_{x.dtype.name}_{y.dtype.name}", blocks, BLOCK, xp.ascontiguousarray(x), y, np.int64(x.size)
        )
    return y


def takes(x: Any, *, dtype: Any) -> bool:
    """float32 to bfloat16, or back; `dtype` may be a name."""
    return {x.dtype, np.dtype(dtype)} == {FLOAT32, BFLOAT16}


def astype_backward(xp: Any, dy: Any, dtype: Any) -> tuple:
    return (cast(xp, dy, dtype),)


@kernel(ops.astype, "cuda", astype_backward, takes)
def astype(xp: Any, x: Any, *, dtype: Any) -> tuple:
    return cast(xp, x, np.dtype(dtype)), x.dtype
