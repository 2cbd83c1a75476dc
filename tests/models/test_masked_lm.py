"""Pseudo-perplexity against the same, computed position by position from the logits."""

import math

import numpy as np
import pytest

from minillm.errors import DataError, ShapeError
from minillm.models import BERT, BERTConfig, pseudo_perplexity
from tests.nn.checks import randomise

CLS, SEP, MASK = 0, 1, 2
IDS = np.array([CLS, 5, 9, 3, 5, 16, 7, SEP])


@pytest.fixture
def model():
    return randomise(BERT(BERTConfig(17, 12, n_layer=1, n_head=2, d_model=8, dropout=0.3, dtype="float64")))


def probabilities(model, ids):
    logits = model.eval()(ids)[0].numpy()
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


@pytest.mark.formula("3.2.2-mlm")
@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_pseudo_perplexity_masks_each_token_in_turn(model, batch_size):
    expected = 0.0
    for t in range(1, 7):
        masked = IDS.copy()
        masked[t] = MASK
        expected -= math.log(probabilities(model, masked[None])[0, t, IDS[t]])
    model.train()
    value = pseudo_perplexity(model, IDS, MASK, {CLS, SEP}, batch_size)
    assert value == pytest.approx(math.exp(expected / 6), rel=1e-10)


def test_a_model_that_knows_nothing_has_the_vocabulary_s_size():
    model = BERT(BERTConfig(17, 12, n_layer=1, n_head=2, d_model=8))
    model.token_embedding.weight.mutable()[...] = 0
    assert pseudo_perplexity(model, IDS, MASK) == pytest.approx(17, rel=1e-5)


def test_nothing_to_score_is_refused(model):
    with pytest.raises(DataError, match="all 2 are special"):
        pseudo_perplexity(model, [CLS, SEP], MASK, {CLS, SEP})
    with pytest.raises(ShapeError, match=r"one text, \(time,\) ids; got shape \(1, 8\)"):
        pseudo_perplexity(model, IDS[None], MASK)
