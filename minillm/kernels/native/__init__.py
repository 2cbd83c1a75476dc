"""The native CPU backend: kernels of csrc/cpu over the reference ops. Importing it registers backend "native".

Each module overrides one family of ops. A kernel takes float32 arrays; what it doesn't take runs on the NumPy
reference. $MINILLM_ISA forces an instruction set, $MINILLM_THREADS the number of threads.
"""

from minillm import _native
from minillm.backend import register_backend
from minillm.kernels.native import activation, attention, dropout, embedding, gemv, head, linear, loss, norm, softmax
from minillm.kernels.native.environment import configure

configure(_native)
BACKEND = register_backend("native")

__all__ = [
    "BACKEND",
    "activation",
    "attention",
    "dropout",
    "embedding",
    "gemv",
    "head",
    "linear",
    "loss",
    "norm",
    "softmax",
]
