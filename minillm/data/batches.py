"""Batches of a token stream: random windows to train on, and all of them in order to evaluate on.  [3.2.2-clm]

Each position's target is the next token. A training batch is a pure function of the seed and the step, by a
counter-based generator: a resumed run needs no saved random state to see the batches it would have seen.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from minillm.errors import DataError
from minillm.ops.loss import IGNORED

_STREAM = zlib.crc32(b"batches")  # keeps these draws apart from dropout's and sampling's of the same seed


def batch(stream: Any, *, seed: int, step: int, batch_size: int, context_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of a training step, both (batch_size, context_length) int64.

    stream: a TokenStream or an array of ids, (tokens,). Every start is equally likely, drawn with replacement.
    Raises DataError where the stream has no window of that length and its next token.
    """
    ids = _ids(stream)
    starts = len(ids) - context_length
    if starts < 1:
        raise DataError(
            f"the text is too short: {len(ids)} tokens, where a context of {context_length} needs at least "
            f"{context_length + 1}; take a longer corpus or a smaller context_length"
        )
    key = (seed * 2**32 + _STREAM) % 2**64
    rng = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, step, 0]))
    first = rng.integers(starts, size=(batch_size, 1))
    window = np.asarray(ids[first + np.arange(context_length + 1)]).astype(np.int64)
    return window[:, :-1], window[:, 1:]


def windows(stream: Any, context_length: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Consecutive windows over the whole stream, (up to batch_size, context_length) int64: every target exactly once.

    The first token is nobody's target. The last window is filled up with id 0 and targets of -100 (`IGNORED`), so a
    mean over the stream weighs each batch by its targets that count. Raises DataError below two tokens.
    """
    ids = _ids(stream)
    targets = len(ids) - 1
    if targets < 1:
        raise DataError(f"the text is too short to evaluate on: {len(ids)} tokens, at least 2 are needed")
    size = batch_size * context_length
    for start in range(0, targets, size):
        piece = np.asarray(ids[start : start + size + 1]).astype(np.int64)
        rows = -(-(len(piece) - 1) // context_length)
        x, y = np.zeros(rows * context_length, np.int64), np.full(rows * context_length, IGNORED, np.int64)
        x[: len(piece) - 1], y[: len(piece) - 1] = piece[:-1], piece[1:]
        yield x.reshape(rows, context_length), y.reshape(rows, context_length)


def _ids(stream: Any) -> np.ndarray:
    return getattr(stream, "ids", stream)
