"""Byte-level byte-pair encoding (Sennrich et al. 2016; on bytes, Radford et al. 2019, section 2.2).

Text is cut into chunks by a pattern, a chunk becomes its UTF-8 bytes, and rules learnt from text merge pairs of tokens
into one, the earliest learnt rule first. Every byte is a token, so any text can be encoded and nothing is unknown.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from minillm.errors import ConfigError, TokenError
from minillm.tokenizers import readers
from minillm.tokenizers.base import Tokenizer, check_specials
from minillm.tokenizers.bpe_training import count_chunks, learn_merges
from minillm.tokenizers.merging import Merges, merge
from minillm.tokenizers.patterns import chunks, compile_pattern

CACHE_SIZE = 1 << 16  # chunks remembered with their ids; text repeats its words


class BPETokenizer(Tokenizer):
    """A byte-level BPE vocabulary.

    vocabulary: {id: bytes} of the ordinary tokens, every single byte among them;
    merges: {(left id, right id): (priority, merged id)};  pattern: "gpt2", "gpt4" or a regular expression.
    """

    kind = "bpe"

    def __init__(
        self,
        vocabulary: Mapping[int, bytes],
        merges: Merges,
        pattern: str,
        special_tokens: Mapping[str, int] | None = None,
    ):
        compile_pattern(pattern)
        self.pattern, self.merges = pattern, dict(merges)
        self.special_tokens = dict(special_tokens or {})
        self._bytes = {**vocabulary, **{i: name.encode() for name, i in self.special_tokens.items()}}
        self._byte_ids = {token[0]: i for i, token in vocabulary.items() if len(token) == 1}
        self._cache: dict[str, list[int]] = {}
        if len(self._byte_ids) != 256:
            raise ValueError(f"the vocabulary has {len(self._byte_ids)} of the 256 single bytes")
        if len(self._bytes) != len(vocabulary) + len(self.special_tokens):
            raise ValueError("a special token has the id of another token")

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
        specials = list(special_tokens)
        n_merges = vocab_size - 256 - len(specials)
        if n_merges < 0:
            raise ConfigError(
                f"vocab_size={vocab_size} is less than the 256 bytes and {len(specials)} special tokens; use at least "
                f"{256 + len(specials)}"
            )
        pairs = learn_merges(count_chunks(texts, pattern), n_merges)
        vocabulary = {i: bytes([i]) for i in range(256)}
        merges: Merges = {}
        for i, (left, right) in enumerate(pairs):
            vocabulary[256 + i] = vocabulary[left] + vocabulary[right]
            merges[left, right] = (i, 256 + i)
        return cls(vocabulary, merges, pattern, {name: len(vocabulary) + i for i, name in enumerate(specials)})

    @classmethod
    def from_gpt2(cls, encoder: str | os.PathLike[str], merges: str | os.PathLike[str]) -> BPETokenizer:
        """GPT-2's own files, encoder.json and vocab.bpe."""
        return cls(*readers.read_gpt2(encoder, merges))

    @classmethod
    def from_ranks(
        cls,
        ranks: str | os.PathLike[str] | Mapping[bytes, int],
        pattern: str = "gpt2",
        special_tokens: Mapping[str, int] | None = None,
    ) -> BPETokenizer:
        """tiktoken's format: a mapping of bytes to rank, or a file with a line "base64 rank" a token."""
        return cls(*readers.read_ranks(ranks), pattern, special_tokens)

    @classmethod
    def from_huggingface(cls, path: str | os.PathLike[str]) -> BPETokenizer:
        """A byte-level BPE tokenizer.json of the `tokenizers` library; TokenError for other kinds of model."""
        return cls(*readers.read_huggingface(path))

    @property
    def vocab_size(self) -> int:
        return max(self._bytes) + 1

    def token_bytes(self, token: int) -> bytes:
        try:
            return self._bytes[token]
        except KeyError:
            self._check_id(token)
            raise TokenError(f"token id {token} is one this vocabulary leaves out") from None

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of any bytes, UTF-8 or not, as one chunk; `decode_bytes` gives them back."""
        return merge([self._byte_ids[byte] for byte in data], self.merges)

    def merge_steps(self, word: str) -> list[list[bytes]]:
        """The tokens of one chunk after no merge, one merge, two ...: how BPE arrives at its result."""
        ids = [self._byte_ids[byte] for byte in word.encode()]
        steps = [ids]
        while True:
            rules = [(self.merges[p][0], i) for i, p in enumerate(zip(ids, ids[1:], strict=False)) if p in self.merges]
            if not rules:
                return [[self._bytes[i] for i in step] for step in steps]
            i = min(rules)[1]
            ids = [*ids[:i], self.merges[ids[i], ids[i + 1]][1], *ids[i + 2 :]]
            steps.append(ids)

    def _encode_plain(self, text: str) -> list[int]:
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
        return {
            "pattern": self.pattern,
            "vocabulary": {str(i): self._bytes[i].hex() for i in self._bytes if i not in self.special_tokens.values()},
            "merges": [[*pair, *rule] for pair, rule in self.merges.items()],
            "special_tokens": self.special_tokens,
        }

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> BPETokenizer:
        vocabulary = {int(i): bytes.fromhex(token) for i, token in state["vocabulary"].items()}
        if not all(i >= 0 and token for i, token in vocabulary.items()) or not isinstance(state["pattern"], str):
            raise ValueError("the vocabulary or the pattern isn't valid")
        merges: Merges = {}
        for left, right, priority, merged in state["merges"]:
            if vocabulary[left] + vocabulary[right] != vocabulary[merged] or type(priority) is not int:
                raise ValueError(f"the merge of {left} and {right} doesn't make {merged}")
            merges[left, right] = (priority, merged)
        largest = max(vocabulary) + 1 + len(state["special_tokens"])
        specials = check_specials(state["special_tokens"], max(largest, 1 << 22))
        return cls(vocabulary, merges, state["pattern"], specials)
