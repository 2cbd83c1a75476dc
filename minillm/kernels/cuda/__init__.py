"""Backend "cuda": the CUDA C++ kernels of csrc/cuda over CuPy's arrays. Importing it registers the backend.

Each module overrides one family of ops, forward and backward, for float32 and bfloat16 activations with float32
parameters; what it doesn't take runs by the reference formula on CuPy. With MINILLM_CUDASIM=1 the same kernels run on
the CPU (minillm/cuda/emulator).
"""

from minillm.backend import find_backend, register_backend

_PARENT = find_backend("cupy")  # first: it says what is missing
from minillm.kernels.cuda import (  # noqa: E402
    activation,
    attention,
    cast,
    dropout,
    embedding,
    head,
    linear,
    loss,
    norm,
    optim,
    softmax,
)

BACKEND = register_backend("cuda", parent=_PARENT, array_module=_PARENT.array_module)

__all__ = [
    "BACKEND",
    "activation",
    "attention",
    "cast",
    "dropout",
    "embedding",
    "head",
    "linear",
    "loss",
    "norm",
    "optim",
    "softmax",
]
