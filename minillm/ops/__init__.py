"""Every op of the table: a reference formula and its derivative, on plain arrays."""

from minillm.ops import operators  # noqa: F401 - attaches Tensor's operators
from minillm.ops.activation import gelu, gelu_tanh, relu, sigmoid, silu, tanh
from minillm.ops.attention import attention
from minillm.ops.copying import copy_logits
from minillm.ops.dropout import dropout
from minillm.ops.elementwise import add, div, exp, log, mul, neg, pow, sqrt, sub
from minillm.ops.embedding import embedding
from minillm.ops.head import linear_cross_entropy
from minillm.ops.linear import linear, matmul
from minillm.ops.loss import cross_entropy, mse_loss
from minillm.ops.norm import layer_norm, rms_norm
from minillm.ops.position import rotary
from minillm.ops.quantized import quantized_linear
from minillm.ops.reduce import max, mean, min, sum, var
from minillm.ops.shape import astype, concat, getitem, masked_fill, reshape, split, stack, transpose, where
from minillm.ops.softmax import log_softmax, softmax

__all__ = [
    "add", "astype", "attention", "concat", "copy_logits", "cross_entropy", "div", "dropout", "embedding", "exp",
    "gelu", "gelu_tanh", "getitem", "layer_norm", "linear", "linear_cross_entropy", "log", "log_softmax",
    "masked_fill", "matmul", "max", "mean", "min", "mse_loss", "mul", "neg", "pow", "quantized_linear", "relu",
    "reshape", "rms_norm", "rotary", "sigmoid", "silu", "softmax", "split", "sqrt", "stack", "sub", "sum", "tanh",
    "transpose", "var", "where",
]  # fmt: skip
