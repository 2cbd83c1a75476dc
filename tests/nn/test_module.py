"""Modules hold parameters: found in order, named by path, tied once, saved and loaded strictly."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, nn, ops
from minillm.errors import CheckpointError, ConfigError
from minillm.models import GPT, GPTConfig


class Nested(nn.Module):
    """Parameters as attributes, in lists, in dicts, in modules, and one twice."""

    def __init__(self):
        self.first = nn.Parameter(np.zeros(1))
        self.table = {"a": nn.Parameter(np.zeros(2)), "b": [nn.Linear(2, 3), nn.LayerNorm(3)]}
        self.again = self.first
        self.nothing = None
        self.constant = Tensor([1.0])
        self.last = (nn.Parameter(np.zeros(4)),)


def test_parameters_are_named_by_path_in_the_order_they_were_assigned():
    assert [name for name, _ in Nested().named_parameters()] == [
        "first",
        "table.a",
        "table.b.0.weight",
        "table.b.0.bias",
        "table.b.1.weight",
        "table.b.1.bias",
        "last.0",
    ]
    assert Nested().num_parameters() == 1 + 2 + 6 + 3 + 3 + 3 + 4


def test_a_gpts_names_in_the_order_of_the_forward_pass():
    model = GPT(GPTConfig(n_layer=2, bias=False))
    layer = [
        "attention.norm.weight",
        "attention.sublayer.query.weight",
        "attention.sublayer.key.weight",
        "attention.sublayer.value.weight",
        "attention.sublayer.output.weight",
        "feed_forward.norm.weight",
        "feed_forward.sublayer.up.weight",
        "feed_forward.sublayer.down.weight",
    ]
    names = ["token_embedding.weight", "positions.embedding.weight"]
    names += [f"layers.{i}.{name}" for i in range(2) for name in layer]
    assert list(model.state_dict()) == [*names, "norm.weight"]


def test_a_misspelt_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="wieght"):
        _ = nn.Linear(2, 2).wieght
    with pytest.raises(TypeError, match=r"Nested defines no forward\(\)"):
        Nested()()


# ---- tied weights ----


class TiedAndUntied(nn.Module):
    def __init__(self, tied):
        rng = np.random.default_rng(0)
        self.embedding = nn.Embedding(5, 3, "float64")
        self.head = nn.Linear(3, 5, bias=False, dtype="float64")
        table = rng.normal(size=(5, 3))
        self.embedding.weight.mutable()[...] = table
        self.head.weight.mutable()[...] = table
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids):
        return ops.cross_entropy(self.head(self.embedding(ids)), ids)


def test_a_tied_weights_gradient_is_the_sum_of_both_uses():
    ids = np.array([1, 4, 4])
    tied, untied = TiedAndUntied(True), TiedAndUntied(False)
    tied(ids).backward()
    untied(ids).backward()
    both = untied.embedding.weight.grad + untied.head.weight.grad
    np.testing.assert_allclose(tied.embedding.weight.grad, both, rtol=1e-13)


def test_a_tied_weight_is_stored_once_and_still_tied_after_loading():
    source, target = (GPT(GPTConfig(n_layer=1)) for _ in range(2))
    state = source.state_dict()
    assert "head.weight" not in state
    target.load_state_dict(state)
    assert target.head.weight is target.token_embedding.weight
    np.testing.assert_array_equal(target.head.weight.numpy(), source.head.weight.numpy())


# ---- state ----


def test_a_state_round_trips_and_gives_the_same_results():
    ids = np.arange(12).reshape(2, 6)
    ml.seed(1)
    a, b = (GPT(GPTConfig(n_layer=1)) for _ in range(2))
    assert not np.array_equal(a(ids)[0].numpy(), b(ids)[0].numpy())
    b.load_state_dict({name: array.copy() for name, array in a.state_dict().items()})
    np.testing.assert_array_equal(a(ids)[0].numpy(), b(ids)[0].numpy())


def test_a_states_arrays_are_read_only_views():
    linear = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="read-only"):
        linear.state_dict()["weight"][0, 0] = 1
    linear.weight.mutable()[0, 0] = 7
    assert linear.state_dict()["weight"][0, 0] == 7


def test_loading_lists_every_missing_unexpected_and_misshaped_name_and_changes_nothing():
    model = nn.FeedForward(2, 3)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    state = {name: np.full_like(array, 9) for name, array in before.items()}
    del state["up.bias"], state["down.bias"]
    state |= {"down.weight": np.zeros((3, 2)), "gate.weight": np.zeros((3, 2)), "extra": np.zeros(())}
    with pytest.raises(CheckpointError) as error:
        model.load_state_dict(state)
    assert str(error.value).splitlines() == [
        "the state doesn't fit this FeedForward:",
        "  mis-shaped: down.weight is (3, 2), the model has (2, 3)",
        "  missing: down.bias (2,)",
        "  missing: up.bias (3,)",
        "  unexpected: extra ()",
        "  unexpected: gate.weight (3, 2)",
    ]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_loading_keeps_the_models_dtype():
    model = nn.Linear(2, 2)
    model.load_state_dict({"weight": np.eye(2), "bias": np.ones(2)})  # float64
    assert model.weight.dtype == model.bias.dtype == np.float32


# ---- modes and gradients ----


def test_train_and_eval_reach_every_module():
    model = GPT(GPTConfig(n_layer=2))
    assert all(m.training for m in model.modules())
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    model.train()
    assert all(m.training for m in model.modules())
    assert sum(isinstance(m, nn.EncoderLayer) for m in model.modules()) == 2


def test_zero_grad_forgets_all_gradients():
    linear = nn.Linear(2, 2)
    linear(np.ones((1, 2), np.float32)).sum().backward()
    assert all(p.grad is not None for p in linear.parameters())
    linear.zero_grad()
    assert all(p.grad is None for p in linear.parameters())


def test_layers_start_as_their_docstrings_say():
    ml.seed(2)
    linear, embedding = nn.Linear(400, 300), nn.Embedding(1000, 100)
    assert linear.weight.numpy().std() == pytest.approx(1 / 20, rel=0.02)
    assert not linear.bias.numpy().any()
    assert embedding.weight.numpy().std() == pytest.approx(0.02, rel=0.02)
    y = linear(np.random.default_rng(0).normal(size=(500, 400)).astype(np.float32))
    assert y.numpy().var() == pytest.approx(1, rel=0.05)  # the variance of x is kept
    assert (nn.LayerNorm(3).weight.numpy() == 1).all() and not nn.LayerNorm(3).bias.numpy().any()


def test_unknown_choices_are_refused():
    with pytest.raises(ConfigError, match="'step' isn't one of gelu"):
        nn.FeedForward(4, 8, "step")
    with pytest.raises(ConfigError, match="norm='sideways' must be 'pre' or 'post'"):
        nn.Residual(nn.Linear(2, 2), nn.LayerNorm(2), 0.0, "sideways")
    with pytest.raises(ConfigError, match="d_model=10 must be a multiple of n_head=4"):
        nn.MultiHeadAttention(10, 4)
