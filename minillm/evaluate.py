"""Score a trained model beside its baselines: `python -m minillm.evaluate RUN [TASK]`, or answer: `--input FILE`.

The scores of a fine-tuned model go to the screen and, with the examples behind them, into the run folder: report.md and
report.json; with --report also what its answers are like (length, variety, fluency, coherence, F1 of each class) and
the curve of its training. Those of a language model of python -m minillm.train go to the screen; with --report its
samples are measured, too, and all goes into report.md and report.png.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minillm import cli
from minillm.data import text_files
from minillm.errors import CheckpointError, ConfigError, DataError
from minillm.memory import keep_freed_memory
from minillm.tasks import TASKS, FinetuneTask, Scores, language_report, open_run
from minillm.training import checkpoints
from minillm.training.checkpoints import CHECKPOINT_HELP
from minillm.training.files import write_atomic
from minillm.training.run import RunFolder

SHOWN = 8  # examples in the report


def load_trained(run: RunFolder, checkpoint: str = "best") -> tuple[FinetuneTask, Any, int]:
    """A run's task, its model with the weights of the "best" or "last" checkpoint, and that checkpoint's step."""
    task = open_run(run, TASKS)
    saved = {"best": checkpoints.best, "last": checkpoints.newest}[checkpoint](run.checkpoints)
    if saved is None:
        raise CheckpointError(f"{run.path} has no checkpoint yet: train it first, python -m minillm.finetune")
    model = task.build()
    model.load_state_dict(saved.model())
    return task, model.eval(), saved.step


def table(rows: Mapping[str, Scores]) -> str:
    """Scores by name, as Markdown."""
    names = list(dict.fromkeys(name for scores in rows.values() for name in scores))
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for name, scores in rows.items():
        cells = [f"{scores[n]:.3f}" if n in scores else "" for n in names]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def report(run: RunFolder, split: str, checkpoint: str, whole: bool) -> str:
    """Score the model, write report.md and report.json, and return the Markdown.

    whole: also what its answers are like (`FinetuneTask.qualities`) and the curve of its training.
    """
    task, model, step = load_trained(run, checkpoint)
    split = split or ("test" if "test" in task.examples else "validation")
    print(f"scoring {len(task.part(split)):,} {split} examples", file=sys.stderr, flush=True)
    rows = {f"this model, step {step:,}": task.scores(model, split), **task.baseline_scores(split)}
    every = max(1, len(task.part(split)) // SHOWN)  # some from all over the split: neighbours may be of one class
    examples = task.shown(model, task.part(split)[::every][:SHOWN])
    qualities = task.qualities(model, split) if whole else ""
    text = f"# {task.kind}: {len(task.examples[split]):,} {split} examples\n\n{table(rows)}\n"
    if qualities:
        text += f"\n## What the answers are like\n\n{qualities}\n"
    if whole and (run.path / "loss.png").exists():
        text += "\n## Training\n\n![loss of the training and of the validation](loss.png)\n"
    if examples:
        text += "\n## Examples\n\n" + "\n\n".join(f"```\n{example}\n```" for example in examples) + "\n"
    write_atomic(run.path / "report.md", text.encode())
    values = {"task": task.kind, "split": split, "step": step, "scores": rows}
    write_atomic(run.path / "report.json", (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
    return text


def answers(run: RunFolder, path: str, checkpoint: str, truncate: bool) -> list[str]:
    """What the model makes of each line of a file ("-": standard input), a line for each; a blank one stays blank.

    DataError for lines longer than the model's context, unless they are to be cut there: as told now, or as told when
    the run was made.
    """
    try:
        lines = sys.stdin.read() if path == "-" else "".join(text_files.read(Path(path)))
    except OSError as error:
        raise DataError(f"--input {path} can't be read: {error.strerror or error}") from error
    task, model, _ = load_trained(run, checkpoint)
    texts = [line for line in lines.splitlines() if line.strip()]
    if cut := task.too_long(texts):
        longer = f"{cut} of {len(texts)} texts are longer than the context of {task.config.model.context_length} tokens"
        if not (truncate or getattr(task.config.task, "truncate", False)):
            raise DataError(f"--input {path}: {longer}; shorten them, or cut them there with --truncate")
        print(f"{longer}: cut there", file=sys.stderr)
    made = iter(task.answer(model, texts))
    return [" ".join(next(made).splitlines()) if line.strip() else "" for line in lines.splitlines()]


def check_task(run: RunFolder, named: str | None) -> None:
    """ConfigError where a task is named that isn't the run's own."""
    if named not in (None, run.task_kind):
        own = run.task_kind or "a language model's: it has no task"
        raise ConfigError(f"{run.path} isn't a run of {named}; it is {own}. Tasks: {', '.join(TASKS)}")


def is_language_model(run: RunFolder) -> bool:
    """Whether a run is one of python -m minillm.train: its settings have no [task]."""
    return run.config.exists() and run.task_kind is None


def score_language_model(run: RunFolder, arguments: argparse.Namespace) -> str:
    """The table of such a run, or with --report all of its report. ConfigError for flags of tasks alone."""
    if arguments.input or arguments.split not in ("", "validation"):
        raise ConfigError(
            f"{run.path} is a language model's run, which has a validation text and no others: leave out --split and "
            "--input; what it writes: python -m minillm.generate"
        )
    if arguments.report:
        return language_report.report(run.path, arguments.checkpoint)
    return language_report.next_tokens(run.path, arguments.checkpoint) + "\n"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    flags = argparse.ArgumentParser(prog="python -m minillm.evaluate", description=__doc__)
    flags.add_argument("run", type=Path, help="run folder, made by python -m minillm.finetune or minillm.train")
    flags.add_argument("task", nargs="?", metavar="TASK", help="the run's task, which the run knows: only checked")
    flags.add_argument("--split", default="", help="validation or test (default: test if there is one)")
    flags.add_argument("--input", metavar="FILE", help="instead: print the model's answer to each line; - reads stdin")
    flags.add_argument("--truncate", action="store_true", help="cut lines of --input longer than the model's context")
    flags.add_argument("--checkpoint", choices=("best", "last"), default="best", help=CHECKPOINT_HELP)
    flags.add_argument("--report", action="store_true", help="measure what it writes, too (length, variety, fluency)")
    flags.add_argument("--debug", action="store_true", help="show the full traceback of an error")
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    arguments = parser().parse_args(argv)
    run = RunFolder(arguments.run)
    check_task(run, arguments.task)
    keep_freed_memory()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    if is_language_model(run):
        print(score_language_model(run, arguments), end="")
    elif arguments.input:
        print(*answers(run, arguments.input, arguments.checkpoint, arguments.truncate), sep="\n")
    else:
        print(report(run, arguments.split, arguments.checkpoint, arguments.report), end="")
    return 0


if __name__ == "__main__":
    cli.run(main)
