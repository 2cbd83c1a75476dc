"""GPT against a twin made of torch's layers; and what must hold of any causal model: no leaks, clear refusals."""

import math

import numpy as np
import pytest

import minillm as ml
from minillm.errors import ConfigError, ShapeError, TokenError
from minillm.models import GPT, GPTConfig
from minillm.optim import AdamW

SMALL = {"vocab_size": 17, "context_length": 12, "n_layer": 2, "n_head": 4, "d_model": 16}
STYLES = {
    "gpt2": {},
    "post-norm": {"norm": "post", "position": "sinusoidal", "activation": "relu", "tie_weights": False},
    "rms-rotary-swiglu-grouped": {
        "normalization": "rms_norm",
        "position": "rotary",
        "activation": "swiglu",
        "n_kv_head": 2,
        "d_ff": 24,
        "bias": False,
    },
}
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


def make(style="gpt2", **options):
    """A small GPT whose weights are large enough for every part to matter."""
    ml.seed(0)
    model = GPT(GPTConfig(**SMALL, **STYLES[style], **options))
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.mutable()[...] = rng.normal(size=p.shape) * 0.3 + (1 if p.ndim == 1 else 0)
    return model


def tokens(batch=3, time=12, seed=1):
    rng = np.random.default_rng(seed)
    ids, targets = rng.integers(0, 17, size=(2, batch, time))
    targets[0, :3] = -100
    return ids, targets


# ---- the twin ----


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")


@pytest.mark.formula("3.2.2-clm")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("style", STYLES)
def test_logits_loss_and_gradients_equal_torchs(torch, style, dtype):
    from tests.oracles.torch_gpt import twin_of

    model = make(style, dtype=dtype)
    twin = twin_of(model)
    ids, targets = tokens()
    logits, loss = model(ids, targets)
    loss.backward()
    their_logits, their_loss = twin(torch.from_numpy(ids), torch.from_numpy(targets))
    their_loss.backward()

    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    assert logits.dtype == loss.dtype == dtype
    np.testing.assert_allclose(logits.numpy(), their_logits.detach().numpy(), **close)
    np.testing.assert_allclose(loss.item(), their_loss.item(), **close)
    theirs = dict(twin.named_parameters())
    ours = dict(model.named_parameters())
    assert theirs.keys() == ours.keys()
    for name, p in ours.items():
        np.testing.assert_allclose(p.grad, theirs[name].grad.numpy(), err_msg=name, **close)


@pytest.mark.parametrize("style", STYLES)
def test_ten_steps_of_adamw_stay_together_with_torchs(torch, style):
    from tests.oracles.torch_gpt import twin_of

    model = make(style, dtype="float64")
    twin = twin_of(model)
    decayed, rest = ([p for p in twin.parameters() if (p.ndim >= 2) == matrix] for matrix in (True, False))
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))
    ours = AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.1)
    losses = []
    for step in range(10):
        ids, targets = tokens(seed=step)
        _, loss = model(ids, targets)
        _, their_loss = twin(torch.from_numpy(ids), torch.from_numpy(targets))
        for each, optimizer in ((loss, ours), (their_loss, theirs)):
            optimizer.zero_grad()
            each.backward()
            optimizer.step()
        np.testing.assert_allclose(loss.item(), their_loss.item(), rtol=1e-8)
        losses.append(loss.item())
    for name, p in model.named_parameters():
        theirs_now = twin.get_parameter(name).detach().numpy()
        np.testing.assert_allclose(p.numpy(), theirs_now, rtol=1e-8, atol=1e-8, err_msg=name)
    assert len(set(losses)) == 10


# ---- causality and padding ----


@pytest.mark.parametrize("style", STYLES)
def test_the_logits_before_a_changed_token_are_exactly_the_same(style):
    model, (ids, _) = make(style), tokens()
    before = model(ids)[0].numpy()
    for t in range(12):
        changed = ids.copy()
        changed[:, t] = (changed[:, t] + 1) % 17
        after = model(changed)[0].numpy()
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert (after[:, t:] != before[:, t:]).any(axis=(0, 2)).all()  # and every later position sees it


@pytest.mark.parametrize("style", STYLES)
def test_padding_changes_nothing_for_real_tokens(style):
    """Padding in front, where the causal mask alone wouldn't hide it."""
    model, (ids, targets) = make(style, dtype="float64"), tokens()
    mask = np.ones((3, 1, 1, 12), bool)
    mask[1, ..., :5] = False
    targets[1, :5] = -100
    logits, loss = model(ids, targets, mask=mask)
    other = ids.copy()
    other[1, :5] = (ids[1, :5] + 3) % 17
    logits_2, loss_2 = model(other, targets, mask=mask)
    np.testing.assert_array_equal(logits_2.numpy()[1, 5:], logits.numpy()[1, 5:])
    np.testing.assert_array_equal(logits_2.numpy()[[0, 2]], logits.numpy()[[0, 2]])
    assert loss.item() == loss_2.item()
    behind = np.ones((3, 1, 1, 12), bool)
    behind[..., 8:] = False
    short, _ = model(ids[:, :8])
    np.testing.assert_allclose(model(ids, mask=behind)[0].numpy()[:, :8], short.numpy(), rtol=1e-12, atol=1e-12)


# ---- the start ----


def test_a_fresh_gpt_predicts_every_token_alike():
    """With weights of 0.02 the first loss is that of the uniform distribution, ln(vocab_size)."""
    ml.seed(3)
    config = GPTConfig(vocab_size=500, context_length=32, d_model=64)
    ids = np.random.default_rng(0).integers(0, 500, size=(8, 33))
    loss = GPT(config)(ids[:, :-1], ids[:, 1:])[1].item()
    assert abs(loss - math.log(500)) < 0.05


def test_matrices_start_with_gpt2s_spread():
    ml.seed(4)
    state = GPT(GPTConfig(n_layer=8, d_model=128)).state_dict()
    for name, array in state.items():
        ends_a_branch = "attention.sublayer.output" in name or "feed_forward.sublayer.down" in name
        if array.ndim == 2:
            assert array.std() == pytest.approx(0.02 / math.sqrt(16) if ends_a_branch else 0.02, rel=0.05), name
        else:
            assert (array == (1 if "norm.weight" in name else 0)).all(), name


def test_the_number_of_parameters_is_gpt2s():
    """124,439,808 for GPT-2 small, by its formula (no such model is built here)."""

    def formula(vocabulary, context, layers, d):
        return (vocabulary + context) * d + layers * (12 * d * d + 13 * d) + 2 * d

    assert formula(50257, 1024, 12, 768) == 124_439_808
    model = GPT(GPTConfig(vocab_size=29, context_length=10, n_layer=3, n_head=2, d_model=24))
    assert model.num_parameters() == formula(29, 10, 3, 24)
    untied = GPT(GPTConfig(vocab_size=29, context_length=10, n_layer=3, n_head=2, d_model=24, tie_weights=False))
    assert untied.num_parameters() == formula(29, 10, 3, 24) + 29 * 24


# ---- learning ----


@pytest.mark.parametrize("style", STYLES)
def test_it_overfits_one_batch(style):
    ml.seed(5)
    model = GPT(GPTConfig(**SMALL, **STYLES[style]))
    ids = np.random.default_rng(2).integers(0, 17, size=(2, 13))
    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    for _ in range(150):
        _, loss = model(ids[:, :-1], ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_the_same_seed_trains_bit_identically():
    def fifty_steps():
        ml.seed(6)
        model = GPT(GPTConfig(**SMALL, dropout=0.2))
        optimizer = AdamW(model.parameters(), lr=1e-2)
        for step in range(50):
            ids, targets = tokens(seed=step)
            optimizer.zero_grad()
            model(ids, targets)[1].backward()
            optimizer.step()
        return model.state_dict()

    first, second = fifty_steps(), fifty_steps()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_dropout_is_on_in_training_and_off_in_evaluation():
    ids, _ = tokens()
    model = make(dropout=0.5)
    assert not np.array_equal(model(ids)[0].numpy(), model(ids)[0].numpy())
    evaluated = model.eval()(ids)[0].numpy()
    np.testing.assert_array_equal(evaluated, make()(ids)[0].numpy())
    assert not np.array_equal(model.train()(ids)[0].numpy(), evaluated)


# ---- refusals ----


def test_ids_it_cannot_take_are_named():
    model = make()
    with pytest.raises(ShapeError, match="13 tokens are more than the context of 12"):
        model(np.zeros((1, 13), int))
    with pytest.raises(ShapeError, match=r"\(batch, time\); got shape \(5,\)"):
        model(np.zeros(5, int))
    with pytest.raises(ShapeError, match="at least one token"):
        model(np.zeros((1, 0), int))
    with pytest.raises(TokenError, match=r"token id 17 at position \(0, 1\) is outside the vocabulary of 17"):
        model(np.array([[3, 17]]))
    with pytest.raises(TokenError, match="whole numbers"):
        model(np.zeros((1, 3)))
    with pytest.raises(ShapeError, match=r"targets of shape \(1, 2\)"):
        model(np.zeros((1, 3), int), np.zeros((1, 2), int))
    with pytest.raises(TokenError, match=r"target 99 at position \(0, 2\)"):
        model(np.zeros((1, 3), int), np.array([[1, 2, 99]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_layer": 0}, "n_layer=0 must be at least 1"),
        ({"d_model": 30}, "d_model=30 must be a multiple of n_head=4"),
        ({"n_kv_head": 3}, "n_kv_head=3"),
        ({"n_kv_head": 0}, "n_kv_head=0 must be at least 1"),
        ({"d_ff": 0}, "d_ff=0 must be at least 1"),
        ({"position": "rotary", "d_model": 12}, "rotary.* d_model / n_head = 12 / 4 must be even"),
        ({"position": "absolute"}, "'absolute' must be one of learned, sinusoidal, rotary"),
        ({"normalization": "batch"}, "'batch' must be one of layer_norm, rms_norm"),
        ({"norm": "mid"}, "norm='mid' must be one of pre, post"),
        ({"activation": "step"}, "activation='step' must be one of"),
        ({"dtype": "int8"}, "'int8' must be one of float32, bfloat16, float64"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
    ids=str,
)
def test_a_shape_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        GPT(GPTConfig(**options))
