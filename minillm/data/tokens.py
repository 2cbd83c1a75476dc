"""Token files: a split's ids in one memory-mapped file, so that a corpus larger than memory can be trained on.

    train.bin   the ids, little-endian uint16 (vocabularies below 65,536) or uint32, nothing else
    train.json  what they are: vocabulary, corpus, counts, and the key under which they're found again
    val.bin     val.json

A `.json` is written after its `.bin`, both under a temporary name first: a pair that is there is whole.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from minillm.data.corpora import Corpus
from minillm.data.splits import VALIDATION_FRACTION, split
from minillm.errors import DataError, TokenError

FORMAT = 1
_TYPES = {"uint16": "<u2", "uint32": "<u4"}
_PIECE = 2**20  # characters encoded by one thread, and ids checked at once
_TOGETHER = 8 * _PIECE  # characters encoded at once, by all threads: what memory is needed for


class Tokenizer(Protocol):
    """What a token file needs of a tokenizer."""

    @property
    def vocab_size(self) -> int: ...
    def encode_batch(self, texts: list[str]) -> list[list[int]]: ...
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class TokenStream:
    """The ids of one split, in order. Works where an array is expected: `len`, slices, `np.asarray`."""

    ids: np.ndarray
    """Shape (tokens,), uint16 or uint32, memory-mapped and read-only."""
    vocab_size: int
    tokenizer: str
    """Fingerprint of the tokenizer that made them."""
    bytes: int
    """Length of the text they stand for, in UTF-8 bytes: what bits per byte are counted over."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: Any) -> Any:
        return self.ids[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.ids, dtype=dtype, copy=copy)

    @classmethod
    def load(cls, path: str | Path, tokenizer: Tokenizer) -> "TokenStream":
        """Open `path` (a `.bin`), checking everything it claims, and every id, against the tokenizer.

        Raises DataError for a missing or damaged file, TokenError where the ids belong to another vocabulary.
        """
        path = Path(path)
        about = _read_about(path)
        if about["tokenizer"] != tokenizer.fingerprint():
            raise TokenError(
                f"{path} was made with another tokenizer (fingerprint {about['tokenizer'][:12]}, this one has "
                f"{tokenizer.fingerprint()[:12]}); use its own tokenizer, or delete the file to encode again"
            )
        dtype, tokens = np.dtype(_TYPES[about["dtype"]]), about["tokens"]
        size = path.stat().st_size if path.exists() else 0
        if tokens < 1 or size != tokens * dtype.itemsize:
            raise DataError(
                f"{path} is damaged: {size} bytes, where {tokens} tokens of {dtype.itemsize} bytes should be; "
                "delete it and train again"
            )
        ids = np.memmap(path, dtype=dtype, mode="r", shape=(tokens,))
        _check_ids(ids, tokenizer.vocab_size, path)
        return cls(ids, tokenizer.vocab_size, about["tokenizer"], about["bytes"])


def prepare(
    corpus: Corpus, tokenizer: Tokenizer, folder: str | Path, validation_fraction: float = VALIDATION_FRACTION
) -> tuple[TokenStream, TokenStream]:
    """Training and validation tokens of a corpus, encoded into `folder` unless they're there already.

    "There" means made from the same text, by the same tokenizer, cut at the same place. Each document is encoded by
    itself, several at a time; those longer than a million characters in pieces that end with a line. Text that looks
    like a special token is text. Raises DataError where the corpus is too short, TokenError where the tokenizer can't
    encode it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    splits = split(corpus, validation_fraction)
    streams = []
    for name, part in (("train", splits.train), ("val", splits.validation)):
        path = folder / f"{name}.bin"
        about: dict[str, Any] = {
            "format": FORMAT,
            "key": _key(splits.fingerprint, part.start, part.stop, tokenizer.fingerprint()),
            "corpus": corpus.name,
            "tokenizer": tokenizer.fingerprint(),
            "vocab_size": tokenizer.vocab_size,
            "dtype": "uint16" if tokenizer.vocab_size < 2**16 else "uint32",
        }
        if not _is_there(path, about["key"]):
            _encode(part, tokenizer, path, about)
        streams.append(TokenStream.load(path, tokenizer))
    return streams[0], streams[1]


def _encode(texts: Iterable[str], tokenizer: Tokenizer, path: Path, about: dict[str, Any]) -> None:
    about_path = path.with_suffix(".json")
    about_path.unlink(missing_ok=True)  # from here on the old pair is no longer whole
    dtype, tokens, size = np.dtype(_TYPES[about["dtype"]]), 0, 0
    with _replacing(path) as file:
        for pieces in _batches(piece for text in texts for piece in _pieces(text)):
            for piece, encoded in zip(pieces, tokenizer.encode_batch(pieces), strict=True):
                ids = np.asarray(encoded, dtype=np.int64)
                if ids.size and not 0 <= ids.min() <= ids.max() < about["vocab_size"]:
                    raise TokenError(
                        f"the tokenizer gave ids outside 0..{about['vocab_size'] - 1}: {ids.min()}..{ids.max()}"
                    )
                file.write(ids.astype(dtype).tobytes())
                tokens, size = tokens + ids.size, size + len(piece.encode())
        if not tokens:
            raise DataError(f"corpus {about['corpus']!r}: {size} bytes of text gave no tokens for {path.name}")
    with _replacing(about_path) as file:
        file.write(json.dumps(about | {"tokens": tokens, "bytes": size}, indent=1, ensure_ascii=False).encode())


def _pieces(text: str) -> Iterator[str]:
    while len(text) > _PIECE:
        cut = text.rfind("\n", 0, _PIECE) + 1 or _PIECE
        yield text[:cut]
        text = text[cut:]
    yield text


def _batches(pieces: Iterable[str]) -> Iterator[list[str]]:
    """The pieces in lists of about _TOGETHER characters, so that all threads have work with small documents, too."""
    batch: list[str] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece)
        if size >= _TOGETHER:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes `path`'s place when it is whole and on the disk; an error leaves no trace of it."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _key(*parts: str | int) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *parts]).encode()).hexdigest()


def _is_there(path: Path, key: str) -> bool:
    try:
        return path.exists() and _read_about(path)["key"] == key
    except DataError:
        return False


def _read_about(path: Path) -> dict[str, Any]:
    about_path = path.with_suffix(".json")
    kinds = {"key": str, "tokenizer": str, "vocab_size": int, "dtype": str, "tokens": int, "bytes": int}
    try:
        about = json.loads(about_path.read_bytes())
        wrong = [name for name, kind in kinds.items() if not isinstance(about[name], kind)]
    except FileNotFoundError:
        raise DataError(
            f"{about_path} isn't there: {path.name} was never finished; delete it and train again"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{about_path} is damaged ({error!r}); delete it and train again") from None
    if wrong or about["dtype"] not in _TYPES:
        raise DataError(f"{about_path} is damaged (wrong: {', '.join(wrong or ['dtype'])}); delete it and train again")
    return about


def _check_ids(ids: np.ndarray, vocab_size: int, path: Path) -> None:
    for start in range(0, len(ids), _PIECE):
        largest = int(ids[start : start + _PIECE].max())
        if largest >= vocab_size:
            where = start + int(np.argmax(ids[start : start + _PIECE] >= vocab_size))
            raise TokenError(
                f"{path} holds id {ids[where]} at position {where}, outside the vocabulary of {vocab_size}; "
                "delete it and train again"
            )
