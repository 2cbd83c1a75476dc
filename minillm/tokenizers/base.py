"""What every tokenizer has: text to ids and back, special tokens, and one JSON file that holds it all."""

from __future__ import annotations

import hashlib
import json
import operator
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, ClassVar, Literal

from minillm.errors import TokenError
from minillm.tokenizers.special import number_specials
from minillm.tokenizers.text import without_lone_surrogates

FORMAT = "minillm-tokenizer"
Allowed = AbstractSet[str] | Literal["all"]


class Tokenizer(ABC):
    """A vocabulary, and the rule that cuts text into its tokens.

    special_tokens: names such as "<|endoftext|>" with their ids. In text they are text, unless `encode` is told to
    read them as tokens: what a user types can't forge one.
    """

    kind: ClassVar[str]
    special_tokens: dict[str, int]

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Number of ids, special tokens included: ids are 0 to vocab_size - 1."""

    @abstractmethod
    def token_bytes(self, token: int) -> bytes:
        """The UTF-8 bytes one id stands for; TokenError outside the vocabulary."""

    @abstractmethod
    def _encode_plain(self, text: str) -> list[int]:
        """Ids of a text in which nothing is special."""

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """What the JSON file holds beside the kind."""

    @classmethod
    @abstractmethod
    def _from_state(cls, state: dict[str, Any]) -> Tokenizer:
        """The tokenizer a state describes; checks everything first (KeyError, TypeError, ValueError if wrong)."""

    def encode(self, text: str, allowed_special: Allowed = frozenset()) -> list[int]:
        """The ids of `text`.

        allowed_special: special tokens to read as such ("all", or a set of names); in others' places the text itself
        is encoded. A lone surrogate, which no UTF-8 text can hold, is read as U+FFFD. TokenError for what is no text.
        """
        if not isinstance(text, str):
            raise TokenError(
                f"encode takes text (str), not {type(text).__name__}; bytes go to BPETokenizer.encode_bytes"
            )
        allowed = self._allowed(allowed_special)
        text = without_lone_surrogates(text)
        if not allowed:
            return self._encode_plain(text)
        longest_first = sorted(allowed, key=len, reverse=True)
        ids: list[int] = []
        for part in re.split(f"({'|'.join(map(re.escape, longest_first))})", text):
            ids += [self.special_tokens[part]] if part in allowed else self._encode_plain(part)
        return ids

    def encode_batch(self, texts: Iterable[str], allowed_special: Allowed = frozenset()) -> list[list[int]]:
        """The ids of each text, as `encode` gives them."""
        return [self.encode(text, allowed_special) for text in texts]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes the ids stand for; not always whole UTF-8 characters. TokenError for what is no id."""
        return b"".join([self.token_bytes(_whole_number(token)) for token in ids])

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """The text the ids stand for. Bytes that are no UTF-8 become U+FFFD (errors="strict": UnicodeDecodeError)."""
        return self.decode_bytes(ids).decode("utf-8", errors)

    def with_special_tokens(self, names: Iterable[str]) -> Tokenizer:
        """A copy that has these special tokens, too: those it lacks get ids from vocab_size on, all old ids stay.

        TokenError where special tokens are among the vocabulary's pieces (WordPiece, SentencePiece), which a model
        brings with it; ConfigError for names that can't be any.
        """
        state = self._state()
        added = number_specials([name for name in names if name not in self.special_tokens], self.vocab_size)
        copy = self._from_state({**state, "special_tokens": {**state.get("special_tokens", {}), **added}})
        if not added.keys() <= copy.special_tokens.keys():
            raise TokenError(f"a {self.kind} vocabulary takes no more special tokens; use a BPE or char tokenizer")
        return copy

    def fingerprint(self) -> str:
        """SHA-256 of the vocabulary and rules: what ties a run and its token files to one tokenizer."""
        return hashlib.sha256(self._json().encode()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one JSON file, whole or not at all: a temporary file beside it, renamed at the end.

        Raises OSError (no such folder, disk full, ...), leaving what stood at `path` as it was.
        """
        path, content = Path(path), self._json().encode()
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # a name of its own for each process
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # else a power cut could leave the new name on an empty file
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """The tokenizer saved at `path`; TokenError if the file isn't one, or of another kind than this class."""
        tokenizer = load_tokenizer(path)
        if not isinstance(tokenizer, cls):
            raise TokenError(f"{path} holds a {tokenizer.kind!r} tokenizer, not one for {cls.__name__}")
        return tokenizer

    def _json(self) -> str:
        return _canonical({"format": FORMAT, "version": 1, "kind": self.kind, **self._state()})

    def _allowed(self, allowed_special: Allowed) -> AbstractSet[str]:
        if allowed_special == "all":
            return self.special_tokens.keys()
        if isinstance(allowed_special, str):
            raise TokenError(f'allowed_special is "all" or a set of names; write {{{allowed_special!r}}}')
        for name in allowed_special:
            if name not in self.special_tokens:
                raise TokenError(
                    f"allowed_special: {name!r} is no special token of this tokenizer; it has "
                    f"{sorted(self.special_tokens) or 'none'}"
                )
        return allowed_special

    def _check_id(self, token: int) -> int:
        if not 0 <= token < self.vocab_size:
            raise TokenError(
                f"token id {token} is outside the vocabulary of {self.vocab_size} (0 to {self.vocab_size - 1})"
            )
        return token


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer saved at `path`, of whatever kind. TokenError if the file is damaged or something else."""
    try:
        state = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        raise TokenError(f"{path} isn't a tokenizer file: {error}; save one with tokenizer.save(path)") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TokenError(
            f"{path} isn't a {FORMAT} file; for other formats see BPETokenizer.from_gpt2, from_ranks, from_huggingface"
        )
    kinds = {cls.kind: cls for cls in _all_kinds(Tokenizer)}
    if state.get("version") != 1 or not isinstance(state.get("kind"), str) or state["kind"] not in kinds:
        raise TokenError(
            f"{path}: version {state.get('version')!r}, kind {state.get('kind')!r} aren't known here "
            f"(version 1; {', '.join(sorted(kinds))})"
        )
    try:
        tokenizer = kinds[state["kind"]]._from_state(state)
        if tokenizer._json() != _canonical(state):  # a field too many, an order or an id that saving wouldn't write
            raise ValueError("its fields contradict each other")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise TokenError(
            f"{path} is a damaged tokenizer file ({type(error).__name__}: {error}); make it anew"
        ) from None
    return tokenizer


def _canonical(state: dict[str, Any]) -> str:
    return json.dumps(state, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _all_kinds(cls: Any) -> Iterator[Any]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _all_kinds(subclass)


def _whole_number(token: Any) -> int:
    try:
        return operator.index(token)  # an int of Python's, NumPy's or PyTorch's; never a float cut off
    except TypeError:
        raise TokenError(f"a token id is a whole number, not {token!r} ({type(token).__name__})") from None
