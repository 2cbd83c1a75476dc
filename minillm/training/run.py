"""The run folder: everything a training makes, and all it needs to go on.

    config.toml    tokenizer.json    tokens/    baselines.json
    metrics.jsonl  loss.png          samples.txt    checkpoints/step-N/

One process at a time may train in it. A folder with other things in it is never touched.
"""

import dataclasses
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from minillm.configs import files as config_files
from minillm.configs.config import Config
from minillm.errors import CheckpointError, ConfigError
from minillm.training import checkpoints
from minillm.training.files import TEMPORARY, clean_temporaries, write_atomic

# What may differ when a run goes on: how long, how often it is measured and shown, how a batch is cut up.
MAY_CHANGE = {
    "steps", "gradient_accumulation", "eval_interval", "eval_tokens", "patience", "checkpoint_interval",
    "sample_tokens", "samples", "prompt", "temperature",
}  # fmt: skip
_LOCK = ".lock"


@dataclass(frozen=True)
class RunFolder:
    """Paths in a run folder."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer.json"

    @property
    def tokens(self) -> Path:
        return self.path / "tokens"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def plot(self) -> Path:
        return self.path / "loss.png"

    @property
    def baselines(self) -> Path:
        return self.path / "baselines.json"

    @property
    def samples(self) -> Path:
        return self.path / "samples.txt"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def quoted(self) -> str:
        """The path as a shell takes it."""
        return shlex.quote(str(self.path))

    @property
    def no_run(self) -> str:
        """What an error says of a folder without a run."""
        why = "no config.toml" if self.path.exists() else "it doesn't exist"
        return f"{self.path} holds no run ({why})"

    @property
    def task_kind(self) -> str | None:
        """The fine-tuning task the run is of; None for a pre-training, or where there is no run."""
        try:
            return str(tomllib.loads(self.config.read_text(encoding="utf-8"))["task"]["kind"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def resume_command(self) -> str:
        """What to type to go on with this run."""
        program = f"finetune {self.task_kind}" if self.task_kind else "train"
        return f"python -m minillm.{program} --out {self.quoted} --resume"

    def load_config(self) -> Config:
        """The settings the run was made with. Raises CheckpointError where there is no run."""
        if not self.config.exists():
            raise CheckpointError(f"{self.no_run}; train one: python -m minillm.train")
        if self.task_kind:
            raise CheckpointError(
                f"{self.path} is a run of the task {self.task_kind}, not a pre-trained language model: score or use it "
                f"with python -m minillm.evaluate {self.quoted}, or go on: {self.resume_command}"
            )
        return config_files.load_file(self.config, Config())

    def save_config(self, config: Config) -> None:
        """Write config.toml, whole or not at all."""
        write_atomic(self.config, config_files.to_toml(config).encode())


def check_may_start(run: RunFolder) -> None:
    """A new run may go into a missing or empty folder only. Raises CheckpointError, with the command to type."""
    if run.config.exists():
        raise CheckpointError(
            f"{run.path} already holds a run. Go on with it: {run.resume_command}\n"
            "or give the new run another folder: --out FOLDER"
        )
    if run.path.exists() and not run.path.is_dir():
        raise CheckpointError(f"{run.path} is a file; --out must name a folder")
    if run.path.exists() and not all(map(_is_leftover, run.path.iterdir())):
        raise CheckpointError(f"{run.path} isn't empty and isn't a run; give another folder: --out FOLDER")


def _is_leftover(entry: Path) -> bool:
    """A lock, or what a start that was killed left behind."""
    return entry.name == _LOCK or entry.name.startswith(TEMPORARY)


def check_may_resume(saved: Config, wanted: Config) -> None:
    """Refuse to go on with settings the saved weights don't fit or weren't trained with. Raises ConfigError."""
    differences = []
    for section in dataclasses.fields(saved):
        old, new = getattr(saved, section.name), getattr(wanted, section.name)
        for field in dataclasses.fields(old):
            before, after = getattr(old, field.name), getattr(new, field.name)
            if before != after and field.name not in MAY_CHANGE:
                differences.append(f"  {section.name}.{field.name} was {before!r}, now {after!r}")
    if differences:
        raise ConfigError(
            "the run was made with other settings:\n" + "\n".join(differences) + "\nDrop those flags to go on, "
            f"or start a new run in another folder. What may change: {', '.join(sorted(MAY_CHANGE))}"
        )


def check_steps(run: RunFolder, steps: int) -> None:
    """Refuse to go on to a step that is already behind. Raises ConfigError."""
    reached = checkpoints.saved_steps(run.checkpoints)
    if reached and steps < reached[-1]:
        raise ConfigError(
            f"{run.path} is at step {reached[-1]:,} already; --steps {steps:,} is before that. Leave --steps out, or "
            "give the number of updates to end at, from the first on"
        )


@contextmanager
def locked(run: RunFolder) -> Iterator[None]:
    """Hold the run for this process, and clean up after one that was killed. Raises CheckpointError if it is in use.

    The operating system drops the lock when a process ends, however it ends.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.path / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise CheckpointError(
            f"{run.path} is in use by another process; wait for it, stop it, or give another folder: --out FOLDER"
        ) from error
    try:
        clean_temporaries(run.path)
        checkpoints.recover(run.checkpoints)
        yield
    finally:
        lock.release()


def discard_if_empty(run: RunFolder) -> None:
    """Remove a run folder that holds nothing but its lock, as a start that failed leaves it."""
    if run.path.is_dir() and all(map(_is_leftover, run.path.iterdir())):
        shutil.rmtree(run.path, ignore_errors=True)


def free_folder(parent: Path, name: str) -> Path:
    """`parent/name`, or `name-2`, `name-3`... where that is taken: a new run never lands on an old one."""
    candidates = (parent / (name if number == 1 else f"{name}-{number}") for number in range(1, 1_000_000))
    return next(path for path in candidates if not path.exists())


def newest_folder(parent: Path, name: str) -> Path:
    """The last of the folders that `free_folder` has given. Raises CheckpointError where there is none."""
    numbers = (path.name.removeprefix(f"{name}-") for path in parent.glob(f"{name}-*"))
    last = max((int(number) for number in numbers if number.isascii() and number.isdigit()), default=1)
    newest = parent / (name if last == 1 else f"{name}-{last}")
    if newest.exists():
        return newest
    raise CheckpointError(f"there is no run {parent / name} to go on with; name its folder: --out FOLDER --resume")
