"""Other projects' byte-level BPE vocabularies: GPT-2's files, tiktoken's ranks, Hugging Face's tokenizer.json."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from minillm.errors import TokenError
from minillm.tokenizers.merging import Merges

Path_ = str | os.PathLike[str]
Vocabulary = dict[int, bytes]


def read_gpt2(encoder: Path_, merges: Path_) -> tuple[Vocabulary, Merges, str, dict[str, int]]:
    """encoder.json maps tokens to ids; vocab.bpe lists the merges, two tokens a line, in order."""
    ids = _json(encoder)
    if not isinstance(ids, dict):
        raise TokenError(f"{encoder} must map tokens to ids, as GPT-2's encoder.json does")
    lines = Path(merges).read_text(encoding="utf-8").splitlines()
    pairs = [line.split() for line in lines if line and not line.startswith("#version")]
    return _from_written_merges(str(merges), ids, pairs, {"<|endoftext|>"} & ids.keys(), "gpt2")


def read_huggingface(path: Path_) -> tuple[Vocabulary, Merges, str, dict[str, int]]:
    """model.vocab and model.merges of a ByteLevel BPE; added tokens marked special stay special."""
    data = _json(path)
    try:
        model, added = data["model"], data.get("added_tokens") or []
        if model["type"] != "BPE" or not _mentions_byte_level(data.get("pre_tokenizer")):
            raise TokenError(f"{path} holds a {model['type']} model; only byte-level BPE can be read")
        ids = dict(model["vocab"])
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        ids.update({token["content"]: token["id"] for token in added})
        specials = {token["content"] for token in added}
        return _from_written_merges(str(path), ids, pairs, specials, _split_pattern(data["pre_tokenizer"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise TokenError(f"{path} isn't a tokenizer.json as the tokenizers library writes it: {error!r}") from None


def read_ranks(ranks: Path_ | Mapping[bytes, int]) -> tuple[Vocabulary, Merges]:
    """A token's rank is both its id and its priority: any two tokens that make it up may be merged at that rank."""
    table = dict(ranks) if isinstance(ranks, Mapping) else _read_rank_file(ranks)
    merges: Merges = {}
    for token, rank in table.items():
        for cut in range(1, len(token)):
            left, right = table.get(token[:cut]), table.get(token[cut:])
            if left is not None and right is not None:
                merges[left, right] = (rank, rank)
    if len(set(table.values())) != len(table) or len({t for t in table if len(t) == 1}) != 256:
        raise TokenError("the ranks must be different, and every single byte must have one")
    return {rank: token for token, rank in table.items()}, merges


@cache
def byte_of_character() -> dict[str, int]:
    """GPT-2 writes each byte as a printable character: itself where it has a visible form in Latin-1, else one of
    those from U+0100 on, in order."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(b): b for b in visible} | {chr(0x100 + i): b for i, b in enumerate(hidden)}


def _from_written_merges(
    source: str, ids: Mapping[str, int], pairs: Iterable[Any], specials: set[str], pattern: str
) -> tuple[Vocabulary, Merges, str, dict[str, int]]:
    table = byte_of_character()
    try:
        vocabulary = {i: bytes(table[c] for c in token) for token, i in ids.items() if token not in specials}
        merges: Merges = {}
        for priority, (left, right) in enumerate(pairs):
            merges.setdefault((ids[left], ids[right]), (priority, ids[left + right]))
    except (KeyError, ValueError, TypeError) as error:
        raise TokenError(f"{source}: a token or a merge that doesn't fit the vocabulary: {error}") from None
    if not all(type(i) is int and i >= 0 for i in ids.values()):
        raise TokenError(f"{source}: token ids must be whole numbers")
    return vocabulary, merges, pattern, {name: ids[name] for name in specials}


def _read_rank_file(path: Path_) -> dict[bytes, int]:
    table = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            token, rank = line.split()
            table[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise TokenError(
                f"{path}, line {number}: expected a token in base64 and its rank, found {line[:40]!r}"
            ) from None
    return table


def _split_pattern(pre_tokenizer: Any) -> str:
    """The split pattern of a tokenizer.json: its own expression if it has one, else ByteLevel's, which is GPT-2's."""
    for step in [pre_tokenizer, *(pre_tokenizer.get("pretokenizers") or [])]:
        if step["type"] == "Split" and "Regex" in step["pattern"]:
            return step["pattern"]["Regex"]
        if step["type"] == "ByteLevel" and step.get("add_prefix_space"):
            raise TokenError("a tokenizer.json with add_prefix_space=true can't be read: it changes the text")
    return "gpt2"


def _mentions_byte_level(pre_tokenizer: Any) -> bool:
    steps = [pre_tokenizer or {}, *((pre_tokenizer or {}).get("pretokenizers") or [])]
    return any(step.get("type") == "ByteLevel" for step in steps)


def _json(path: Path_) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TokenError(f"{path} isn't valid JSON: {error}") from None
