"""WordPiece (Wu et al. 2016, section 4.1), as BERT uses it: words, and pieces of those not in the vocabulary.

A word is cut from the left into the longest pieces that the vocabulary has; all but the first are written with "##".
A word that can't be cut so is [UNK], whole. Text doesn't come back exactly: case, accents and spacing are gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from minillm.errors import TokenError
from minillm.tokenizers.base import Tokenizer
from minillm.tokenizers.basic_words import basic_words, is_ideograph
from minillm.tokenizers.readers import naming, read_utf8

PAD, UNK, CLS, SEP, MASK = SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUES = "##"
LONGEST_WORD = 100  # characters; a longer one is [UNK]
CACHE_SIZE = 1 << 16  # words remembered with their ids; text repeats its words
OPENING, CLOSING, GLUE = "([{“‘", ".,;:!?)]}%”…", "'’-"  # no space after; no space before; none on either side


class WordPieceTokenizer(Tokenizer):
    """BERT's tokenizer. Its special tokens can't come out of text: a word holds no brackets.

    tokens: the vocabulary in the order of ids, [PAD], [UNK], [CLS], [SEP] and [MASK] anywhere among them.
    lowercase: False for a "cased" vocabulary, which keeps capitals and accents.
    Raises TokenError for a vocabulary without one of these, with a token twice, or with an empty one.
    """

    kind = "wordpiece"

    def __init__(self, tokens: Iterable[str], lowercase: bool = True):
        self.tokens, self.lowercase = list(tokens), lowercase
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if missing := [name for name in SPECIALS if name not in self._ids]:
            raise TokenError(f"a WordPiece vocabulary needs the special tokens {', '.join(missing)}")
        if len(self._ids) != len(self.tokens):
            twice = next(token for i, token in enumerate(self.tokens) if self._ids[token] != i)
            raise TokenError(f"token {twice!r} stands twice in the vocabulary; each id needs a token of its own")
        if "" in self._ids:
            raise TokenError(f"token {self._ids['']} of the vocabulary is empty; a token needs a character")
        self.special_tokens = {name: self._ids[name] for name in SPECIALS}
        self._longest = max(map(len, self.tokens))
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def from_vocab(cls, path: str | os.PathLike[str], lowercase: bool = True) -> WordPieceTokenizer:
        """BERT's vocab.txt: a token a line, the first with id 0. Raises TokenError naming the file."""
        with naming(path):
            lines = read_utf8(path).split("\n")  # not splitlines: some of the tokens are line separators to it
            return cls(lines[: -1 if lines[-1] == "" else None], lowercase)

    @property
    def vocab_size(self) -> int:
        return len(self.tokens)

    def is_continuation(self, token: int) -> bool:
        """Whether an id stands for a piece inside a word, "##...". TokenError outside the vocabulary."""
        return self.tokens[self._check_id(token)].startswith(CONTINUES)

    def token_bytes(self, token: int) -> bytes:
        """The characters one id stands for, without "##" and without the space that goes before a word."""
        return self.tokens[self._check_id(token)].removeprefix(CONTINUES).encode()

    def encode_pair(
        self, text: str, second: str | None = None, max_length: int | None = None, truncate: bool = False
    ) -> tuple[list[int], list[int]]:
        """BERT's input, [CLS] text [SEP] or [CLS] text [SEP] second [SEP]: ids, and segments 0 or 1 as long.

        Each [SEP] belongs to the text before it. With `truncate`, what is longer than max_length loses tokens at its
        end, of the longer text first; else that is a TokenError.
        """
        parts = [self.encode(part) for part in (text, second) if part is not None]
        room = None if max_length is None else max_length - 1 - len(parts)
        if room is not None and sum(map(len, parts)) > room:
            if not truncate:
                raise TokenError(
                    f"the text has {sum(map(len, parts))} tokens, and {1 + len(parts)} special ones around them; "
                    f"max_length={max_length} (give truncate=True to drop the last ones)"
                )
            parts = _shortened(parts, room, max_length)
        ids, segments = [self.special_tokens[CLS]], [0]
        for segment, part in enumerate(parts):
            ids += [*part, self.special_tokens[SEP]]
            segments += [segment] * (len(part) + 1)
        return ids, segments

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The UTF-8 bytes of the words, with spaces where English and Chinese have them."""
        text, last = "", ""
        for token in ids:
            characters = super().decode_bytes([token]).decode()  # checks the id
            inside = self.is_continuation(token)
            text += characters if inside or not last or not _space_between(last, characters) else f" {characters}"
            last = last + characters if inside else characters
        return text.encode()

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in basic_words(text, self.lowercase):
            known = self._cache.get(word)
            if known is None:
                known = self._pieces(word)
                if len(self._cache) < CACHE_SIZE and len(word) < 64:
                    self._cache[word] = known
            ids += known
        return ids

    def _pieces(self, word: str) -> list[int]:
        """The longest piece first, from the left; [UNK] where nothing fits."""
        unknown = [self.special_tokens[UNK]]
        if len(word) > LONGEST_WORD:
            return unknown
        ids: list[int] = []
        start = 0
        while start < len(word):
            prefix = CONTINUES if start else ""
            for stop in range(min(len(word), start + self._longest), start, -1):
                if (token := self._ids.get(prefix + word[start:stop])) is not None:
                    break
            else:
                return unknown
            ids.append(token)
            start = stop
        return ids

    def _state(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "lowercase": self.lowercase}

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> WordPieceTokenizer:
        tokens, lowercase = state["tokens"], state["lowercase"]
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError("tokens must be a list of texts")
        if type(lowercase) is not bool:
            raise ValueError("lowercase must be true or false")
        "".join(tokens).encode()  # a lone surrogate is no text: UnicodeEncodeError, a ValueError
        return cls(tokens, lowercase)


def _shortened(parts: list[list[int]], room: int, max_length: int | None) -> list[list[int]]:
    """The parts cut to `room` tokens together: the longer loses tokens until both are equally long, then each."""
    if room < 0:
        raise TokenError(f"max_length={max_length} has no room for [CLS] and {len(parts)} [SEP]")
    if len(parts) == 1:
        return [parts[0][:room]]
    first, second = (len(part) for part in parts)
    shorter = min(first, second, room // 2)
    kept = (room - shorter, shorter) if first > second else (shorter, room - shorter)
    return [part[:n] for part, n in zip(parts, kept, strict=True)]


def _space_between(left: str, right: str) -> bool:
    """Whether a space goes between two words. Chinese has none; what it was around a dash or apostrophe is lost."""
    if _is_wide(left[-1]) or _is_wide(right[0]):
        return False
    return left not in OPENING and right not in CLOSING and left not in GLUE and right not in GLUE


def _is_wide(character: str) -> bool:
    """Ideographs, and the punctuation that goes with them."""
    return is_ideograph(character) or "\u3000" <= character <= "\u303f" or "\uff00" <= character <= "\uffef"
