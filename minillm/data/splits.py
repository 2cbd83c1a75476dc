"""Training and validation text: the first part of the characters, and the rest. Decided before a tokenizer is trained.

Cut by text, not by tokens, so that the vocabulary is learned from training text only and every tokenizer sees the same
two texts. `int(0.9 * n)` of n characters is nanoGPT's split of tiny Shakespeare.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from minillm.data.corpora import Corpus
from minillm.errors import ConfigError, DataError

VALIDATION_FRACTION = 0.1


@dataclass(frozen=True)
class Split:
    """Characters start..stop of a corpus, read anew at each iteration, document by document."""

    corpus: Corpus
    start: int
    stop: int

    def __len__(self) -> int:
        """Characters, not documents."""
        return self.stop - self.start

    def __iter__(self) -> Iterator[str]:
        position = 0
        for document in self.corpus.documents():
            piece = document[max(self.start - position, 0) : max(self.stop - position, 0)]
            position += len(document)
            if piece:
                yield piece
            if position >= self.stop:
                return


@dataclass(frozen=True)
class Splits:
    """Both parts of a corpus, and the SHA-256 of the whole text in UTF-8."""

    train: Split
    validation: Split
    fingerprint: str


def split(corpus: Corpus, validation_fraction: float = VALIDATION_FRACTION) -> Splits:
    """Cut a corpus in two; reads all of it once, a document at a time.

    Raises DataError where a part would have fewer than two characters, nothing to predict.
    """
    if not 0 < validation_fraction < 1:
        raise ConfigError(f"validation_fraction={validation_fraction} must lie between 0 and 1")
    characters, digest = 0, hashlib.sha256()
    for document in corpus.documents():
        characters += len(document)
        digest.update(_utf8(document, corpus))
    cut = int((1 - validation_fraction) * characters)
    if min(cut, characters - cut) < 2:
        raise DataError(
            f"corpus {corpus.name!r} is too short: {characters} characters, {cut} to train on and "
            f"{characters - cut} to validate with; each part needs at least 2"
        )
    return Splits(Split(corpus, 0, cut), Split(corpus, cut, characters), digest.hexdigest())


def split_texts(corpus: Corpus, validation_fraction: float = VALIDATION_FRACTION) -> Iterable[str]:
    """The training part of a corpus, for training a tokenizer on; can be read more than once."""
    return split(corpus, validation_fraction).train


def _utf8(document: str, corpus: Corpus) -> bytes:
    try:
        return document.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"corpus {corpus.name!r} has half a surrogate pair, {document[error.start]!r}, which no UTF-8 text can "
            "hold; clean it away (--clean text)"
        ) from None
