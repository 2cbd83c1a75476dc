"""minillm: a from-scratch LLM on NumPy. Every formula readable, every gradient checked."""

from minillm import errors, models, nn, ops, optim, testing, tokenizers
from minillm.backend import use_backend
from minillm.kernels import load_native
from minillm.registry import kernel, op
from minillm.seeding import seed
from minillm.tape import no_grad
from minillm.tensor import Tensor
from minillm.tracing import trace_non_finite

__version__ = "0.1.0"
__all__ = [
    "Tensor", "errors", "kernel", "models", "nn", "no_grad", "op", "ops", "optim", "seed", "testing", "tokenizers",
    "trace_non_finite", "use_backend",
]  # fmt: skip

load_native()
