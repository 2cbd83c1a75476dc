"""The losses a model is compared with."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from minillm.training.baselines import measure


def stream(ids: np.ndarray) -> SimpleNamespace:
    class Stream(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.ids)

    return Stream(ids=ids, vocab_size=8, bytes=2 * len(ids))


def test_baselines_of_a_text_whose_losses_are_known() -> None:
    """Independent draws from (1/2, 1/4, 1/4): neither context nor order helps, so all but uniform meet the entropy."""
    ids = np.random.default_rng(0).choice(3, size=60_000, p=[0.5, 0.25, 0.25]).astype(np.uint16)
    losses = measure(stream(ids[:50_000]), stream(ids[50_000:]), 0, 0.75)
    entropy = 1.5 * math.log(2)
    assert losses["uniform"] == pytest.approx(math.log(8))
    assert losses["unigram"] == pytest.approx(entropy, rel=0.01)
    assert losses["5-gram"] == pytest.approx(entropy, rel=0.02)
    assert losses["entropy of the text"] == pytest.approx(entropy)  # 0.75 bits a byte, two bytes a token


def test_only_the_evaluated_part_is_measured_and_an_unknown_entropy_left_out() -> None:
    ids = np.concatenate([np.zeros(500), np.ones(500)]).astype(np.uint16)
    first, both = (measure(stream(ids), stream(ids), tokens, None) for tokens in (400, 0))
    assert first["5-gram"] < both["5-gram"]
    assert "entropy of the text" not in first
