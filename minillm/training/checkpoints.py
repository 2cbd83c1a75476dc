"""Checkpoints: `checkpoints/step-N/`, saved whole or not at all, and trusted only after their hashes agree.

    model.safetensors       weights
    optimizer.safetensors   moments
    state.json              step, random streams, best loss, patience, counters
    manifest.json           size and SHA-256 of each of the three, and a checksum of itself

A save fills a temporary folder, fsyncs every file and the folder, and renames it into place. A load checks sizes
before contents, so that a wrong file costs no memory, and never runs code (JSON and safetensors only, no pickle).
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minillm import tensor_file
from minillm.errors import CheckpointError
from minillm.training.files import (
    TEMPORARY,
    clean_temporaries,
    fsync_folder,
    remove_folder,
    write_synced,
)

FORMAT = 1
FILES = ("model.safetensors", "optimizer.safetensors", "state.json")
CHECKPOINT_HELP = "weights of the lowest validation loss (the last where only step 0 was evaluated), or the last"
_LARGEST_JSON = 1 << 20  # bytes; a state or manifest takes about 1 KiB
_REPLACED = ".old-"  # the checkpoint of the same step while its successor is being renamed into place


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files have the sizes and hashes its manifest states."""

    path: Path
    step: int
    state: dict

    def model(self) -> dict[str, np.ndarray]:
        """Weights by parameter name."""
        return tensor_file.read(self.path / "model.safetensors")

    def optimizer(self) -> dict[str, np.ndarray]:
        """Moments and step counter, as the optimizer's `load_state_dict` takes them."""
        return tensor_file.read(self.path / "optimizer.safetensors")


def warn(message: str) -> None:
    """The default way to report a damaged checkpoint."""
    print(f"warning: {message}", file=sys.stderr)


def _canonical(content: dict) -> bytes:
    return json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"


def _manifest(step: int, files: dict[str, dict]) -> bytes:
    content = {"format": FORMAT, "step": step, "files": files}
    return _canonical({**content, "checksum": hashlib.sha256(_canonical(content)).hexdigest()})


def _fill(folder: Path, step: int, model: Mapping, optimizer: Mapping, state: dict) -> None:
    """Write the four files of a checkpoint into an empty folder, each on the disk before the next begins."""
    files = {}
    for name, arrays in (("model.safetensors", model), ("optimizer.safetensors", optimizer)):
        size, digest = tensor_file.write(folder / name, arrays)
        files[name] = {"size": size, "sha256": digest}
    state_json = _canonical(state)
    write_synced(folder / "state.json", state_json)
    files["state.json"] = {"size": len(state_json), "sha256": hashlib.sha256(state_json).hexdigest()}
    write_synced(folder / "manifest.json", _manifest(step, files))
    fsync_folder(folder)


def _put_in_place(temporary: Path, target: Path) -> None:
    """Rename a filled folder to its name; an older one of that name steps aside, and returns if the rename fails."""
    aside = target.with_name(_REPLACED + target.name)
    if target.exists():
        os.replace(target, aside)
    try:
        os.replace(temporary, target)
        fsync_folder(target.parent)
    finally:
        _settle(aside)


def _settle(aside: Path) -> None:
    """Remove a checkpoint that stepped aside if its successor is there, else put it back."""
    target = aside.with_name(aside.name.removeprefix(_REPLACED))
    if target.exists():
        shutil.rmtree(aside, ignore_errors=True)
    elif aside.exists():
        os.replace(aside, target)


def save(folder: Path, step: int, model: Mapping, optimizer: Mapping, state: dict) -> Path:
    """Save one checkpoint under `folder` (a run's `checkpoints`) and return its path.

    `model` and `optimizer` map names to arrays; `state` is what JSON can hold. Raises CheckpointError when the disk
    refuses (full, failing, no permission): earlier checkpoints are then as they were and nothing temporary remains.
    """
    target = folder / f"step-{step}"
    temporary = folder / f"{TEMPORARY}{target.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        _fill(temporary, step, model, optimizer, state)
        _put_in_place(temporary, target)
    except OSError as error:
        raise CheckpointError(
            f"could not save {target}: {error.strerror or error}. Earlier checkpoints are untouched; "
            "free some space or mend the permissions of the folder, then go on with --resume"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _read_json(path: Path) -> tuple[bytes, dict]:
    if path.stat().st_size > _LARGEST_JSON:
        raise CheckpointError(f"{path.name} is larger than {_LARGEST_JSON} bytes")
    content = path.read_bytes()
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not JSON") from error
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{path.name} is not a JSON object")
    return content, parsed


def _read_manifest(path: Path) -> dict:
    content, manifest = _read_json(path / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"manifest.json has format {manifest.get('format')!r}, this program reads {FORMAT}")
    step: Any = manifest.get("step")
    files: Any = manifest.get("files")
    whole = (
        isinstance(step, int)
        and isinstance(files, dict)
        and set(files) == set(FILES)
        and all(isinstance(entry, dict) and set(entry) == {"size", "sha256"} for entry in files.values())
    )
    if not whole or content != _manifest(step, files):
        raise CheckpointError("manifest.json is damaged")
    if path.name != f"step-{step}":
        raise CheckpointError(f"manifest.json belongs to step {step}")
    return manifest


def _check_file(path: Path, expected: dict) -> None:
    size = path.stat().st_size
    if size != expected["size"]:
        raise CheckpointError(f"{path.name} has {size} bytes, its manifest says {expected['size']}")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected["sha256"]:
        raise CheckpointError(f"{path.name} has changed since it was saved (its SHA-256 differs)")


def load(path: Path) -> Checkpoint:
    """Check one checkpoint folder, file by file. Raises CheckpointError naming the file that is wrong, and how."""
    try:
        manifest = _read_manifest(path)
        for name in FILES:
            _check_file(path / name, manifest["files"][name])
        return Checkpoint(path, manifest["step"], _read_json(path / "state.json")[1])
    except OSError as error:
        name = Path(error.filename).name if error.filename else "a file"
        raise CheckpointError(f"checkpoint {path} is damaged: {name}: {error.strerror}") from error
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {error}") from error


def saved_steps(folder: Path) -> list[int]:
    """Steps with a checkpoint folder, ascending, valid or not."""
    names = (path.name.removeprefix("step-") for path in folder.glob("step-*"))
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def newest(folder: Path, report: Callable[[str], None] = warn) -> Checkpoint | None:
    """The newest valid checkpoint; damaged ones are reported and passed over. None where nothing was saved yet.

    Raises CheckpointError when checkpoints exist and all are damaged: starting again from nothing is for the
    person to decide.
    """
    problems = []
    for step in reversed(saved_steps(folder)):
        try:
            checkpoint = load(folder / f"step-{step}")
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            report(f"{problem}; using step {checkpoint.step} instead")
        return checkpoint
    if problems:
        raise CheckpointError("no checkpoint can be used:\n  " + "\n  ".join(problems))
    return None


def best(folder: Path, report: Callable[[str], None] = warn) -> Checkpoint | None:
    """The checkpoint with the lowest validation loss so far; the newest where that one is gone or damaged.

    Also the newest where only the untrained start, step 0, was evaluated: a training that was stopped before its first
    evaluation is better used than forgotten. Where a later one was evaluated, too, and is worse, step 0 is the best.
    """
    last = newest(folder, report)
    step = last.state.get("best_step") if last else None
    if last is None or step is None or step == last.step or not (folder / f"step-{step}").exists():
        return last
    if step == 0 and last.state.get("evaluated_step") == 0:
        return last
    try:
        return load(folder / f"step-{step}")
    except CheckpointError as error:
        report(f"{error}; using step {last.step} instead")
        return last


def prune(folder: Path, best_step: int | None) -> None:
    """Keep the best checkpoint and the last two (the second in case the last is damaged), remove the others."""
    steps = saved_steps(folder)
    keep: Collection[int | None] = {best_step, *steps[-2:]}
    for step in steps:
        if step not in keep:
            try:
                remove_folder(folder / f"step-{step}")
            except OSError as error:
                warn(f"old checkpoint {folder / f'step-{step}'} could not be removed: {error.strerror}")


def recover(folder: Path) -> None:
    """Undo what a killed save left: half-filled folders go, a checkpoint caught stepping aside comes back."""
    for aside in folder.glob(f"{_REPLACED}step-*"):
        _settle(aside)
    clean_temporaries(folder)
