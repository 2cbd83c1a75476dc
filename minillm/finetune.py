"""Train a model for a task: `python -m minillm.finetune TASK ...`, for example

    python -m minillm.finetune translation --source train.en --target train.de --out runs/de

`python -m minillm.finetune TASK --help` lists a task's flags. Ctrl-C and SIGTERM save and stop; --resume goes on as if
nothing had happened. Afterwards: `python -m minillm.evaluate RUN`.
"""

import dataclasses
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from minillm import cli
from minillm.backend import use_backend
from minillm.configs import files as config_files
from minillm.configs.checks import suggestion
from minillm.errors import ConfigError
from minillm.memory import keep_freed_memory
from minillm.tasks import TASKS, FinetuneConfig, FinetuneTask, load_config, open_run, save
from minillm.tasks.flags import parse
from minillm.training import plot
from minillm.training.loop import Trainer
from minillm.training.run import RunFolder, check_may_start, check_steps, discard_if_empty, free_folder, locked
from minillm.training.signals import StopRequest

RUNS = Path("runs")


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
        if task.scored_with and not find_spec(task.scored_with[0]):
            say(f"note: scoring it afterwards needs {task.scored_with[1]}: python -m pip install {task.scored_with[1]}")
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
    check_steps(run, config.training.steps)
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
        say(
            f"{type(trainer.model).__name__}, {trainer.model.num_parameters():,} parameters to train; "
            f"{task.tokenizer.vocab_size:,} tokens in the vocabulary"
        )
        if trainer.state.step >= training.steps:
            say(f"at step {trainer.state.step:,} already; to go on, give --steps a larger number")
        finished = trainer.train()
    if finished:
        say(f"done: {run.plot}, {run.samples}\nscore it: python -m minillm.evaluate {run.quoted}")
    else:
        say(f"stopped at step {trainer.state.step:,}; everything is saved. Go on with:\n  {run.resume_command}")


def listed_tasks() -> str:
    """A line for each task: its name, and what it is."""
    return "\n".join(f"  {name:<16} {(task.__doc__ or '').strip().splitlines()[0]}" for name, task in TASKS.items())


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{__doc__}\nTasks:\n{listed_tasks()}")
        return 0 if arguments else 2
    kind = arguments[0]
    if kind not in TASKS:
        raise ConfigError(f"there is no task {kind!r}{suggestion(kind, TASKS)}")
    options, config = parse(TASKS[kind], arguments[1:], TASKS)
    if options.backend:
        use_backend(options.backend)
    run = RunFolder(options.out or free_folder(RUNS, kind))
    if not options.out:
        say(f"run     {run.path}")
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
