"""SentencePiece's BPE, as in Llama (Kudo & Richardson 2018): characters merged by score, unknown ones cut into bytes.

A text gets a space in front, so that its first word is the token it is elsewhere (" the"). Then of all neighbours that
joined are a piece, those with the highest score are merged, until none are left. A character that is no piece becomes
its UTF-8 bytes, the pieces <0x00> to <0xFF>, which nothing merges: nothing is unknown.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minillm.errors import TokenError
from minillm.tokenizers.base import Tokenizer
from minillm.tokenizers.merging import Merges, merge
from minillm.tokenizers.readers import naming
from minillm.tokenizers.special import check_specials

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
LLAMA_SPECIALS = {"<unk>": 0, "<s>": 1, "</s>": 2}  # the ids that llama2.c has in its code


class SentencePieceTokenizer(Tokenizer):
    """Pieces with scores.

    pieces: the text of each id, spaces as spaces, among them all of <0x00> to <0xFF>; scores: a number for each id, the
    highest merged first; special_tokens: names with the ids of pieces that no text is cut into (their own text there
    doesn't matter). Raises TokenError for a vocabulary that contradicts itself.

    `decode` takes away the space that `encode` put in front, at the start and behind a special token: any text comes
    back. The tokens of a continuation alone therefore lose the space before their first word; decode them together
    with what they continue.
    """

    kind = "sentencepiece"

    def __init__(self, pieces: Sequence[str], scores: Sequence[float], special_tokens: Mapping[str, int] | None = None):
        self.special_tokens = check_specials(special_tokens or {})
        names = {i: name for name, i in self.special_tokens.items()}
        self.pieces = [names.get(i, piece) for i, piece in enumerate(pieces)]
        self.scores = list(scores)
        if len(self.scores) != len(self.pieces) or not all(map(math.isfinite, self.scores)):
            raise TokenError(f"each of the {len(self.pieces)} pieces needs a score, a finite number")
        if len(names) != len(self.special_tokens) or any(i >= len(self.pieces) for i in names):
            raise TokenError(f"special tokens need ids of their own, from 0 to {len(self.pieces) - 1}")
        self._special_ids = frozenset(names)
        byte_of = {i: int(m[1], 16) for i, p in enumerate(self.pieces) if i not in names and (m := BYTE.fullmatch(p))}
        self._byte_ids = {byte: i for i, byte in byte_of.items()}
        self._ids = {p: i for i, p in enumerate(self.pieces) if i not in names and i not in byte_of}
        if len(self._byte_ids) != 256:
            raise TokenError(f"the vocabulary has {len(self._byte_ids)} of the 256 pieces <0x00> to <0xFF>")
        if len(self._ids) + len(byte_of) + len(names) != len(self.pieces) or "" in self._ids:
            raise TokenError("a piece stands twice in the vocabulary, or is empty")
        self._bytes = [bytes([byte_of[i]]) if i in byte_of else piece.encode() for i, piece in enumerate(self.pieces)]
        self._merges = self._merge_rules()

    @classmethod
    def from_llama2c(cls, path: str | os.PathLike[str]) -> SentencePieceTokenizer:
        """llama2.c's tokenizer.bin: the longest piece's length (int32), then score (float32), length (int32) and bytes
        of each piece. Raises TokenError naming the file and the piece that is damaged."""
        with naming(path):
            pieces, scores = _read_llama2c(Path(path).read_bytes())
            return cls(pieces, scores, LLAMA_SPECIALS)

    @property
    def vocab_size(self) -> int:
        return len(self.pieces)

    def token_bytes(self, token: int) -> bytes:
        return self._bytes[self._check_id(token)]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes the ids stand for, without the spaces that `encode` adds. TokenError for what is no id."""
        parts, starts = [], True
        for token in ids:
            part = super().decode_bytes([token])
            special = token in self._special_ids
            parts.append(part[1:] if starts and not special and part.startswith(b" ") else part)
            starts = special
        return b"".join(parts)

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = []
        for character in f" {text}" if text else "":
            known = self._ids.get(character)
            ids += [self._byte_ids[byte] for byte in character.encode()] if known is None else [known]
        return merge(ids, self._merges)

    def _merge_rules(self) -> Merges:
        """Each two pieces that joined are a piece, with its place among the scores as priority: the highest is 0."""
        place = {score: i for i, score in enumerate(sorted({self.scores[i] for i in self._ids.values()}, reverse=True))}
        merges: Merges = {}
        for piece, i in self._ids.items():
            for cut in range(1, len(piece)):
                left, right = self._ids.get(piece[:cut]), self._ids.get(piece[cut:])
                if left is not None and right is not None:
                    merges[left, right] = (place[self.scores[i]], i)
        return merges

    def _state(self) -> dict[str, Any]:
        return {"pieces": self.pieces, "scores": self.scores, "special_tokens": self.special_tokens}

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> SentencePieceTokenizer:
        pieces, scores = state["pieces"], state["scores"]
        if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
            raise ValueError("pieces must be a list of texts")
        if not isinstance(scores, list) or not all(isinstance(score, float) for score in scores):
            raise ValueError("scores must be a list of numbers")
        return cls(pieces, scores, state["special_tokens"])


def _read_llama2c(data: bytes) -> tuple[list[str], list[float]]:
    pieces: list[str] = []
    scores: list[float] = []
    place = 4  # behind the longest piece's length, which Python has no use for
    while place < len(data):
        if place + 8 > len(data):
            raise TokenError(f"the file ends within piece {len(pieces)}; fetch it again")
        score, length = struct.unpack_from("<fi", data, place)
        piece = data[place + 8 : place + 8 + max(length, 0)]
        if len(piece) != length:
            raise TokenError(f"piece {len(pieces)} at byte {place} has length {length}, beyond the file's end")
        try:
            pieces.append(piece.decode())
        except UnicodeDecodeError:
            raise TokenError(f"piece {len(pieces)} at byte {place} isn't UTF-8: {piece!r}") from None
        scores.append(score)
        place += 8 + length
    return pieces, scores
