"""One token a character: the smallest vocabulary, the longest sequences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minillm.errors import TokenError
from minillm.tokenizers.base import Tokenizer
from minillm.tokenizers.special import UNKNOWN, check_specials, number_specials
from minillm.tokenizers.text import documents


class CharTokenizer(Tokenizer):
    """The characters of the training text, in code-point order, then the special tokens.

    A character not among them raises TokenError; with a special token "<unk>" it becomes that token.
    """

    kind = "char"

    def __init__(self, characters: Iterable[str], special_tokens: Iterable[str] = ()):
        self.characters = sorted(set(characters))
        self._ids = {character: i for i, character in enumerate(self.characters)}
        self.special_tokens = number_specials(special_tokens, len(self.characters))
        self._names = {i: name for name, i in self.special_tokens.items()}

    @classmethod
    def train(cls, texts: Iterable[str], special_tokens: Iterable[str] = (), unk: bool = False) -> CharTokenizer:
        """The vocabulary of all characters in `texts`; with `unk`, "<unk>" is the first special token."""
        characters: set[str] = set()
        for text in documents(texts):
            characters.update(text)
        if not characters:
            raise TokenError("there is no text to take characters from")
        return cls(characters, [UNKNOWN, *special_tokens] if unk else special_tokens)

    @property
    def vocab_size(self) -> int:
        return len(self.characters) + len(self.special_tokens)

    def token_bytes(self, token: int) -> bytes:
        self._check_id(token)
        return (self._names[token] if token in self._names else self.characters[token]).encode()

    def _encode_plain(self, text: str) -> list[int]:
        unknown = self.special_tokens.get(UNKNOWN)
        if unknown is not None:
            return [self._ids.get(character, unknown) for character in text]
        try:
            return [self._ids[character] for character in text]
        except KeyError:
            place, character = next((i, c) for i, c in enumerate(text) if c not in self._ids)
            raise TokenError(
                f"character {character!r} (U+{ord(character):04X}) at position {place} isn't among the "
                f"{len(self.characters)} characters this tokenizer was made from; train it on text that has it, "
                "or with unk=True, or use a BPE tokenizer"
            ) from None

    def _state(self) -> dict[str, Any]:
        return {"characters": "".join(self.characters), "special_tokens": self.special_tokens}

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> CharTokenizer:
        characters, specials = state["characters"], check_specials(state["special_tokens"])
        if not isinstance(characters, str) or not characters:
            raise ValueError("characters must be a string that isn't empty")
        characters.encode()  # a lone surrogate is no character: UnicodeEncodeError, a ValueError
        return cls(characters, sorted(specials, key=specials.__getitem__))
