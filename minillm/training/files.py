"""Writing files so that a crash, a full disk or a kill leaves either the old file or the new one, never half of one.

The recipe, everywhere in a run folder: write under a temporary name, fsync the file, rename it into place (atomic on
one disk), fsync the folder. Without the first fsync a power cut can leave a renamed but empty file; without the second,
the rename itself can be lost.
"""

import os
import shutil
from pathlib import Path

TEMPORARY = ".tmp-"  # what a killed process can leave behind begins with this, and is cleaned at the next start


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut. Windows can't open folders, and needs nothing here."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and wait until it is on the disk. Raises OSError."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, whole or not at all. Raises OSError, leaving the old file as it was.

    The temporary file is opened plainly, not by `mkstemp`, whose 0600 mode would outlive the rename.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        write_synced(temporary, content)
        os.replace(temporary, path)
        fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that a kill halfway leaves a temporary name, never half of a folder that looks whole."""
    doomed = folder.with_name(f"{TEMPORARY}removed-{folder.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    os.replace(folder, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def clean_temporaries(folder: Path) -> None:
    """Remove what a killed process left half-written in `folder`; the caller holds the run's lock."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
