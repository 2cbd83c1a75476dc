"""What a language model's loss means: perplexity, bits per byte, accuracy at masked tokens."""

import math
from typing import Any

import numpy as np

from minillm.errors import DataError


def perplexity(nats_per_token: float) -> float:
    """PPL = e^L for a mean loss of L nats a token: as unsure as when choosing among so many equally likely tokens.

    Comparable only between models with the same tokens; infinite where e^L is beyond float64.
    """
    try:
        return math.exp(nats_per_token)
    except OverflowError:
        return math.inf


def bits_per_byte(nats_per_token: float, tokens: int, text_bytes: int) -> float:
    """Loss in bits per UTF-8 byte, L · tokens / (ln 2 · bytes): comparable between tokenizers, as nats aren't.

    DataError for a text of no bytes.
    """
    if text_bytes < 1:
        raise DataError(f"bits per byte of a text of {text_bytes} bytes aren't defined; give one with at least one")
    return nats_per_token * tokens / (math.log(2) * text_bytes)


def masked_token_accuracy(logits: Any, targets: Any, ignored: int = -100) -> float:
    """The share of the masked tokens whose likeliest token is the right one.  [3.2.2-mlm]

    logits: (..., vocab_size), a tensor or an array; targets: (...) ids, `ignored` where a position doesn't count.
    Raises DataError for shapes that don't fit, or where no position counts.
    """
    logits, targets = np.asarray(getattr(logits, "numpy", lambda: logits)()), np.asarray(targets)
    if logits.shape[:-1] != targets.shape:
        raise DataError(
            f"logits of shape {logits.shape} need targets of shape {logits.shape[:-1]}; got {targets.shape}"
        )
    counted = targets != ignored
    if not counted.any():
        raise DataError(f"every target is {ignored}, which doesn't count; mask at least one token")
    return float((logits.argmax(axis=-1) == targets)[counted].mean())
