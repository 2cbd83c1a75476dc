"""Byte-level byte-pair encoding (Sennrich et al. 2016; on bytes, Radford et al. 2019, section 2.2).

Text is cut into chunks by a pattern, a chunk becomes its UTF-8 bytes, and rules learnt from text merge pairs of tokens
into one, the earliest learnt rule first. Every byte is a token, so any text can be encoded and nothing is unknown.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from minillm.errors import ConfigError, TokenError
from minillm.kernels import native_module
from minillm.tokenizers import readers
from minillm.tokenizers.base import Allowed, Tokenizer
from minillm.tokenizers.bpe_training import count_chunks, learn_merges
from minillm.tokenizers.huggingface import read_huggingface
from minillm.tokenizers.merging import Merges, merge
from minillm.tokenizers.native import character_kinds, known_pattern
from minillm.tokenizers.patterns import chunks, compile_pattern
from minillm.tokenizers.special import LARGEST_VOCABULARY, check_specials, number_specials
from minillm.tokenizers.text import without_lone_surrogates

CACHE_SIZE = 1 << 16  # chunks remembered with their ids; text repeats its words


class BPETokenizer(Tokenizer):
    """A byte-level BPE vocabulary.

    vocabulary: {id: bytes} of the ordinary tokens, every single byte among them;
    merges: {(left id, right id): (priority, merged id)};  pattern: "gpt2", "gpt4" or a regular expression;
    whole_chunks: a chunk that is a token becomes that token even where the merges don't lead to it, as in tiktoken.
    Raises TokenError for a vocabulary that contradicts itself, ConfigError for a pattern that is none.
    """

    kind = "bpe"

    def __init__(
        self,
        vocabulary: Mapping[int, bytes],
        merges: Merges,
        pattern: str,
        special_tokens: Mapping[str, int] | None = None,
        whole_chunks: bool = False,
    ):
        compile_pattern(pattern)
        self.pattern, self.merges, self.whole_chunks = pattern, dict(merges), whole_chunks
        self.special_tokens = check_specials(special_tokens or {})
        self._bytes = {**vocabulary, **{i: name.encode() for name, i in self.special_tokens.items()}}
        self._byte_ids = {token[0]: i for i, token in vocabulary.items() if len(token) == 1}
        self._cache: dict[str, list[int]] = {}
        self._native_encoder: Any = None  # made when first needed
        if len(self._byte_ids) != 256:
            raise TokenError(f"the vocabulary has {len(self._byte_ids)} of the 256 single bytes; it needs them all")
        if len(self._bytes) != len(vocabulary) + len(self.special_tokens):
            raise TokenError("a special token has the id of another token; give it one of its own")
        if not all(0 <= i < LARGEST_VOCABULARY and token for i, token in self._bytes.items()):
            raise TokenError(f"tokens must have bytes, and ids from 0 to {LARGEST_VOCABULARY - 1}")
        self._vocab_size = max(self._bytes) + 1
        self._whole = {token: i for i, token in vocabulary.items()} if whole_chunks else {}

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        special_tokens: Iterable[str] = ("<|endoftext|>",),
        pattern: str = "gpt2",
    ) -> BPETokenizer:
        """Learn a vocabulary of `vocab_size`: the 256 bytes, then merges, then the special tokens.

        Smaller if the text runs out of pairs. The same text gives the same vocabulary, on any machine.
        """
        specials = list(number_specials(special_tokens, 256))
        smallest = 256 + len(specials)
        if type(vocab_size) is not int or not smallest <= vocab_size < LARGEST_VOCABULARY:
            raise ConfigError(
                f"vocab_size={vocab_size} doesn't hold the 256 bytes and {len(specials)} special tokens; "
                f"use a whole number of at least {smallest} and below {LARGEST_VOCABULARY}"
            )
        n_merges = vocab_size - smallest
        pairs = learn_merges(count_chunks(texts, pattern), n_merges)
        vocabulary = {i: bytes([i]) for i in range(256)}
        merges: Merges = {}
        for i, (left, right) in enumerate(pairs):
            vocabulary[256 + i] = vocabulary[left] + vocabulary[right]
            merges[left, right] = (i, 256 + i)
        return cls(vocabulary, merges, pattern, number_specials(specials, len(vocabulary)))

    @classmethod
    def from_gpt2(cls, encoder: str | os.PathLike[str], merges: str | os.PathLike[str]) -> BPETokenizer:
        """GPT-2's own files, encoder.json and vocab.bpe. Raises TokenError naming the file that is damaged."""
        arguments = readers.read_gpt2(encoder, merges)
        with readers.naming(encoder):
            return cls(**arguments)

    @classmethod
    def from_ranks(
        cls,
        ranks: str | os.PathLike[str] | Mapping[bytes, int],
        pattern: str = "gpt2",
        special_tokens: Mapping[str, int] | None = None,
    ) -> BPETokenizer:
        """tiktoken's format: a mapping of bytes to rank, or a file with a line "base64 rank" a token.

        Raises TokenError naming the file and line, or the rank, that is wrong.
        """
        with readers.naming("the ranks given" if isinstance(ranks, Mapping) else ranks):
            vocabulary, merges = readers.read_ranks(ranks)
            return cls(vocabulary, merges, pattern, special_tokens, whole_chunks=True)

    @classmethod
    def from_huggingface(cls, path: str | os.PathLike[str]) -> BPETokenizer:
        """A byte-level BPE tokenizer.json of the `tokenizers` library.

        Ids are those of the library's `encode(text, add_special_tokens=False)`, but its added tokens are special
        here: read as such only where `allowed_special` names them. Raises TokenError for other kinds of model, and
        for settings (normalizers, other splits, dropout) that would make the ids differ.
        """
        arguments = read_huggingface(path)
        with readers.naming(path):
            return cls(**arguments)

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    def token_bytes(self, token: int) -> bytes:
        try:
            return self._bytes[token]
        except KeyError:
            self._check_id(token)
            raise TokenError(f"token id {token} is one this vocabulary leaves out") from None

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of any bytes, UTF-8 or not, as one chunk; `decode_bytes` gives them back."""
        native = self._native()
        if native:
            return native.encode_chunk(data)
        if data in self._whole:
            return [self._whole[data]]
        return merge([self._byte_ids[byte] for byte in data], self.merges)

    def merge_steps(self, word: str) -> list[list[bytes]]:
        """The tokens of one chunk after no merge, one merge, two ...: how BPE arrives at its result."""
        ids = [self._byte_ids[byte] for byte in without_lone_surrogates(word).encode()]
        steps = [ids]
        while True:
            rules = [(self.merges[p][0], i) for i, p in enumerate(zip(ids, ids[1:], strict=False)) if p in self.merges]
            if not rules:
                return [[self._bytes[i] for i in step] for step in steps]
            i = min(rules)[1]
            ids = [*ids[:i], self.merges[ids[i], ids[i + 1]][1], *ids[i + 2 :]]
            steps.append(ids)

    def encode_batch(self, texts: Iterable[str], allowed_special: Allowed = frozenset()) -> list[list[int]]:
        """The ids of each text, as `encode` gives them; with the native kernels, by all threads."""
        texts = list(texts)
        native, pattern = self._native(), known_pattern(self.pattern)
        if not native or not pattern or allowed_special or not all(isinstance(text, str) for text in texts):
            return super().encode_batch(texts, allowed_special)
        return native.encode_batch(pattern, character_kinds(), [without_lone_surrogates(text) for text in texts])

    def _native(self) -> Any:
        """The C++ encoder of this vocabulary; None where there is none, or another backend was chosen."""
        module = native_module()
        if module and not self._native_encoder:
            byte_ids = [self._byte_ids[byte] for byte in range(256)]
            merges = [(*pair, *rule) for pair, rule in self.merges.items()]
            self._native_encoder = module.BPEEncoder(byte_ids, merges, list(self._whole.items()))
        return self._native_encoder if module else None

    def __getstate__(self) -> dict[str, Any]:
        """For copies and other processes, which make a native encoder of their own."""
        return {**self.__dict__, "_native_encoder": None}

    def _encode_plain(self, text: str) -> list[int]:
        native, pattern = self._native(), known_pattern(self.pattern)
        if native and pattern:
            return native.encode(pattern, character_kinds(), text)
        ids: list[int] = []
        for chunk in chunks(self.pattern, text):
            known = self._cache.get(chunk)
            if known is None:
                known = self.encode_bytes(chunk.encode())
                if len(self._cache) < CACHE_SIZE and len(chunk) < 64:
                    self._cache[chunk] = known
            ids += known
        return ids

    def _state(self) -> dict[str, Any]:
        whole_chunks = {"whole_chunks": True} if self.whole_chunks else {}
        return whole_chunks | {
            "pattern": self.pattern,
            "vocabulary": {str(i): self._bytes[i].hex() for i in self._bytes if i not in self.special_tokens.values()},
            "merges": [[*pair, *rule] for pair, rule in self.merges.items()],
            "special_tokens": self.special_tokens,
        }

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> BPETokenizer:
        vocabulary = {int(i): bytes.fromhex(token) for i, token in state["vocabulary"].items()}
        merges: Merges = {}
        for rule in state["merges"]:
            left, right, priority, merged = rule
            if vocabulary[left] + vocabulary[right] != vocabulary[merged]:
                raise ValueError(f"the merge of {left} and {right} doesn't make {merged}")
            if not all(type(number) is int for number in rule) or not 0 <= priority < LARGEST_VOCABULARY:
                raise ValueError(f"merge {rule} isn't four whole numbers")
            merges[left, right] = (priority, merged)
        return cls(vocabulary, merges, state["pattern"], state["special_tokens"], bool(state.get("whole_chunks")))
