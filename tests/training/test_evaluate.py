"""The validation loss: every token counted once, in any batch size."""

import numpy as np
import pytest

import minillm as ml
from minillm.errors import DataError
from minillm.models import GPT
from minillm.training.evaluate import evaluate
from tests.training import tiny


def test_the_loss_is_the_mean_of_minus_log_probabilities_without_dropout() -> None:
    """The oracle: -log softmax of the logits at the target, written out in float64."""
    ml.seed(1)
    model = GPT(tiny.MODEL)
    ids = np.random.default_rng(0).integers(tiny.VOCAB, size=20)
    losses = []
    model.eval()
    for start in range(0, 19, 6):
        stop = min(start + 6, 19)
        logits = model(ids[None, start:stop])[0].numpy()[0].astype(np.float64)
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses += [-logs[i, ids[start + i + 1]] for i in range(stop - start)]
    model.train()
    for batch in (1, 2, 7):
        loss = evaluate(model, ids, context_length=6, batch_size=batch)
        assert loss == pytest.approx(np.mean(losses), rel=1e-6)
    assert model.training


def test_an_interruption_gives_nothing_and_leaves_the_model_in_training() -> None:
    model = GPT(tiny.MODEL)
    asked = iter([False, True])
    assert evaluate(model, np.arange(40) % 11, context_length=6, batch_size=1, interrupted=lambda: next(asked)) is None
    assert model.training


def test_one_token_cant_be_evaluated() -> None:
    with pytest.raises(DataError, match="1 tokens, at least 2"):
        evaluate(GPT(tiny.MODEL), np.zeros(1, int), context_length=6, batch_size=1)
