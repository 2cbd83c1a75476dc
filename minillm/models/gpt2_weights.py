"""GPT-2's weights as Hugging Face names them, into our GPT and out of it.

    ours (N the layer)                              theirs
    token_embedding.weight                          wte.weight
    positions.embedding.weight                      wpe.weight
    layers.N.attention.norm                         h.N.ln_1
    layers.N.attention.sublayer.{query,key,value}   h.N.attn.c_attn, the three joined
    layers.N.attention.sublayer.output              h.N.attn.c_proj
    layers.N.feed_forward.norm                      h.N.ln_2
    layers.N.feed_forward.sublayer.up, .down        h.N.mlp.c_fc, .c_proj
    norm                                            ln_f
    head.weight (where it isn't tied)               lm_head.weight

Their layers compute x W + b with W (d_in, d_out), as in OpenAI's TensorFlow code (Radford et al. 2019); ours x Wᵀ + b
with W (d_out, d_in): matrices are transposed on the way.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minillm import tensor_file
from minillm.errors import CheckpointError, ConfigError
from minillm.models.gpt import GPT, GPTConfig

PREFIX = "transformer."  # of all names but lm_head's in a model with its head; files of the bare Transformer lack it
ACTIVATIONS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu": "relu", "silu": "silu"}  # config.json's names for ours
SHAPED_AS = {"norm": "pre", "normalization": "layer_norm", "position": "learned", "bias": True}
EXPECTED = {  # settings of config.json that our GPT has no other value for
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
_MASKS = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")  # constants that older files hold beside the weights
_QKV = ("query", "key", "value")


def gpt2_state_dict(model: GPT) -> dict[str, np.ndarray]:
    """The model's weights under GPT-2's names, matrices (d_in, d_out); arrays may be views of the model's.

    ConfigError for a model that differs from GPT-2 in more than its sizes, or with other parameters than a GPT's.
    """
    check_is_gpt2(model.config)
    state = dict(model.state_dict())
    names = _names(model.config)
    if strange := sorted(state.keys() - {ours for parts in names.values() for ours in parts}):
        raise ConfigError(f"GPT-2 has no place for {', '.join(strange)}; merge LoRA layers first (merge_lora)")
    return {theirs: _join([_turned(ours, state[ours]) for ours in parts]) for theirs, parts in names.items()}


def load_gpt2(
    source: str | os.PathLike[str] | Mapping[str, Any], n_head: int | None = None, dtype: Any = "float32"
) -> GPT:
    """A GPT with the weights of GPT-2, in evaluation mode (call `train()` to go on training, with its dropout).

    source: a .safetensors file, a folder with model.safetensors, or a mapping of names to arrays; names with or
        without "transformer.". Sizes are those of the arrays; what these can't tell comes from the config.json beside.
    n_head: needed where there is no config.json. dtype: as in GPTConfig.
    Raises CheckpointError listing all names that are missing or unknown, ConfigError for a model of another kind.
    """
    state, settings = _read(source)
    state = {name.removeprefix(PREFIX): array for name, array in state.items()}
    state = {name: array for name, array in state.items() if not _MASKS.fullmatch(name)}
    for name in ("wte.weight", "wpe.weight", "h.0.mlp.c_fc.weight"):
        if np.ndim(state.get(name, 0)) != 2:
            raise CheckpointError(f"no GPT-2 weights: there is no matrix {name!r} among {sorted(state)[:8]}")
    model = GPT(_config(state, settings, n_head, dtype))
    if model.config.tie_weights:
        state.pop("lm_head.weight", None)
    model.load_state_dict(_our_names(state, _names(model.config)))
    model.eval()
    return model


def save_gpt2(model: GPT, folder: str | os.PathLike[str]) -> None:
    """Write model.safetensors and config.json as `transformers` reads them (GPT2LMHeadModel.from_pretrained(folder)).

    The folder is made if it isn't there. Raises OSError, and ConfigError as `gpt2_state_dict`.
    """
    state = gpt2_state_dict(model)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    named = {name if name.startswith("lm_head") else PREFIX + name: array for name, array in state.items()}
    tensor_file.write(folder / "model.safetensors", named, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_settings(model.config), indent=2) + "\n", encoding="utf-8")


def check_is_gpt2(config: GPTConfig) -> None:
    """ConfigError unless the model is GPT-2's but for its sizes, dropout and activation."""
    pairs = [(name, getattr(config, name), wanted) for name, wanted in SHAPED_AS.items()]
    wrong = [f"{name}={found!r} (GPT-2: {wanted!r})" for name, found, wanted in pairs if found != wanted]
    if config.activation not in ACTIVATIONS:
        wrong.append(f"activation={config.activation!r} (one of {', '.join(ACTIVATIONS)})")
    if config.n_kv_head not in (None, config.n_head):
        wrong.append(f"n_kv_head={config.n_kv_head} (GPT-2: as many as n_head={config.n_head})")
    if wrong:
        raise ConfigError(f"this model can't be written as a GPT-2: {', '.join(wrong)}")


def _names(config: GPTConfig) -> dict[str, list[str]]:
    """For each of GPT-2's names, ours; three where theirs is joined of ours."""
    modules: dict[str, list[str]] = {}
    for n in range(config.n_layer):
        attention, feed_forward = f"layers.{n}.attention", f"layers.{n}.feed_forward"
        modules |= {
            f"h.{n}.ln_1": [f"{attention}.norm"],
            f"h.{n}.attn.c_attn": [f"{attention}.sublayer.{part}" for part in _QKV],
            f"h.{n}.attn.c_proj": [f"{attention}.sublayer.output"],
            f"h.{n}.ln_2": [f"{feed_forward}.norm"],
            f"h.{n}.mlp.c_fc": [f"{feed_forward}.sublayer.up"],
            f"h.{n}.mlp.c_proj": [f"{feed_forward}.sublayer.down"],
        }
    modules["ln_f"] = ["norm"]
    names = {"wte.weight": ["token_embedding.weight"], "wpe.weight": ["positions.embedding.weight"]}
    for theirs, ours in modules.items():
        for kind in ("weight", "bias"):
            names[f"{theirs}.{kind}"] = [f"{module}.{kind}" for module in ours]
    return names if config.tie_weights else {**names, "lm_head.weight": ["head.weight"]}


def _our_names(state: Mapping[str, Any], names: Mapping[str, list[str]]) -> dict[str, np.ndarray]:
    """GPT-2's arrays under our names, cut and turned as ours are."""
    problems = [f"missing: {name}" for name in names if name not in state]
    problems += [f"unexpected: {name} {np.shape(state[name])}" for name in state if name not in names]
    for theirs in state.keys() & names.keys():
        shape, count = np.shape(state[theirs]), len(names[theirs])
        if not shape or shape[-1] % count:
            problems.append(f"mis-shaped: {theirs} {shape} can't be cut into {count} equal parts")
    if problems:
        raise CheckpointError("these aren't the weights of a GPT-2:\n  " + "\n  ".join(sorted(problems)))
    ours = {}
    for theirs, parts in names.items():
        for name, part in zip(parts, np.split(np.asarray(state[theirs]), len(parts), axis=-1), strict=True):
            ours[name] = _turned(name, part)
    return ours


def _turned(our_name: str, array: np.ndarray) -> np.ndarray:
    """(d_out, d_in) to (d_in, d_out) or back, for the matrices inside the layers; all else as it is."""
    return array.T if our_name.startswith("layers.") and array.ndim == 2 else array


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def _read(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The arrays of a source, and what the config.json beside them says (nothing where there is none)."""
    if isinstance(source, Mapping):
        return source, {}
    path = Path(source)
    if path.is_dir():
        path = path / "model.safetensors"
    settings = path.with_name("config.json")
    try:
        read = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
    except ValueError as error:
        raise CheckpointError(f"{settings} isn't valid JSON: {error}; fetch it again") from None
    if not isinstance(read, dict):
        raise CheckpointError(f"{settings} must hold an object with the model's settings, as config.json of GPT-2 does")
    return tensor_file.read(path), read


def _config(state: Mapping[str, Any], settings: dict[str, Any], n_head: int | None, dtype: Any) -> GPTConfig:
    """The shape of the model: sizes from the arrays, the rest from config.json, whose gaps are GPT-2's own values."""
    for name, wanted in EXPECTED.items():
        if settings.get(name, wanted) != wanted:
            raise ConfigError(f"config.json: {name}={settings[name]!r}, but this GPT has {wanted!r} only")
    ours = {theirs: name for name, theirs in ACTIVATIONS.items()}
    activation = settings.get("activation_function", "gelu_new")
    if activation not in ours:
        raise ConfigError(f"config.json: activation_function={activation!r} isn't one of {', '.join(ours)}")
    n_head = n_head or settings.get("n_head")
    (vocab_size, d_model), context_length = np.shape(state["wte.weight"]), len(state["wpe.weight"])
    if n_head is None:
        raise ConfigError(
            f"the arrays don't tell the number of heads: give n_head (in GPT-2 d_model / 64 = {d_model // 64})"
        )
    head = state.get("lm_head.weight")
    tied = head is None or np.array_equal(head, state["wte.weight"])
    return GPTConfig(
        vocab_size=vocab_size,
        context_length=context_length,
        n_layer=1 + max(int(name.split(".")[1]) for name in state if re.match(r"h\.\d+\.", name)),
        n_head=n_head,
        d_model=d_model,
        d_ff=np.shape(state["h.0.mlp.c_fc.weight"])[1],
        dropout=settings.get("resid_pdrop", 0.0),
        activation=ours[activation],  # type: ignore[arg-type]
        tie_weights=settings.get("tie_word_embeddings", tied),
        dtype=dtype,
    )


def _settings(config: GPTConfig) -> dict[str, Any]:
    """The contents of config.json."""
    dropout = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), config.dropout)
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.d_model,
        "n_inner": config.d_ff,
        "activation_function": ACTIVATIONS[config.activation],
        "layer_norm_epsilon": EXPECTED["layer_norm_epsilon"],
        "tie_word_embeddings": config.tie_weights,
        **dropout,
    }
