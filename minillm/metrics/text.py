"""What generated text is like, without a reference: its variety, its repetitions, its length. Over `words`."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minillm.errors import ConfigError, DataError
from minillm.metrics.words import words


class Lengths(NamedTuple):
    """Statistics of the lengths of texts, in words."""

    mean: float
    standard_deviation: float
    shortest: int
    median: float
    longest: int


def distinct_n(texts: Sequence[str], n: int) -> float:
    """distinct-n: the number of different n-grams in all texts, divided by the number of words (Li et al. 2016).

    Near 0 for a model that always says the same. It falls with the amount of text: compare equal amounts. Some divide
    by the number of n-grams instead, which is smaller by n-1 a text. DataError without a word.
    """
    lists = [words(text) for text in texts]
    total = sum(map(len, lists))
    if not total:
        raise DataError(f"{len(lists)} texts without a word; distinct-{n} needs at least one")
    return len({gram for each in lists for gram in ngrams(each, n)}) / total


def repetition_rate(texts: Sequence[str], n: int = 4) -> float:
    """The share of a text's n-grams that repeat an earlier one, 1 - different / all, in the mean over the texts.

    "seq-rep-n" of Welleck et al. 2020: 0 if nothing is said twice, near 1 in a loop. Texts shorter than n
    words don't count; DataError if all are.
    """
    lists = [ngrams(words(text), n) for text in texts]
    rates = [1 - len(set(grams)) / len(grams) for grams in lists if grams]
    if not rates:
        raise DataError(f"none of {len(lists)} texts has {n} words; take longer texts or a smaller n")
    return float(np.mean(rates))


def length_statistics(texts: Sequence[str]) -> Lengths:
    """Mean, standard deviation, least, median and most words of the texts. DataError without a text."""
    if not texts:
        raise DataError("no texts to measure the length of; give at least one")
    lengths = [len(words(text)) for text in texts]
    mean, deviation, median = float(np.mean(lengths)), float(np.std(lengths)), float(np.median(lengths))
    return Lengths(mean, deviation, min(lengths), median, max(lengths))


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All groups of n tokens that follow one another."""
    if n < 1:
        raise ConfigError(f"n={n} must be at least 1")
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
