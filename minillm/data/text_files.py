"""Text files as documents: found in a fixed order, checked to be UTF-8, read in blocks so that size doesn't matter."""

import codecs
import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from minillm.errors import DataError

SUFFIXES = (".txt", ".md", ".rst", ".html", ".htm")
"""What is read below a folder. A file named outright, or by a glob, may end in anything."""

BLOCK_BYTES = 4 * 2**20
"""A file up to this size is one document; a larger one is cut at line ends into documents of about this size."""


def find(path_or_glob: str) -> list[Path] | None:
    """The files meant, sorted by path; None where nothing has that name. Raises DataError where none is text."""
    path = Path(path_or_glob).expanduser()
    if path.is_dir():
        found = [
            file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and _visible(file.relative_to(path))
        ]
        if not any(file.is_file() for file in found):
            raise DataError(f"folder {path_or_glob} has no text files: none below it ends in {', '.join(SUFFIXES)}")
    elif path.exists():
        return [path]
    elif glob.has_magic(path_or_glob):
        found = [Path(match) for match in glob.glob(str(path), recursive=True)]
        if not any(file.is_file() for file in found):
            raise DataError(f"no file matches {path_or_glob} (quote it, so that the shell hands it over as it is)")
    else:
        return None
    return sorted((file for file in found if file.is_file()), key=Path.as_posix)


def _visible(relative: Path) -> bool:
    return not any(part.startswith(".") for part in relative.parts)


def read_all(paths: Sequence[Path]) -> Iterator[str]:
    """The documents of several files; a line end is added between two where the first has none."""
    end = "\n"
    for path in paths:
        first = True
        for text in filter(None, read(path)):
            yield "\n" + text if first and end != "\n" else text
            first, end = False, text[-1]


def read(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[str]:
    """The text of one file in blocks that end with a line, or within one longer than a block; a leading BOM is dropped.

    Joined they are the file, its line ends untouched. Raises DataError with the offset of a byte that isn't UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    pending, offset = "", 0
    with open(path, "rb") as file:
        while block := file.read(block_bytes):
            text = _decode(decoder, block, offset, path)
            if offset == 0:
                text = text.removeprefix("\ufeff")
            offset += len(block)
            whole, end, rest = (pending + text).rpartition("\n")
            if not end and len(rest) >= block_bytes:
                whole, rest = rest, ""
            yield whole + end
            pending = rest
    _decode(decoder, b"", offset, path, final=True)
    yield pending


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, offset: int, path: Path, final: bool = False) -> str:
    unfinished = decoder.getstate()[0]  # the first bytes of a character that the last block cut
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        position = offset - len(unfinished) + error.start
        raise DataError(
            f"{path} isn't UTF-8: byte 0x{error.object[error.start]:02x} at offset {position} ({error.reason}). "
            f"{_guess(offset, block)}"
        ) from None


def _guess(offset: int, block: bytes) -> str:
    if offset == 0 and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "It looks like UTF-16; convert it: iconv -f UTF-16 -t UTF-8"
    return "Convert it to UTF-8, for example: iconv -f GB18030 (Chinese) or -f CP1252 (Western) -t UTF-8"
