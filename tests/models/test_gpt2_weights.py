"""GPT-2's weights under Hugging Face's names: what goes out comes back, and others compute the same with them."""

import json

import numpy as np
import pytest
from safetensors import safe_open

import minillm as ml
from minillm.errors import CheckpointError, ConfigError
from minillm.models import GPT, GPTConfig, gpt2_state_dict, load_gpt2, save_gpt2
from minillm.nn import add_lora, merge_lora

SMALL = {"vocab_size": 19, "context_length": 12, "n_layer": 2, "n_head": 4, "d_model": 16}
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
IDS = np.random.default_rng(1).integers(0, 19, size=(3, 12))


def make(**options):
    """A small GPT-2 whose weights are large enough for every part to matter."""
    model = GPT(GPTConfig(**{**SMALL, **options}))
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.mutable()[...] = rng.normal(size=p.shape) * 0.3 + (1 if p.ndim == 1 else 0)
    return model.eval()


def logits(model):
    with ml.no_grad():
        return model(IDS)[0].numpy()


def assert_same_weights(first, second):
    first, second = first.state_dict(), second.state_dict()
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is the oracle here; install the extra `oracle`")


# ---- out and in again ----


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tie_weights": False},
        {"activation": "relu", "d_ff": 24, "dropout": 0.25},
        {"activation": "gelu", "n_kv_head": 4},
    ],
    ids=str,
)
def test_a_saved_model_comes_back_bit_for_bit(tmp_path, options):
    model = make(**options)
    save_gpt2(model, tmp_path / "new" / "folder")
    loaded = load_gpt2(tmp_path / "new" / "folder")
    assert_same_weights(loaded, model)
    for name in (*SMALL, "activation", "dropout", "tie_weights"):
        assert getattr(loaded.config, name) == getattr(model.config, name)
    assert not loaded.training
    np.testing.assert_array_equal(logits(loaded), logits(model))


def test_the_file_alone_or_a_mapping_need_the_number_of_heads(tmp_path):
    model = make()
    save_gpt2(model, tmp_path)
    (tmp_path / "config.json").unlink()
    for source in (tmp_path / "model.safetensors", gpt2_state_dict(model)):
        with pytest.raises(ConfigError, match=r"give n_head \(in GPT-2 d_model / 64 = 0\)"):
            load_gpt2(source)
        assert_same_weights(load_gpt2(source, n_head=4), model)


def test_shapes_and_names_are_gpt2s():
    """The names and shapes of GPT-2's published file, at another size (d = 16, so 3 d = 48 and 4 d = 64)."""
    layer = {
        "ln_1.weight": (16,), "ln_1.bias": (16,), "attn.c_attn.weight": (16, 48), "attn.c_attn.bias": (48,),
        "attn.c_proj.weight": (16, 16), "attn.c_proj.bias": (16,), "ln_2.weight": (16,), "ln_2.bias": (16,),
        "mlp.c_fc.weight": (16, 64), "mlp.c_fc.bias": (64,), "mlp.c_proj.weight": (64, 16), "mlp.c_proj.bias": (16,),
    }  # fmt: skip
    wanted = {"wte.weight": (19, 16), "wpe.weight": (12, 16), "ln_f.weight": (16,), "ln_f.bias": (16,)}
    wanted |= {f"h.{n}.{name}": shape for n in range(2) for name, shape in layer.items()}
    assert {name: array.shape for name, array in gpt2_state_dict(make()).items()} == wanted


def test_prefix_masks_and_a_tied_head_in_the_state_change_nothing():
    model = make()
    state = {f"transformer.{name}": array for name, array in gpt2_state_dict(model).items()}
    state["lm_head.weight"] = state["transformer.wte.weight"].copy()
    for n in range(2):
        state[f"transformer.h.{n}.attn.bias"] = np.tril(np.ones((1, 1, 12, 12), np.float32))
        state[f"transformer.h.{n}.attn.masked_bias"] = np.float32(-1e4)
    assert_same_weights(load_gpt2(state, n_head=4), model)


def test_a_head_of_its_own_is_noticed():
    model = make(tie_weights=False)
    loaded = load_gpt2(gpt2_state_dict(model), n_head=4)
    assert loaded.config.tie_weights is False
    assert_same_weights(loaded, model)


def test_a_merged_lora_is_written_and_an_unmerged_one_refused():
    model = make()
    add_lora(model, rank=2, alpha=4)
    for p in model.parameters():
        p.mutable()[...] += np.float32(0.1)
    before = logits(model)
    with pytest.raises(ConfigError, match=r"layers\.0\.attention\.sublayer\.query\.lora_a.*merge_lora"):
        gpt2_state_dict(model)
    plain = load_gpt2(gpt2_state_dict(merge_lora(model)), n_head=4)
    np.testing.assert_allclose(logits(plain), before, atol=1e-4)


# ---- others, given these names ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_torch_gpt2_given_these_names_computes_the_same_logits(torch, dtype, tied):
    from tests.oracles.torch_gpt2 import gpt2_logits

    model = make(dtype=dtype, tie_weights=tied)
    state = {name: torch.from_numpy(array.copy()) for name, array in gpt2_state_dict(model).items()}
    wanted = gpt2_logits(state, torch.from_numpy(IDS), n_head=4).numpy()
    np.testing.assert_allclose(logits(model), wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_drawn_under_gpt2s_names_give_torchs_logits(torch, dtype):
    """The other direction: the state isn't ours, so a mistake made both ways can't cancel."""
    from tests.oracles.torch_gpt2 import gpt2_logits

    rng = np.random.default_rng(5)
    shapes = {name: array.shape for name, array in gpt2_state_dict(make()).items()}
    state = {name: (rng.normal(size=shape) * 0.3).astype(dtype) for name, shape in shapes.items()}
    wanted = gpt2_logits({k: torch.from_numpy(v) for k, v in state.items()}, torch.from_numpy(IDS), n_head=4).numpy()
    found = logits(load_gpt2(state, n_head=4, dtype=dtype))
    np.testing.assert_allclose(found, wanted, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.fixture
def transformers():
    module = pytest.importorskip("transformers", reason="transformers' own GPT-2 is the oracle here")
    module.logging.set_verbosity_error()
    module.logging.disable_progress_bar()
    return module


def test_the_file_names_its_kind_which_older_releases_of_transformers_ask_for(tmp_path):
    save_gpt2(make(), tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("tied", [True, False])
def test_transformers_loads_what_we_save(torch, transformers, tmp_path, tied):
    model = make(tie_weights=tied, activation="gelu")
    save_gpt2(model, tmp_path)
    theirs, report = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    with torch.no_grad():
        wanted = theirs.eval()(torch.from_numpy(IDS)).logits.numpy()
    np.testing.assert_allclose(logits(model), wanted, rtol=1e-4, atol=1e-4)


def test_we_load_what_transformers_saves(torch, transformers, tmp_path):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=19, n_positions=12, n_embd=16, n_layer=2, n_head=4, n_inner=24, initializer_range=0.3
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    theirs.save_pretrained(tmp_path)
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(IDS)).logits.numpy()
    model = load_gpt2(tmp_path)
    assert (model.config.n_head, model.config.d_ff, model.config.dropout) == (4, 24, 0.1)
    np.testing.assert_allclose(logits(model), wanted, rtol=1e-4, atol=1e-4)


# ---- refusals ----


def test_names_that_are_missing_or_strange_are_listed_together():
    state = gpt2_state_dict(make())
    del state["h.1.ln_2.bias"]
    state["h.0.extra"] = np.zeros(3)
    state["h.0.attn.c_attn.bias"] = np.zeros(47)
    with pytest.raises(CheckpointError) as error:
        load_gpt2(state, n_head=4)
    for problem in (
        "missing: h.1.ln_2.bias",
        "unexpected: h.0.extra (3,)",
        "mis-shaped: h.0.attn.c_attn.bias (47,) can't be cut into 3 equal parts",
    ):
        assert problem in str(error.value)


def test_a_state_of_something_else(tmp_path):
    with pytest.raises(CheckpointError, match=r"no matrix 'wte.weight' among \['bias'\]"):
        load_gpt2({"bias": np.zeros(2)})
    with pytest.raises(CheckpointError, match=r"model\.safetensors can't be read"):
        load_gpt2(tmp_path)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon=1e-06, but this GPT has 1e-05 only"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ({"activation_function": "mish"}, "activation_function='mish' isn't one of gelu_new"),
    ],
    ids=str,
)
def test_settings_that_would_change_the_result_are_refused(tmp_path, setting, message):
    save_gpt2(make(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | setting), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_gpt2(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "post"}, r"norm='post' \(GPT-2: 'pre'\)"),
        ({"bias": False}, r"bias=False \(GPT-2: True\)"),
        ({"activation": "swiglu"}, r"activation='swiglu' \(one of gelu_tanh"),
        ({"n_kv_head": 2}, r"n_kv_head=2 \(GPT-2: as many as n_head=4\)"),
    ],
    ids=str,
)
def test_a_model_that_is_no_gpt2_is_not_written(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        save_gpt2(make(**options), tmp_path)
    assert not list(tmp_path.iterdir())


def test_settings_that_are_no_json_are_named(tmp_path):
    save_gpt2(make(), tmp_path)
    for content in ("{", "[]"):
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
        with pytest.raises(CheckpointError, match=r"config\.json"):
            load_gpt2(tmp_path)
