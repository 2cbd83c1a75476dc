"""One token a word: short sequences, a large vocabulary, and an <unk> for every word not in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from minillm.errors import ConfigError, TokenError
from minillm.tokenizers.base import Tokenizer
from minillm.tokenizers.special import UNKNOWN, check_specials, number_specials
from minillm.tokenizers.text import documents

# Chinese characters, each a word of its own: the Unified Ideographs with their extensions, and 々 and 〇.
HAN = r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# A word with the space before it, a Chinese character, one punctuation mark, or other white space.
PIECES = re.compile(rf" ?[^\W{HAN}]+| ?[{HAN}]| ?[^\w\s]|\s")


class WordTokenizer(Tokenizer):
    """The frequent words of the training text, each with the space before it, so that known text comes back exactly.

    A word that isn't among them becomes <unk>, together with the space before it.
    """

    kind = "word"

    def __init__(self, words: Iterable[str], special_tokens: Iterable[str] = ()):
        self.words = [UNKNOWN, *words]
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            raise TokenError(f"a word stands twice in the vocabulary, or is {UNKNOWN} itself")
        named = number_specials(special_tokens, len(self.words))
        if UNKNOWN in named:
            raise ConfigError(f"{UNKNOWN} is always token 0 of a word tokenizer; leave it out of special_tokens")
        self.special_tokens = {UNKNOWN: 0} | named
        self._names = list(named)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        min_count: int = 1,
        max_size: int | None = None,
        special_tokens: Iterable[str] = (),
    ) -> WordTokenizer:
        """The words that occur at least `min_count` times, at most `max_size` of them, the most frequent first.

        Of equally frequent words the one that sorts first goes first.
        """
        if min_count < 1 or (max_size is not None and max_size < 1):
            raise ConfigError(f"min_count={min_count} and max_size={max_size} must be at least 1")
        counts: Counter[str] = Counter()
        for text in documents(texts):
            counts.update(PIECES.findall(text))
        frequent = [word for word, count in counts.items() if count >= min_count]
        if not frequent:
            raise TokenError(f"no word occurs {min_count} times in the text; lower min_count or give more text")
        frequent.sort(key=lambda word: (-counts[word], word))
        return cls(frequent[:max_size], special_tokens)

    @property
    def vocab_size(self) -> int:
        return len(self.words) + len(self._names)

    def token_bytes(self, token: int) -> bytes:
        self._check_id(token)
        return (self.words[token] if token < len(self.words) else self._names[token - len(self.words)]).encode()

    def _encode_plain(self, text: str) -> list[int]:
        return [self._ids.get(piece, 0) for piece in PIECES.findall(text)]

    def _state(self) -> dict[str, Any]:
        return {"words": self.words[1:], "special_tokens": {name: self.special_tokens[name] for name in self._names}}

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> WordTokenizer:
        words, specials = state["words"], check_specials(state["special_tokens"])
        if not isinstance(words, list) or not all(isinstance(word, str) and PIECES.fullmatch(word) for word in words):
            raise ValueError("words must be a list of words")
        "".join(words).encode()  # a lone surrogate is no text: UnicodeEncodeError, a ValueError
        return cls(words, sorted(specials, key=specials.__getitem__))
