"""Train a model for a task: `python -m minillm.finetune TASK ...`, for example

    python -m minillm.finetune translation --source train.en --target train.de --out runs/de

`python -m minillm.finetune TASK --help` lists a task's flags. Ctrl-C and SIGTERM save and stop; --resume goes on as if
nothing had happened. Afterwards: `python -m minillm.evaluate RUN`.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from minillm import cli
from minillm.backend import use_backend
from minillm.configs import files as config_files
from minillm.configs.checks import suggestion
from minillm.errors import ConfigError
from minillm.memory import keep_freed_memory
from minillm.tasks import TASKS, FinetuneConfig, FinetuneTask, load_config, open_run, save
from minillm.training import plot
from minillm.training.loop import Trainer
from minillm.training.run import RunFolder, check_may_start, discard_if_empty, free_folder, locked
from minillm.training.signals import StopRequest

RUNS = Path("runs")
DECIDED = ("source_vocab_size", "pad_id", "start_id", "end_id")  # by the tokenizer, so no flags


@dataclass(frozen=True)
class FinetuneOptions:
    """Flags of this command, beside those of the task."""

    out: Path | None = None
    """Run folder. By default runs/TASK, or runs/TASK-2 and so on where that is taken."""

    resume: bool = False
    """Go on with the run in --out, bit for bit as if it had never stopped. Its settings are those it has; --steps may
    be another number."""

    backend: str | None = None
    """What computes: numpy, or another backend that is installed. By default the fastest that works."""

    debug: bool = False
    """Show the full traceback of an error."""


def parse(task: type[FinetuneTask], argv: Sequence[str]) -> tuple[FinetuneOptions, FinetuneConfig]:
    """The command's own flags and the task's settings, from the flags after the task's name."""
    import tyro

    # First the command's own flags alone: a run to be resumed gives the others their defaults.
    own, _ = tyro.cli(FinetuneOptions, args=list(argv), add_help=False, return_unknown_args=True)
    base = FinetuneConfig(task.Settings(), task.model, task.training)
    if own.resume:
        base, _ = load_config(RunFolder(_resumed(own)), TASKS)
    sections = {"task": base.task, "model": _without_flags(DECIDED, base.model), "training": base.training}
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
    chosen = {f.name: getattr(parsed.model, f.name) for f in dataclasses.fields(base.model)}
    return own, FinetuneConfig(parsed.task, type(base.model)(**chosen), parsed.training)


def _without_flags(names: Sequence[str], model: Any) -> Any:
    """The model's config, some of whose fields are no flags, under names that clash with no other section's."""
    import tyro

    present = {f.name: f.type for f in dataclasses.fields(model)}
    hidden = [
        (name, Annotated[Any, tyro.conf.arg(name=f"model-{name}"), tyro.conf.Suppress, tyro.conf.Fixed])
        for name in names
        if name in present
    ]
    frozen = type(model).__dataclass_params__.frozen
    kind = dataclasses.make_dataclass(type(model).__name__, hidden, bases=(type(model),), frozen=frozen)
    return kind(**{f.name: getattr(model, f.name) for f in dataclasses.fields(model)})


def _resumed(options: FinetuneOptions) -> Path:
    if options.out is None:
        raise ConfigError("--resume needs the folder of the run: --out FOLDER")
    return options.out


def say(text: str) -> None:
    """Print a line of news at once, also into a pipe."""
    print(text, flush=True)


def start(run: RunFolder, task: type[FinetuneTask], config: FinetuneConfig) -> None:
    """A new run: read the data, fill the folder, train."""
    check_may_start(run)
    try:
        prepared = task.prepare(config)
        settings = prepared.training or config.training
        whole = dataclasses.replace(config, model=prepared.model, training=settings)
        task(whole, prepared.tokenizer, prepared.examples).build()  # raises now what it would raise in the run folder
        with locked(run):
            check_may_start(run)
            save(run, config, prepared)
            train(run)
    finally:
        discard_if_empty(run)


def resume(run: RunFolder, config: FinetuneConfig) -> None:
    """Go on with a run; only how long it trains may have changed."""
    saved, _ = load_config(run, TASKS)
    if dataclasses.replace(config, training=dataclasses.replace(config.training, steps=saved.training.steps)) != saved:
        raise ConfigError(f"{run.path} goes on with the settings it has ({run.config}); only --steps may change")
    with locked(run):
        run.config.write_text(config_files.to_toml(config), encoding="utf-8")
        train(run)


def train(run: RunFolder) -> None:
    """Train a prepared run to its end or a stop, and say how it went."""
    task = open_run(run, TASKS)
    training = task.config.training
    counts = ", ".join(f"{len(part):,} {split}" for split, part in task.examples.items())
    epochs = training.steps / task.steps_per_epoch
    say(f"{task.kind}: {counts} examples; {training.steps:,} steps are {epochs:.1f} epochs")
    plot.load()
    keep_freed_memory()
    with StopRequest() as stop:
        trainer = Trainer(training, run, task, stop)
        say(f"{type(trainer.model).__name__}, {trainer.model.num_parameters():,} parameters to train")
        finished = trainer.train()
    if finished:
        say(f"done: {run.plot}, {run.samples}\nscore it: python -m minillm.evaluate {run.quoted}")
    else:
        say(f"stopped at step {trainer.state.step:,}; everything is saved. Go on with:\n  {run.resume_command}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{__doc__}\nTasks: {', '.join(TASKS)}")
        return 0 if arguments else 2
    kind = arguments[0]
    if kind not in TASKS:
        raise ConfigError(f"there is no task {kind!r}{suggestion(kind, TASKS)}")
    options, config = parse(TASKS[kind], arguments[1:])
    if options.backend:
        use_backend(options.backend)
    run = RunFolder(options.out or free_folder(RUNS, kind))
    try:
        if options.resume:
            resume(run, config)
        else:
            start(run, TASKS[kind], config)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    cli.run(main)
