"""AdamW, the gradients' norm and scaling: one launch over all arrays, nothing read back (csrc/cuda/optim.cu).

The constants of a step are read from device memory, so that the scale of the gradients can be a number that only the
GPU knows (`clip_scale`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from minillm.cuda.driver import array_module
from minillm.cuda.launch import address, launch

BLOCK, CHUNK = 256, 1 << 14  # threads of a block, and the elements it works on
SCALE = 6  # its place among the constants


@dataclass(frozen=True)
class ArrayLists:
    """Arrays that one launch works on, as its kernel finds them: tables in device memory (csrc/cuda/optim.cu)."""

    chunks: Any  # (blocks, 2) int32: which array, and which chunk of it
    table: Any  # int64: a row of sizes, one of flags, one of addresses for each list
    count: int  # arrays in each list
    blocks: int  # chunks in all: a block for each

    def launch(self, kernel: str, *arguments: Any) -> None:
        """A block for each chunk; none for no elements."""
        if self.blocks:
            launch("optim", kernel, self.blocks, BLOCK, self.chunks, self.table, np.int64(self.count), *arguments)


def array_lists(*lists: Sequence[Any], decays: Sequence[bool] = ()) -> ArrayLists:
    """Of lists of contiguous float32 arrays, whose n-th arrays are all of one size; a decaying parameter has a True.

    The tables are made once, and anew when an array moves. ValueError for other arrays.
    """
    if any(a.dtype != np.float32 or not a.flags.c_contiguous for arrays in lists for a in arrays):
        raise ValueError("the lists must hold contiguous float32 arrays")
    sizes = [tuple(a.size for a in arrays) for arrays in lists]
    flags = tuple(map(bool, decays)) or (False,) * len(sizes[0])
    if len(set(sizes)) != 1 or len(flags) != len(sizes[0]):
        raise ValueError("the lists differ in length or their arrays in size")
    return _tables(array_module(), sizes[0], flags, tuple(int(address(a)) for arrays in lists for a in arrays))


def adam_constants(gain1: float, gain2: float, eps: float, step: float, root: float, kept: float, scale: float) -> Any:
    """The constants of one step as `adam_update` reads them: 8 floats, the last unused.

    At step t, with learning rate lr and weight decay λ: gain1 = 1 − β₁, gain2 = 1 − β₂, step = lr / (1 − β₁ᵗ),
    root = 1 / √(1 − β₂ᵗ), kept = 1 − lr λ (of arrays that decay); scale: what the gradients are multiplied by.
    """
    return np.array([gain1, gain2, eps, step, root, kept, scale, 0], np.float32)


def adam_update(lists: ArrayLists, constants: Any, scale: Any = None) -> None:
    """One step of AdamW in place; `lists` is made of theta, g, m and v.

    constants: `adam_constants` on the device; scale: one float there, in place of theirs. Where the scale is NaN, as
    `clip_scale` has it for gradients that aren't finite, weights and moments stay as they are.
    """
    lists.launch("adam_step", constants, constants[SCALE : SCALE + 1] if scale is None else scale)


def adam_step(
    theta: Sequence[Any],
    g: Sequence[Any],
    m: Sequence[Any],
    v: Sequence[Any],
    decays: Sequence[bool],
    gain1: float,
    gain2: float,
    eps: float,
    step: float,
    root: float,
    kept: float,
    scale: Any,
) -> None:
    """As `minillm._native.adam_step`. scale: a number, or one float in device memory."""
    there = isinstance(scale, array_module().ndarray)
    constants = adam_constants(gain1, gain2, eps, step, root, kept, 1.0 if there else scale)
    lists = array_lists(theta, g, m, v, decays=decays)
    adam_update(lists, array_module().asarray(constants), scale if there else None)


def sum_of_squares(arrays: Sequence[Any]) -> Any:
    """Of all elements of contiguous float32 arrays: one float32 (1,) in device memory."""
    lists = array_lists(arrays)
    parts, total = (array_module().empty(n, np.float32) for n in (lists.blocks, 1))
    lists.launch("sum_of_squares", parts)
    launch("optim", "sum_parts", 1, BLOCK, parts, np.int64(lists.blocks), total)
    return total


def clip_scale(total: Any, max_norm: float) -> Any:
    """min(1, max_norm / √total), or NaN where that norm isn't finite: (1,) float32 in device memory."""
    scale = array_module().empty(1, np.float32)
    launch("optim", "clip_scale", 1, 1, total, np.float32(max_norm), scale)
    return scale


def scale_arrays(arrays: Sequence[Any], factor: Any) -> None:
    """Multiply contiguous float32 arrays in place; by NaN, as `clip_scale` may give, not at all.

    factor: a number, or one float in device memory.
    """
    xp = array_module()
    array_lists(arrays).launch(
        "scale_arrays", factor if isinstance(factor, xp.ndarray) else xp.full(1, factor, np.float32)
    )


@lru_cache(maxsize=16)
def _tables(xp: Any, sizes: tuple, decays: tuple, addresses: tuple) -> ArrayLists:
    chunks = _chunks(xp, sizes)
    rows = np.array([*sizes, *decays, *addresses], np.int64)
    return ArrayLists(chunks, xp.asarray(rows), len(sizes), len(chunks))


@lru_cache(maxsize=16)
def _chunks(xp: Any, sizes: tuple) -> Any:
    counts = -(-np.array(sizes, np.int64) // CHUNK)
    array = np.repeat(np.arange(len(sizes)), counts)
    first = np.cumsum(counts) - counts
    return xp.asarray(np.stack([array, np.arange(len(array)) - first[array]], axis=1).astype(np.int32))
