"""From characters to tokens and back: which piece of a text each token stands for, and windows over long texts.

A text is cut into words first, and each word is encoded by itself, so that a token's place is known to the word with
any tokenizer, also one that changes letters (lower case, no accents). An answer that begins or ends inside a word is
widened to the whole word; the answer itself is cut from the text by character offsets, hence exact.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from minillm.tokenizers import Tokenizer
from minillm.tokenizers.word import HAN

WORD = re.compile(rf"\s*([{HAN}]|[^\W{HAN}]+|[^\w\s])")
"""A Chinese character, a run of other letters and digits, or one other character; with the white space before it, which
byte-pair vocabularies join to the word."""


class Pieces(NamedTuple):
    """Token ids of a text, and for each token the characters [start, end) of the word it belongs to."""

    ids: list[int]
    places: list[tuple[int, int]]

    def tokens(self, start: int, end: int) -> tuple[int, int] | None:
        """The first and the last token that share a character with text[start:end]; None if there is none."""
        found = [i for i, (first, after) in enumerate(self.places) if first < end and start < after]
        return (found[0], found[-1]) if found else None

    def characters(self, first: int, last: int) -> tuple[int, int]:
        """Where in the text, [start, end), the words of the tokens from `first` to `last` are."""
        return self.places[first][0], self.places[last][1]


def pieces(tokenizer: Tokenizer, text: str) -> Pieces:
    """A text's tokens with their places, counted in characters (code points)."""
    ids: list[int] = []
    places: list[tuple[int, int]] = []
    for word in WORD.finditer(text):
        tokens = tokenizer.encode(word.group())
        ids += tokens
        places += [word.span(1)] * len(tokens)
    return Pieces(ids, places)


def windows(length: int, size: int, stride: int) -> Sequence[range]:
    """Windows of `size` tokens that cover `length` tokens, each `stride` further on; the last one ends at the end.

    One window where everything fits. (Devlin et al.'s "doc stride".)
    """
    if length <= size:
        return [range(length)]
    starts = [*range(0, length - size, stride), length - size]
    return [range(start, start + size) for start in starts]
