"""Twenty updates of every model: the losses and weights are torch's, and on every backend the reference's."""

import numpy as np
import pytest

import minillm as ml
from minillm.backend import BACKENDS, use_backend
from minillm.models import BERT, GPT, BERTConfig, GPTConfig, Seq2Seq, Seq2SeqConfig, teacher_forcing
from minillm.optim import AdamW

SHAPE = {"vocab_size": 17, "d_model": 16, "n_head": 4, "dropout": 0.0}
STEPS = 20


def gpt(dtype):
    return GPT(GPTConfig(**SHAPE, context_length=12, n_layer=2, dtype=dtype))


def modern_gpt(dtype):
    style = {"normalization": "rms_norm", "position": "rotary", "activation": "swiglu", "n_kv_head": 2, "bias": False}
    return GPT(GPTConfig(**SHAPE, **style, context_length=12, n_layer=2, dtype=dtype))


def bert(dtype):
    return BERT(BERTConfig(**SHAPE, context_length=12, n_layer=2, dtype=dtype))


def seq2seq(dtype, **options):
    shape = {**SHAPE, "context_length": 12, "n_encoder_layer": 2, "n_decoder_layer": 2}
    return Seq2Seq(Seq2SeqConfig(**shape, label_smoothing=0.1, dtype=dtype, **options))


def copying(dtype):
    return seq2seq(dtype, copying=True)


MODELS = {"gpt": gpt, "modern gpt": modern_gpt, "bert": bert, "seq2seq": seq2seq, "copying": copying}


def made(name, dtype):
    """The model with weights large enough for every part to matter."""
    ml.seed(0)
    model = MODELS[name](dtype)
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.assign((rng.normal(size=p.shape) * 0.3 + (1 if p.ndim == 1 else 0)).astype(p.dtype))
    return model


def arrays(model, step):
    """A batch, another one each step, with padding."""
    rng = np.random.default_rng(step)
    if isinstance(model, Seq2Seq):
        source, target = (rng.integers(3, 17, (3, time)) for time in (9, 7))
        for ids in (source, target):
            ids[1, 5:] = 0
        return source, *teacher_forcing(target, model.config)
    ids, targets = rng.integers(0, 17, (2, 3, 12))
    if isinstance(model, BERT):
        mask = np.ones(ids.shape, bool)
        mask[1, 7:] = False
        segments = (np.arange(12) > 5).astype(int) * np.ones_like(ids)
        return ids, np.where((rng.random(ids.shape) < 0.5) & mask, targets, -100), mask, segments
    targets[1, 7:] = -100
    return ids, targets


def twin(name, model):
    """The same model in torch, with the same weights."""
    pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")
    from tests.oracles import torch_bert, torch_gpt, torch_seq2seq

    return {"bert": torch_bert, "seq2seq": torch_seq2seq, "copying": torch_seq2seq}.get(name, torch_gpt).twin_of(model)


def optimizer(model):
    return AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)


def losses(model):
    """Of twenty updates."""
    own, found = optimizer(model), []
    for step in range(STEPS):
        own.zero_grad()
        loss = model(*arrays(model, step))[1]
        loss.backward()
        own.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("name", MODELS)
def test_losses_and_weights_are_torchs(name):
    torch = pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")
    model = made(name, "float64")
    theirs = twin(name, model)
    decayed, rest = ([p for p in theirs.parameters() if (p.ndim >= 2) == matrix] for matrix in (True, False))
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    their_optimizer, expected = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95)), []
    for step in range(STEPS):
        their_optimizer.zero_grad()
        loss = theirs(*map(torch.from_numpy, arrays(model, step)))[1]
        loss.backward()
        their_optimizer.step()
        expected.append(loss.item())
    np.testing.assert_allclose(losses(model), expected, rtol=1e-8)
    assert len(set(expected)) == STEPS
    for parameter, p in model.named_parameters():
        np.testing.assert_allclose(p.numpy(), theirs.get_parameter(parameter).detach().numpy(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("backend", ["numpy", *sorted(BACKENDS.keys() & {"native"})])
@pytest.mark.parametrize("name", MODELS)
def test_losses_in_float32_are_those_in_float64_on_every_backend(name, backend):
    exact = losses(made(name, "float64"))
    with use_backend(backend):
        np.testing.assert_allclose(losses(made(name, "float32")), exact, rtol=1e-4)
