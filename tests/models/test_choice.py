"""The scorer of options against its formula, options that aren't there, and finite differences."""

import numpy as np
import pytest

from minillm.errors import ConfigError, ShapeError
from minillm.models import BERT, BERTConfig
from minillm.models.choice import ChoiceScorer
from minillm.tensor import Tensor
from minillm.testing import gradcheck


def make(pooling: str = "mean", dtype: str = "float64") -> ChoiceScorer:
    config = BERTConfig(vocab_size=11, context_length=6, n_layer=1, n_head=2, d_model=8, dtype=dtype)
    encoder = BERT(config)
    del encoder.head
    return ChoiceScorer(encoder, pooling).eval()


RNG = np.random.default_rng(0)
IDS, SEGMENTS = RNG.integers(0, 11, (3, 4, 6)), RNG.integers(0, 2, (3, 4, 6))
MASK = np.arange(6) < RNG.integers(1, 7, (3, 4, 1))
TARGETS = np.array([2, 0, 1])


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_scores_and_loss_are_those_of_the_formula(pooling):
    model = make(pooling)
    scores, loss = model(IDS, TARGETS, MASK, SEGMENTS)
    expected = np.zeros((3, 4))
    for place in np.ndindex(3, 4):
        n = int(MASK[place].sum())
        vectors = model.encoder.features(IDS[place][None, :n], None, SEGMENTS[place][None, :n]).numpy()[0]
        vector = vectors[0] if pooling == "cls" else vectors.mean(0)
        expected[place] = model.head.weight.numpy()[0] @ vector + model.head.bias.numpy()[0]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=0, atol=1e-12)
    probabilities = np.exp(expected) / np.exp(expected).sum(1, keepdims=True)
    assert loss.item() == pytest.approx(-np.log(probabilities[range(3), TARGETS]).mean(), abs=1e-12)
    assert model.loss(IDS, TARGETS, MASK, SEGMENTS).item() == loss.item()


def test_an_option_that_isnt_there_changes_neither_loss_nor_gradient():
    model, mask = make(), MASK.copy()
    mask[:, 3] = False
    results = []
    for last in (3, 4):
        for p in model.parameters():
            p.grad = None
        loss = model.loss(IDS[:, :last], TARGETS, mask[:, :last], SEGMENTS[:, :last])
        loss.backward()
        results.append((loss.item(), [p.grad for p in model.parameters()]))
    assert results[0][0] == results[1][0]
    for one, other in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-14)
    assert (model(IDS, mask=mask)[0].numpy()[:, 3] == -1e9).all()


def test_gradients_are_those_of_finite_differences():
    model = make()
    mask = MASK.copy()
    mask[1, 3] = False

    def loss(weight: Tensor) -> Tensor:
        model.head.weight = weight
        return model.loss(IDS, TARGETS, mask, SEGMENTS)

    gradcheck(loss, [model.head.weight.numpy().copy()])


def test_float32_stays_float32():
    scores, loss = make(dtype="float32")(IDS, TARGETS, MASK, SEGMENTS)
    assert scores.dtype == loss.dtype == np.float32


def test_what_is_refused():
    with pytest.raises(ShapeError, match=r"must be \(batch, options, time\); got shape \(4, 6\)"):
        make()(IDS[0])
    with pytest.raises(ConfigError, match="pooling='first' must be one of"):
        make("first")
