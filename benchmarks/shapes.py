"""The four shapes every speed comparison uses."""

from typing import NamedTuple


class Shape(NamedTuple):
    """A GPT and its batch."""

    batch: int
    context: int
    vocabulary: int
    layers: int
    heads: int
    width: int


SHAPES = {
    "char": Shape(12, 64, 65, 4, 4, 128),  # nanoGPT's CPU setting for Shakespeare characters
    "char-large": Shape(16, 256, 65, 6, 6, 384),  # its GPU setting, a quarter of the batch
    "gpt2": Shape(4, 64, 50304, 12, 12, 768),  # GPT-2 124M, short context
    "gpt2-long": Shape(1, 1024, 50304, 12, 12, 768),  # GPT-2 124M at its full context
}
