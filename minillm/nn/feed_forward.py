"""The feed-forward network between the attention layers."""

from typing import Any

from minillm import ops
from minillm.errors import ConfigError
from minillm.nn.layers import Linear
from minillm.nn.module import Module
from minillm.tensor import Tensor

ACTIVATIONS = {"gelu": ops.gelu, "gelu_tanh": ops.gelu_tanh, "relu": ops.relu, "silu": ops.silu, "swiglu": ops.silu}


class FeedForward(Module):
    """Each position on its own, widened, bent and narrowed again (Vaswani et al. 2017, section 3.3).

    FFN(x) = f(x W_1 + b_1) W_2 + b_2,  f the activation;
    with "swiglu" (Shazeer 2020, equation 6): (silu(x W_g) ∘ (x W_1)) W_2
    """

    def __init__(
        self, d_model: int, d_ff: int, activation: str = "gelu_tanh", bias: bool = True, dtype: Any = "float32"
    ):
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation {activation!r} isn't one of {', '.join(ACTIVATIONS)}")
        self.activation = ACTIVATIONS[activation]
        self.up = Linear(d_model, d_ff, bias, dtype)
        self.gate = Linear(d_model, d_ff, bias, dtype) if activation == "swiglu" else None
        self.down = Linear(d_ff, d_model, bias, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., d_model); returns the same shape."""
        hidden = self.activation(self.up(x)) if self.gate is None else self.activation(self.gate(x)) * self.up(x)
        return self.down(hidden)
