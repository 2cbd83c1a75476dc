"""Attention in tiles, forward and backward: on tensor cores in bfloat16 (csrc/cuda/attention_forward.cu,
attention_backward.cu), by multiply-adds else (attention_plain_forward.cu, attention_plain_backward.cu).

Saved are q, k, v, the output and one number a row; scores never exist but for a tile (Dao et al. 2022). Heads may lie
anywhere as long as their rows are contiguous: kernels are told the strides. Gradients are the same bits every time.

Dropout's mask, a byte for each weight, is read by the kernels and drawn again for backward: until then it would take
more memory than all else that a layer saves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm import ops
from minillm.cuda.launch import address, launch
from minillm.kernels.cuda.arrays import BFLOAT16, FLOAT32
from minillm.kernels.cuda.dropout import keep_mask
from minillm.ops.attention import check_attention
from minillm.registry import kernel

HEADS_ON_TENSOR_CORES = (32, 64, 96, 128)  # d_k = d_v for which there are such kernels
WARPS = 128  # threads of a block on tensor cores
PADDED = 128  # queries of a tile there; a row of statistics is padded to a multiple
PLAIN, SIDE, COLUMNS = 256, 64, 128  # threads of a plain block; its rows, and the columns of its result
PLAIN_SHARED = 4 * (2 * 32 + SIDE) * (SIDE + 4)  # bytes


def takes(q: Any, k: Any, v: Any, mask: Any = None, *, dropout: float = 0.0, **options: Any) -> bool:
    """float32 or bfloat16 throughout; what dropout outside [0, 1) means or says is left to the reference."""
    return q.dtype == k.dtype == v.dtype and q.dtype in (FLOAT32, BFLOAT16) and 0 <= dropout < 1


@dataclass(frozen=True)
class Problem:
    """What is to be computed, as forward and backward both need it."""

    q: Any
    k: Any
    v: Any
    mask: Any  # of the scores' shape, with strides of 0 where it was broadcast; or None
    causal: bool
    scale: float
    on_tensor_cores: bool
    dropout: float
    key: Any  # of dropout's mask

    def arguments(self, xp: Any) -> list[Any]:
        """Of every kernel, the first ones (ATTENTION_PARAMETERS of csrc/cuda/attention.cuh, DROPOUT_PARAMETERS of
        attention_dropout.cuh). Draws dropout's mask."""
        (_, heads, queries, _), (_, kv_heads, keys, _) = self.q.shape, self.k.shape
        mask = (
            [None, *[np.int64(0)] * 4] if self.mask is None else [address(self.mask), *map(np.int64, self.mask.strides)]
        )
        sizes = (np.int32(n) for n in (heads, kv_heads, queries, keys, self.causal))
        arguments = [*placed(self.q), *placed(self.k), *placed(self.v), *mask, *sizes, np.float32(self.scale)]
        if self.dropout:
            keep = keep_mask(xp, (*self.q.shape[:3], self.k.shape[2]), self.dropout, self.key)
            arguments += [keep, np.float32(1 / (1 - self.dropout))]
        return arguments

    @property
    def suffix(self) -> str:
        """Of the kernels' names."""
        return "_dropout" if self.dropout else ""

    @property
    def hides(self) -> bool:
        """Whether some queries may not see some keys, so that a key's NaN is hidden from some and not from others."""
        return self.causal or self.mask is not None

    @property
    def rows(self) -> int:
        """How long a row of statistics is."""
        return -(-self.q.shape[2] // PADDED) * PADDED


def placed(x: Any) -> list[Any]:
    """Where heads lie: the address, and how many elements further the next batch, head and row are."""
    return [address(x), *(np.int64(step // x.itemsize) for step in x.strides[:3])]


def strided(x: Any, unit: int) -> Any:
    """`x`, copied only if its rows aren't contiguous or don't all begin at a multiple of `unit` bytes."""
    fits = all(n % unit == 0 for n in (x.data.ptr, *x.strides[:3])) and x.strides[3] == x.itemsize
    return x if fits or not x.size else x.copy()


def heads_last(xp: Any, shape: tuple, dtype: Any) -> Any:
    """An empty (batch, heads, time, d) array that lies as (batch, time, heads, d): joining the heads copies nothing."""
    batch, heads, time, d = shape
    return xp.empty((batch, time, heads, d), dtype).transpose(0, 2, 1, 3)


def run(file: str, name: str, grid: tuple[int, ...], block: int, *arguments: Any, shared: int = 0) -> None:
    """Launch, unless there is nothing to do."""
    if all(grid):
        launch(file, name, grid, block, *arguments, shared=shared)


def attention_backward(xp: Any, do: Any, saved: tuple) -> tuple:
    problem, o, logarithms = saved
    q, k, v = problem.q, problem.k, problem.v
    dq, dk, dv = (heads_last(xp, x.shape, x.dtype) for x in (q, k, v))
    do = strided(do, 16 if problem.on_tensor_cores else do.itemsize)
    sums = xp.empty(logarithms.shape, FLOAT32)
    backward = _tiled_backward if problem.on_tensor_cores else _plain_backward
    backward(xp, problem, problem.arguments(xp), do, o, logarithms, sums, (dq, dk, dv))
    return dq, dk, dv, None


@kernel(ops.attention, "cuda", attention_backward, takes)
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
    mask = None if mask is None else xp.broadcast_to(mask, (*q.shape[:3], k.shape[2]))
    widths = {q.shape[3], v.shape[3]}
    tiled = q.dtype == BFLOAT16 and len(widths) == 1 and widths <= set(HEADS_ON_TENSOR_CORES) and scale > 0
    unit = 16 if tiled else q.itemsize
    arrays = strided(q, unit), strided(k, unit), strided(v, unit), mask
    problem = Problem(*arrays, causal, scale, tiled, dropout, key)
    o = heads_last(xp, (*q.shape[:3], v.shape[3]), q.dtype)
    logarithms = xp.empty((*q.shape[:2], problem.rows), FLOAT32)
    (_tiled_forward if tiled else _plain_forward)(xp, problem, problem.arguments(xp), o, logarithms)
    return o, (problem, o, logarithms)


def _tiled_forward(xp: Any, problem: Problem, arguments: list[Any], o: Any, logarithms: Any) -> None:
    batch, heads, _, d = o.shape
    tiles = problem.rows // PADDED
    unsure = xp.empty((batch, heads, tiles), np.uint8)
    shared = 2 * d * (PADDED + 4 * (64 if d <= 64 else 32))
    run(
        "attention_forward", f"attention_forward_{d}{problem.suffix}", (batch * heads, tiles), WARPS,
        *arguments, address(o), logarithms, unsure, shared=shared,
    )  # fmt: skip
    _plain_forward(xp, problem, arguments, o, logarithms, unsure)  # the tiles that are noted in `unsure`


def _plain_forward(
    xp: Any, problem: Problem, arguments: list[Any], o: Any, logarithms: Any, unsure: Any = None
) -> None:
    batch, heads, queries, d_v = o.shape
    grid = (batch * heads, -(-queries // SIDE), max(1, -(-d_v // COLUMNS)))  # the logarithms are made even with no d_v
    run(
        "attention_plain_forward", f"attention_plain_forward_{o.dtype.name}{problem.suffix}", grid, PLAIN,
        *arguments, np.int32(problem.q.shape[3]), np.int32(d_v), address(o), logarithms, unsure,
        shared=PLAIN_SHARED,
    )  # fmt: skip


def _tiled_backward(
    xp: Any, problem: Problem, arguments: list[Any], do: Any, o: Any, logarithms: Any, sums: Any, gradients: tuple
) -> None:
    (batch, heads, queries, d), (_, kv_heads, keys, _) = o.shape, problem.k.shape
    dq, dk, dv = gradients
    run(
        "attention_backward", "attention_backward_sums", (-(-sums.size * 8 // WARPS),), WARPS,
        *placed(do), address(o), sums, *map(np.int32, (heads, queries, d)), np.int64(sums.size),
    )  # fmt: skip
    rows = 128 if d <= 64 else 64  # of a block; it goes over 32 others at a time
    shared = 2 * d * (2 * rows + 4 * 32)
    given = [*arguments, *placed(do), logarithms, sums]
    run(
        "attention_backward", f"attention_backward_keys_{d}{problem.suffix}",
        (batch * kv_heads, -(-keys // rows)), WARPS, *given, address(dk), address(dv), shared=shared + 4 * 4 * 32,
    )  # fmt: skip
    tiles = problem.rows // rows
    unsure = xp.empty((batch, heads, tiles), np.uint8)
    run(
        "attention_backward", f"attention_backward_queries_{d}{problem.suffix}", (batch * heads, tiles), WARPS,
        *given, address(dq), unsure, shared=shared,
    )  # fmt: skip
    if problem.hides:
        _plain_backward_queries(problem, arguments, do, logarithms, sums, dq, unsure, rows)


def _plain_backward(
    xp: Any, problem: Problem, arguments: list[Any], do: Any, o: Any, logarithms: Any, sums: Any, gradients: tuple
) -> None:
    (_, heads, queries, d_v), (batch, kv_heads, keys, d_k) = o.shape, problem.k.shape
    dq, dk, dv = gradients
    run(
        "attention_plain_backward", f"attention_plain_backward_sums_{o.dtype.name}", (-(-sums.size // PLAIN),), PLAIN,
        *placed(do), address(o), sums, *map(np.int32, (heads, queries, d_v)), np.int64(sums.size),
    )  # fmt: skip
    run(
        "attention_plain_backward", f"attention_plain_backward_keys_{o.dtype.name}{problem.suffix}",
        (batch * kv_heads, -(-keys // SIDE), -(-max(d_k, d_v) // COLUMNS)), PLAIN,
        *arguments, *placed(do), np.int32(d_k), np.int32(d_v), logarithms, sums, address(dk), address(dv),
        shared=PLAIN_SHARED,
    )  # fmt: skip
    _plain_backward_queries(problem, arguments, do, logarithms, sums, dq)


def _plain_backward_queries(
    problem: Problem, arguments: list[Any], do: Any, logarithms: Any, sums: Any, dq: Any,
    unsure: Any = None, tile: int = PADDED,
) -> None:  # fmt: skip
    batch, heads, queries, d_k = dq.shape
    run(
        "attention_plain_backward", f"attention_plain_backward_queries_{dq.dtype.name}{problem.suffix}",
        (batch * heads, -(-queries // SIDE), -(-d_k // COLUMNS)), PLAIN,
        *arguments, *placed(do), np.int32(d_k), np.int32(do.shape[3]), logarithms, sums, address(dq), unsure,
        np.int32(tile), shared=PLAIN_SHARED,
    )  # fmt: skip
