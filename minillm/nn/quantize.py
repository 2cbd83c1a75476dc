"""Models with weights of 8 or 16 bits, for generating: each new token reads every weight, so fewer bytes are faster."""

from typing import Any

from minillm import ops
from minillm.errors import ConfigError
from minillm.nn.layers import Linear
from minillm.nn.module import Module
from minillm.ops.quantized import quantize_bfloat16, quantize_int8
from minillm.tensor import Tensor

WEIGHTS = ("float32", "bfloat16", "int8")


class QuantizedLinear(Module):
    """y = x Wᵀ + b with W stored as int8 (one scale for each output) or bfloat16, as `ops.quantized_linear` has it."""

    def __init__(self, linear: Linear, weights: str):
        matrix = linear.weight.numpy()
        self.scale: Any = None
        if weights == "int8":
            self.stored, self.scale = quantize_int8(matrix)
        else:
            self.stored = quantize_bfloat16(matrix)
        self.bias = linear.bias

    def forward(self, x: Tensor, residual: Tensor | None = None, activation: str | None = None) -> Tensor:
        """x: (..., d_in); returns (..., d_out). Arguments as those of `Linear`."""
        return ops.quantized_linear(x, self.stored, self.scale, self.bias, residual, activation=activation)


def quantize(model: Module, weights: str) -> Module:
    """Replace the Linear layers inside `model`, in place; "float32" changes nothing. Returns the model.

    Embeddings stay: they are looked up, not multiplied. A head that shares its weight with one gets a copy of its own.
    A LoRALinear stays as it is, in float32: `merge_lora`, and load the state dict into a plain model to quantize that.
    The model can't be trained or saved any more: what is left of its parameters are embeddings, norms and biases.
    ConfigError for other `weights`.
    """
    if weights not in WEIGHTS:
        raise ConfigError(f"weights={weights!r} must be one of {', '.join(WEIGHTS)}")
    if weights != "float32":
        for module in list(model.modules()):
            children: dict[str, Any] = vars(module)
            children.update({k: QuantizedLinear(v, weights) for k, v in children.items() if isinstance(v, Linear)})
    return model
