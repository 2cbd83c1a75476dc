"""Dropout (Srivastava et al. 2014), with a mask that is a pure function of a key."""

import numpy as np

from minillm.errors import ConfigError
from minillm.registry import Case, ErrorCase, op


def dropout_cases(rng):
    x = rng.normal(size=(3, 4, 5))
    yield Case((x,), {"p": 0.3, "key": (1337, 0)})
    yield Case((x,), {"p": 0.0, "key": (1337, 1)}, note="nothing dropped")
    yield Case((x,), {"p": 1.0, "key": (1337, 2)}, note="everything dropped")
    yield Case((np.zeros((0, 3)),), {"p": 0.5, "key": (0, 0)}, note="no elements")
    yield Case((x.T[::2],), {"p": 0.5, "key": (0, 1)}, note="not contiguous")


def dropout_errors(rng):
    yield ErrorCase((np.zeros(3),), ConfigError, r"p=1.5 .* between 0 and 1", {"p": 1.5, "key": (0, 0)})


@op(cases=dropout_cases, errors=dropout_errors)
def dropout(xp, x, *, p, key):
    """Dropout.  y = x ∘ keep / (1 − p),  keep_i = 1 with probability 1 − p, so that the mean of y is x

    key: (seed, counter), two integers; the same key and shape always drop the same elements.
    """
    scaled_mask = keep_mask(xp, x.shape, p, key).astype(x.dtype) * _scale(p)
    return x * scaled_mask, scaled_mask


@dropout.backward
def dropout_backward(xp, dy, scaled_mask):
    """dx = dy ∘ keep / (1 − p)"""
    return (dy * scaled_mask,)


def keep_mask(xp, shape, p, key):
    """Which elements stay: a boolean array, True with probability 1 − p.

    Element i is kept if the i-th 32-bit word of the Philox4x64-10 stream (Salmon et al. 2011) with key `seed`
    and counter block `counter` is at least p 2³². A counter-based generator has no state to carry: any
    backend can draw any part of the mask on its own.
    """
    check_probability(p)
    seed, counter = key
    n = int(np.prod(shape))
    stream = np.random.Philox(key=seed, counter=[0, 0, counter, 0])
    words = stream.random_raw((n + 1) // 2).view(np.uint32)[:n]
    return xp.asarray(words.reshape(shape) >= np.uint64(round(p * 2**32)))


def check_probability(p):
    """ConfigError unless p is a probability."""
    if not 0 <= p <= 1:
        raise ConfigError(f"dropout: p={p} must be between 0 and 1: the probability that an element is dropped")


def _scale(p):
    return 1 / (1 - p) if p < 1 else 0.0
