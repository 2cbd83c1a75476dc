"""BLEU and chrF by sacrebleu, so that the figures compare with published ones: report the signature with the score."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from minillm.errors import ConfigError, DataError
from minillm.metrics.extra import library

Language = Literal["en", "zh"]
TOKENIZERS = {"en": "13a", "zh": "zh"}
"""sacrebleu's tokenizers: 13a (mteval's) cuts at spaces and punctuation, zh makes each Chinese character a token."""


class LibraryScore(NamedTuple):
    """A corpus score between 0 and 100, and sacrebleu's signature: version, tokenizer, settings."""

    score: float
    signature: str


def bleu(texts: Sequence[str], references: Sequence[Sequence[str]], language: Language = "en") -> LibraryScore:
    """BLEU = 100 BP · exp(¼ Σ_{n=1..4} ln p_n), of a corpus (Papineni et al. 2002, section 2.3).

    p_n: the share of the texts' n-grams that stand in a reference, none counted more often than there;
    BP = min(1, e^(1 - reference length / length)), the penalty for short texts. Where a p_n is 0, sacrebleu puts a
    small number that halves with each such n (its smoothing "exp"), so that the score of a short text isn't 0.
    references[i]: one or more for texts[i]. language: "en" for any language with spaces. DataError where numbers
    don't fit.
    """
    if language not in TOKENIZERS:
        raise ConfigError(f"language={language!r} must be one of {', '.join(TOKENIZERS)}")
    metric = library("sacrebleu.metrics", "sacrebleu").BLEU(tokenize=TOKENIZERS[language])
    return _score(metric, texts, references)


def chrf(texts: Sequence[str], references: Sequence[Sequence[str]]) -> LibraryScore:
    """chrF2: F-score, recall counting twice, of character n-grams up to 6 (Popović 2015). No words, so any language."""
    return _score(library("sacrebleu.metrics", "sacrebleu").CHRF(), texts, references)


def self_bleu(texts: Sequence[str], language: Language = "en") -> float:
    """How alike generated texts are, 0 to 100: the mean BLEU of each with the others as references (Zhu et al. 2018).

    Low means varied. The number of n-gram orders is limited to those a text has, since single texts are short.
    DataError for fewer than two texts.
    """
    if len(texts) < 2:
        raise DataError(f"self-BLEU compares texts with one another: at least 2 are needed, got {len(texts)}")
    if language not in TOKENIZERS:
        raise ConfigError(f"language={language!r} must be one of {', '.join(TOKENIZERS)}")
    metric = library("sacrebleu.metrics", "sacrebleu").BLEU(tokenize=TOKENIZERS[language], effective_order=True)
    others = [[*texts[:i], *texts[i + 1 :]] for i in range(len(texts))]
    scores = [metric.sentence_score(text, rest).score for text, rest in zip(texts, others, strict=True)]
    return sum(scores) / len(scores)


def _score(metric: Any, texts: Sequence[str], references: Sequence[Sequence[str]]) -> LibraryScore:
    check_references(texts, references)
    most = max(map(len, references))  # sacrebleu wants the first reference of each text, the second of each, ...
    streams = [[given[k] if k < len(given) else None for given in references] for k in range(most)]
    return LibraryScore(metric.corpus_score(list(texts), streams).score, str(metric.get_signature()))


def check_references(texts: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """DataError unless there is at least one text, and for each a list of at least one reference."""
    if isinstance(references, str) or any(isinstance(given, str) for given in references):
        raise DataError("references must be a list for each text; write [[reference], ...]")
    if not texts or len(texts) != len(references) or not all(references):
        raise DataError(
            f"{len(texts)} texts and references for {len(references)}; give each text a list of at least one reference"
        )
