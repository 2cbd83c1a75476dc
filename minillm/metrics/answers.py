"""Are two short answers the same? Exact match and token F1 (Rajpurkar et al. 2016, section 6.1).

Both compare normalised answers, and take the best over several people's references. Rajpurkar et al.'s definition is
for English; for Chinese the same two measures are taken over characters.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from minillm.errors import ConfigError, DataError
from minillm.tokenizers.word import HAN

Language = Literal["en", "zh"]
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_CHARACTERS = re.compile(rf"[{HAN}]|[^\s{HAN}]+")


def normalise(answer: str, language: Language = "en") -> str:
    """English: in lower case, without ASCII punctuation, then without the articles, single spaces between words.

    Chinese ("zh"): in lower case, without punctuation of any script (。 and “ too), a space around every character.
    Articles stay there: a Latin word in a Chinese text is a name. ConfigError for another language.
    """
    text = answer.lower()
    if language == "zh":
        return " ".join(_CHARACTERS.findall("".join(c for c in text if not _is_punctuation(c))))
    if language != "en":
        raise ConfigError(f"language={language!r} must be 'en' or 'zh'")
    text = "".join(c for c in text if c not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", text).split())


def exact_match(answer: str, references: Sequence[str], language: Language = "en") -> float:
    """1 if the normalised answer equals that of one of the references, else 0.

    DataError without a reference, or for a string in place of a list; ConfigError for a language but "en" and "zh".
    """
    given = normalise(answer, language)
    return float(any(given == normalise(reference, language) for reference in _checked(references)))


def token_f1(answer: str, references: Sequence[str], language: Language = "en") -> float:
    """F1 over normalised tokens, the best of the references. Errors as those of `exact_match`.

    shared = Σ_token min(times in the answer, times in the reference)
    precision = shared / tokens of the answer,  recall = shared / tokens of the reference,  F1 = 2 P R / (P + R)

    Where either side has no tokens, 1 if both have none, else 0 (as SQuAD 2.0 scores "no answer").
    """
    given = normalise(answer, language).split()
    return max(_f1(given, normalise(reference, language).split()) for reference in _checked(references))


def _f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    shared = (Counter(answer) & Counter(reference)).total()
    return 2 * shared / (len(answer) + len(reference))  # 2PR / (P + R), with P and R of the same numerator


def _checked(references: Sequence[str]) -> Sequence[str]:
    if isinstance(references, str):
        raise DataError(f"references must be a list of answers; write [{references!r}]")
    if not references:
        raise DataError("no reference to compare the answer with; give at least one ('' where there is no answer)")
    return references


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")
