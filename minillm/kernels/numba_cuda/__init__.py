"""GPU kernels in Python (numba-cuda), to read beside the formulas. Importing it registers backend "numba_cuda".

They have the structure of a GPU's kernels, blocks of threads, tiles in shared memory, barriers, and no more: the fast
ones are elsewhere. Read them in this order:

    launch.py             the sizes of blocks and tiles
    activation.py         gelu: a thread for each element
    reduction.py          many threads, one sum: a tree in shared memory, with barriers
    softmax.py            a block for each row: maximum, sum, result
    norm.py, columns.py   layer_norm: two sums a row, and gradients summed down the columns
    loss.py               cross_entropy: a row's probabilities, used and never stored
    embedding.py          gradients that meet in one row: sorted first, then one block for each id
    matmul.py, linear.py  the tiled matrix product, and a layer made of it
    attention_tiles.py, attention_forward.py, attention_backward.py, attention.py
                          attention in tiles, its softmax computed as the keys come by (Dao et al. 2022)
    adamw.py              the optimizer's step, for every element of every parameter

Without a GPU they run in numba-cuda's simulator, a Python thread for each of the GPU's (keep the arrays tiny):

    MINILLM_CUDASIM=1 python
    >>> import numpy as np, minillm as ml
    >>> ml.testing.agree(ml.ops.softmax, "numba_cuda")          # against the formula, on the op's own cases
    >>> with ml.use_backend("numba_cuda"):
    ...     ml.ops.softmax(np.ones((2, 3), np.float32))

The comparison takes some ten seconds. There a print in a kernel works, and so does pdb. On a GPU arrays are CuPy's, and
what has no kernel here runs on backend "cupy".
"""

import importlib.util
import os
from typing import Any

from minillm.backend import find_backend, register_backend
from minillm.cuda import is_emulated
from minillm.errors import ConfigError

if not all(map(importlib.util.find_spec, ("numba", "numba_cuda"))):
    raise ConfigError(
        "backend 'numba_cuda' needs numba and numba-cuda, which aren't both installed: "
        'pip install -e ".[gpu-cuda13]" (or gpu-cuda12) for a GPU, pip install -e ".[cudasim]" for the simulator'
    )
if is_emulated():
    os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")  # numba reads it once, when it is imported

from numba import config

from minillm.kernels.numba_cuda import (
    activation,
    adamw,
    attention,
    embedding,
    linear,
    loss,
    matmul,
    norm,
    softmax,
)

settings: Any = config  # numba sets its attributes when it is imported
settings.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # a small model's grids are small

if settings.ENABLE_CUDASIM:
    from minillm.kernels.numba_cuda.simulator import share_arrays

    share_arrays()
    register_backend("numba_cuda")
elif is_emulated():
    raise ConfigError("numba was imported before, without its simulator: set NUMBA_ENABLE_CUDASIM=1 for the process")
else:
    _cupy = find_backend("cupy")
    register_backend("numba_cuda", parent=_cupy, array_module=_cupy.array_module)

__all__ = ["activation", "adamw", "attention", "embedding", "linear", "loss", "matmul", "norm", "softmax"]
