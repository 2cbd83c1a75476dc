"""Begin with a GPT of `python -m minillm.train`: more special tokens for its tokenizer, more rows for its embedding."""

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np

from minillm import seeding
from minillm.errors import ConfigError
from minillm.generate import load_run
from minillm.models import GPT, GPTConfig
from minillm.tokenizers import Tokenizer

BY_TOKEN = ("token_embedding.weight", "head.weight")
"""Weights with a row for each token id; of tied ones only the first is there."""
FREE = ("dropout", "activation_checkpointing", "dtype")
"""What may differ from the model one begins with: it changes no weight's shape or meaning."""


def load_pretrained(
    path: str, special_tokens: Sequence[str], model: GPTConfig, default: GPTConfig
) -> tuple[Tokenizer, GPTConfig, dict[str, np.ndarray]]:
    """The tokenizer of a run with these special tokens added, the model's shape for it, and the run's best weights.

    model: the config asked for; `FREE` fields are taken from it. The others come from the run, so ConfigError where
    they aren't those of `default`: somebody asked for a shape. Errors of `generate.load_run` for what is no run.
    """
    given = {f.name: getattr(model, f.name) for f in fields(model)}
    clashes = [name for name in given if name not in FREE and given[name] != getattr(default, name)]
    if clashes:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in clashes)
        raise ConfigError(f"--start {path} brings the model's shape with it; leave out {flags}")
    trained = load_run(path)
    tokenizer = trained.tokenizer.with_special_tokens(special_tokens)
    shape = {**vars(trained.model.config), "vocab_size": tokenizer.vocab_size, **{name: given[name] for name in FREE}}
    return tokenizer, GPTConfig(**shape), trained.model.state_dict()


def grown(model: GPT, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights for `model`, which has more tokens than those they were trained with, and may have LoRA's factors.

    The new tokens' rows are drawn from the normal distribution with the mean and variance of the old rows, feature by
    feature (Hewitt 2021): as long as the others, so that neither vectors nor logits stand out. Factors stay as drawn.
    """
    own = model.state_dict()
    adapters = {name: value for name, value in own.items() if name.endswith((".lora_a", ".lora_b"))}
    loaded = {name: _grown(rows, len(own[name])) if name in BY_TOKEN else rows for name, rows in weights.items()}
    return {**loaded, **adapters}


def _grown(rows: np.ndarray, count: int) -> np.ndarray:
    """(old, d_model) rows and more of their kind, (count, d_model)."""
    draw = seeding.generator("init").standard_normal((count - len(rows), rows.shape[1]), np.float32)
    return np.concatenate([rows, rows.mean(0) + rows.std(0) * draw]).astype(rows.dtype)
