"""What the tasks on a BERT share: the model and tokenizer they begin with, and [CLS] text [SEP].  [4.1.1-encoder]"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from minillm.errors import CheckpointError, ConfigError
from minillm.models import BERT, BERTConfig, load_bert
from minillm.tasks.beginning import Beginning, shaped_like
from minillm.tasks.files import load_config
from minillm.tasks.reader import Reader
from minillm.tokenizers import BPETokenizer, Tokenizer, WordPieceTokenizer, load_tokenizer
from minillm.tokenizers.wordpiece import CLS, MASK, PAD, SEP
from minillm.training import checkpoints
from minillm.training.run import RunFolder

SPECIAL_TOKENS = (PAD, CLS, SEP, MASK)
FREE = ("dropout", "dtype")
"""What may differ from the model one begins with: it changes no weight's shape or meaning."""
ACCEPTED = (
    "a masked_lm run that has been trained, or a published BERT's folder (config.json, model.safetensors, vocab.txt)"
)
SMALL = BERTConfig(vocab_size=4096, context_length=256, n_layer=2, n_head=4, d_model=128, dropout=0.1)


class BertReader(Reader):
    """[CLS] text [SEP], every token in sight of all."""

    model, pad, marks = SMALL, PAD, 2

    def begin(
        self, start: str, tokenizer: str, model: BERTConfig, default: BERTConfig, texts: Iterable[str]
    ) -> Beginning:
        if not start:
            made = make_tokenizer(tokenizer, texts, model.vocab_size)
            return Beginning(replace(model, vocab_size=made.vocab_size), made, None)
        found = load_encoder(start)
        if tokenizer != "bpe":
            raise ConfigError(f"the model in {start} has a tokenizer of its own; leave --tokenizer {tokenizer} out")
        return found._replace(model=BERTConfig(**shaped_like(found.model, model, default, FREE, start)))

    def ids(self, tokenizer: Tokenizer, ids: Sequence[int], context_length: int) -> list[int]:
        return with_ends(tokenizer, ids, context_length)

    def build(self, model: BERTConfig) -> BERT:
        encoder = BERT(model)
        del encoder.head
        return encoder


def with_ends(tokenizer: Tokenizer, ids: Sequence[int], context_length: int) -> list[int]:
    """[CLS] ids [SEP], the ids cut so that this fits into the context."""
    special = tokenizer.special_tokens
    return [special[CLS], *ids[: context_length - 2], special[SEP]]


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
    if not run.config.exists():
        raise CheckpointError(f"{run.no_run} and no BERT; begin with {ACCEPTED}")
    if run.task_kind is None:
        raise CheckpointError(
            f"{path} is a GPT of python -m minillm.train, not a BERT; classification takes it with --encoder gpt"
        )
    config, task = load_config(run, TASKS)
    saved = checkpoints.best(run.checkpoints)
    if task.kind != "masked_lm" or saved is None:
        raise CheckpointError(
            f"{path} is a run of {task.kind}{'' if saved else ' without a checkpoint'}; begin with {ACCEPTED}"
        )
    return Beginning(config.model, load_tokenizer(run.tokenizer), saved.model())


def make_tokenizer(
    name: str, texts: Iterable[str], vocab_size: int, special_tokens: Sequence[str] = SPECIAL_TOKENS
) -> Tokenizer:
    """ "bpe": byte pairs learnt from the texts; else a file: BERT's vocab.txt (uncased), or a saved tokenizer.json.

    ConfigError where there is no such file, or it lacks a special token.
    """
    if name == "bpe":
        return BPETokenizer.train(texts, vocab_size, special_tokens, pattern="gpt4")
    path = Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"--tokenizer {name}: no such file; give a vocab.txt or a tokenizer.json, or leave the flag out to learn "
            "byte pairs"
        )
    tokenizer = WordPieceTokenizer.from_vocab(path) if path.suffix == ".txt" else load_tokenizer(path)
    if missing := [special for special in special_tokens if special not in tokenizer.special_tokens]:
        raise ConfigError(
            f"{name} has no {', '.join(missing)}, which the model needs; without --tokenizer one is learnt"
        )
    return tokenizer
