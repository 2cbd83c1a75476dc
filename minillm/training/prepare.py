"""From a corpus to what a training reads: the tokenizer, the token files, the baselines. Kept in the run folder.

Everything is made in a temporary folder and moved when all of it is there, so that an error or a Ctrl-C halfway (a file
that isn't UTF-8, a full disk) leaves no half of a run behind.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from minillm.configs.checks import suggestion
from minillm.configs.config import Config, DataConfig
from minillm.data import corpora, splits, tokens
from minillm.errors import ConfigError
from minillm.models import GPT
from minillm.tokenizers import BPETokenizer, CharTokenizer, WordTokenizer, load_tokenizer
from minillm.training import baselines, samples
from minillm.training.data import batch_of
from minillm.training.files import TEMPORARY, write_synced
from minillm.training.run import RunFolder


def load_corpus(config: DataConfig, say: Callable[[str], None]) -> corpora.Corpus:
    """The corpus the config names, cleaned if it says so. Raises DataError where there is none."""
    corpus = corpora.load(config.corpus)
    if config.clean == "none":
        return corpus
    from minillm.data import cleaning

    corpus, report = cleaning.cleaned(corpus, config.clean)
    for _ in corpus.documents():  # a whole reading fills the report
        pass
    say(str(report))
    return corpus


def check_model(config: Config) -> None:
    """Raise now what the model would raise after the text has been read, by making one layer of it."""
    GPT(dataclasses.replace(config.model, vocab_size=2, n_layer=1))


def make_tokenizer(config: DataConfig, texts: Iterable[str]) -> Any:
    """A tokenizer trained on the training text, or read from the path that `config.tokenizer` is."""
    kinds: dict[str, Callable[[Iterable[str]], Any]] = {
        "char": CharTokenizer.train,
        "word": partial(WordTokenizer.train, min_count=config.min_count, max_size=config.vocab_size),
        "bpe": partial(BPETokenizer.train, vocab_size=config.vocab_size, pattern=config.split_pattern),
    }
    if config.tokenizer in kinds:
        return kinds[config.tokenizer](texts)
    if Path(config.tokenizer).exists():
        return load_tokenizer(config.tokenizer)
    raise ConfigError(
        f"tokenizer is {config.tokenizer!r}, neither a kind nor a file that is there"
        f"{suggestion(config.tokenizer, kinds)}"
    )


def create(config: Config, run: RunFolder, corpus: corpora.Corpus, say: Callable[[str], None]) -> Config:
    """Fill an empty run folder; returns the config with the vocabulary's size, as saved. Leaves nothing if it fails."""
    staging = run.path / f"{TEMPORARY}prepared"
    try:
        staging.mkdir()
        config = _fill(config, RunFolder(staging), corpus, say)
        mark = run.config.name  # what makes the folder a run goes last
        for name in sorted((path.name for path in staging.iterdir()), key=lambda name: name == mark):
            os.replace(staging / name, run.path / name)
        return config
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fill(config: Config, folder: RunFolder, corpus: corpora.Corpus, say: Callable[[str], None]) -> Config:
    fraction = config.data.validation_fraction
    say(f"reading {corpus.description}")
    tokenizer = make_tokenizer(config.data, splits.split_texts(corpus, fraction))
    tokenizer.save(folder.tokenizer)
    train, validation = tokens.prepare(corpus, tokenizer, folder.tokens, fraction)
    say(f"{len(train):,} tokens to train on, {len(validation):,} to validate with; vocabulary {tokenizer.vocab_size:,}")
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=tokenizer.vocab_size))
    batch_of(train, config, 0)  # raises now, not later, where the text is shorter than a context
    samples.prompt_ids(tokenizer, config.training.prompt, 0)
    measured = baselines.measure(train, validation, config.training.eval_tokens, corpus.entropy_bits_per_byte)
    write_synced(folder.baselines, json.dumps(measured, indent=2).encode())
    folder.save_config(config)
    return config
