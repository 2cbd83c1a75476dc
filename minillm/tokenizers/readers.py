"""Vocabularies of others, with their own ids: GPT-2's two files and tiktoken's ranks."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from minillm.errors import TokenError, UserError
from minillm.tokenizers.merging import Merges

Path_ = str | os.PathLike[str]
Vocabulary = dict[int, bytes]


@contextmanager
def naming(source: Path_) -> Iterator[None]:
    """Errors of what is read inside say which file it was."""
    try:
        yield
    except UserError as error:
        message = str(error)
        raise TokenError(message if str(source) in message else f"{source}: {message}") from None


def read_gpt2(encoder: Path_, merges: Path_) -> dict[str, Any]:
    """BPETokenizer's arguments from encoder.json (tokens to ids) and vocab.bpe (the merges in order, a pair a line)."""
    ids = read_json(encoder)
    if not isinstance(ids, dict):
        raise TokenError(f"{encoder} must map tokens to ids, as GPT-2's encoder.json does")
    lines = read_utf8(merges).splitlines()
    pairs = [line.split() for line in lines if line and not line.startswith("#version")]
    specials = {"<|endoftext|>"} & ids.keys()
    return {"pattern": "gpt2", **from_written_merges(f"{encoder} and {merges}", ids, pairs, specials)}


def read_ranks(ranks: Path_ | Mapping[bytes, int]) -> tuple[Vocabulary, Merges]:
    """A token's rank is both its id and its priority: any two tokens that make it up may be merged at that rank."""
    table = dict(ranks) if isinstance(ranks, Mapping) else _read_rank_file(ranks)
    for token, rank in table.items():
        if not isinstance(token, bytes) or type(rank) is not int:
            raise TokenError(f"ranks map bytes to whole numbers, not {token!r} to {rank!r}")
    if len(set(table.values())) != len(table):
        raise TokenError("two tokens have the same rank; each needs its own")
    merges: Merges = {}
    for token, rank in table.items():
        for cut in range(1, len(token)):
            left, right = table.get(token[:cut]), table.get(token[cut:])
            if left is not None and right is not None:
                merges[left, right] = (rank, rank)
    return {rank: token for token, rank in table.items()}, merges


@cache
def byte_of_character() -> dict[str, int]:
    """GPT-2 writes each byte as a printable character: itself where it has a visible form in Latin-1, else one of
    those from U+0100 on, in order."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(b): b for b in visible} | {chr(0x100 + i): b for i, b in enumerate(hidden)}


def from_written_merges(
    source: str, ids: Mapping[str, int], pairs: Iterable[Any], specials: set[str]
) -> dict[str, Any]:
    """BPETokenizer's vocabulary, merges and special tokens, from tokens and pairs written in GPT-2's characters.

    ids are the source's own: GPT-2 numbers the bytes in the order of `byte_of_character`, not of their values.
    """
    if not all(type(i) is int for i in ids.values()) or len(set(ids.values())) != len(ids):
        raise TokenError(f"{source}: token ids must be whole numbers, each token's its own")
    table = byte_of_character()
    merges: Merges = {}
    try:
        vocabulary = {i: bytes(table[c] for c in token) for token, i in ids.items() if token not in specials}
        for priority, (left, right) in enumerate(pairs):
            merges.setdefault((ids[left], ids[right]), (priority, ids[left + right]))
    except (KeyError, ValueError, TypeError) as error:
        raise TokenError(f"{source}: a token or a merge that doesn't fit the vocabulary: {error}") from None
    return {"vocabulary": vocabulary, "merges": merges, "special_tokens": {name: ids[name] for name in specials}}


def _read_rank_file(path: Path_) -> dict[bytes, int]:
    table: dict[bytes, int] = {}
    for number, line in enumerate(read_utf8(path).splitlines(), 1):
        try:
            token, rank = line.split()
            table[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise TokenError(
                f"{path}, line {number}: expected a token in base64 and its rank, found {line[:40]!r}"
            ) from None
    return table


def read_json(path: Path_) -> Any:
    """What a JSON file holds; TokenError if it isn't one."""
    try:
        return json.loads(read_utf8(path))
    except (ValueError, RecursionError) as error:
        raise TokenError(f"{path} isn't valid JSON: {error}; fetch it again") from None


def read_utf8(path: Path_) -> str:
    """The text of a file; TokenError with the offset of a byte that isn't UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TokenError(
            f"{path} isn't UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}; fetch it again"
        ) from None
