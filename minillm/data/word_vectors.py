"""Word vectors learnt elsewhere, such as GloVe's (Pennington et al. 2014): read, compared, put into an embedding."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minillm.errors import ConfigError, DataError, ShapeError
from minillm.nn import Embedding


class Tokenizer(Protocol):
    """What is asked of a tokenizer here."""

    special_tokens: dict[str, int]

    @property
    def vocab_size(self) -> int: ...
    def token_bytes(self, token: int) -> bytes: ...


class WordVectors:
    """A vector for each of many words.

    words: different ones; vectors: (words, d). DataError where they don't fit each other.
    """

    def __init__(self, words: Sequence[str], vectors: Any):
        self.words, self.vectors = list(words), np.asarray(vectors, np.float32)
        self._rows = {word: i for i, word in enumerate(self.words)}
        if self.vectors.ndim != 2 or len(self._rows) != len(self.vectors) or len(self._rows) != len(self.words):
            raise DataError(f"{len(self._rows)} different words need as many vectors, not shape {self.vectors.shape}")
        lengths = np.linalg.norm(self.vectors, axis=1)
        self._lengths = np.where(lengths == 0, 1, lengths)  # a vector of zeros is like no other: its cosines are 0

    @property
    def size(self) -> int:
        """Numbers of a vector, d."""
        return self.vectors.shape[1]

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._rows

    def __getitem__(self, word: str) -> np.ndarray:
        """The word's vector, (d,); DataError for a word without one."""
        return self.vectors[self._row(word)]

    def cosine(self, first: str, second: str) -> float:
        """How alike two words' vectors are, from -1 to 1:  cos(a, b) = a · b / (|a| |b|)"""
        a, b = self._row(first), self._row(second)
        return float(self.vectors[a] @ self.vectors[b] / (self._lengths[a] * self._lengths[b]))

    def nearest(self, word: str, k: int = 10) -> list[tuple[str, float]]:
        """The k other words whose vectors have the largest cosine with this one's, and that cosine, best first."""
        if k < 1:
            raise ConfigError(f"k={k} must be at least 1")
        row = self._row(word)
        cosines = self.vectors @ self.vectors[row] / (self._lengths * self._lengths[row])
        order = np.argsort(-cosines, kind="stable")
        return [(self.words[i], float(cosines[i])) for i in order[: k + 1] if i != row][:k]

    def _row(self, word: str) -> int:
        if word not in self._rows:
            raise DataError(f"there is no vector for {word!r} among the {len(self)} words (GloVe's are lower-case)")
        return self._rows[word]


def read_word_vectors(path: str | os.PathLike[str]) -> WordVectors:
    """The vectors of a text file, a line "word v1 v2 ... vd" each, as GloVe and word2vec write them.

    A first line of two whole numbers (word2vec's count and d) is passed over. The first word has no space in it and so
    tells d; a later one may have some (glove.840B): the last d fields are the vector. Of a word that stands twice, the
    first vector counts. Raises DataError naming the line that is damaged.
    """
    rows: dict[str, None] = {}
    numbers = array("f")
    d = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            text = _decoded(line, where)
            if not text or (number == 1 and _is_header(text)):
                continue
            d = d or text.count(" ")
            word, vector = _parsed(text, d, where)
            if word not in rows:
                rows[word] = None
                numbers.extend(vector)
    if not rows:
        raise DataError(f"{path} has no word vectors: no line 'word v1 v2 ...'")
    return WordVectors(list(rows), np.frombuffer(numbers, np.float32).reshape(len(rows), d))


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode().rstrip("\r\n ")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} isn't UTF-8: byte 0x{line[error.start]:02x} at {error.start}") from None


def _is_header(text: str) -> bool:
    fields = text.split(" ")
    return len(fields) == 2 and all(field.isdecimal() for field in fields)


def _parsed(text: str, d: int, where: str) -> tuple[str, list[float]]:
    """The word and its d numbers."""
    word, *fields = text.rsplit(" ", d)
    try:
        vector = [float(field) for field in fields]
    except ValueError as error:
        raise DataError(f"{where}: a word and its {d} numbers were expected, found {text[:60]!r} ({error})") from None
    if not vector:
        raise DataError(f"{where}: a word and its numbers were expected, found {text[:60]!r}")
    if len(vector) != d:
        raise DataError(f"{where} has {len(vector)} numbers, but the first line has {d}; is the file cut off?")
    if not all(map(math.isfinite, vector)):
        raise DataError(f"{where}: the vector of {word!r} isn't finite")
    return word, vector


@dataclass(frozen=True)
class Coverage:
    """How much of a vocabulary, and of the text it stands for, has a word vector."""

    found: int
    words: int
    """Of the vocabulary, without special tokens."""
    share_of_tokens: float | None
    """Of a text's tokens, those found; None where no counts were given."""

    def __str__(self) -> str:
        share = "" if self.share_of_tokens is None else f", {self.share_of_tokens:.1%} of the text's tokens"
        return f"{self.found:,} of {self.words:,} words have a vector{share}"


def fill_embedding(
    embedding: Embedding,
    tokenizer: Tokenizer,
    vectors: WordVectors,
    counts: Any = None,
    freeze: bool = False,
) -> Coverage:
    """Put the vectors of the tokenizer's words into `embedding`, in place; says how many there were.

    A token's word is its text without the space in front, or else that in lower case. Tokens without a vector keep
    their random start, scaled to the vectors' standard deviation, so that no token is louder than the others.
    counts: how often each id occurs in a text, (vocab_size,), for the share of it that is covered.
    freeze: don't train the embedding, not even the random rows, nor a head tied to it.
    Raises ShapeError where sizes don't fit, with nothing changed.
    """
    rows, size = embedding.weight.shape
    if size != vectors.size:
        raise ShapeError(f"the embedding has d_model={size}, the word vectors {vectors.size} numbers: make them equal")
    if rows != tokenizer.vocab_size:
        raise ShapeError(f"the embedding has {rows} rows, but the tokenizer {tokenizer.vocab_size} ids")
    occurrences = None if counts is None else _occurrences(counts, rows)
    special = set(tokenizer.special_tokens.values())
    words = {i: _word(tokenizer.token_bytes(i), vectors) for i in range(rows) if i not in special}
    found = {i: word for i, word in words.items() if word is not None}

    weight = embedding.weight.mutable()
    rest = np.setdiff1d(np.arange(rows), list(found))
    if (spread := weight[rest].std() if len(rest) else 0) > 0:
        weight[rest] *= vectors.vectors.std() / spread
    for i, word in found.items():
        weight[i] = vectors[word]
    if freeze:
        embedding.weight.requires_grad, embedding.weight.grad = False, None
    share = None if occurrences is None else float(occurrences[list(found)].sum() / max(occurrences.sum(), 1))
    return Coverage(len(found), len(words), share)


def _word(token: bytes, vectors: WordVectors) -> str | None:
    """The word of `vectors` that a token stands for; None for one that has none, or is part of a character."""
    try:
        text = token.decode().removeprefix(" ")
    except UnicodeDecodeError:
        return None
    return next((word for word in (text, text.lower()) if word in vectors), None)


def _occurrences(counts: Any, rows: int) -> np.ndarray:
    occurrences = np.asarray(counts)
    if occurrences.shape != (rows,):
        raise ShapeError(f"counts has shape {occurrences.shape}; it needs a number for each of the {rows} ids")
    return occurrences
