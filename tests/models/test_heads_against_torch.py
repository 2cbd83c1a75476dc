"""Classifiers, the span pointer and the choice scorer, on a BERT and on a GPT, against twins made of torch's layers."""

import numpy as np
import pytest

from minillm.models import BERT, GPT, BERTConfig, GPTConfig, SequenceClassifier, TokenClassifier
from minillm.models.choice import ChoiceScorer
from minillm.models.span import SpanPointer
from tests.nn.checks import randomise

SIZES = {"vocab_size": 17, "context_length": 12, "n_layer": 2, "n_head": 2, "d_model": 16}
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
MASK = np.arange(6) < np.array([[6], [4], [1]])  # real tokens of three texts


def bert(dtype):
    encoder = BERT(BERTConfig(**SIZES, dtype=dtype))
    del encoder.head
    return encoder


def gpt(dtype):
    return GPT(GPTConfig(**SIZES, dtype=dtype))


HEADS = {
    "bert cls": lambda dtype: SequenceClassifier(bert(dtype), 3, "cls"),
    "bert mean": lambda dtype: SequenceClassifier(bert(dtype), 3, "mean"),
    "gpt last": lambda dtype: SequenceClassifier(gpt(dtype), 3, "last"),
    "gpt mean": lambda dtype: SequenceClassifier(gpt(dtype), 3, "mean"),
    "bert tokens": lambda dtype: TokenClassifier(bert(dtype), 3),
    "gpt tokens": lambda dtype: TokenClassifier(gpt(dtype), 3),
    "span": lambda dtype: SpanPointer(bert(dtype)),
    "choice cls": lambda dtype: ChoiceScorer(bert(dtype), "cls"),
    "choice mean": lambda dtype: ChoiceScorer(bert(dtype), "mean"),
}


def data(name):
    """ids, targets and mask; of a choice, two options for each of three questions."""
    rng = np.random.default_rng(1)
    if "choice" in name:
        return rng.integers(0, 17, size=(3, 2, 6)), np.array([0, 1, 0]), np.stack([MASK, MASK[::-1]], 1)
    targets = {"tokens": np.where(MASK, rng.integers(0, 3, size=(3, 6)), -100), "span": [[0, 5], [2, 3], [0, 0]]}
    kind = name.split()[-1]
    return rng.integers(0, 17, size=(3, 6)), np.array(targets.get(kind, [0, 2, 1])), MASK


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", HEADS)
def test_logits_loss_and_gradients_equal_torchs(name, dtype):
    torch = pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")
    from tests.oracles.torch_heads import twin_of

    model = randomise(HEADS[name](dtype))
    twin = twin_of(model)
    ids, targets, mask = data(name)
    logits, loss = model(ids, targets, mask)
    loss.backward()
    their_logits, their_loss = twin(*map(torch.from_numpy, (ids, targets, mask)))
    their_loss.backward()

    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    assert logits.dtype == loss.dtype == dtype
    real = {"tokens": mask, "span": np.stack([mask, mask], 1)}.get(name.split()[-1], slice(None))  # -1e9 for -inf
    np.testing.assert_allclose(logits.numpy()[real], their_logits.detach().numpy()[real], **close)
    np.testing.assert_allclose(loss.item(), their_loss.item(), **close)
    theirs, ours = dict(twin.named_parameters()), dict(model.named_parameters())
    assert theirs.keys() == ours.keys()
    for parameter, p in ours.items():
        if p.grad is None:  # of a GPT's output head, which isn't asked
            assert theirs[parameter].grad is None
            continue
        np.testing.assert_allclose(p.grad, theirs[parameter].grad.numpy(), err_msg=parameter, **close)
