"""What the tasks on a BERT share: the model and tokenizer they begin with, and [CLS] text [SEP].  [4.1.1-encoder]"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minillm.errors import CheckpointError, ConfigError
from minillm.models import BERTConfig, load_bert
from minillm.tasks.files import load_config
from minillm.tokenizers import BPETokenizer, Tokenizer, WordPieceTokenizer, load_tokenizer
from minillm.tokenizers.wordpiece import CLS, MASK, PAD, SEP
from minillm.training import checkpoints
from minillm.training.run import RunFolder

SPECIAL_TOKENS = (PAD, CLS, SEP, MASK)
STILL_CHOSEN = ("dropout", "dtype")  # of a model that begins with another's weights; these decide everything else


class Beginning(NamedTuple):
    """A BERT's shape and tokenizer, and the weights to begin with, by name; None where it begins at random."""

    model: BERTConfig
    tokenizer: Tokenizer
    weights: Mapping[str, np.ndarray] | None


def begin(start: str, tokenizer: str, model: BERTConfig, default: BERTConfig, texts: Iterable[str]) -> Beginning:
    """From `start` (see `load_encoder`); or where that is empty, at random, with `tokenizer` (see `make_tokenizer`).

    ConfigError for sizes that differ from the task's `default` and from what `start` has.
    """
    if not start:
        made = make_tokenizer(tokenizer, texts, model.vocab_size)
        return Beginning(replace(model, vocab_size=made.vocab_size), made, None)
    found = load_encoder(start)
    for name in (field.name for field in fields(model) if field.name not in STILL_CHOSEN):
        given, own = getattr(model, name), getattr(found.model, name)
        if given not in (getattr(default, name), own):
            raise ConfigError(f"the model in {start} has {name}={own}, not {given}; leave --{_flag(name)} out")
    if tokenizer != "bpe":
        raise ConfigError(f"the model in {start} has a tokenizer of its own; leave --tokenizer {tokenizer} out")
    return found._replace(model=replace(found.model, **{name: getattr(model, name) for name in STILL_CHOSEN}))


def load_encoder(path: str) -> Beginning:
    """A BERT from a Hugging Face folder (see `load_bert`), or the best checkpoint of a masked_lm run.

    CheckpointError for a folder that is neither.
    """
    folder = Path(path).expanduser()
    if (folder / "config.json").exists():
        model, tokenizer = load_bert(folder)
        return Beginning(model.config, tokenizer, model.state_dict())
    from minillm.tasks import TASKS  # here, since the tasks in it import this file

    run = RunFolder(folder)
    config, task = load_config(run, TASKS)
    saved = checkpoints.best(run.checkpoints)
    if task.kind != "masked_lm" or saved is None:
        raise CheckpointError(
            f"{path} is a run of {task.kind}{'' if saved else ' without a checkpoint'}; begin with a masked_lm run "
            "that has been trained, or a folder with a BERT's config.json, model.safetensors and vocab.txt"
        )
    return Beginning(config.model, load_tokenizer(run.tokenizer), saved.model())


def make_tokenizer(name: str, texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """ "bpe": byte pairs learnt from the texts; else a file: BERT's vocab.txt (uncased), or a saved tokenizer.json.

    ConfigError where there is no such file, or it lacks a special token.
    """
    if name == "bpe":
        return BPETokenizer.train(texts, vocab_size, SPECIAL_TOKENS, pattern="gpt4")
    path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(f'tokenizer is {name!r}, neither "bpe" nor a file that is there')
    tokenizer = WordPieceTokenizer.from_vocab(path) if path.suffix == ".txt" else load_tokenizer(path)
    if missing := [special for special in SPECIAL_TOKENS if special not in tokenizer.special_tokens]:
        raise ConfigError(f"{name} has no {', '.join(missing)}, which a BERT needs; leave --tokenizer out to learn one")
    return tokenizer


def with_ends(tokenizer: Tokenizer, ids: Sequence[int], context_length: int) -> list[int]:
    """[CLS] ids [SEP], the ids cut so that this fits into the context."""
    special = tokenizer.special_tokens
    return [special[CLS], *ids[: context_length - 2], special[SEP]]


def _flag(name: str) -> str:
    return name.replace("_", "-")
