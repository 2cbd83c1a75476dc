"""LoRA: what is trained and what isn't, its gradients, and merging, which changes the weights and not the function."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor
from minillm.backend import use_backend
from minillm.errors import CheckpointError, ConfigError
from minillm.models import GPT, GPTConfig
from minillm.nn import Linear, LoRALinear, Parameter, add_lora, merge_lora, unmerge_lora
from minillm.optim import SGD, AdamW
from minillm.testing import gradcheck

SMALL = {"vocab_size": 17, "context_length": 12, "n_layer": 2, "n_head": 4, "d_model": 16}
STYLES = {
    "gpt2": {},
    "llama": {"normalization": "rms_norm", "position": "rotary", "activation": "swiglu", "n_kv_head": 2, "bias": False},
}
ALL = ("query", "key", "value", "output", "up", "down")
IDS, TARGETS = np.random.default_rng(1).integers(0, 17, size=(2, 3, 12))


def make(**options):
    ml.seed(0)
    model = GPT(GPTConfig(**SMALL, **options))
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.mutable()[...] = rng.normal(size=p.shape) * 0.3 + (1 if p.ndim == 1 else 0)
    return model


def shake(model):
    """Give every B a value, so that ΔW isn't 0."""
    rng = np.random.default_rng(2)
    for name, p in model.named_parameters():
        if name.endswith("lora_b"):
            p.mutable()[...] = rng.normal(size=p.shape) * 0.3
    return model


def logits(model):
    with ml.no_grad():
        return model(IDS)[0].numpy()


def one_layer(rank=2, alpha=3.0, dtype="float64", bias=True, precision=None):
    """A LoRALinear from 5 features to 4, every number of it at random."""
    layer = LoRALinear(Linear(5, 4, bias, dtype, precision), rank, alpha)
    rng = np.random.default_rng(3)
    for p in layer.parameters():
        p.mutable()[...] = rng.normal(size=p.shape)
    return layer


# ---- the formula ----


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"rank": 1, "alpha": 8}], ids=str)
@pytest.mark.parametrize("activation", [None, "gelu_tanh", "silu"])
@pytest.mark.parametrize("with_residual", [False, True])
def test_it_is_a_linear_layer_whose_matrix_is_w_plus_scaled_ba(options, activation, with_residual):
    """Equation 3 written out in float64, by a Linear of its own for what is fused."""
    layer = one_layer(**options)
    state = layer.state_dict()
    plain = Linear(5, 4, layer.bias is not None, "float64")
    scale = options.get("alpha", 3.0) / options.get("rank", 2)
    plain.weight.mutable()[...] = state["weight"] + scale * state["lora_b"] @ state["lora_a"]
    if plain.bias is not None:
        plain.bias.mutable()[...] = state["bias"]
    rng = np.random.default_rng(4)
    x, r = Tensor(rng.normal(size=(2, 3, 5))), Tensor(rng.normal(size=(2, 3, 4)))
    residual = r if with_residual else None
    wanted = plain(x, residual, activation).numpy()
    np.testing.assert_allclose(layer(x, residual, activation).numpy(), wanted, rtol=1e-12, atol=1e-12)
    layer.merge()
    np.testing.assert_allclose(layer(x, residual, activation).numpy(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_at_the_start_nothing_has_changed(style, dtype):
    model = make(**STYLES[style], dtype=dtype)
    before = logits(model)
    add_lora(model, rank=4, alpha=8, targets=ALL)
    np.testing.assert_array_equal(logits(model), before)


# ---- gradients ----


@pytest.mark.parametrize("activation", [None, "gelu_tanh"])
def test_gradients_of_a_and_b_and_x_against_finite_differences(activation):
    layer = one_layer()
    rng = np.random.default_rng(5)

    def call(x, residual, a, b):
        layer.lora_a, layer.lora_b = a, b
        return layer(x, residual, activation)

    inputs = [rng.normal(size=shape) for shape in ((2, 3, 5), (2, 3, 4), (2, 5), (4, 2))]
    assert gradcheck(call, inputs).compared > 0


@pytest.mark.parametrize("checkpointing", [False, True])
def test_only_a_and_b_get_gradients_and_they_are_those_of_a_trained_w(checkpointing):
    """dA = s Bᵀ dW and dB = s dW Aᵀ, with dW from the plain model that has W + ΔW, whose gradients are checked."""
    model = shake(add_lora(make(dtype="float64", activation_checkpointing=checkpointing), rank=2, alpha=6))
    model.loss(IDS, TARGETS).backward()
    plain = make(dtype="float64")
    frozen = {name: p for name, p in model.named_parameters() if "lora" not in name}
    assert all(p.grad is None and not p.requires_grad for p in frozen.values())
    factors = {name: p for name, p in model.named_parameters() if "lora" in name}
    assert len(factors) == 2 * 2 * 2

    plain.load_state_dict(merge_lora(model).state_dict())
    plain.loss(IDS, TARGETS).backward()
    gradient = {name: p.grad for name, p in plain.named_parameters()}
    for name in [name for name in factors if name.endswith("lora_a")]:
        layer = name.removesuffix("lora_a")
        a, b, dw = factors[name], factors[layer + "lora_b"], gradient[layer + "weight"]
        np.testing.assert_allclose(a.grad, 3 * b.numpy().T @ dw, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(b.grad, 3 * dw @ a.numpy().T, rtol=1e-9, atol=1e-12)


def test_a_frozen_weights_gradient_is_not_computed(monkeypatch):
    """dW would be a third of the layer's work: of four layers' products, those for dA, dB and the two dx are left."""
    pytest.importorskip("minillm._native", reason="the native kernels aren't built")
    from minillm.kernels.native import linear as native

    model, shapes = shake(add_lora(make(dtype="float32"), rank=2, alpha=6)), []
    original = native.multiply
    monkeypatch.setattr(native, "multiply", lambda a, b, p: shapes.append((len(a), b.shape[1])) or original(a, b, p))
    with use_backend("native"):
        model.loss(IDS, TARGETS).backward()
    frozen = {p.shape for name, p in model.named_parameters() if name.endswith("weight") and len(p.shape) == 2}
    assert shapes and not frozen & set(shapes)


# ---- training ----


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_moves_a_and_b_only_and_lowers_the_loss(dtype):
    model = add_lora(make(dtype=dtype), rank=4, alpha=8, targets=ALL)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model.loss(IDS, TARGETS)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    for name, array in model.state_dict().items():
        assert np.array_equal(array, before[name]) == ("lora" not in name), name


def test_a_frozen_parameter_has_no_moments_and_the_rest_is_counted():
    model = make()
    everything = model.num_parameters()
    add_lora(model, rank=2, alpha=2, targets=("query", "value", "down"))
    added = 2 * (2 * 2 * (16 + 16) + 2 * (16 + 64))  # layers * (query and value, rank * (d_in + d_out); and down)
    assert model.num_parameters() == added
    assert sum(array.size for array in model.state_dict().values()) == everything + added
    optimizer = AdamW(model.parameters())
    moments = {name: array.size for name, array in optimizer.state_dict().items() if name != "step"}
    assert sum(moments.values()) == 2 * added
    with pytest.raises(ConfigError, match="frozen ones only"):
        SGD([p for p in model.parameters() if not p.requires_grad], lr=1)


def test_a_parameter_frozen_later_stays_where_it_is():
    p, q = Parameter(np.ones(2)), Parameter(np.ones(2))
    optimizer = AdamW([p, q], lr=0.1)
    p.requires_grad = False
    ml.ops.sum(p * q).backward()
    optimizer.step()
    assert p.grad is None and (p.numpy() == 1).all() and (q.numpy() != 1).all()


def test_the_state_comes_back_into_a_model_with_lora_and_the_moments_too():
    model = shake(add_lora(make(), rank=2, alpha=4))
    other = add_lora(make(), rank=2, alpha=4)
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(logits(other), logits(model))
    optimizer, again = AdamW(model.parameters()), AdamW(other.parameters())
    again.load_state_dict(optimizer.state_dict())
    assert [p.shape for p in again.params] == [p.shape for p in optimizer.params]


# ---- merging ----


def test_a_merged_layer_in_float32_is_the_unmerged_one_to_a_millionth():
    ml.seed(0)
    layer = LoRALinear(Linear(64, 48), rank=4, alpha=8)
    layer.lora_b.mutable()[...] = np.random.default_rng(2).normal(size=(48, 4)) * 0.1
    x = Tensor(np.random.default_rng(3).normal(size=(20, 64)).astype(np.float32))
    before, w = layer(x).numpy(), layer.weight.numpy().copy()
    layer.merge()
    assert np.abs(layer.weight.numpy() - w).max() > 0.1
    np.testing.assert_allclose(layer(x).numpy(), before, rtol=0, atol=1e-6 * np.abs(before).max())
    layer.unmerge()
    np.testing.assert_allclose(layer.weight.numpy(), w, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("dtype", "close"), [("float32", 1e-5), ("float64", 1e-13)])
@pytest.mark.parametrize("style", STYLES)
def test_merged_and_unmerged_are_one_function(style, dtype, close):
    model = shake(add_lora(make(**STYLES[style], dtype=dtype), rank=4, alpha=8, targets=ALL))
    w = {name: array.copy() for name, array in model.state_dict().items()}
    before = logits(model)
    merge_lora(model)
    merged = logits(model)
    np.testing.assert_allclose(merged, before, rtol=0, atol=close * np.abs(before).max())
    merge_lora(model)  # the second time changes nothing
    np.testing.assert_array_equal(logits(model), merged)

    unmerge_lora(unmerge_lora(model))
    assert model.state_dict().keys() == w.keys()
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, w[name], rtol=0, atol=close, err_msg=name)
        assert "lora" not in name or np.array_equal(array, w[name])
    np.testing.assert_allclose(logits(model), before, rtol=0, atol=close * np.abs(before).max())


def test_a_merged_models_state_fits_the_plain_model_and_no_other():
    model = shake(add_lora(make(), rank=2, alpha=4))
    merged = merge_lora(model).state_dict()
    plain = make()
    plain.load_state_dict(merged)
    np.testing.assert_array_equal(logits(plain), logits(model))
    with pytest.raises(CheckpointError, match="missing: layers.0.attention.sublayer.query.lora_a"):
        add_lora(make(), rank=2, alpha=4).load_state_dict(merged)  # ΔW would count twice


def test_a_merged_model_generates_what_the_unmerged_one_does():
    model = shake(add_lora(make(), rank=4, alpha=8))
    tokens = [model.generate([1, 2], 9, temperature=0, use_cache=cached).tolist() for cached in (True, False)]
    merge_lora(model)
    tokens += [model.generate([1, 2], 9, temperature=0, use_cache=cached).tolist() for cached in (True, False)]
    assert all(row == tokens[0] for row in tokens)


# ---- the head, and refusals ----


def test_a_head_with_lora_counts_in_the_loss():
    model = shake(add_lora(make(tie_weights=False), rank=2, alpha=4, targets=("head",)))
    np.testing.assert_allclose(model.loss(IDS, TARGETS).item(), model(IDS, TARGETS)[1].item(), rtol=1e-6)
    model.loss(IDS, TARGETS).backward()
    assert model.head.lora_b.grad is not None


@pytest.mark.parametrize("merged", [False, True])
def test_a_model_that_has_lora_already_is_refused_and_stays_as_it_is(merged):
    model = shake(add_lora(make(), rank=2, alpha=4))
    if merged:
        merge_lora(model)
    before = [(name, id(p), p.requires_grad) for name, p in model.named_parameters()]
    with pytest.raises(ConfigError, match="already has LoRA layers; .*merge_lora.* plain model"):
        add_lora(model, rank=2, alpha=4, targets=("up",))
    assert [(name, id(p), p.requires_grad) for name, p in model.named_parameters()] == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank=0 must be from 1 to 16"),
        ({"rank": 17}, r"rank=17 must be from 1 to 16, the smaller size of W \(16, 16\)"),
        ({"targets": ("querry",)}, r"'querry'.* must name Linear layers; this model's are down, head, key, output"),
        ({"targets": "query"}, "targets='query' must name"),
        ({"targets": ()}, "must name"),
        ({"targets": ("head",)}, "head shares its weight with another layer"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(options, message):
    model = make()
    with pytest.raises(ConfigError, match=message):
        add_lora(model, **{"rank": 2, "alpha": 4, **options})
    assert all(p.requires_grad for p in model.parameters())
    assert not [m for m in model.modules() if isinstance(m, LoRALinear)]
