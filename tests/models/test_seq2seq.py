"""The encoder-decoder against a twin made of torch's layers; and what must hold of padding, time and learning."""

import math

import numpy as np
import pytest

import minillm as ml
from minillm.errors import ConfigError, ShapeError, TokenError
from minillm.models import Seq2Seq, Seq2SeqConfig, teacher_forcing
from minillm.nn import Module, quantize, smoothed_cross_entropy
from minillm.optim import AdamW
from minillm.tensor import Tensor
from tests.models.seq2seq_data import END, PAD, SMALL, START, STYLES, make, sentences
from tests.nn.checks import gradcheck_module, randomise

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


def batch(model, source_lengths=(9, 4, 7), target_lengths=(5, 8, 1), seed=1):
    """Source, inputs and targets with uneven padding on both sides."""
    source = sentences(source_lengths, model.config.source_size, seed)
    return source, *teacher_forcing(sentences(target_lengths, seed=seed + 1, end=True), model.config)


# ---- the twin ----


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("style", STYLES)
def test_logits_loss_and_gradients_equal_torchs(torch, style, dtype):
    from tests.oracles.torch_seq2seq import twin_of

    model = make(style, dtype=dtype)
    twin = twin_of(model)
    arrays = batch(model)
    logits, loss = model(*arrays)
    model.loss(*arrays).backward()
    their_logits, their_loss = twin(*map(torch.from_numpy, arrays))
    their_loss.backward()

    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    assert logits.dtype == loss.dtype == model.loss(*arrays).dtype == dtype
    np.testing.assert_allclose(logits.numpy(), their_logits.detach().numpy(), **close)
    np.testing.assert_allclose([loss.item(), model.loss(*arrays).item()], their_loss.item(), **close)
    theirs, ours = dict(twin.named_parameters()), dict(model.named_parameters())
    assert theirs.keys() == ours.keys()
    for name, p in ours.items():
        np.testing.assert_allclose(p.grad, theirs[name].grad.numpy(), err_msg=name, **close)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_label_smoothing_without_logits_equals_torchs(torch, smoothing):
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(2, 5, 4)), rng.normal(size=(7, 4))
    targets = np.array([[3, 0, -100, 6, 6], [-100, 1, 2, -100, 3]])
    x, weight = (Tensor(a, requires_grad=True) for a in arrays)
    loss = smoothed_cross_entropy(x, weight, targets, smoothing)
    loss.backward()
    their_x, their_weight = (torch.from_numpy(a).requires_grad_() for a in arrays)
    logits = (their_x @ their_weight.T).flatten(0, 1)
    theirs = torch.nn.functional.cross_entropy(
        logits, torch.from_numpy(targets).flatten(), label_smoothing=smoothing, ignore_index=-100
    )
    theirs.backward()
    assert loss.item() == pytest.approx(theirs.item(), rel=1e-12)
    np.testing.assert_allclose(x.grad, their_x.grad.numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(weight.grad, their_weight.grad.numpy(), rtol=1e-12, atol=1e-14)


class Loss(Module):
    """The training loss alone."""

    def __init__(self, model):
        self.model = model

    def forward(self, source, inputs, targets):
        return self.model.loss(source, inputs, targets)


@pytest.mark.parametrize("options", [{}, {"norm": "post", "tie_weights": False, "position": "learned"}], ids=str)
def test_gradients_by_finite_differences(options):
    shape = {"n_encoder_layer": 1, "n_decoder_layer": 1, "n_head": 2, "d_model": 4, "d_ff": 4, "dropout": 0.0}
    config = Seq2SeqConfig(
        vocab_size=5, context_length=3, activation="gelu", label_smoothing=0.1, dtype="float64", **shape, **options
    )
    source, target = sentences((3, 2), 5), sentences((1, 2), 5, end=True)
    gradcheck_module(Loss(randomise(Seq2Seq(config))), source, *teacher_forcing(target, config))


# ---- padding and time ----


@pytest.mark.parametrize("style", STYLES)
def test_padding_of_the_source_changes_no_output(style):
    model = make(style)
    source, inputs, _ = batch(model)
    together = model(source, inputs)[0].numpy()
    for row, length in enumerate((9, 4, 7)):
        alone = model(source[row : row + 1, :length], inputs[row : row + 1])[0].numpy()[0]
        np.testing.assert_allclose(together[row], alone, rtol=1e-6, atol=1e-6 * np.abs(alone).max())
    mask = source != PAD
    other = np.where(mask, source, 5)  # with the mask, any id may stand at padding
    np.testing.assert_array_equal(model(other, inputs, source_mask=mask)[0].numpy(), together)
    assert not np.allclose(model(other, inputs)[0].numpy(), together)  # without, these ids are read


@pytest.mark.parametrize("style", STYLES)
def test_padding_of_the_target_changes_neither_loss_nor_gradients(style):
    model = make(style, dtype="float64")
    target = sentences((5, 8, 1), end=True)
    source = sentences((9, 4, 7))
    results = []
    for padding in (0, 3):
        wider = np.pad(target, ((0, 0), (0, padding)))
        model.zero_grad()
        loss = model.loss(source, *teacher_forcing(wider, model.config))
        loss.backward()
        results.append((loss.item(), [p.grad for p in model.parameters()]))
    (short, gradients), (wide, wider_gradients) = results
    assert wide == pytest.approx(short, rel=1e-12)
    for a, b in zip(gradients, wider_gradients, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("style", STYLES)
def test_the_logits_before_a_changed_target_are_exactly_the_same(style):
    model = make(style)
    source, inputs = sentences((6, 3)), sentences((8, 8), seed=4)
    before = model(source, inputs)[0].numpy()
    for t in range(8):
        changed = inputs.copy()
        changed[:, t] = 3 + (changed[:, t] - 2) % 14
        after = model(source, changed)[0].numpy()
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert (after[:, t:] != before[:, t:]).any(axis=(0, 2)).all()  # and every later position sees it


def test_every_output_sees_every_token_of_the_source():
    model, source, inputs = make(), sentences((6, 6)), sentences((4, 4))
    before = model(source, inputs)[0].numpy()
    for t in range(6):
        changed = source.copy()
        changed[:, t] = 3 + (changed[:, t] - 2) % 14
        assert (model(changed, inputs)[0].numpy() != before).any(-1).all()


def test_a_source_of_nothing_but_padding_gives_finite_numbers():
    model = make()
    source = sentences((5, 2))
    source[1] = PAD
    loss = model.loss(source, *teacher_forcing(sentences((3, 3), end=True), model.config))
    loss.backward()
    assert math.isfinite(loss.item())
    assert all(np.isfinite(p.grad).all() for p in model.parameters())


def test_teacher_forcing_moves_the_sentence_one_place_and_hides_padding():
    inputs, targets = teacher_forcing(np.array([[5, 6, END, PAD, PAD], [7, 8, 9, 4, END]]), Seq2SeqConfig())
    np.testing.assert_array_equal(inputs, [[START, 5, 6, END, PAD], [START, 7, 8, 9, 4]])
    np.testing.assert_array_equal(targets, [[5, 6, END, -100, -100], [7, 8, 9, 4, END]])


@pytest.mark.parametrize("smoothing", [1.5, -0.1])
def test_a_smoothing_that_is_no_probability_is_refused(smoothing):
    x, weight = Tensor(np.zeros((2, 3))), Tensor(np.zeros((5, 3)))
    with pytest.raises(ConfigError, match=rf"smoothed_cross_entropy: label_smoothing={smoothing} must be between 0"):
        smoothed_cross_entropy(x, weight, np.zeros(2, int), smoothing)


# ---- the shape and the start ----


def test_the_documents_model_has_71_455_744_parameters():
    """Section 4.3.2: 8 heads of 64, 20 encoder and 2 decoder layers, feed-forward networks of 2048.

    The number is that of the layers alone: without embeddings, which are tied here, without positions that are
    learned, and without a norm behind each stack, which is what norm="pre" adds.
    """
    config = Seq2SeqConfig(
        vocab_size=5, n_encoder_layer=20, n_decoder_layer=2, n_head=8, d_model=512, d_ff=2048, norm="post"
    )
    assert Seq2Seq(config).num_parameters() - 5 * 512 == 71_455_744


def test_what_else_has_parameters():
    tied, d = make("2017").num_parameters(), SMALL["d_model"]
    assert make("pre").num_parameters() == tied + 2 * 2 * d  # two norms, each a weight and a bias
    assert make("2017", tie_weights=False).num_parameters() == tied + 2 * 17 * d
    assert make("2017", source_vocab_size=19).num_parameters() == tied + 19 * d
    assert make("2017", position="learned").num_parameters() == tied + 2 * 12 * d
    assert make("2017", copying=True).num_parameters() == tied + 3 * d * d


@pytest.mark.parametrize("tie_weights", [True, False])
def test_a_fresh_model_scales_tokens_to_variance_1_and_predicts_about_as_the_uniform_distribution(tie_weights):
    """Logits of about variance 1 cost about half a nat more than none: E ln Σ exp(z) = ln V + ½."""
    ml.seed(3)
    model = Seq2Seq(Seq2SeqConfig(vocab_size=1000, d_model=64, tie_weights=tie_weights)).eval()
    for embedding in (model.source_embedding, model.target_embedding):
        assert (embedding.weight.numpy() * model.embedding_scale).std() == pytest.approx(1, rel=0.02)
    source, target = sentences([12] * 32, 1000), sentences([12] * 32, 1000, seed=2, end=True)
    loss = model.loss(source, *teacher_forcing(target, model.config)).item()
    assert math.log(1000) < loss < math.log(1000) + 1


def test_bfloat16_is_float32_to_about_three_digits():
    exact, rounded = (make(dtype=dtype) for dtype in ("float32", "bfloat16"))
    arrays = batch(exact)
    assert rounded(*arrays)[0].dtype == np.float32
    assert rounded.loss(*arrays).item() == pytest.approx(exact.loss(*arrays).item(), rel=0.02)
    assert rounded.loss(*arrays).item() != exact.loss(*arrays).item()


def test_a_quantized_model_has_about_the_same_loss_and_still_writes():
    exact, quantized = make("2017"), quantize(make("2017"), "int8")
    arrays = batch(exact)
    assert quantized.loss(*arrays).item() == pytest.approx(exact.loss(*arrays).item(), rel=0.02)
    assert quantized.loss(*arrays).item() == pytest.approx(quantized(*arrays)[1].item(), rel=1e-6)
    assert len(quantized.generate(arrays[0], 5)) == len(quantized.generate(arrays[0], 5, beam_width=2)) == 3


# ---- learning ----


@pytest.mark.parametrize("style", STYLES)
def test_it_overfits_one_batch_and_writes_it_out_again(style):
    """Copying and reversing, told apart by the first token of the source."""
    ml.seed(5)
    model = Seq2Seq(Seq2SeqConfig(**{**SMALL, **STYLES[style], "label_smoothing": 0.0}))
    words = sentences((3, 5, 6, 2, 4, 6, 5, 3))
    rows = [[int(i) for i in row if i != PAD] for row in words]
    source = np.concatenate([np.repeat([[3], [4]], 4, axis=0), words], axis=1)
    wanted = rows[:4] + [row[::-1] for row in rows[4:]]
    target = np.array([row + [END] + [PAD] * (6 - len(row)) for row in wanted])
    inputs, targets = teacher_forcing(target, model.config)
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=0)
    for _ in range(200):
        optimizer.zero_grad()
        loss = model.loss(source, inputs, targets)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert model.generate(source, 10) == model.generate(source, 10, beam_width=3) == wanted


@pytest.mark.parametrize("style", STYLES)
def test_gradients_of_parts_with_uneven_padding_sum_to_those_of_the_batch(style):
    """A part's mean weighs by its share of the targets that count."""
    model = make(style, dtype="float64")
    arrays = batch(model, (9, 4, 7, 2), (8, 1, 2, 3))
    model.loss(*arrays).backward()
    whole = [p.grad for p in model.parameters()]
    model.zero_grad()
    counted = (arrays[2] != -100).sum()
    for part in (slice(0, 1), slice(1, 4)):
        source, inputs, targets = (a[part] for a in arrays)
        (model.loss(source, inputs, targets) * ((targets != -100).sum() / counted)).backward()
    for p, gradient in zip(model.parameters(), whole, strict=True):
        np.testing.assert_allclose(p.grad, gradient, rtol=1e-9, atol=1e-12)


def test_dropout_is_on_in_training_and_off_in_evaluation():
    model = make(dropout=0.5)
    arrays = batch(model)
    assert model.loss(*arrays).item() != model.loss(*arrays).item()
    assert model.eval().loss(*arrays).item() == make().loss(*arrays).item()


# ---- refusals ----


def test_ids_and_masks_it_cannot_take_are_named():
    model, five = make(), np.full((2, 5), 3)
    with pytest.raises(ShapeError, match="a source of 13 tokens is more than the context of 12"):
        model(np.full((2, 13), 3), five)
    with pytest.raises(ShapeError, match="a target of 13 tokens is more than the context of 12"):
        model(five, np.full((2, 13), 3))
    with pytest.raises(ShapeError, match=r"source must be \(batch, time\) .* got shape \(5,\)"):
        model(five[0], five)
    with pytest.raises(ShapeError, match=r"target must be .* at least one a row; got shape \(2, 0\)"):
        model(five, five[:, :0])
    with pytest.raises(ShapeError, match="1 targets for 2 sources"):
        model(five, five[:1])
    for mask in (np.ones((2, 4), bool), np.ones((2, 5))):
        with pytest.raises(ShapeError, match=r"mask must be booleans of shape \(2, 5\)"):
            model(five, five, source_mask=mask)
    with pytest.raises(TokenError, match="token id 17"):
        model(five + 14, five)
    with pytest.raises(TokenError, match=r"target 99 at position \(0, 2\)"):
        model.loss(five[:1, :3], five[:1, :3], np.array([[1, 2, 99]]))
    with pytest.raises(ShapeError, match=r"target ids must be \(batch, time\)"):
        teacher_forcing([5, 6, 2], model.config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_encoder_layer": 0}, "n_encoder_layer=0 must be at least 1"),
        ({"d_model": 30}, "d_model=30 must be a multiple of n_head=4"),
        ({"position": "rotary"}, "'rotary' must be one of learned, sinusoidal"),
        ({"norm": "mid"}, "norm='mid' must be one of pre, post"),
        ({"dtype": "int8"}, "'int8' must be one of float32, bfloat16, float64"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"end_id": 17}, "end_id=17 must be one of the vocabulary's ids, 0 to 16"),
        ({"pad_id": 16, "source_vocab_size": 16}, "pad_id=16 must be one of the source's ids, 0 to 15"),
        ({"start_id": 2}, "must be three ids; got 0, 2, 2"),
        ({"source_vocab_size": 0}, "source_vocab_size=0 must be at least 1"),
        ({"copying": True, "source_vocab_size": 19}, "copying=True needs one vocabulary .* source_vocab_size=19"),
        ({"copying": True, "source_vocab_size": 17}, "copying=True needs one vocabulary .* source_vocab_size=17"),
        ({"d_ff": 0}, "d_ff=0 must be at least 1"),
    ],
    ids=str,
)
def test_a_shape_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Seq2Seq(Seq2SeqConfig(**{**SMALL, **options}))
