"""Perplexity, bits per byte and masked accuracy by closed forms."""

import math

import numpy as np
import pytest

from minillm.errors import DataError
from minillm.metrics import bits_per_byte, masked_token_accuracy, perplexity
from minillm.models import NGram
from minillm.tensor import Tensor


def test_guessing_among_n_tokens_has_perplexity_n():
    assert perplexity(NGram.uniform(65).evaluate(np.arange(65))) == pytest.approx(65)
    assert perplexity(0.71356) == pytest.approx(2.04124, abs=1e-5)  # a worked example: mean of -ln .4 and -ln .6
    assert perplexity(1e6) == perplexity(math.inf) == math.inf


def test_bits_per_byte_by_hand():
    # 3 tokens of ln 4 nats each are 6 bits, spread over 12 bytes.
    assert bits_per_byte(math.log(4), 3, 12) == pytest.approx(0.5)


def test_bits_per_byte_do_not_depend_on_how_text_is_cut():
    text = "学而时习之" * 20
    data = np.frombuffer(text.encode(), np.uint8).astype(int)
    halves = data.reshape(-1, 2) @ [256, 1]
    as_bytes = bits_per_byte(NGram.uniform(256).evaluate(data), len(data), len(data))
    as_pairs = bits_per_byte(NGram.uniform(256**2).evaluate(halves), len(halves), len(data))
    assert as_bytes == pytest.approx(as_pairs) == pytest.approx(8)


def test_only_masked_tokens_count():
    logits = np.zeros((1, 4, 3))
    logits[0, [0, 1, 2, 3], [2, 1, 0, 0]] = 1
    targets = np.array([[2, -100, 1, 0]])
    assert masked_token_accuracy(logits, targets) == pytest.approx(2 / 3)
    assert masked_token_accuracy(Tensor(logits), targets) == pytest.approx(2 / 3)
    assert masked_token_accuracy(logits, [[2, 1, 1, 1]], ignored=1) == 1


def test_bad_input_is_named():
    with pytest.raises(DataError, match=r"need targets of shape \(1, 4\); got \(4,\)"):
        masked_token_accuracy(np.zeros((1, 4, 3)), np.zeros(4, int))
    with pytest.raises(DataError, match="text of 0 bytes"):
        bits_per_byte(1.0, 0, 0)
    with pytest.raises(DataError, match="every target is -100"):
        masked_token_accuracy(np.zeros((2, 3)), np.array([-100, -100]))
