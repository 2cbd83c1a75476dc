"""embedding: rows copied by all threads; its gradient holds the rows of tokens that occurred, no others."""

from typing import Any

import numpy as np

from minillm import _native, ops
from minillm.backend import RowGradient
from minillm.kernels.native.arrays import contiguous, float32
from minillm.ops.embedding import check_ids
from minillm.registry import kernel


def embedding_backward(xp: Any, dy: Any, saved: tuple) -> tuple:
    ids, shape = saved
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    starts = np.flatnonzero(np.concatenate([ordered[:1] >= 0, ordered[1:] != ordered[:-1]]))
    sums = np.empty((len(starts), shape[1]), np.float32)
    rows = contiguous(dy).reshape(len(ids), shape[1])
    _native.sum_row_groups(rows, order, np.append(starts, len(ids)), sums)
    return RowGradient(ordered[starts], sums, shape), None


@kernel(ops.embedding, "native", embedding_backward, float32)
def embedding(xp: Any, weight: Any, ids: Any) -> tuple:
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        check_ids(np, ids, len(weight))
    flat = contiguous(ids.reshape(-1).astype(np.int64, copy=False))
    y = np.empty((flat.size, weight.shape[1]), np.float32)
    if not _native.take_rows(contiguous(weight), flat, y):
        check_ids(np, ids, len(weight))
    return y.reshape(*ids.shape, weight.shape[1]), (flat, weight.shape)
