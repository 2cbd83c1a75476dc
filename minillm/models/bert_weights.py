"""A BERT from Hugging Face's files by a table of names, and sentence embeddings with it.

    ours (N the layer)                              theirs
    token_embedding.weight                          embeddings.word_embeddings.weight
    positions.embedding.weight                      embeddings.position_embeddings.weight
    segment_embedding.weight                        embeddings.token_type_embeddings.weight
    embedding_norm                                  embeddings.LayerNorm
    layers.N.attention.sublayer.{query,key,value}   encoder.layer.N.attention.self.{query,key,value}
    layers.N.attention.sublayer.output              encoder.layer.N.attention.output.dense
    layers.N.attention.norm                         encoder.layer.N.attention.output.LayerNorm
    layers.N.feed_forward.sublayer.up, .down        encoder.layer.N.intermediate.dense, .output.dense
    layers.N.feed_forward.norm                      encoder.layer.N.output.LayerNorm
    head.dense, .norm                               cls.predictions.transform.dense, .LayerNorm
    head.bias                                       cls.predictions.bias

Both compute x Wᵀ + b, so nothing is turned or joined on the way.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minillm import tensor_file
from minillm.errors import CheckpointError, ConfigError
from minillm.models.bert import BERT, BERTConfig
from minillm.models.pooling import pooled
from minillm.tape import no_grad
from minillm.tokenizers import WordPieceTokenizer
from minillm.tokenizers.wordpiece import PAD

LAYER = {
    **{f"attention.sublayer.{part}": f"attention.self.{part}" for part in ("query", "key", "value")},
    "attention.sublayer.output": "attention.output.dense",
    "attention.norm": "attention.output.LayerNorm",
    "feed_forward.sublayer.up": "intermediate.dense",
    "feed_forward.sublayer.down": "output.dense",
    "feed_forward.norm": "output.LayerNorm",
}
HEAD = {"head.dense": "cls.predictions.transform.dense", "head.norm": "cls.predictions.transform.LayerNorm"}
# Constants, copies of tied weights, and the parts for next-sentence prediction, which this BERT doesn't do.
LEFT_OUT = re.compile(r"embeddings\.position_ids|pooler\..*|cls\.seq_relationship\..*|cls\.predictions\.decoder\..*")
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "relu": "relu", "silu": "silu"}  # ours for theirs
EXPECTED = {"model_type": "bert", "position_embedding_type": "absolute", "is_decoder": False}


def load_bert(folder: str | os.PathLike[str], dtype: Any = "float32") -> tuple[BERT, WordPieceTokenizer]:
    """The model and tokenizer in a folder with config.json, model.safetensors and vocab.txt, in evaluation mode.

    A file of the encoder alone leaves the masked-language-model head as it starts, at random. dtype: as in BERTConfig.
    Raises CheckpointError listing all names that are missing, unexpected or mis-shaped, ConfigError for a model that
    isn't BERT's kind, TokenError for a damaged vocabulary, OSError where a file can't be read.
    """
    folder = Path(folder)
    model = BERT(_config(_read_json(folder / "config.json"), dtype))
    model.load_state_dict(_our_names(tensor_file.read(folder / "model.safetensors"), model))
    model.eval()
    settings = folder / "tokenizer_config.json"
    lowercase = _read_json(settings).get("do_lower_case", True) if settings.exists() else True
    tokenizer = WordPieceTokenizer.from_vocab(folder / "vocab.txt", lowercase)
    if tokenizer.vocab_size != model.config.vocab_size:
        raise CheckpointError(
            f"{folder}: vocab.txt has {tokenizer.vocab_size} tokens, the model {model.config.vocab_size}; "
            "they are of different models"
        )
    return model, tokenizer


def embed(
    model: BERT,
    tokenizer: WordPieceTokenizer,
    texts: Sequence[str],
    *,
    batch_size: int = 32,
    max_length: int | None = None,
    truncate: bool = False,
) -> np.ndarray:
    """A vector of length 1 for each text, (n, d_model): the mean of its tokens', [CLS] and [SEP] included.

    (Reimers & Gurevych 2019, section 3.) A dot product of two is then their cosine. Texts of similar length share a
    batch, so little is padding. max_length: in tokens, the model's context if not given; a text that is longer is a
    TokenError, or with `truncate` loses its end. Switches the model to evaluation.
    """
    max_length = max_length or model.config.context_length
    inputs = [tokenizer.encode_pair(text, max_length=max_length, truncate=truncate)[0] for text in texts]
    order = sorted(range(len(inputs)), key=lambda i: len(inputs[i]))
    vectors = np.zeros((len(inputs), model.config.d_model), model.config.array_dtype)
    model.eval()
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        ids = np.full((len(rows), len(inputs[rows[-1]])), tokenizer.special_tokens[PAD])
        lengths = np.array([len(inputs[i]) for i in rows])
        for row, i in zip(ids, rows, strict=True):
            row[: len(inputs[i])] = inputs[i]
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        with no_grad():
            vectors[rows] = pooled(model.features(ids, mask), mask, "mean").numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _names(model: BERT) -> dict[str, str]:
    """Our name of each parameter, and theirs."""
    modules = {"embedding_norm": "embeddings.LayerNorm", **HEAD}
    for n in range(model.config.n_layer):
        modules |= {f"layers.{n}.{ours}": f"encoder.layer.{n}.{theirs}" for ours, theirs in LAYER.items()}
    names = {
        "token_embedding.weight": "embeddings.word_embeddings.weight",
        "positions.embedding.weight": "embeddings.position_embeddings.weight",
        "segment_embedding.weight": "embeddings.token_type_embeddings.weight",
        "head.bias": "cls.predictions.bias",
    }
    for ours, theirs in modules.items():
        names |= {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}
    return names


def _our_names(file: dict[str, np.ndarray], model: BERT) -> dict[str, np.ndarray]:
    """The file's arrays under our names; those of the head from the model where the file has none."""
    state = {_modern(name): array for name, array in file.items()}
    state = {name: array for name, array in state.items() if not LEFT_OUT.fullmatch(name)}
    own, names = model.state_dict(), _names(model)
    if not any(name.startswith("cls.") for name in state):
        state |= {theirs: own[ours] for ours, theirs in names.items() if ours.startswith("head.")}
    shapes = {theirs: own[ours].shape for ours, theirs in names.items()}
    problems = [f"missing: {name} {shape}" for name, shape in shapes.items() if name not in state]
    for name, array in state.items():
        if name not in shapes:
            problems.append(f"unexpected: {name} {array.shape}")
        elif array.shape != shapes[name]:
            problems.append(f"mis-shaped: {name} is {array.shape}, config.json asks for {shapes[name]}")
    if problems:
        raise CheckpointError("these aren't the weights that config.json describes:\n  " + "\n  ".join(problems))
    return {ours: state[theirs] for ours, theirs in names.items()}


def _modern(name: str) -> str:
    """Names without the "bert." of a model with a head, and without TensorFlow's words for a norm's parameters."""
    name = name.removeprefix("bert.")
    return re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))


def _config(settings: dict[str, Any], dtype: Any) -> BERTConfig:
    for name, wanted in EXPECTED.items():
        if settings.get(name, wanted) != wanted:
            raise ConfigError(f"config.json: {name}={settings[name]!r}, but this BERT has {wanted!r} only")
    activation = settings.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS:
        raise ConfigError(f"config.json: hidden_act={activation!r} isn't one of {', '.join(ACTIVATIONS)}")
    try:
        return BERTConfig(
            vocab_size=settings["vocab_size"],
            context_length=settings["max_position_embeddings"],
            n_layer=settings["num_hidden_layers"],
            n_head=settings["num_attention_heads"],
            d_model=settings["hidden_size"],
            d_ff=settings["intermediate_size"],
            dropout=settings.get("hidden_dropout_prob", 0.1),
            n_segment=settings["type_vocab_size"],
            activation=ACTIVATIONS[activation],  # type: ignore[arg-type]
            norm_eps=settings.get("layer_norm_eps", 1e-12),
            dtype=dtype,
        )
    except KeyError as error:
        raise CheckpointError(f"config.json doesn't say {error}, which a BERT's does; fetch it again") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} isn't valid JSON: {error}; fetch it again") from None
    if not isinstance(read, dict):
        raise CheckpointError(f"{path} must hold an object of settings; fetch it again")
    return read
