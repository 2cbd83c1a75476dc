"""Modules: layers with parameters, and the blocks Transformers are stacked from."""

from minillm.nn.attention import KVCache, MultiHeadAttention
from minillm.nn.blocks import DecoderLayer, EncoderLayer, Residual
from minillm.nn.checkpoint import checkpoint
from minillm.nn.feed_forward import FeedForward
from minillm.nn.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm, normal
from minillm.nn.module import Module, Parameter
from minillm.nn.position import LearnedPositions, RotaryPositions, SinusoidalPositions
from minillm.nn.quantize import QuantizedLinear, quantize

__all__ = [
    "DecoderLayer", "Dropout", "Embedding", "EncoderLayer", "FeedForward", "KVCache", "LayerNorm", "LearnedPositions",
    "Linear", "Module", "MultiHeadAttention", "Parameter", "QuantizedLinear", "RMSNorm", "Residual", "RotaryPositions",
    "SinusoidalPositions", "checkpoint", "normal", "quantize",
]  # fmt: skip
