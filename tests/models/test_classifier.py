"""Classifiers of texts and of tokens, on a BERT and on a GPT: pooling by hand, gradients, learning, refusals."""

import math

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor
from minillm.errors import ConfigError, ShapeError, TokenError
from minillm.models import BERT, GPT, BERTConfig, GPTConfig, SequenceClassifier, TokenClassifier, pooled
from minillm.nn import Module
from minillm.optim import AdamW
from minillm.testing import gradcheck
from tests.nn.checks import gradcheck_module, randomise

SIZES = {"vocab_size": 17, "context_length": 12, "n_layer": 2, "n_head": 2, "d_model": 16}
TINY = {"vocab_size": 5, "context_length": 3, "n_layer": 1, "n_head": 2, "d_model": 4, "d_ff": 6, "dtype": "float64"}
ENCODERS = {"bert": lambda **o: BERT(BERTConfig(**o)), "gpt": lambda **o: GPT(GPTConfig(**o))}
MAKERS = {
    "bert cls": lambda **o: SequenceClassifier(ENCODERS["bert"](**o), 3, "cls"),
    "bert mean": lambda **o: SequenceClassifier(ENCODERS["bert"](**o), 3, "mean"),
    "gpt last": lambda **o: SequenceClassifier(ENCODERS["gpt"](**o), 3, "last"),
    "gpt mean": lambda **o: SequenceClassifier(ENCODERS["gpt"](**o), 3, "mean"),
    "bert tokens": lambda **o: TokenClassifier(ENCODERS["bert"](**o), 3),
    "gpt tokens": lambda **o: TokenClassifier(ENCODERS["gpt"](**o), 3),
}
MASK = np.array([[True] * 6, [True] * 4 + [False] * 2, [False, True, True, True, True, False]])


def data(name, seed=1):
    """ids (3, 6), and targets: a class for each text, or for each real token."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 17, size=(3, 6))
    if "tokens" in name:
        return ids, np.where(MASK, rng.integers(0, 3, size=(3, 6)), -100)
    return ids, np.array([0, 2, 1])


# ---- pooling ----


def test_pooling_by_hand():
    x = np.random.default_rng(0).normal(size=(3, 6, 4))
    means = [x[0].mean(0), x[1, :4].mean(0), x[2, 1:5].mean(0)]
    np.testing.assert_allclose(pooled(Tensor(x), MASK, "mean").numpy(), means, rtol=1e-12)
    np.testing.assert_array_equal(pooled(Tensor(x), MASK, "last").numpy(), [x[0, 5], x[1, 3], x[2, 4]])
    np.testing.assert_array_equal(pooled(Tensor(x), MASK, "cls").numpy(), x[:, 0])
    np.testing.assert_allclose(pooled(Tensor(x), None, "mean").numpy(), x.mean(1), rtol=1e-12)
    np.testing.assert_array_equal(pooled(Tensor(x), None, "last").numpy(), x[:, -1])


@pytest.mark.parametrize("how", ["cls", "mean", "last"])
def test_gradients_of_pooling(how):
    gradcheck(lambda x: pooled(x, MASK, how), [np.random.default_rng(0).normal(size=(3, 6, 4))])


def test_pooling_what_cannot_be_pooled():
    x = Tensor(np.zeros((2, 3, 4)))
    with pytest.raises(ConfigError, match="pooling='max' must be one of cls, mean, last"):
        pooled(x, None, "max")
    with pytest.raises(ShapeError, match=r"a real token in every row; .* \[3, 0\] real tokens"):
        pooled(x, np.array([[True] * 3, [False] * 3]), "mean")
    with pytest.raises(ShapeError, match=r"mask of shape \(2, 3\)"):
        pooled(x, np.ones((3, 2), bool), "last")


# ---- the models ----


@pytest.mark.parametrize("name", MAKERS)
def test_padding_changes_nothing(name):
    model = randomise(MAKERS[name](**SIZES, dtype="float64"))
    ids, targets = data(name)
    mask = MASK | (np.arange(6) == 0) if name == "bert cls" else MASK  # "cls" needs its first token
    logits, loss = model(ids, targets, mask)
    other, other_loss = model(np.where(mask, ids, (ids + 3) % 17), targets, mask)
    real = mask if "tokens" in name else slice(None)
    np.testing.assert_allclose(other.numpy()[real], logits.numpy()[real], atol=1e-12)
    assert other_loss.item() == pytest.approx(loss.item(), rel=1e-12)
    alone, _ = model(ids[1:2, :4])
    row = logits.numpy()[1, :4] if "tokens" in name else logits.numpy()[1]
    np.testing.assert_allclose(alone.numpy()[0], row, atol=1e-12)
    assert model.loss(ids, targets, mask).item() == loss.item()


@pytest.mark.parametrize("name", MAKERS)
def test_logits_are_the_new_layer_s_on_the_encoder_s_features(name):
    model = randomise(MAKERS[name](**SIZES, dtype="float64"))
    ids, targets = data(name)
    features = model.encoder.features(ids).numpy()
    vectors = {"cls": features[:, 0], "mean": features.mean(1), "last": features[:, -1], "tokens": features}
    expected = vectors[name.split()[1]] @ model.head.weight.numpy().T + model.head.bias.numpy()
    logits, loss = model(ids, targets)
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-10)
    p = np.exp(expected) / np.exp(expected).sum(-1, keepdims=True)
    counted = targets != -100
    nll = -np.log(p[counted][np.arange(counted.sum()), targets[counted]])
    assert loss.item() == pytest.approx(nll.mean(), rel=1e-10)


class Loss(Module):
    def __init__(self, model):
        self.model = model

    def forward(self, *given):
        return self.model(*given)[1]


@pytest.mark.parametrize("name", MAKERS)
def test_gradients_of_the_whole_model(name):
    """But for the language model's own head, which isn't used, and gets none."""
    model = randomise(MAKERS[name](**TINY))
    model.encoder.head = None
    targets = np.array([[0, -100, 1], [2, 2, -100]]) if "tokens" in name else np.array([2, 0])
    mask = np.array([[True] * 3, [True, True, False]])
    gradcheck_module(Loss(model), np.array([[1, 2, 2], [0, 4, 2]]), targets, mask)


@pytest.mark.parametrize("name", MAKERS)
def test_it_starts_undecided_and_overfits_one_batch(name):
    ml.seed(5)
    model = MAKERS[name](**SIZES)
    ids, targets = data(name)
    first = model.loss(ids, targets, MASK).item()
    assert abs(first - math.log(3)) < 0.15
    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.loss(ids, targets, MASK)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    right = model(ids, mask=MASK)[0].numpy().argmax(-1) == targets
    assert right[targets != -100].all()


def test_the_encoder_s_own_weights_are_used_and_trained():
    encoder = ENCODERS["bert"](**SIZES)
    model = SequenceClassifier(encoder, 3, "mean")
    assert model.encoder is encoder
    ids, targets = data("bert mean")
    model.loss(ids, targets, MASK).backward()
    assert encoder.layers[0].attention.sublayer.query.weight.grad.any()
    assert encoder.head.bias.grad is None


def test_segments_reach_a_bert():
    model = randomise(MAKERS["bert mean"](**SIZES))
    ids, _ = data("bert mean")
    ones = model(ids, segments=np.ones_like(ids))[0].numpy()
    assert not np.allclose(ones, model(ids)[0].numpy())


def test_dropout_is_on_in_training_and_off_in_evaluation():
    ids, _ = data("bert mean")
    encoder = ENCODERS["bert"](**SIZES)
    for model in (SequenceClassifier(encoder, 3, "mean", dropout=0.5), TokenClassifier(encoder, 3, dropout=0.5)):
        assert not np.array_equal(model(ids)[0].numpy(), model(ids)[0].numpy())
        model.eval()
        np.testing.assert_array_equal(model(ids)[0].numpy(), model(ids)[0].numpy())
        model.train()


def test_what_makes_no_sense_is_refused():
    bert, gpt = (make(**SIZES) for make in ENCODERS.values())
    ids, _ = data("bert cls")
    with pytest.raises(ConfigError, match="the first token, which sees no other in a GPT"):
        SequenceClassifier(gpt, 3, "cls")
    with pytest.raises(ConfigError, match="pooling='max'"):
        SequenceClassifier(bert, 3, "max")
    with pytest.raises(ConfigError, match="n_class=1 must be at least 2"):
        TokenClassifier(bert, 1)
    with pytest.raises(ShapeError, match="a GPT has no segments"):
        TokenClassifier(gpt, 3)(ids, segments=np.zeros_like(ids))
    with pytest.raises(ShapeError, match=r"targets of shape \(3, 6\) .* need \(3,\)"):
        SequenceClassifier(bert, 3, "cls").loss(ids, ids)
    with pytest.raises(TokenError, match="target 3 at position"):
        SequenceClassifier(bert, 3, "cls").loss(ids, np.array([0, 3, 1]))
