"""ROUGE by rouge-score: how many words a summary and a reference summary share (Lin 2004)."""

from collections.abc import Sequence
from typing import Literal

from minillm.errors import ConfigError
from minillm.metrics.bleu import check_references
from minillm.metrics.extra import library
from minillm.metrics.words import words

KINDS = ("rouge1", "rouge2", "rougeL")


ASCII = 0.98  # share of words in a-z, 0-9 from which rouge-score's own tokenizer, which deletes all else, may be used


class _Words:
    """A tokenizer for rouge-score that keeps every script; its own deletes all but a-z and 0-9."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def rouge(
    texts: Sequence[str], references: Sequence[Sequence[str]], language: Literal["en", "zh"] = "en"
) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L by name, each the mean of the texts' F1, between 0 and 1.

    ROUGE-N: precision and recall of n-grams; ROUGE-L: of the longest common subsequence, over the whole text.
    F1 = 2 P R / (P + R). With several references, the best counts.
    references[i]: one or more for texts[i]. language: "en" stems words (Porter), as published figures do, where the
    references are of ASCII letters; in other scripts, and with "zh", words stay as they are, and each Chinese character
    is one. DataError where numbers don't fit, ConfigError for another language or without rouge-score.
    """
    if language not in ("en", "zh"):
        raise ConfigError(f"language={language!r} must be 'en' or 'zh'")
    check_references(texts, references)
    found = [word for given in references for reference in given for word in words(reference)]
    english = language == "en" and sum(map(str.isascii, found)) >= ASCII * len(found)
    options = {"use_stemmer": True} if english else {"tokenizer": _Words()}
    scorer = library("rouge_score.rouge_scorer", "rouge-score").RougeScorer(KINDS, **options)
    scores = [scorer.score_multi(given, text) for text, given in zip(texts, references, strict=True)]
    return {kind: sum(score[kind].fmeasure for score in scores) / len(scores) for kind in KINDS}
