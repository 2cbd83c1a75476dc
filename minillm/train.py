"""Train a GPT: `python -m minillm.train --preset char --corpus PATH_OR_NAME --out runs/NAME`.

Ctrl-C and SIGTERM save and stop; `--resume` goes on as if nothing had happened.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from minillm import cli
from minillm.backend import use_backend
from minillm.configs import command_line, files
from minillm.configs.config import Config
from minillm.errors import UserError
from minillm.memory import keep_freed_memory
from minillm.planning import Plan, compare, plan_run
from minillm.training import gradients, plot, prepare, report
from minillm.training.data import Data, open_data
from minillm.training.language_modelling import LanguageModelling
from minillm.training.loop import Trainer
from minillm.training.run import (
    RunFolder,
    check_may_resume,
    check_may_start,
    check_steps,
    discard_if_empty,
    free_folder,
    locked,
    newest_folder,
)
from minillm.training.signals import StopRequest

RUNS = Path("runs")
DESCRIPTION = "Train a GPT on a text. Everything it makes goes into one folder, from which it can be resumed."


@dataclass(frozen=True)
class TrainOptions(command_line.Options):
    """Flags of this command, beside those of the config."""

    out: Path | None = None
    """Run folder. By default runs/PRESET, or runs/PRESET-2 and so on where that is taken."""

    resume: bool = False
    """Go on with the run in --out (by default the newest runs/PRESET), bit for bit as if it had never stopped."""

    backend: str | None = None
    """What computes: numpy, native (C++), or on a GPU cuda, numba_cuda or cupy. By default the fastest of the CPU."""

    compile_graph: Literal["on", "off"] = "on"
    """On a GPU: record a step as a CUDA graph and launch that, or run it op by op, to debug it."""

    def folder(self) -> Path:
        """The run folder meant. Raises CheckpointError where there is none to resume."""
        if self.out:
            return self.out
        return (newest_folder if self.resume else free_folder)(RUNS, self.preset or "default")


def base_config(options: TrainOptions) -> Config:
    """The settings flags lie over: of the run to be resumed, and then of --preset and --config if given."""
    if not options.resume:
        return command_line.base_config(options)
    saved = RunFolder(options.folder()).load_config()
    config = files.load_preset(options.preset, saved) if options.preset and options.out else saved
    config = files.load_file(options.config, config) if options.config else config
    return dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=saved.model.vocab_size))


def say(text: str) -> None:
    """Print a line of news at once, also into a pipe."""
    print(text, flush=True)


def start(run: RunFolder, config: Config, compile_graph: str) -> None:
    """A new run: check what can be checked, fill the folder, train."""
    check_may_start(run)
    prepare.check_model(config)
    corpus = prepare.load_corpus(config.data, say)
    try:
        with locked(run):
            check_may_start(run)
            config = prepare.create(config, run, corpus, say)
            train(run, config, compile_graph)
    finally:
        discard_if_empty(run)


def resume(run: RunFolder, config: Config, compile_graph: str) -> None:
    """Go on with a run."""
    check_may_resume(run.load_config(), config)
    check_steps(run, config.training.steps)
    with locked(run):
        run.save_config(config)
        train(run, config, compile_graph)


def train(run: RunFolder, config: Config, compile_graph: str) -> None:
    """Train a prepared run to its end or a stop, and say how it went."""
    data = open_data(config, run)
    plot.load()
    keep_freed_memory()
    planned = plan_run(config, validation_tokens=len(data.validation))
    say(f"\n{planned.table()}\n")
    planned.check_memory()
    with StopRequest() as stop:
        task = LanguageModelling(config, data)
        trainer = Trainer(config.training, run, task, stop, gradients.chosen(compile_graph, config.model.dtype))
        finished = trainer.train()
    if finished:
        say(_closing(trainer, data, planned))
    else:
        say(f"stopped at step {trainer.state.step:,}; everything is saved. Go on with:\n  {run.resume_command}")


def _closing(trainer: Trainer, data: Data, planned: Plan) -> str:
    parts = [
        report.last_samples(trainer.metrics.events),
        report.losses(trainer.state, data),
        compare(planned, trainer.state.seconds, trainer.progress.peak_memory),
        report.next_steps(trainer.run, trainer.config.steps),
    ]
    return "\n" + "\n\n".join(part for part in parts if part)


def main() -> int:
    """The command. Returns its exit code."""
    options, config = command_line.parse(
        TrainOptions,
        sys.argv[1:],
        prog="python -m minillm.train",
        description=DESCRIPTION,
        choose_base=base_config,
    )
    if options.print_config:
        print(files.to_toml(config), end="")
        return 0
    if options.backend:
        use_backend(options.backend)
    run = RunFolder(options.folder())
    if not options.out and not options.resume:
        say(f"run     {run.path}")
    try:
        (resume if options.resume else start)(run, config, options.compile_graph)
    except KeyboardInterrupt:
        saved = f"; what was saved is there: {run.resume_command}" if run.config.exists() else ""
        print(f"interrupted{saved}", file=sys.stderr)
        return 130
    except OSError as error:
        raise UserError(f"{run.path}: {error.strerror or error}; the last checkpoint, if any, is untouched") from error
    return 0


if __name__ == "__main__":
    cli.run(main)
