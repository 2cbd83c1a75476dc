"""Attention in tiles, forward and backward (csrc/cpu/kernels/attention_forward.cpp, attention_backward.cpp).

Saved are q, k, v, the output and two numbers a row; scores never exist but for a tile (Dao et al. 2022).
"""

import math
from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.kernels.native.arrays import float32
from minillm.kernels.native.dropout import keep_mask
from minillm.ops.attention import check_attention
from minillm.registry import kernel
from minillm.tape import is_grad_enabled


def takes(*arrays: Any, dropout: float = 0.0, **options: Any) -> bool:
    """float32; what dropout outside [0, 1) means or says is left to the reference."""
    return float32(*arrays) and 0 <= dropout < 1


def attention_backward(xp: Any, do: Any, saved: tuple) -> tuple:
    (q, k, v, *_), o, statistics = saved
    dq, dk, dv = heads_last(q.shape), heads_last(k.shape), heads_last(v.shape)
    _native.attention_backward(*saved[0], o, statistics, strided(do), dq, dk, dv)
    return dq, dk, dv, None


@kernel(ops.attention, "native", attention_backward, takes)
def attention(
    xp: Any,
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    key: Any = None,
) -> tuple:
    check_attention(q, k, v, mask, causal)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = (*q.shape[:3], k.shape[2])
    keep = keep_mask(scores, dropout, key) if dropout else None
    mask = None if mask is None else np.broadcast_to(mask, scores)
    o = heads_last((*q.shape[:3], v.shape[-1]))
    if q.shape[2] == 1 and k.shape[2] and keep is None and not is_grad_enabled():  # causal or not: it sees every key
        _native.attention_decode(strided(q), strided(k), strided(v), mask, scale, o)
        return o, None
    arguments = (strided(q), strided(k), strided(v), mask, causal, scale, keep, 1 / (1 - dropout))
    statistics = np.empty((2, *q.shape[:3]), np.float32)
    _native.attention_forward(*arguments, o, statistics)
    return o, (arguments, o, statistics)


def heads_last(shape: tuple) -> Any:
    """An empty (batch, heads, time, d) array that lies as (batch, time, heads, d): joining the heads copies nothing."""
    batch, heads, time, d = shape
    return np.empty((batch, time, heads, d), np.float32).transpose(0, 2, 1, 3)


def strided(x: Any) -> Any:
    """`x`, copied only if its rows aren't contiguous or its elements not aligned."""
    whole = all(step % x.itemsize == 0 for step in x.strides)
    return x if whole and x.flags.aligned and x.strides[-1] == x.itemsize else np.ascontiguousarray(x)
