"""Every module's derivatives, in its inputs and in each of its parameters, against finite differences in float64."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, nn, seeding
from minillm.models import GPT, GPTConfig
from tests.nn.checks import gradcheck_module, randomise

X = np.random.default_rng(0).normal(size=(2, 3, 4))
MEMORY = np.random.default_rng(1).normal(size=(2, 5, 4))
IDS = np.array([[1, 2, 2], [0, 4, 2]])
MASK = np.array([[True, True, False], [True, True, True]])[:, None, None, :]
LOGITS = np.random.default_rng(2).normal(size=(2, 3, 6))
SOURCE = np.array([[1, 4, 1, 0, 0], [5, 2, 2, 3, 2]])
HIDDEN = {"source_mask": np.array([[True, True, True, False, False], [True] * 5])}


def attention(**options):
    return nn.MultiHeadAttention(4, 2, dtype="float64", **options)


def feed_forward(activation="gelu_tanh", **options):
    return nn.FeedForward(4, 6, activation, dtype="float64", **options)


def layer_norm():
    return nn.LayerNorm(4, dtype="float64")


def encoder(norm):
    return nn.EncoderLayer(attention(), feed_forward(), layer_norm, norm=norm)


def decoder(norm):
    return nn.DecoderLayer(attention(causal=True), attention(), feed_forward("relu"), layer_norm, norm=norm)


CASES = {
    "Linear": (lambda: nn.Linear(4, 5, dtype="float64"), [X], {}),
    "Linear without bias": (lambda: nn.Linear(4, 5, bias=False, dtype="float64"), [X], {}),
    "QuantizedLinear": (lambda: nn.QuantizedLinear(nn.Linear(4, 3, dtype="float64"), "bfloat16"), [X], {}),
    "CopyingHead": (lambda: nn.CopyingHead(4, dtype="float64"), [LOGITS, X, MEMORY], {"source": SOURCE, **HIDDEN}),
    "Embedding": (lambda: nn.Embedding(5, 4, dtype="float64"), [IDS], {}),
    "LayerNorm": (layer_norm, [X], {}),
    "LayerNorm without bias": (lambda: nn.LayerNorm(4, bias=False, dtype="float64"), [X], {}),
    "RMSNorm": (lambda: nn.RMSNorm(4, dtype="float64"), [X], {}),
    "LearnedPositions": (lambda: nn.LearnedPositions(6, 4, dtype="float64"), [X], {"start": 2}),
    "SinusoidalPositions": (lambda: nn.SinusoidalPositions(6, 4, dtype="float64"), [X], {"start": 2}),
    "RotaryPositions": (lambda: nn.RotaryPositions(6, 4, dtype="float64"), [X[:, None]], {"start": 2}),
    "FeedForward": (feed_forward, [X], {}),
    "FeedForward gelu": (lambda: feed_forward("gelu"), [X], {}),
    "FeedForward silu": (lambda: feed_forward("silu"), [X], {}),
    "FeedForward swiglu": (lambda: feed_forward("swiglu", bias=False), [X], {}),
    "SelectiveRead": (
        lambda: nn.SelectiveRead(4, dtype="float64"),
        [MEMORY],
        {"inputs": np.array([[1, 4, 0], [2, 3, 1]]), "source": SOURCE, **HIDDEN},
    ),
    "MultiHeadAttention": (attention, [X], {}),
    "MultiHeadAttention causal": (lambda: attention(causal=True), [X], {"mask": MASK}),
    "MultiHeadAttention cross": (attention, [X, MEMORY], {}),
    "MultiHeadAttention grouped": (lambda: attention(n_kv_head=1, bias=False), [X], {}),
    "MultiHeadAttention rotary": (lambda: attention(rotary=nn.RotaryPositions(6, 2, "float64")), [X], {}),
    "Residual": (lambda: nn.Residual(feed_forward(), layer_norm(), 0.0, "post"), [X], {}),
    "EncoderLayer pre": (lambda: encoder("pre"), [X], {"mask": MASK}),
    "EncoderLayer post": (lambda: encoder("post"), [X], {}),
    "DecoderLayer pre": (lambda: decoder("pre"), [X, MEMORY], {}),
    "DecoderLayer post": (lambda: decoder("post"), [X, MEMORY], {}),
}


def test_every_module_is_checked():
    classes = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    modules = {name for name in classes if issubclass(getattr(nn, name), nn.Module)} - {"Module"}
    elsewhere = {"Dropout", "LoRALinear"}  # below, its mask held still; test_lora.py, some of its weights frozen
    assert modules - elsewhere == {name.split()[0] for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_gradients_in_inputs_and_parameters(name):
    ml.seed(0)
    make, inputs, options = CASES[name]
    module = randomise(make())
    n_in = module.num_parameters() + sum(x.size for x in inputs if x.dtype == np.float64)
    report = gradcheck_module(module, *inputs, **options)
    assert report.compared == n_in * module(*map(Tensor, inputs), **options).size  # the whole Jacobian


class WithTheSameMasks(nn.Module):
    """A module with dropout, each call drawing the same masks: a function one can differentiate."""

    def __init__(self, module):
        self.module = module

    def forward(self, *inputs):
        ml.seed(11)
        return self.module(*inputs)


@pytest.mark.parametrize("module", [nn.Dropout(0.4), attention(dropout=0.4)], ids=["Dropout", "of attention weights"])
def test_gradients_with_dropout(module):
    before = seeding.get_state()
    gradcheck_module(WithTheSameMasks(module), X)
    seeding.set_state(before)


class Loss(nn.Module):
    """A GPT's mean cross-entropy alone."""

    def __init__(self, gpt):
        self.gpt = gpt

    def forward(self, ids, targets):
        return self.gpt(ids, targets)[1]


@pytest.mark.parametrize("options", [{}, {"position": "rotary", "activation": "swiglu", "tie_weights": False}], ids=str)
def test_gradients_of_a_whole_gpt(options):
    """Tied weights among them: their derivative is that of both uses together."""
    config = GPTConfig(
        vocab_size=5, context_length=3, n_layer=1, n_head=2, d_model=4, d_ff=6, dtype="float64", **options
    )
    gradcheck_module(Loss(randomise(GPT(config))), IDS, np.roll(IDS, -1, axis=1))
