"""embedding: a block copies a token's row; in backward a block adds up the gradients of one id.

Many tokens may have one id, and all of them add to its row. Sorting the tokens by id first gives each row to one
block, which adds in the order of the text: no two blocks write to one place, and the result is the same every time.
"""

from typing import Any

from numba import cuda, float32

from minillm import ops
from minillm.backend import RowGradient
from minillm.kernels.numba_cuda.arrays import as_rows, contiguous, takes_float32
from minillm.kernels.numba_cuda.launch import THREADS, launch_rows
from minillm.ops.embedding import check_ids
from minillm.registry import kernel


@cuda.jit
def gather_rows(weight, ids, y):
    """y_t = W[id_t].  weight: (vocab_size, d);  ids: (tokens,);  y: (tokens, d)"""
    token = cuda.blockIdx.x
    for j in range(cuda.threadIdx.x, weight.shape[1], THREADS):
        y[token, j] = weight[ids[token], j]


@cuda.jit
def sum_row_groups(dy, order, starts, sums):
    """dW[v] = Σ_{t: id_t = v} dy_t, for the g-th id v that occurs.

    dy: (tokens, d);  order: (tokens,), tokens sorted by id;  those of the g-th id are order[starts[g]:starts[g + 1]].
    """
    group = cuda.blockIdx.x
    for j in range(cuda.threadIdx.x, dy.shape[1], THREADS):
        total = float32(0)
        for place in range(starts[group], starts[group + 1]):
            total += dy[order[place], j]
        sums[group, j] = total


def embedding_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    """The rows of dW that aren't 0: those of the ids that occurred."""
    ids, shape = saved
    order = xp.argsort(ids, kind="stable")
    ordered = ids[order]
    first = xp.ones(len(ids), bool)  # whether a new id begins here
    first[1:] = ordered[1:] != ordered[:-1]
    starts = xp.flatnonzero(first)
    ends = xp.concatenate([starts, xp.full(1, len(ids), starts.dtype)])
    sums = xp.empty((len(starts), shape[1]), dy.dtype)
    launch_rows(sum_row_groups, len(starts), as_rows(xp, dy), order, ends, sums)
    return RowGradient(ordered[starts], sums, shape), None


@kernel(ops.embedding, "numba_cuda", embedding_backward, takes_float32)
def embedding(xp: Any, weight: Any, ids: Any) -> tuple:
    ids = xp.asarray(ids)
    check_ids(xp, ids, len(weight))
    flat = contiguous(xp, ids.reshape(-1).astype(xp.int64))
    y = xp.empty((flat.size, weight.shape[1]), weight.dtype)
    launch_rows(gather_rows, flat.size, contiguous(xp, weight), flat, y)
    return y.reshape(*ids.shape, weight.shape[1]), (flat, weight.shape)
