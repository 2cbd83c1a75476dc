"""Pointing at an answer against its formula, brute force and finite differences."""

import numpy as np
import pytest

from minillm.errors import ShapeError
from minillm.models import BERT, BERTConfig
from minillm.models.span import SpanPointer, best_span
from minillm.tensor import Tensor
from minillm.testing import gradcheck


def make(dtype: str = "float64") -> SpanPointer:
    encoder = BERT(BERTConfig(vocab_size=11, context_length=8, n_layer=1, n_head=2, d_model=8, dtype=dtype))
    del encoder.head
    return SpanPointer(encoder).eval()


RNG = np.random.default_rng(0)
IDS, SEGMENTS = RNG.integers(0, 11, (3, 8)), RNG.integers(0, 2, (3, 8))
MASK = np.arange(8) < np.array([[8], [5], [6]])
ALLOWED = MASK & (np.arange(8) != 1)
TARGETS = np.array([[2, 4], [0, 0], [3, 3]])


def test_scores_and_loss_are_those_of_the_formula():
    model = make()
    scores, loss = model(IDS, TARGETS, MASK, SEGMENTS, ALLOWED)
    vectors = model.encoder.features(IDS, MASK, SEGMENTS).numpy()
    raw = np.einsum("kd,btd->bkt", model.head.weight.numpy(), vectors) + model.head.bias.numpy()[:, None]
    kept = np.broadcast_to(ALLOWED[:, None], raw.shape)
    np.testing.assert_allclose(scores.numpy()[kept], raw[kept], rtol=0, atol=1e-12)
    assert (scores.numpy()[~kept] < -1e8).all()
    weights = np.exp(raw) * kept
    probabilities = weights / weights.sum(-1, keepdims=True)
    right = [probabilities[b, k, TARGETS[b, k]] for b in range(3) for k in range(2)]
    assert loss.item() == pytest.approx(-np.log(right).mean(), abs=1e-12)
    assert model.loss(IDS, TARGETS, MASK, SEGMENTS, ALLOWED).item() == loss.item()


def test_padding_is_not_pointed_at_where_nothing_is_said_about_it():
    scores, _ = make()(IDS, mask=MASK)
    assert ((scores.numpy() < -1e8) == ~MASK[:, None]).all()


def test_gradients_are_those_of_finite_differences():
    model = make()

    def loss(weight: Tensor) -> Tensor:
        model.head.weight = weight
        return model.loss(IDS, TARGETS, MASK, SEGMENTS, ALLOWED)

    gradcheck(loss, [model.head.weight.numpy().copy()])


def test_float32_stays_float32():
    scores, loss = make("float32")(IDS, TARGETS, MASK, SEGMENTS, ALLOWED)
    assert scores.dtype == loss.dtype == np.float32


def test_the_best_span_is_that_of_brute_force():
    for _ in range(50):
        scores, longest = RNG.normal(size=(2, 9)), int(RNG.integers(1, 10))
        spans = [(i, j) for i in range(9) for j in range(i, 9) if j < i + longest]
        i, j = max(spans, key=lambda span: scores[0, span[0]] + scores[1, span[1]])
        assert best_span(scores, longest) == (i, j, scores[0, i] + scores[1, j])


def test_what_is_refused():
    with pytest.raises(ShapeError, match=r"allowed has shape \(3, 7\), the ids \(3, 8\)"):
        make()(IDS, allowed=ALLOWED[:, 1:])
