"""Flags of `python -m minillm.finetune TASK`: the command's own, the task's settings, the model's, the training's."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from minillm.errors import ConfigError
from minillm.tasks.files import load_config
from minillm.tasks.task import FinetuneConfig, FinetuneTask
from minillm.training.run import RunFolder

DECIDED = ("kind", "source_vocab_size", "pad_id", "start_id", "end_id")  # by the task and the tokenizer: no flags
NAMES = {"start": "from"}  # field: flag; a field can't be called `from`, a keyword of Python


@dataclass(frozen=True)
class FinetuneOptions:
    """Flags of this command, beside those of the task."""

    out: Path | None = None
    """Run folder. By default runs/TASK, or runs/TASK-2 and so on where that is taken."""

    resume: bool = False
    """Go on with the run in --out, bit for bit as if it had never stopped. Its settings are those it has; --steps may
    be another number."""

    backend: str | None = None
    """What computes: numpy, native (C++), or on a GPU cuda, numba_cuda or cupy. By default the fastest of the CPU."""

    debug: bool = False
    """Show the full traceback of an error."""


def parse(
    task: type[FinetuneTask], argv: Sequence[str], tasks: dict[str, type[FinetuneTask]]
) -> tuple[FinetuneOptions, FinetuneConfig]:
    """The command's own flags and the task's settings, from the flags after the task's name.

    Flags have the defaults of the task, or with --resume the values of the run in --out, one of `tasks`.
    """
    import tyro

    own, rest = tyro.cli(FinetuneOptions, args=list(argv), add_help=False, return_unknown_args=True)
    if own.resume:
        base, resumed = load_config(RunFolder(_resumed(own)), tasks)
        if resumed is not task:
            raise ConfigError(
                f"{own.out} is a run of {resumed.kind}, not of {task.kind}; go on with it: "
                f"{RunFolder(_resumed(own)).resume_command}"
            )
    else:  # first the settings alone: they decide which model it is whose flags there are
        settings, _ = tyro.cli(type(_flags(task.Settings())), args=rest, add_help=False, return_unknown_args=True)
        base = FinetuneConfig(task.Settings(), task.model_for(settings), task.training)
    sections = {"task": _flags(base.task), "model": _flags(base.model), "training": base.training}
    fields = [
        (name, type(section), dataclasses.field(default_factory=partial(dataclasses.replace, section)))
        for name, section in sections.items()
    ]
    flags: Any = dataclasses.make_dataclass("Flags", fields, bases=(FinetuneOptions,), frozen=True)
    parsed: Any = tyro.cli(
        flags,
        args=list(argv),
        prog=f"python -m minillm.finetune {task.kind}",
        description=(task.__doc__ or "").strip(),
        config=(tyro.conf.OmitArgPrefixes,),
    )
    return own, FinetuneConfig(_as(type(base.task), parsed.task), _as(type(base.model), parsed.model), parsed.training)


def _flags(section: Any) -> Any:
    """A section whose fields tyro takes as flags: without those of `DECIDED`, and by the `NAMES` that differ.

    A hidden field needs a name, too, one that clashes with no other section's.
    """
    import tyro

    changed = []
    for field in dataclasses.fields(section):
        default: Any = dataclasses.field(default=field.default)
        if field.name in DECIDED:
            marks = (tyro.conf.arg(name=f"hidden-{field.name}"), tyro.conf.Suppress, tyro.conf.Fixed)
            changed.append((field.name, _marked(field.type, *marks), default))
        elif field.name in NAMES:
            named = tyro.conf.arg(name=NAMES[field.name])
            changed.append((field.name, _marked(field.type, named), default))
    frozen = type(section).__dataclass_params__.frozen
    made = dataclasses.make_dataclass(type(section).__name__, changed, bases=(type(section),), frozen=frozen)
    return _as(made, section)


def _marked(kind: Any, *marks: Any) -> Any:
    """A field's type with marks for tyro."""
    return Annotated[(kind, *marks)]  # type: ignore[return-value]


def _as(kind: Any, values: Any) -> Any:
    """The same fields' values in a dataclass `kind`."""
    return kind(**{field.name: getattr(values, field.name) for field in dataclasses.fields(kind)})


def _resumed(options: FinetuneOptions) -> Path:
    if options.out is None:
        raise ConfigError("--resume needs the folder of the run: --out FOLDER")
    return options.out
