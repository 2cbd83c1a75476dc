"""What translation and summarisation begin with: byte pairs of their own texts, or the model of an earlier run."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from minillm.errors import CheckpointError
from minillm.models import Seq2SeqConfig
from minillm.tasks.beginning import Beginning, shaped_like
from minillm.tasks.files import load_config
from minillm.tokenizers import BPETokenizer, load_tokenizer
from minillm.training import checkpoints
from minillm.training.run import RunFolder

PAD, START, END = "<|pad|>", "<|start|>", "<|end|>"
SPECIAL_TOKENS = (PAD, START, END)
FREE = ("dropout", "label_smoothing", "dtype")
"""What may differ from the model one begins with: it changes no weight's shape or meaning."""
KINDS = ("translation", "summarisation")


def begin(start: str, model: Seq2SeqConfig, default: Seq2SeqConfig, texts: Iterable[str]) -> Beginning:
    """A vocabulary learnt from the texts; or, with `start`, the tokenizer, shape and weights of that run.

    CheckpointError where `start` is no trained run of these tasks, ConfigError for a shape that isn't its own.
    """
    if start:
        return begin_with_run(start, model, default)
    tokenizer = BPETokenizer.train(texts, model.vocab_size, SPECIAL_TOKENS, pattern="gpt4")
    ids = [tokenizer.special_tokens[name] for name in SPECIAL_TOKENS]
    sized = replace(model, vocab_size=tokenizer.vocab_size, pad_id=ids[0], start_id=ids[1], end_id=ids[2])
    return Beginning(sized, tokenizer, None)


def begin_with_run(start: str, model: Seq2SeqConfig, default: Seq2SeqConfig) -> Beginning:
    """The best checkpoint of a run of translation or summarisation."""
    from minillm.tasks import TASKS  # here, since the tasks in it import this file

    run = RunFolder(Path(start).expanduser())
    if run.config.exists() and run.task_kind is None:
        raise CheckpointError(f"{start} is a GPT of python -m minillm.train; begin with a run of {' or '.join(KINDS)}")
    config, task = load_config(run, TASKS)
    saved = checkpoints.best(run.checkpoints)
    if task.kind not in KINDS or saved is None:
        raise CheckpointError(
            f"{start} is a run of {task.kind}{'' if saved else ' without a checkpoint'}; begin with a trained one of "
            f"{' or '.join(KINDS)}"
        )
    shape = shaped_like(config.model, model, default, FREE, start)
    return Beginning(Seq2SeqConfig(**shape), load_tokenizer(run.tokenizer), saved.model())
