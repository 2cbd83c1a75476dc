"""How far back a GPT and an LSTM remember: `python -m minillm.long_range --distances 4 8 16 32 64`.

Trains one small model of each kind at each distance of the recall task (minillm/data/long_range.py) and writes the
share of right answers into --out: long_range.md, long_range.json and long_range.png. An LSTM carries the symbol through
every step in between; a GPT's query looks at it directly, at any distance the same path (Vaswani et al. 2017, table 1).
What is compared is what they learn in so many updates (a minute for all): with more of them an LSTM reaches further.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from minillm import cli, seeding
from minillm.configs import checks
from minillm.configs.config import TrainingConfig
from minillm.data import Recall
from minillm.errors import ConfigError
from minillm.finetune import RUNS, say
from minillm.memory import keep_freed_memory
from minillm.models import GPT, GPTConfig
from minillm.models.lstm import LSTM, LSTMConfig
from minillm.tape import no_grad
from minillm.training import curves
from minillm.training.files import write_atomic
from minillm.training.fit import fit
from minillm.training.run import free_folder

LEARNT = 0.99  # right answers from which a model needn't be trained on
TESTED = 500  # inputs of a measurement


@dataclass(frozen=True)
class LongRangeSettings:
    """The distances, and the models trained at each."""

    distances: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Positions from a symbol to where it is asked for."""

    symbols: int = 8
    """Symbols to tell apart; guessing is right once in so many."""

    steps: int = 300
    """Most updates of a model; it stops before where it is right in 99 of 100 cases."""

    batch_size: int = 64
    """Inputs an update learns from."""

    d_model: int = 32
    """Width of both models."""

    n_layer: int = 1
    """Layers of both models."""

    learning_rate: float = 5e-3
    """Largest step of AdamW, for both."""

    seed: int = 0
    """Start of every random stream."""

    out: Path | None = None
    """Folder of the results. By default runs/long_range, or runs/long_range-2 and so on where that is taken."""

    debug: bool = False
    """Show the full traceback of an error."""

    def __post_init__(self) -> None:
        checks.at_least(self, 1, "steps", "batch_size", "d_model", "n_layer")
        if not self.distances or sorted(set(self.distances)) != list(self.distances):
            raise ConfigError(f"distances={self.distances} must be given, each larger than the one before")


class Result(NamedTuple):
    """How a model did at a distance."""

    model: str
    distance: int
    accuracy: float
    """Right answers on inputs it wasn't trained on, 0 to 1."""
    steps: int
    """Updates it was trained for."""


def gpt(task: Recall, settings: LongRangeSettings) -> GPT:
    """A GPT that sees a whole input."""
    layers, width = settings.n_layer, settings.d_model
    return GPT(GPTConfig(task.vocab_size, task.distance, n_layer=layers, n_head=2, d_model=width))


def lstm(task: Recall, settings: LongRangeSettings) -> LSTM:
    """An LSTM of the same width and number of layers."""
    layers, width = settings.n_layer, settings.d_model
    return LSTM(LSTMConfig(task.vocab_size, task.distance, n_layer=layers, d_model=width))


MODELS: dict[str, Callable[[Recall, LongRangeSettings], Any]] = {"GPT": gpt, "LSTM": lstm}


def recall(name: str, distance: int, settings: LongRangeSettings) -> Result:
    """Train a model at a distance until it has learnt it, or for the settings' steps."""
    task = Recall(distance, settings.symbols, settings.seed)
    seeding.seed(settings.seed)
    model = MODELS[name](task, settings)
    training = TrainingConfig(
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        min_learning_rate=settings.learning_rate / 10,
        warmup_steps=settings.steps // 10,
        weight_decay=0.0,
        eval_interval=25,
        seed=settings.seed,
    )
    result = Result(name, distance, accuracy(model, task), 0)
    for steps in fit(model, lambda step: task.batch(step, settings.batch_size)._asdict(), training):
        result = Result(name, distance, accuracy(model, task), steps)
        if result.accuracy >= LEARNT:
            break
    return result


def accuracy(model: Any, task: Recall) -> float:
    """Right answers on inputs of its own, 0 to 1."""
    ids, targets = task.batch(-1, TESTED)
    with no_grad():
        logits, _ = model(ids)
    return task.accuracy(logits.numpy(), targets)


def table(results: Iterable[Result]) -> str:
    """Accuracy and updates by distance, as Markdown."""
    found = {(result.model, result.distance): result for result in results}
    lines = [f"| distance | {' | '.join(MODELS)} |", "|---:|" + "---:|" * len(MODELS)]
    for distance in sorted({distance for _, distance in found}):
        row = [found[name, distance] for name in MODELS]
        lines.append(f"| {distance} | {' | '.join(f'{r.accuracy:.1%} ({r.steps} steps)' for r in row)} |")
    return "\n".join(lines)


def write(out: Path, settings: LongRangeSettings, results: Sequence[Result]) -> None:
    """The three files."""
    out.mkdir(parents=True, exist_ok=True)
    guess = 1 / settings.symbols
    heading = f"# Recall by distance\n\nShare of right answers; guessing has {guess:.1%}.\n\n"
    write_atomic(out / "long_range.md", f"{heading}{table(results)}\n".encode())
    values = {name: value for name, value in asdict(settings).items() if name not in ("out", "debug")}
    content = {"settings": values, "results": [result._asdict() for result in results]}
    write_atomic(out / "long_range.json", json.dumps(content, indent=1).encode())
    curves.draw(
        out / "long_range.png",
        list(settings.distances),
        {name: [r.accuracy for r in results if r.model == name] for name in MODELS},
        title="Recall of a token seen earlier",
        labels=("distance (tokens)", "right answers"),
        levels={"guessing": guess},
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    import tyro

    description = (__doc__ or "").strip()
    settings = tyro.cli(LongRangeSettings, args=argv, prog="python -m minillm.long_range", description=description)
    keep_freed_memory()
    results = []
    for distance in settings.distances:
        for name in MODELS:
            results.append(recall(name, distance, settings))
            say(f"distance {distance}, {name}: {results[-1].accuracy:.1%} after {results[-1].steps} steps")
    out = settings.out or free_folder(RUNS, "long_range")
    write(out, settings, results)
    say(f"\n{table(results)}\n\n{out / 'long_range.md'}, {out / 'long_range.png'}")
    return 0


if __name__ == "__main__":
    cli.run(main)
