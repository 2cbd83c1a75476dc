"""Modules: layers with parameters, and the blocks Transformers are stacked from."""

from minillm.nn.attention import DecoderCache, KVCache, MultiHeadAttention
from minillm.nn.blocks import DecoderLayer, EncoderLayer, Residual
from minillm.nn.checkpoint import checkpoint
from minillm.nn.copying import CopyingHead, SelectiveRead
from minillm.nn.feed_forward import FeedForward
from minillm.nn.label_smoothing import smoothed_cross_entropy
from minillm.nn.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm, normal
from minillm.nn.lora import LoRALinear, add_lora, merge_lora, unmerge_lora
from minillm.nn.module import Module, Parameter
from minillm.nn.position import LearnedPositions, RotaryPositions, SinusoidalPositions
from minillm.nn.quantize import QuantizedLinear, quantize

__all__ = [
    "CopyingHead", "DecoderCache", "DecoderLayer", "Dropout", "Embedding", "EncoderLayer", "FeedForward", "KVCache",
    "LayerNorm", "LearnedPositions", "Linear", "LoRALinear", "Module", "MultiHeadAttention", "Parameter",
    "QuantizedLinear", "RMSNorm", "Residual", "RotaryPositions", "SelectiveRead", "SinusoidalPositions", "add_lora",
    "checkpoint", "merge_lora", "normal", "quantize", "smoothed_cross_entropy", "unmerge_lora",
]  # fmt: skip
