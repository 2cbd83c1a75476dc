"""A task's run folder: beside what every run has (see training/run.py), its examples and what it began with.

examples/train.jsonl  validation.jsonl  test.jsonl     an example a line
start.safetensors                                      the weights it began with, if another model's
report.md  report.json                                 what `python -m minillm.evaluate` found
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minillm import tensor_file
from minillm.configs import files as config_files
from minillm.configs.checks import suggestion
from minillm.errors import CheckpointError, ConfigError, DataError
from minillm.tasks.task import SPLITS, FinetuneConfig, FinetuneTask, Prepared
from minillm.tokenizers import load_tokenizer
from minillm.training.files import write_atomic
from minillm.training.run import RunFolder


def save(run: RunFolder, config: FinetuneConfig, prepared: Prepared) -> FinetuneConfig:
    """Fill the run folder; config.toml, which makes it a run, goes last. Returns the config as saved."""
    config = dataclasses.replace(config, model=prepared.model, training=prepared.training or config.training)
    folder = run.path / "examples"
    folder.mkdir(exist_ok=True)
    for split, examples in prepared.examples.items():
        lines = (json.dumps(dataclasses.asdict(example), ensure_ascii=False) + "\n" for example in examples)
        write_atomic(folder / f"{split}.jsonl", "".join(lines).encode())
    prepared.tokenizer.save(run.tokenizer)
    if prepared.start is not None:
        tensor_file.write(run.path / "start.safetensors", prepared.start)
    write_atomic(run.config, config_files.to_toml(config).encode())
    return config


def open_run(run: RunFolder, tasks: dict[str, type[FinetuneTask]]) -> FinetuneTask:
    """The task of a run folder, with its settings, tokenizer and examples. Raises CheckpointError where it has none."""
    config, task = load_config(run, tasks)
    examples = {split: _examples(run, split, task) for split in SPLITS if _file(run, split).exists()}
    opened = task(config, load_tokenizer(run.tokenizer), examples)
    start = run.path / "start.safetensors"
    opened.start = tensor_file.read(start) if start.exists() else None
    return opened


def load_config(run: RunFolder, tasks: dict[str, type[FinetuneTask]]) -> tuple[FinetuneConfig, type[FinetuneTask]]:
    """The settings of a task's run, and the task."""
    if not run.config.exists():
        raise CheckpointError(f"{run.no_run}; make one: python -m minillm.finetune TASK")
    sections = config_files.read_sections(run.config)
    kind = _kind(run, sections)
    if kind not in tasks:
        raise ConfigError(f"{run.config}: there is no task {kind!r}{suggestion(kind, tasks)}")
    task = tasks[kind]
    base: Any = FinetuneConfig(task.Settings(), task.model, task.training)
    try:
        settings = config_files.overlay(base, {"task": sections["task"]}).task
        base = FinetuneConfig(settings, task.model_for(settings), task.training)
        return config_files.overlay(base, sections), task
    except ConfigError as error:
        raise ConfigError(f"{run.config}: {error}") from error


def _kind(run: RunFolder, sections: dict[str, Any]) -> str:
    try:
        return str(sections["task"]["kind"])
    except (KeyError, TypeError):
        raise CheckpointError(
            f"{run.path} is a run that was pre-trained, not fine-tuned: "
            "use python -m minillm.generate, or give it to python -m minillm.finetune as --from"
        ) from None


def _file(run: RunFolder, split: str) -> Path:
    return run.path / "examples" / f"{split}.jsonl"


def _examples(run: RunFolder, split: str, task: type[FinetuneTask]) -> Sequence[Any]:
    path = _file(run, split)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [task.Example(**_tuples(json.loads(line))) for line in lines if line]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is missing or damaged ({error}); the run can't go on without its examples") from None


def _tuples(example: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only; examples are frozen and hold tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in example.items()}
