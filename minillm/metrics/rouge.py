"""ROUGE by rouge-score: what share of a reference summary's words a summary has (Lin 2004)."""

from collections.abc import Sequence
from typing import Literal

from minillm.errors import ConfigError
from minillm.metrics.bleu import check_references
from minillm.metrics.extra import library
from minillm.metrics.words import words

KINDS = ("rouge1", "rouge2", "rougeL")


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
    references[i]: one or more for texts[i]. language: "en" stems words (Porter), as published figures do, and knows
    ASCII only; "zh" takes each Chinese character for a word, and words of any script as they are.
    DataError where numbers don't fit.
    """
    if language not in ("en", "zh"):
        raise ConfigError(f"language={language!r} must be 'en' or 'zh'")
    check_references(texts, references)
    options = {"use_stemmer": True} if language == "en" else {"tokenizer": _Words()}
    scorer = library("rouge_score.rouge_scorer", "rouge-score").RougeScorer(KINDS, **options)
    scores = [scorer.score_multi(given, text) for text, given in zip(texts, references, strict=True)]
    return {kind: sum(score[kind].fmeasure for score in scores) / len(scores) for kind in KINDS}
