"""BERT against a twin made of torch's layers; and what must hold of any encoder: padding is nothing, all is seen."""

import math

import numpy as np
import pytest

import minillm as ml
from minillm.errors import ConfigError, ShapeError, TokenError
from minillm.models import BERT, BERTConfig
from minillm.nn import Dropout, Module
from minillm.optim import AdamW
from tests.nn.checks import gradcheck_module, randomise

SMALL = {"vocab_size": 17, "context_length": 12, "n_layer": 2, "n_head": 4, "d_model": 16}
STYLES = {
    "bert": {},
    "pre-norm": {"norm": "pre", "activation": "gelu_tanh", "d_ff": 24, "n_segment": 3},
    "rotary": {"position": "rotary"},
}
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


def make(style="bert", **options):
    """A small BERT whose weights are large enough for every part to matter."""
    ml.seed(0)
    model = BERT(BERTConfig(**{**SMALL, **STYLES[style], **options}))
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.mutable()[...] = rng.normal(size=p.shape) * 0.3 + (1 if p.ndim == 1 else 0)
    return model


def inputs(batch=3, time=12, seed=1):
    """ids, targets (a third of them), mask (the second row has 7 tokens) and segments, (batch, time) each."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 17, size=(batch, time))
    mask = np.ones((batch, time), bool)
    mask[1, 7:] = False
    targets = np.where((rng.random((batch, time)) < 0.3) & mask, rng.integers(0, 17, size=(batch, time)), -100)
    segments = (np.arange(time) > 4).astype(int) * np.ones((batch, 1), int)
    return ids, targets, mask, segments


# ---- the twin ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("style", STYLES)
def test_logits_loss_and_gradients_equal_torchs(style, dtype):
    torch = pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")
    from tests.oracles.torch_bert import twin_of

    model = make(style, dtype=dtype)
    twin = twin_of(model)
    given = inputs()
    logits, loss = model(*given)
    loss.backward()
    their_logits, their_loss = twin(*map(torch.from_numpy, given))
    their_loss.backward()

    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    assert logits.dtype == loss.dtype == dtype
    np.testing.assert_allclose(logits.numpy(), their_logits.detach().numpy(), **close)
    np.testing.assert_allclose(loss.item(), their_loss.item(), **close)
    theirs, ours = dict(twin.named_parameters()), dict(model.named_parameters())
    assert theirs.keys() == ours.keys()
    for name, p in ours.items():
        np.testing.assert_allclose(p.grad, theirs[name].grad.numpy(), err_msg=name, **close)


@pytest.mark.parametrize("style", STYLES)
def test_the_loss_of_the_masked_positions_alone_is_that_of_forward(style):
    given = inputs()
    results = []
    for loss_of in (lambda model: model(*given)[1], lambda model: model.loss(*given)):
        model = make(style, dtype="float64")
        loss = loss_of(model)
        loss.backward()
        results.append((loss.item(), {name: p.grad for name, p in model.named_parameters()}))
    (whole, whole_gradients), (masked, masked_gradients) = results
    assert masked == pytest.approx(whole, rel=1e-12)
    for name, gradient in whole_gradients.items():
        np.testing.assert_allclose(masked_gradients[name], gradient, atol=1e-12, err_msg=name)


def test_the_loss_scores_the_masked_positions_only(monkeypatch):
    model, given = make(), inputs()
    scored = []
    head = model.head.forward
    monkeypatch.setattr(model.head, "forward", lambda x: scored.append(x.shape) or head(x))
    model.loss(*given)
    assert scored == [((given[1] != -100).sum(), 16)]


class Loss(Module):
    """A BERT's mean cross-entropy alone."""

    def __init__(self, bert, method):
        self.bert, self.method = bert, method

    def forward(self, *given):
        return self.bert.loss(*given) if self.method == "loss" else self.bert(*given)[1]


@pytest.mark.parametrize("method", ["forward", "loss"])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_gradients_of_the_whole_model(norm, method):
    """Tied weights among them: their derivative is that of both uses together."""
    config = BERTConfig(
        vocab_size=5, context_length=3, n_layer=1, n_head=2, d_model=4, d_ff=6, norm=norm, dtype="float64"
    )
    ids, targets = np.array([[1, 2, 2], [0, 4, 2]]), np.array([[-100, 3, -100], [0, 1, -100]])
    mask, segments = np.array([[True] * 3, [True, True, False]]), np.array([[0, 1, 1], [0, 0, 0]])
    gradcheck_module(Loss(randomise(BERT(config)), method), ids, targets, mask, segments)


# ---- padding, places, segments ----


@pytest.mark.parametrize("style", STYLES)
def test_padding_changes_nothing_for_real_tokens(style):
    model = make(style)
    ids, targets, mask, segments = inputs()
    logits, loss = (t.numpy() for t in model(ids, targets, mask, segments))
    other = np.where(mask, ids, (ids + 3) % 17)  # other ids in the padding
    again, loss_again = (t.numpy() for t in model(other, targets, mask, segments))
    np.testing.assert_array_equal(again[mask], logits[mask])
    assert loss_again == loss
    alone = model(ids[1:2, :7], segments=segments[1:2, :7])[0].numpy()
    np.testing.assert_allclose(logits[1, :7], alone[0], rtol=0, atol=1e-6 * np.abs(alone).max())


def test_every_token_sees_every_other():
    model, (ids, _, _, _) = make(), inputs()
    before = model.features(ids).numpy()
    for t in range(12):
        changed = ids.copy()
        changed[:, t] = (changed[:, t] + 1) % 17
        assert (model.features(changed).numpy() != before).any(axis=(0, 2)).all()


def test_without_positions_a_shuffled_text_gives_the_same_vectors_shuffled():
    """Order is in the position embedding alone (Vaswani et al. 2017, section 3.5)."""
    model, (ids, _, _, _) = make(dtype="float64"), inputs()
    order = np.random.default_rng(2).permutation(12)
    assert not np.allclose(model.features(ids[:, order]).numpy(), model.features(ids).numpy()[:, order])
    model.positions.embedding.weight.mutable()[...] = 0
    shuffled = model.features(ids[:, order]).numpy()
    np.testing.assert_allclose(shuffled, model.features(ids).numpy()[:, order], atol=1e-12)


def test_segments_are_0_where_none_are_given():
    model, (ids, _, _, segments) = make(), inputs()
    zeros = model.features(ids, segments=np.zeros_like(ids)).numpy()
    np.testing.assert_array_equal(model.features(ids).numpy(), zeros)
    assert not np.array_equal(model.features(ids, segments=segments).numpy(), zeros)


# ---- the start, and learning ----


def test_a_fresh_bert_predicts_every_token_alike():
    ml.seed(3)
    model = BERT(BERTConfig(vocab_size=500, context_length=32, d_model=64))
    ids = np.random.default_rng(0).integers(0, 500, size=(8, 32))
    assert abs(model.loss(ids, ids).item() - math.log(500)) < 0.05
    for name, array in model.state_dict().items():
        if array.ndim == 2 and array.size > 1000:
            assert array.std() == pytest.approx(0.02, rel=0.05), name
        elif array.ndim == 1:
            assert (array == (1 if "norm.weight" in name else 0)).all(), name


def test_the_number_of_parameters_is_bert_base_s():
    """110 million in the paper: 109,514,298 without the pooler, by the formula (no such model is built here)."""

    def formula(vocabulary, context, layers, d):
        embeddings = (vocabulary + context + 2) * d + 2 * d
        head = d * d + d + 2 * d + vocabulary
        return embeddings + layers * (12 * d * d + 13 * d) + head

    assert formula(30522, 512, 12, 768) == 109_514_298
    model = BERT(BERTConfig(vocab_size=29, context_length=10, n_layer=3, n_head=2, d_model=24))
    assert model.num_parameters() == formula(29, 10, 3, 24)


@pytest.mark.parametrize("style", STYLES)
def test_it_overfits_one_batch(style):
    ml.seed(5)
    model = BERT(BERTConfig(**{**SMALL, **STYLES[style]}))
    ids, targets, mask, segments = inputs()
    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    for _ in range(100):
        optimizer.zero_grad()
        loss = model.loss(ids, targets, mask, segments)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_dropout_is_on_in_training_and_off_in_evaluation():
    ids = inputs()[0]
    model = make(dropout=0.5)
    assert not np.array_equal(model(ids)[0].numpy(), model(ids)[0].numpy())
    np.testing.assert_array_equal(model.eval()(ids)[0].numpy(), make()(ids)[0].numpy())


def test_dropout_reaches_the_attention_weights_too():
    model, ids = make(dropout=0.5), inputs()[0]
    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = 0.0
    assert not np.array_equal(model(ids)[0].numpy(), model(ids)[0].numpy())


def test_a_step_in_float32_has_no_float64_array():
    model, given = make(dropout=0.1), inputs()
    loss = model.loss(*given)
    loss.backward()
    assert loss.dtype == np.float32
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype("float32")}


def test_bfloat16_is_close_to_float32():
    ids = inputs()[0]
    exact, rounded = make().features(ids).numpy(), make(dtype="bfloat16").features(ids).numpy()
    assert 0 < np.abs(rounded - exact).max() < 0.1


def test_the_loss_without_a_target_is_0():
    model, (ids, targets, _, _) = make(), inputs()
    loss = model.loss(ids, np.full_like(targets, -100))
    loss.backward()
    assert loss.item() == 0
    assert not any(p.grad.any() for p in model.parameters() if p.grad is not None)


# ---- refusals ----


def test_inputs_it_cannot_take_are_named():
    model, ids = make(), np.zeros((1, 3), int)
    with pytest.raises(ShapeError, match="13 tokens are more than the context of 12"):
        model(np.zeros((1, 13), int))
    with pytest.raises(ShapeError, match=r"at least one token; got shape \(5,\)"):
        model(np.zeros(5, int))
    with pytest.raises(ShapeError, match=r"got shape \(1, 0\)"):
        model(np.zeros((1, 0), int))
    with pytest.raises(TokenError, match=r"token id 17 at position \(0, 1\)"):
        model(np.array([[3, 17]]))
    for segments, wrong in ((ids + 2, 2), (ids - 1, -1)):
        with pytest.raises(TokenError, match=f"segment {wrong} .* from 0 to 1 .*n_segment=2"):
            model(ids, segments=segments)
    with pytest.raises(ShapeError, match=r"segments of shape \(3,\) must have that of the ids, \(1, 3\)"):
        model(ids, segments=np.zeros(3, int))
    for mask in (np.ones((1, 3)), np.ones((1, 1, 1, 3), bool)):
        with pytest.raises(ShapeError, match=r"booleans of the ids' shape \(1, 3\)"):
            model(ids, mask=mask)
    with pytest.raises(ShapeError, match=r"targets of shape \(1, 2\)"):
        model(ids, ids[:, :2])
    with pytest.raises(ShapeError, match=r"targets of shape \(1, 2\)"):
        model.loss(ids, ids[:, :2])
    with pytest.raises(TokenError, match="target 99"):
        model.loss(ids, ids + 99)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_segment": 0}, "n_segment=0 must be at least 1"),
        ({"d_ff": 0}, "d_ff=0 must be at least 1"),
        ({"d_ff": -1}, "d_ff=-1 must be at least 1"),
        ({"position": "rotary", "d_model": 12}, "rotary.* d_model / n_head = 12 / 4 must be even"),
        ({"d_model": 30}, "d_model=30 must be a multiple of n_head=4"),
        ({"activation": "swiglu"}, "'swiglu' must be one of gelu, gelu_tanh, relu, silu"),
        ({"norm": "mid"}, "norm='mid' must be one of pre, post"),
        ({"dtype": "int8"}, "'int8' must be one of float32, bfloat16, float64"),
        ({"dropout": 1.0}, r"dropout=1\.0"),
    ],
    ids=str,
)
def test_a_shape_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        BERT(BERTConfig(**{**SMALL, **options}))
