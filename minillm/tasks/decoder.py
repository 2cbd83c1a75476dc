"""What the tasks on a GPT share: beginning with one of `python -m minillm.train`, and more special tokens."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from minillm import seeding
from minillm.data.examples.chat_template import END, PAD
from minillm.errors import ConfigError
from minillm.models import GPT, GPTConfig
from minillm.tasks.beginning import Beginning, shaped_like
from minillm.tasks.encoder import make_tokenizer
from minillm.tasks.reader import Reader
from minillm.tokenizers import Tokenizer
from minillm.training.trained import load_run

BY_TOKEN = ("token_embedding.weight", "head.weight")
"""Weights with a row for each token id; of tied ones only the first is there."""
FREE = ("dropout", "activation_checkpointing", "dtype")
"""What may differ from the model one begins with: it changes no weight's shape or meaning."""


class GptReader(Reader):
    """text <|end|>: the end has seen the whole text (Radford et al. 2018, section 3.3)."""

    model = GPTConfig(vocab_size=4096, context_length=256, n_layer=2, n_head=4, d_model=128, dropout=0.1)
    pad, marks = PAD, 1

    def begin(
        self, start: str, tokenizer: str, model: GPTConfig, default: GPTConfig, texts: Iterable[str]
    ) -> Beginning:
        if start:
            if tokenizer != "bpe":
                raise ConfigError(f"the model in {start} has a tokenizer of its own; leave --tokenizer {tokenizer} out")
            return begin_with_run(start, (PAD, END), model, default)
        made = make_tokenizer(tokenizer, texts, model.vocab_size, (PAD, END))
        return Beginning(replace(model, vocab_size=made.vocab_size), made, None)

    def ids(self, tokenizer: Tokenizer, ids: Sequence[int], context_length: int) -> list[int]:
        return [*ids[: context_length - 1], tokenizer.special_tokens[END]]

    def build(self, model: GPTConfig) -> GPT:
        encoder = GPT(model)
        del encoder.head
        return encoder

    def load(self, encoder: GPT, weights: Mapping[str, np.ndarray]) -> None:
        super().load(encoder, grown(encoder, {name: w for name, w in weights.items() if name != "head.weight"}))


def begin_with_run(start: str, special_tokens: Sequence[str], model: GPTConfig, default: GPTConfig) -> Beginning:
    """The tokenizer of a run with these special tokens added, the model's shape for it, and the run's best weights.

    model: the config asked for; `FREE` fields are taken from it. The others come from the run, so ConfigError where
    they aren't those of `default`: somebody asked for a shape. Errors of `load_run` for what is no run.
    """
    trained = load_run(start)
    shape = shaped_like(trained.model.config, model, default, FREE, start)
    tokenizer = trained.tokenizer.with_special_tokens(special_tokens)
    config = GPTConfig(**{**shape, "vocab_size": tokenizer.vocab_size})
    return Beginning(config, tokenizer, trained.model.state_dict())


def grown(model: GPT, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights for `model`, which may have more tokens than those they were trained with, and LoRA's factors.

    The rows of new tokens are drawn feature by feature from the normal distribution with the mean and variance of the
    old rows (Hewitt 2021, with the diagonal of the covariance only): about as long as the others, so that neither
    vectors nor logits stand out. Factors stay as drawn.
    """
    own = model.state_dict()
    adapters = {name: value for name, value in own.items() if name.endswith((".lora_a", ".lora_b"))}
    loaded = {name: _grown(rows, len(own[name])) if name in BY_TOKEN else rows for name, rows in weights.items()}
    return {**loaded, **adapters}


def _grown(rows: np.ndarray, count: int) -> np.ndarray:
    """(old, d_model) rows and more of their kind, (count, d_model)."""
    draw = seeding.generator("init").standard_normal((count - len(rows), rows.shape[1]), np.float32)
    return np.concatenate([rows, rows.mean(0) + rows.std(0) * draw]).astype(rows.dtype)
