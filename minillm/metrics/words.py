"""What the measures of text count: words, and of Chinese text, which has no spaces, characters."""

import re
from collections.abc import Iterable
from typing import Literal

from minillm.tokenizers.word import HAN

WORDS = re.compile(rf"[{HAN}]|[^\W{HAN}]+")
"""A Chinese character, or a run of other letters, digits and underscores."""


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation; each Chinese character is a word of its own.

    >>> words("The cat sat. 我爱北京!")
    ['the', 'cat', 'sat', '我', '爱', '北', '京']
    """
    return WORDS.findall(text.lower())


def language_of(texts: Iterable[str]) -> Literal["en", "zh"]:
    """How texts are to be cut for comparison: "zh", by characters, where a tenth of their words are Chinese characters;
    else "en", by words."""
    found = [word for text in texts for word in words(text)]
    chinese = sum(re.match(f"[{HAN}]", word) is not None for word in found)
    return "zh" if chinese and chinese >= len(found) / 10 else "en"
