"""The feed-forward network between the attention layers."""

from typing import Any

from minillm import ops
from minillm.errors import ConfigError
from minillm.nn.layers import Linear
from minillm.nn.module import Module
from minillm.ops.linear import ACTIVATIONS as LINEAR_ACTIVATIONS
from minillm.tensor import Tensor

ACTIVATIONS = {"gelu": ops.gelu, "gelu_tanh": ops.gelu_tanh, "relu": ops.relu, "silu": ops.silu, "swiglu": ops.silu}


class FeedForward(Module):
    """Each position on its own, widened, bent and narrowed again (Vaswani et al. 2017, section 3.3).

    FFN(x) = f(x W_1 + b_1) W_2 + b_2,  f the activation;
    with "swiglu" (Shazeer 2020, equation 6): (silu(x W_g) ∘ (x W_1)) W_2
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        activation: str = "gelu_tanh",
        bias: bool = True,
        dtype: Any = "float32",
        precision: str | None = None,
    ):
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation {activation!r} isn't one of {', '.join(ACTIVATIONS)}")
        self.activation = activation
        self.up = Linear(d_model, d_ff, bias, dtype, precision)
        self.gate = Linear(d_model, d_ff, bias, dtype, precision) if activation == "swiglu" else None
        self.down = Linear(d_ff, d_model, bias, dtype, precision)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """x: (..., d_model); returns the same shape, with `residual` added to it if given."""
        if self.gate is not None:
            hidden = self.gate(x, activation="silu") * self.up(x)
        elif self.activation in LINEAR_ACTIVATIONS:  # (in the native kernel) while the product is in registers
            hidden = self.up(x, activation=self.activation)
        else:
            hidden = ACTIVATIONS[self.activation](self.up(x))
        return self.down(hidden, residual)
