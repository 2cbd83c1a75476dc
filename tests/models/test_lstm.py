"""LSTM against torch.nn.LSTM, finite differences, and what must hold of any model that is generated with."""

import numpy as np
import pytest

import minillm as ml
from minillm.data.long_range import Recall
from minillm.errors import ConfigError, ShapeError, TokenError
from minillm.models import LSTM, LSTMConfig
from minillm.models.lstm import LSTMLayer, LSTMState
from minillm.optim import AdamW
from minillm.tensor import Tensor
from tests.nn.checks import gradcheck_module, randomise

SMALL = {"vocab_size": 17, "context_length": 12, "n_layer": 2, "d_model": 6}
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


def make(**options):
    ml.seed(0)
    return randomise(LSTM(LSTMConfig(**SMALL, **options)))


def tokens(batch=3, time=12, seed=1):
    ids, targets = np.random.default_rng(seed).integers(0, 17, size=(2, batch, time))
    targets[0, :3] = -100
    return ids, targets


# ---- the twin ----


def torch_twin(torch, model):
    """torch's Embedding, LSTM and Linear with the model's weights; torch has two biases a layer, of which one is 0."""
    config = model.config
    dtype = getattr(torch, config.dtype)
    embedding = torch.nn.Embedding(config.vocab_size, config.d_model, dtype=dtype)
    lstm = torch.nn.LSTM(config.d_model, config.d_model, config.n_layer, batch_first=True, dtype=dtype)
    head = torch.nn.Linear(config.d_model, config.vocab_size, bias=False, dtype=dtype)
    pairs = {"token_embedding.weight": embedding.weight, "head.weight": head.weight}
    for n in range(config.n_layer):
        pairs[f"layers.{n}.input.weight"] = getattr(lstm, f"weight_ih_l{n}")
        pairs[f"layers.{n}.hidden.weight"] = getattr(lstm, f"weight_hh_l{n}")
        pairs[f"layers.{n}.input.bias"] = getattr(lstm, f"bias_ih_l{n}")
        torch.nn.init.zeros_(getattr(lstm, f"bias_hh_l{n}"))
    if config.tie_weights:
        head.weight = embedding.weight
        del pairs["head.weight"]
    with torch.no_grad():
        for name, value in model.state_dict().items():
            pairs[name].copy_(torch.from_numpy(value.copy()))
    return lambda ids: head(lstm(embedding(torch.from_numpy(ids)))[0]), pairs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tie_weights", [True, False])
def test_logits_loss_and_gradients_equal_torchs(dtype, tie_weights):
    torch = pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")
    model = make(dtype=dtype, tie_weights=tie_weights)
    twin, pairs = torch_twin(torch, model)
    ids, targets = tokens()
    logits, loss = model(ids, targets)
    loss.backward()
    their_logits = twin(ids)
    their_loss = torch.nn.functional.cross_entropy(their_logits.flatten(0, 1), torch.from_numpy(targets).flatten())
    their_loss.backward()

    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    assert logits.dtype == loss.dtype == dtype
    np.testing.assert_allclose(logits.numpy(), their_logits.detach().numpy(), **close)
    np.testing.assert_allclose(loss.item(), their_loss.item(), **close)
    ours = dict(model.named_parameters())
    assert ours.keys() == pairs.keys()
    for name, p in ours.items():
        assert p.grad.dtype == dtype
        np.testing.assert_allclose(p.grad, pairs[name].grad.numpy(), err_msg=name, **close)


def test_gradients_equal_finite_differences():
    x = np.random.default_rng(0).normal(size=(2, 4, 3))
    report = gradcheck_module(randomise(LSTMLayer(3, 2, "float64")), x)
    assert report.compared > 0
    assert report.largest_error < 1e-7


def test_a_step_by_hand():
    """One unit, two steps, with Python's floats."""
    from math import exp, tanh

    layer = LSTMLayer(1, 1, "float64")
    layer.input.weight.mutable()[:, 0] = [0.1, -0.2, 0.3, 0.4]
    layer.input.bias.mutable()[...] = [0.0, 1.0, -0.5, 0.2]
    layer.hidden.weight.mutable()[:, 0] = [0.5, 0.6, -0.7, 0.8]
    h = c = 0.0
    expected = []
    for x in (2.0, -1.0):
        i, f, g, o = 0.1 * x + 0.5 * h, 1 - 0.2 * x + 0.6 * h, -0.5 + 0.3 * x - 0.7 * h, 0.2 + 0.4 * x + 0.8 * h
        c = c / (1 + exp(-f)) + tanh(g) / (1 + exp(-i))
        h = tanh(c) / (1 + exp(-o))
        expected.append(h)
    y = layer(Tensor(np.array([[[2.0], [-1.0]]])))
    np.testing.assert_allclose(y.numpy()[0, :, 0], expected, rtol=1e-14)


# ---- the interface of a language model ----


def test_loss_is_forwards_loss():
    model, (ids, targets) = make(dtype="float64"), tokens()
    assert model.loss(ids, targets).item() == pytest.approx(model(ids, targets)[1].item(), rel=1e-12)


def test_the_logits_before_a_changed_token_are_exactly_the_same():
    model, (ids, _) = make(), tokens()
    before = model(ids)[0].numpy()
    for t in range(12):
        changed = ids.copy()
        changed[:, t] = (changed[:, t] + 1) % 17
        after = model(changed)[0].numpy()
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert (after[:, t:] != before[:, t:]).any(axis=(0, 2)).all()


@pytest.mark.parametrize("cuts", [[1], [5], [3, 4, 11]])
def test_a_text_read_in_pieces_gives_what_it_gives_whole(cuts):
    model, (ids, _) = make(dtype="float64"), tokens()
    cache = model.new_cache()
    pieces = [model(piece, cache=cache)[0].numpy() for piece in np.split(ids, cuts, axis=1)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), model(ids)[0].numpy(), rtol=1e-12, atol=1e-12)
    assert [state.length for state in cache] == [12, 12]


def test_generation_is_the_same_with_and_without_the_state():
    """Past the context length, too: the window moves, and the state starts anew with it."""
    model = make()
    ids = np.array([3, 1, 4])
    for options in ({"temperature": 0}, {"seed": 5, "top_k": 8}):
        carried = model.generate(ids, 30, **options)
        assert carried.shape == (30,)
        np.testing.assert_array_equal(carried, model.generate(ids, 30, use_cache=False, **options))


def test_batches_and_beams_give_what_single_texts_give():
    model = make(dtype="float64")
    prompts = np.array([[1, 2], [9, 4], [5, 5]])
    texts = model.generate_batch(prompts, 6, seed=3)
    assert texts == [model.generate(row, 6, seed=3 + i).tolist() for i, row in enumerate(prompts)]
    np.testing.assert_array_equal(model.generate([1, 2], 6, beam_width=1), model.generate([1, 2], 6, temperature=0))
    assert len(model.generate([1, 2], 6, beam_width=4)) == 6


def test_selected_rows_go_on_as_if_alone():
    model, (ids, _) = make(dtype="float64"), tokens()
    cache = model.new_cache()
    model(ids[:, :6], cache=cache)
    for state in cache:
        state.select([2, 0])
    logits = model(ids[[2, 0], 6:], cache=cache)[0].numpy()
    np.testing.assert_allclose(logits, model(ids)[0].numpy()[[2, 0], 6:], rtol=1e-12, atol=1e-12)


def test_no_gradient_flows_through_the_state():
    layer, state = randomise(LSTMLayer(3, 2, "float64")), LSTMState()
    first = Tensor(np.ones((1, 2, 3)), requires_grad=True)
    layer(first, state)
    layer(Tensor(np.ones((1, 2, 3))), state).sum().backward()
    assert first.grad is None


def test_the_state_dict_makes_the_same_model():
    model = make()
    other = LSTM(LSTMConfig(**SMALL))
    other.load_state_dict(model.state_dict())
    ids, _ = tokens()
    np.testing.assert_array_equal(other(ids)[0].numpy(), model(ids)[0].numpy())


def test_the_number_of_parameters_is_the_formulas():
    def formula(vocabulary, layers, d):
        return vocabulary * d + layers * (8 * d * d + 4 * d)

    assert make().num_parameters() == formula(17, 2, 6)
    assert make(tie_weights=False).num_parameters() == formula(17, 2, 6) + 17 * 6


def test_only_the_forget_gates_bias_starts_at_one():
    ml.seed(0)
    for layer in LSTM(LSTMConfig(**SMALL)).layers:
        np.testing.assert_array_equal(layer.input.bias.numpy(), [0] * 6 + [1] * 6 + [0] * 12)


def test_dropout_is_on_in_training_and_off_in_evaluation():
    ids, _ = tokens()
    model = make(dropout=0.5)
    assert not np.array_equal(model(ids)[0].numpy(), model(ids)[0].numpy())
    evaluated = model.eval()(ids)[0].numpy()
    np.testing.assert_array_equal(evaluated, make()(ids)[0].numpy())


# ---- learning ----


def train(model, batches, steps, lr=1e-2):
    optimizer = AdamW(model.parameters(), lr=lr, weight_decay=0)
    for step in range(steps):
        loss = model.loss(*batches(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_it_overfits_one_batch():
    ml.seed(5)
    model = LSTM(LSTMConfig(vocab_size=17, context_length=12, d_model=32))
    ids = np.random.default_rng(2).integers(0, 17, size=(2, 13))
    assert train(model, lambda step: (ids[:, :-1], ids[:, 1:]), 100, lr=3e-2) < 0.05


def test_it_learns_to_recall_what_it_saw_six_tokens_before():
    ml.seed(0)
    task = Recall(distance=6, symbols=4)
    model = LSTM(LSTMConfig(vocab_size=task.vocab_size, context_length=6, n_layer=1, d_model=32))
    held_out = task.batch(-1, 200)
    guessing = task.accuracy(model(held_out.ids)[0].numpy(), held_out.targets)
    assert guessing < 0.5
    train(model, lambda step: task.batch(step, 64), 120)
    assert task.accuracy(model(held_out.ids)[0].numpy(), held_out.targets) > 0.95


# ---- refusals ----


def test_ids_it_cannot_take_are_named():
    model = make()
    with pytest.raises(ShapeError, match=r"\(batch, time\), at least one token; got shape \(5,\)"):
        model(np.zeros(5, int))
    with pytest.raises(ShapeError, match="at least one token"):
        model(np.zeros((1, 0), int))
    with pytest.raises(TokenError, match="token id 17"):
        model(np.array([[3, 17]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_layer": 0}, "n_layer=0 must be at least 1"),
        ({"dtype": "bfloat16"}, "dtype='bfloat16' must be one of float32, float64"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
    ids=str,
)
def test_a_shape_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        LSTMConfig(**options)
