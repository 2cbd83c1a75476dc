"""embedding: rows gathered by warps; gradients added up by id, in the order of the text (csrc/cuda/embedding.cu).

Nothing waits for the GPU: how many different ids there are is never asked, and ids aren't checked here, where they lie
on the GPU already (minillm.ops.embedding.check_ids checks NumPy arrays before they are moved). One outside the
vocabulary gives a row of NaN, which the loss shows, and is left out of the gradient.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minillm import ops
from minillm.backend import RowGradient, array_module
from minillm.cuda.launch import launch
from minillm.kernels.cuda.arrays import FLOAT32
from minillm.ops.embedding import check_ids
from minillm.registry import kernel

WARP, ROWS = 32, 8  # a block of the forward kernel: warps that copy a row each
BUCKETS, TILE = 256, 1024  # of the sort: digits of 8 bits, places that a warp moves
CHUNK, STRIP_THREADS = 64, 64  # of backward: sorted places of a block, and its threads


def take_rows(xp: Any, weight: Any, ids: Any, dtype: Any = FLOAT32) -> Any:
    """The rows `ids` of `weight`, (*ids.shape, d), in float32 or bfloat16. weight: (vocab_size, d) float32."""
    y = xp.empty((*ids.shape, weight.shape[1]), dtype)
    if y.size:
        arrays = xp.ascontiguousarray(weight), xp.ascontiguousarray(ids), y
        sizes = np.int64(ids.size), np.int64(len(weight)), np.int64(weight.shape[1])
        name = f"embedding_forward_{y.dtype.name}"
        launch("embedding", name, -(-ids.size // ROWS), (WARP, ROWS), *arrays, *sizes)
    return y


def sorted_places(xp: Any, ids: Any, rows: int) -> Any:
    """The numbers of `ids` (n,), fewer than 2^31, in the order of their values, equal ones as they stand: int32.

    Ids outside [0, rows) come last.
    """
    tiles, n = -(-ids.size // TILE), np.int64(ids.size)
    counts = xp.empty(BUCKETS * tiles, np.int32)
    order = None
    for shift in range(0, max(rows.bit_length(), 1), 8):
        placed = xp.empty(ids.size, np.int32)
        digit = n, np.int64(rows), np.int32(shift)
        launch("embedding", "embedding_sort_count", tiles, WARP, ids, order, counts, *digit)
        launch("embedding", "embedding_sort_scan", 1, WARP * ROWS, counts, np.int64(counts.size))
        launch("embedding", "embedding_sort_place", tiles, WARP, ids, order, counts, placed, *digit)
        order = placed
    return order


def add_rows(xp: Any, dy: Any, ids: Any, gradient: Any, *, add: bool) -> None:
    """For each id the sum of its rows of dy, in the order of the text, written or added to its row of `gradient`.

    dy: (n, d) float32 or bfloat16; ids: (n,) int64; gradient: (vocab_size, d) float32, contiguous. Rows of ids that
    don't occur stay as they are.
    """
    if not gradient.size or not dy.size:
        return
    (n, d), rows = dy.shape, len(gradient)
    order = sorted_places(xp, ids, rows)
    chunks, columns = -(-n // CHUNK), 16 // dy.dtype.itemsize * STRIP_THREADS
    heads = xp.empty((chunks, d), np.float32)
    sizes = np.int64(n), np.int64(rows), np.int64(d)
    name, grid = f"embedding_backward_{dy.dtype.name}", (chunks, -(-d // columns))
    launch("embedding", name, grid, STRIP_THREADS, dy, ids, order, gradient, heads, *sizes, np.int32(add))
    grid = (chunks, -(-d // STRIP_THREADS))
    launch("embedding", "embedding_backward_join", grid, STRIP_THREADS, ids, order, heads, gradient, *sizes)


@dataclass
class RepeatedRows(RowGradient):
    """A RowGradient whose rows may occur several times: `rows` are a text's ids, `values` (n, d) their gradients.

    The whole gradient is float32, also of bfloat16 values.
    """

    def dense(self) -> Any:
        xp = array_module(self.values)
        gradient = xp.zeros(self.shape, np.float32)
        add_rows(xp, self.values, self.rows, gradient, add=False)
        return gradient

    def add_to(self, gradient: Any) -> Any:
        """Straight into the head's gradient where the two share a table; no second one of that size is made."""
        if not gradient.flags.c_contiguous:
            gradient += self.dense()
        else:
            add_rows(array_module(gradient), self.values, self.rows, gradient, add=True)
        return gradient


def takes(weight: Any, ids: Any) -> bool:
    """A float32 table: bfloat16 activations are cast from its rows."""
    return weight.dtype == FLOAT32


def embedding_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    ids, shape = saved
    return RepeatedRows(ids, xp.ascontiguousarray(dy).reshape(ids.size, shape[1]), shape), None


@kernel(ops.embedding, "cuda", embedding_backward, takes)
def embedding(xp: Any, weight: Any, ids: Any) -> tuple:
    if isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu":
        check_ids(array_module(ids), ids, len(weight))
    ids = xp.asarray(ids, np.int64)
    return take_rows(xp, weight, ids), (xp.ascontiguousarray(ids).reshape(-1), weight.shape)
