"""attention, from the kernels of attention_forward.py and attention_backward.py.

Saved are q, k, v, the output and one number a row; scores never exist but for a tile.
"""

import math
from typing import Any

import numpy as np

from minillm import ops
from minillm.kernels.numba_cuda.arrays import as_rows, contiguous, takes_float32
from minillm.kernels.numba_cuda.attention_backward import attention_deltas, attention_dk_dv, attention_dq
from minillm.kernels.numba_cuda.attention_forward import attention_rows
from minillm.kernels.numba_cuda.launch import HEAD_SIZE, KEYS, QUERIES, blocks, launch, launch_elements
from minillm.ops.attention import check_attention
from minillm.registry import kernel


def takes(*arrays: Any, dropout: float = 0.0, **options: Any) -> bool:
    """float32 heads of 1 to HEAD_SIZE numbers, without dropout."""
    fits = all(a.ndim == 4 and 0 < a.shape[-1] <= HEAD_SIZE for a in arrays[:3])
    return takes_float32(*arrays) and fits and dropout == 0


def attention_backward(xp: Any, do: Any, saved: tuple) -> tuple:
    q, k, v, mask, reach, scale, o, log_sums = saved
    do = contiguous(xp, do)
    deltas = xp.empty_like(log_sums)
    launch_elements(attention_deltas, deltas.size, as_rows(xp, o), as_rows(xp, do), deltas.reshape(deltas.size))
    dq, dk, dv = xp.empty_like(q), xp.empty_like(k), xp.empty_like(v)
    arguments = (q, k, v, mask, reach, scale, log_sums, deltas, do)
    launch(attention_dq, (blocks(q.shape[2], QUERIES), q.shape[1], len(q)), (QUERIES,), *arguments, dq)
    launch(attention_dk_dv, (blocks(k.shape[2], KEYS), k.shape[1], len(k)), (KEYS,), *arguments, dk, dv)
    return dq, dk, dv, None


@kernel(ops.attention, "numba_cuda", attention_backward, takes)
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
    q, k, v = (contiguous(xp, x) for x in (q, k, v))
    mask = xp.ones((1, 1, 1, 1), bool) if mask is None else contiguous(xp, mask)
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    queries, keys = q.shape[2], k.shape[2]
    reach = keys - queries if causal else keys  # query i sees the keys j <= i + reach: with reach = keys, all
    factor = np.float32(1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    o, log_sums = xp.empty((*q.shape[:3], v.shape[-1]), q.dtype), xp.empty(q.shape[:3], q.dtype)
    grid = (blocks(queries, QUERIES), q.shape[1], len(q))
    launch(attention_rows, grid, (QUERIES,), q, k, v, mask, reach, factor, o, log_sums)
    return o, (q, k, v, mask, reach, factor, o, log_sums)
