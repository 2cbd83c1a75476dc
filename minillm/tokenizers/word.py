"""One token a word: short sequences, a large vocabulary, and an <unk> for every word not in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from minillm.errors import ConfigError, TokenError
from minillm.tokenizers.base import Tokenizer, check_specials

UNKNOWN = "<unk>"
# A word with the space before it, a Chinese character (each is a word), one punctuation mark, or other white space.
PIECES = re.compile(r" ?[^\W\u3400-\u9fff\uf900-\ufaff]+| ?[\u3400-\u9fff\uf900-\ufaff]| ?[^\w\s]|\s")


class WordTokenizer(Tokenizer):
    """The frequent words of the training text, each with the space before it, so that known text comes back exactly."""

    kind = "word"

    def __init__(self, words: Iterable[str], special_tokens: Iterable[str] = ()):
        self.words = [UNKNOWN, *words]
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise ValueError("a word stands twice in the vocabulary")
        self.special_tokens = {UNKNOWN: 0} | {name: len(self.words) + i for i, name in enumerate(special_tokens)}
        self._names = list(special_tokens)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        min_count: int = 1,
        max_size: int | None = None,
        special_tokens: Iterable[str] = (),
    ) -> WordTokenizer:
        """The words that occur at least `min_count` times, at most `max_size` of them, the most frequent first."""
        if min_count < 1 or (max_size is not None and max_size < 1):
            raise ConfigError(f"min_count={min_count} and max_size={max_size} must be at least 1")
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(PIECES.findall(text))
        counts.pop(UNKNOWN, None)
        kept = [
            word for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= min_count
        ]
        if not kept:
            raise TokenError(f"no word occurs {min_count} times in the text; lower min_count or give more text")
        return cls(kept[:max_size], special_tokens)

    @property
    def vocab_size(self) -> int:
        return len(self.words) + len(self._names)

    def token_bytes(self, token: int) -> bytes:
        self._check_id(token)
        return (self.words[token] if token < len(self.words) else self._names[token - len(self.words)]).encode()

    def _encode_plain(self, text: str) -> list[int]:
        return [self._ids.get(piece, 0) if piece != UNKNOWN else 0 for piece in PIECES.findall(text)]

    def _state(self) -> dict[str, Any]:
        return {"words": self.words[1:], "special_tokens": {name: self.special_tokens[name] for name in self._names}}

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> WordTokenizer:
        words = state["words"]
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise ValueError("words must be a list of strings")
        specials = check_specials(state["special_tokens"], len(words) + 1 + len(state["special_tokens"]))
        return cls(words, sorted(specials, key=specials.__getitem__))
