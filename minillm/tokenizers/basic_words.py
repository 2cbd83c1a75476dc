"""Text to words as BERT cuts it: cleaned, lower-cased, without accents, punctuation and Chinese characters apart.

(Devlin et al. 2019; the rules are those of the "uncased" models' vocabularies.) Each step looks at one character at a
time, so the result doesn't depend on what stands around it: a final Σ becomes σ, as in the `tokenizers` library.
"""

from __future__ import annotations

import unicodedata
from functools import cache

# The Unified Ideographs with the extensions B to E, and the compatibility ideographs: no kana, no Hangul.
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def basic_words(text: str, lowercase: bool) -> list[str]:
    """The words of `text`: split at white space, with each Chinese character and punctuation mark a word of its own.

    lowercase: also turn "Café" into "cafe": canonical decomposition (NFD), combining marks dropped, lower case.
    """
    text = "".join(map(_cleaned, text))
    if lowercase:
        text = "".join(map(_bare, unicodedata.normalize("NFD", text)))
    return "".join(map(_apart, text)).split()


def is_ideograph(character: str) -> bool:
    """Whether BERT takes it for a Chinese character, which is a word alone."""
    return any(first <= ord(character) <= last for first, last in IDEOGRAPHS)


def is_punctuation(character: str) -> bool:
    """Unicode's punctuation (categories P*), and all of ASCII's signs: BERT counts $, + and ^ among them."""
    sign = character.isascii() and character.isprintable() and not character.isalnum() and character != " "
    return sign or unicodedata.category(character).startswith("P")


@cache
def _cleaned(character: str) -> str:
    """Nothing for a control character that isn't white space, spaces around an ideograph."""
    # Unassigned characters stay: what is a new emoji to one version of Unicode is unassigned to the one before.
    if character == "\ufffd" or (unicodedata.category(character) in ("Cc", "Cf", "Co") and character not in "\t\n\r"):
        return ""
    return f" {character} " if is_ideograph(character) else character


@cache
def _bare(character: str) -> str:
    """In lower case; nothing for a combining mark that takes no room."""
    return "" if unicodedata.category(character) == "Mn" else character.lower()


@cache
def _apart(character: str) -> str:
    return f" {character} " if is_punctuation(character) else character
