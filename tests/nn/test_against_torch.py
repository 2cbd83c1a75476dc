"""Modules with weights copied into torch's equivalents: the same outputs and the same gradients, in float64."""

import numpy as np
import pytest

from minillm import Tensor, nn
from tests.nn.checks import as_torch, randomise

torch = pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")

D, HEADS, FF = 8, 2, 12
RNG = np.random.default_rng(0)
X, MEMORY = RNG.normal(size=(2, 5, D)), RNG.normal(size=(2, 7, D))
CAUSAL = torch.triu(torch.ones(5, 5, dtype=bool), 1)  # torch: True where a query may not look
PADDING = np.array([[True] * 5, [True, True, True, False, False]])


def norm():
    return nn.LayerNorm(D, dtype="float64")


def attention(**options):
    return nn.MultiHeadAttention(D, HEADS, dtype="float64", **options)


def packed(ours, prefix):
    """Our three projections as torch packs them, named from `prefix` on."""
    parts = [getattr(ours, name) for name in ("query", "key", "value")]
    return {
        f"{prefix}in_proj_weight": np.concatenate([p.weight.numpy() for p in parts]),
        f"{prefix}in_proj_bias": np.concatenate([p.bias.numpy() for p in parts]),
        f"{prefix}out_proj.weight": ours.output.weight.numpy(),
        f"{prefix}out_proj.bias": ours.output.bias.numpy(),
    }


def named(ours, name):
    return {f"{name}.weight": ours.weight.numpy(), f"{name}.bias": ours.bias.numpy()}


def gradients_as_values(module):
    """The module with every parameter holding its gradient, so that `packed` and `named` read those."""
    for p in module.parameters():
        p.mutable()[...] = p.grad
    return module


def compare(ours, theirs, state_of, our_inputs, run_ours, run_theirs):
    """Outputs, and the gradients of inputs and parameters, of both with one upstream gradient."""
    theirs.load_state_dict(as_torch(state_of(ours)))
    mine = [Tensor(x, requires_grad=True) for x in our_inputs]
    other = [torch.from_numpy(x.copy()).requires_grad_() for x in our_inputs]
    y, wanted = run_ours(ours, *mine), run_theirs(theirs, *other)
    np.testing.assert_allclose(y.numpy(), wanted.detach().numpy(), atol=1e-10)
    upstream = np.random.default_rng(1).normal(size=y.shape)
    y.backward(upstream)
    wanted.backward(torch.from_numpy(upstream))
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), atol=1e-10)
    for name, gradient in state_of(gradients_as_values(ours)).items():
        np.testing.assert_allclose(gradient, theirs.get_parameter(name).grad.numpy(), atol=1e-10, err_msg=name)


SIMPLE = {
    "Linear": (lambda: nn.Linear(D, 3, dtype="float64"), lambda: torch.nn.Linear(D, 3)),
    "LayerNorm": (norm, lambda: torch.nn.LayerNorm(D)),
    "RMSNorm": (lambda: nn.RMSNorm(D, dtype="float64"), lambda: torch.nn.RMSNorm(D, eps=1e-5)),
}


@pytest.mark.parametrize("name", SIMPLE)
def test_layers_with_torchs_parameter_names(name):
    ours, theirs = (make() for make in SIMPLE[name])
    call = lambda module, x: module(x)  # noqa: E731
    compare(randomise(ours), theirs.double(), lambda m: m.state_dict(), [X], call, call)


def test_embedding():
    ours, theirs = nn.Embedding(9, D, dtype="float64"), torch.nn.Embedding(9, D).double()
    ids = np.array([[3, 3, 8], [0, 1, 3]])
    compare(ours, theirs, nn.Module.state_dict, [], lambda m: m(ids), lambda m: m(torch.from_numpy(ids)))


def test_self_attention_causal_and_padded():
    ours = randomise(attention(causal=True))
    theirs = torch.nn.MultiheadAttention(D, HEADS, batch_first=True).double()
    hidden = torch.from_numpy(~PADDING)
    compare(
        ours,
        theirs,
        lambda m: packed(m, ""),
        [X],
        lambda m, x: m(x, mask=PADDING[:, None, None, :]),
        lambda m, x: m(x, x, x, attn_mask=CAUSAL, key_padding_mask=hidden, need_weights=False)[0],
    )


def test_cross_attention():
    theirs = torch.nn.MultiheadAttention(D, HEADS, batch_first=True).double()
    compare(
        randomise(attention()),
        theirs,
        lambda m: packed(m, ""),
        [X, MEMORY],
        lambda m, x, memory: m(x, memory),
        lambda m, x, memory: m(x, memory, memory, need_weights=False)[0],
    )


def feed_forward_state(ours):
    return named(ours.up, "linear1") | named(ours.down, "linear2")


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("order", ["pre", "post"])
def test_encoder_layer(order, activation):
    feed_forward = nn.FeedForward(D, FF, activation, dtype="float64")
    ours = randomise(nn.EncoderLayer(attention(), feed_forward, norm, norm=order))
    theirs = torch.nn.TransformerEncoderLayer(
        D, HEADS, FF, dropout=0.0, activation=activation, batch_first=True, norm_first=order == "pre"
    )

    def state(m):
        return (
            packed(m.attention.sublayer, "self_attn.")
            | feed_forward_state(m.feed_forward.sublayer)
            | named(m.attention.norm, "norm1")
            | named(m.feed_forward.norm, "norm2")
        )

    compare(ours, theirs.double(), state, [X], lambda m, x: m(x), lambda m, x: m(x))


@pytest.mark.parametrize("order", ["pre", "post"])
def test_decoder_layer(order):
    feed_forward = nn.FeedForward(D, FF, "relu", dtype="float64")
    ours = randomise(nn.DecoderLayer(attention(causal=True), attention(), feed_forward, norm, norm=order))
    theirs = torch.nn.TransformerDecoderLayer(D, HEADS, FF, dropout=0.0, batch_first=True, norm_first=order == "pre")

    def state(m):
        return (
            packed(m.self_attention.sublayer, "self_attn.")
            | packed(m.cross_attention.sublayer, "multihead_attn.")
            | feed_forward_state(m.feed_forward.sublayer)
            | named(m.self_attention.norm, "norm1")
            | named(m.cross_attention.norm, "norm2")
            | named(m.feed_forward.norm, "norm3")
        )

    compare(
        ours,
        theirs.double(),
        state,
        [X, MEMORY],
        lambda m, x, memory: m(x, memory),
        lambda m, x, memory: m(x, memory, tgt_mask=CAUSAL),
    )


def test_grouped_heads_equal_full_heads_with_repeated_weights():
    grouped = randomise(nn.MultiHeadAttention(D, 4, 2, dtype="float64"))
    full = nn.MultiHeadAttention(D, 4, dtype="float64")
    state = dict(grouped.state_dict())
    for name in ("key.weight", "key.bias", "value.weight", "value.bias"):
        heads = state[name].reshape(2, D // 4, -1)
        state[name] = heads.repeat(2, axis=0).reshape(full.state_dict()[name].shape)
    full.load_state_dict(state)
    np.testing.assert_allclose(grouped(Tensor(X)).numpy(), full(Tensor(X)).numpy(), atol=1e-12)
