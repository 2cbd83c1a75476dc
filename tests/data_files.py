"""Real corpora for tests: looked for in $MINILLM_DATA and in ../shared/data, never part of the project."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def real_file(name: str) -> Path:
    """The path of a real data file; the test skips, saying why, where it isn't."""
    folders = [Path(os.environ["MINILLM_DATA"])] if "MINILLM_DATA" in os.environ else []
    folders.append(REPOSITORY.parent / "shared" / "data")
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    pytest.skip(
        reason=f"{name} is in none of {', '.join(map(str, folders))}; set MINILLM_DATA to the folder that has it"
    )
