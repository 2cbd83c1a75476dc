"""Embedding: a row of the table for each token id."""

import numpy as np

from minillm.backend import array_module, as_array
from minillm.errors import TokenError
from minillm.ops.common import scatter_add
from minillm.registry import Case, ErrorCase, op


def embedding_cases(rng):
    weight = rng.normal(size=(7, 3))
    yield Case((weight, rng.integers(0, 7, size=(2, 5))))
    yield Case((weight, np.array([4, 4, 4, 0])), note="one id several times")
    yield Case((weight, np.array(6)), note="one id")
    yield Case((weight, np.zeros((0,), int)), note="no ids")


def embedding_errors(rng):
    weight = np.zeros((7, 3))
    yield ErrorCase((weight, np.array([[1, 2], [3, 7]])), TokenError, r"id 7 at position \(1, 1\) .* vocabulary of 7")
    yield ErrorCase((weight, np.array([-1])), TokenError, r"id -1 at position \(0,\)")
    yield ErrorCase((weight, np.array([0.5])), TokenError, r"whole numbers.* float64")


@op(cases=embedding_cases, errors=embedding_errors, ids="ids")
def embedding(xp, weight, ids):
    """Embedding.  y_t = W[id_t]

    weight: (vocab_size, d);  ids: integers of any shape;  returns (*ids.shape, d).
    """
    ids = as_array(ids)
    check_ids(array_module(ids), ids, len(weight))
    ids = xp.asarray(ids)
    return weight[ids], (ids, weight.shape)


@embedding.backward
def embedding_backward(xp, dy, saved):
    """dW[v] = Σ_{t: id_t = v} dy_t"""
    ids, shape = saved
    return scatter_add(xp, shape, ids.reshape(-1), dy.reshape(-1, shape[1])), None


def check_ids(xp, ids, vocab_size):
    """TokenError unless every id is a whole number in [0, vocab_size)."""
    if ids.dtype.kind not in "iu":
        raise TokenError(f"token ids must be whole numbers; these are {ids.dtype}")
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= vocab_size):
        where = tuple(int(i) for i in xp.argwhere((ids < 0) | (ids >= vocab_size))[0])
        raise TokenError(
            f"token id {int(ids[where])} at position {where} is outside the vocabulary of {vocab_size} "
            f"(ids 0 to {vocab_size - 1}); was the text encoded with another tokenizer?"
        )
