"""The CUDA C++ sources: csrc/cuda of a clone; an installed package has them beside this file."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from minillm.errors import ConfigError


@cache
def folder() -> Path:
    """The folder of the .cu files. Raises ConfigError where neither a clone nor the package has it."""
    here = Path(__file__).parent
    for candidate in (here, here.parents[1] / "csrc" / "cuda"):
        if (candidate / "common.cuh").is_file():
            return candidate
    raise ConfigError("the CUDA sources are missing (csrc/cuda in a clone); install minillm again")


def files_of(path: Path) -> list[Path]:
    """`path` and every file it includes by a quoted name, each once."""
    found: list[Path] = []
    pending = [path]
    if not path.is_file():
        raise ConfigError(f"there is no CUDA source {path}")
    while pending:
        file = pending.pop()
        if file in found:
            continue
        found.append(file)
        names = re.findall(r'^\s*#\s*include\s+"([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE)
        pending += [next(p for p in (file.parent / name, folder() / name) if p.is_file()) for name in names]
    return found


def digest(path: Path, *conditions: str) -> str:
    """A name for what is compiled from `path`: it changes with any file it includes, or any of the conditions."""
    content = hashlib.sha256()
    for file in sorted(files_of(path)):
        content.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    for condition in conditions:
        content.update(condition.encode() + b"\0")
    return content.hexdigest()[:32]
