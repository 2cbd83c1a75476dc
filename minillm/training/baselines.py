"""Losses to compare a model with: what guessing, counting tokens, and counting token groups reach on the same text."""

import math
from typing import Any

from minillm.models.ngram import NGram

ORDER = 5
MOST_TOKENS = 4_000_000  # counted: more would take memory that grows with the corpus, and change the loss little


def measure(train: Any, validation: Any, eval_tokens: int, floor_bits_per_byte: float | None) -> dict[str, float]:
    """Nats per token by name, on the part of the validation stream that evaluations use (all of it where 0).

    train, validation: `TokenStream`s. `floor_bits_per_byte`: the entropy of the text, where it is known; no model can
    be better, but for the luck of a finite text.
    """
    ids = validation.ids[: eval_tokens + 1] if eval_tokens else validation.ids
    counted = train.ids[:MOST_TOKENS]
    order = min(ORDER, len(counted))
    losses = {
        "uniform": math.log(train.vocab_size),
        "unigram": NGram.train(counted, train.vocab_size, order=1).evaluate(ids),
        f"{order}-gram": NGram.train(counted, train.vocab_size, order=order).evaluate(ids),
    }
    if floor_bits_per_byte is not None:
        losses["entropy of the text"] = floor_bits_per_byte * math.log(2) * validation.bytes / len(validation)
    return losses
