"""Weights of Llama-style models in the file format of llama2.c (its "legacy" version): our GPT in its modern dress.

    7 numbers (int32)     dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len;
                          a negative vocab_size says that the head has a matrix of its own
    then float32, matrices (out, in), those of all layers behind one another:
    token embedding, attention norms, W_Q, W_K, W_V, W_O, feed-forward norms, W_gate, W_down, W_up, last norm,
    two tables of rotary angles (which are computed, here), the head's matrix where it has one

The model (Touvron et al. 2023, section 2.2): RMSNorm with ε = 1e-5 before each sublayer, SwiGLU, no biases, and rotary
positions that turn neighbouring pairs of features (2i, 2i+1), as `ops.rotary` does: no weights need permuting. (Files
of Hugging Face's Llama pair i with i + d_head/2 and would.)
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minillm.errors import CheckpointError
from minillm.models.gpt import GPT, GPTConfig

HEADER = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
_MAGIC = 0x616B3432  # "ak42": a later version of the format starts with it


def load_llama2c(path: str | os.PathLike[str], dtype: Any = "float32") -> GPT:
    """The GPT of a llama2.c checkpoint (.bin), in evaluation mode. dtype: as in GPTConfig.

    Raises CheckpointError where the header makes no sense, or the file hasn't the size it asks for.
    """
    path = Path(path)
    config = _config(path, dtype)
    shapes = list(_shapes(config))
    wanted = 4 * (len(HEADER) + sum(math.prod(shape) for _, shape in shapes))
    if path.stat().st_size != wanted:
        raise CheckpointError(
            f"{path} has {path.stat().st_size} bytes, but its header asks for {wanted}: it was cut off, or isn't "
            f"llama2.c's legacy float32 format ({config})"
        )
    weights = np.fromfile(path, "<f4", offset=4 * len(HEADER))
    state: dict[str, np.ndarray] = {}
    start = 0
    for name, shape in shapes:
        array = weights[start : start + math.prod(shape)].reshape(shape)
        start += array.size
        if "*" in name:
            state |= {name.replace("*", str(n)): array[n] for n in range(config.n_layer)}
        elif name:
            state[name] = array
    model = GPT(config)
    model.load_state_dict(state)
    model.eval()
    return model


def _config(path: Path, dtype: Any) -> GPTConfig:
    header = np.fromfile(path, "<i4", count=len(HEADER))
    if len(header) < len(HEADER) or header[0] == _MAGIC:
        raise CheckpointError(f"{path} isn't llama2.c's legacy format, which starts with {', '.join(HEADER)} as int32")
    named = dict(zip(HEADER, header.tolist(), strict=True))
    tied, named["vocab_size"] = named["vocab_size"] > 0, abs(named["vocab_size"])
    sizes = {name: number for name, number in named.items() if not 0 < number < 1 << 24}
    dim, heads, kv_heads = named["dim"], named["n_heads"], named["n_kv_heads"]
    if sizes or dim % (2 * heads) or heads % kv_heads:
        raise CheckpointError(
            f"{path}: no model has these sizes: {named} (dim must be a multiple of 2 n_heads, that of n_kv_heads)"
        )
    return GPTConfig(
        vocab_size=named["vocab_size"],
        context_length=named["seq_len"],
        n_layer=named["n_layers"],
        n_head=heads,
        n_kv_head=kv_heads,
        d_model=dim,
        d_ff=named["hidden_dim"],
        bias=False,
        normalization="rms_norm",
        activation="swiglu",
        position="rotary",
        tie_weights=tied,
        dtype=dtype,
    )


def _shapes(config: GPTConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Our name (* the layer; nothing for what isn't needed) and shape of each array, in the order of the file."""
    layers, d, inner = config.n_layer, config.d_model, config.d_ff or 0
    d_head = d // config.n_head
    kv = (config.n_kv_head or config.n_head) * d_head
    attention, feed_forward = "layers.*.attention", "layers.*.feed_forward"
    yield "token_embedding.weight", (config.vocab_size, d)
    yield f"{attention}.norm.weight", (layers, d)
    yield f"{attention}.sublayer.query.weight", (layers, d, d)
    yield f"{attention}.sublayer.key.weight", (layers, kv, d)
    yield f"{attention}.sublayer.value.weight", (layers, kv, d)
    yield f"{attention}.sublayer.output.weight", (layers, d, d)
    yield f"{feed_forward}.norm.weight", (layers, d)
    yield f"{feed_forward}.sublayer.gate.weight", (layers, inner, d)
    yield f"{feed_forward}.sublayer.down.weight", (layers, d, inner)
    yield f"{feed_forward}.sublayer.up.weight", (layers, inner, d)
    yield "norm.weight", (d,)
    yield "", (2, config.context_length, d_head // 2)
    if not config.tie_weights:
        yield "head.weight", (config.vocab_size, d)
