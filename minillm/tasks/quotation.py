"""Quoting: the stretch of a text that comes closest to its summary."""

from collections import Counter

from minillm.metrics.words import WORDS, words


def closest_quote(text: str, summary: str, k: int) -> str:
    """The k consecutive words of a text that share most with its summary, the first such stretch; with fewer, all.

    A word counts as often as it is in both, as in ROUGE-1. Nallapati et al. 2017 (section 3.3) train on such quotes,
    found by their scores, because nobody marks what a summary was taken from.
    """
    found = list(WORDS.finditer(text))
    if len(found) <= k:
        return text.strip()
    names, wanted = [match.group().lower() for match in found], Counter(words(summary))
    first = max(range(len(found) - k + 1), key=lambda i: (Counter(names[i : i + k]) & wanted).total())
    return text[found[first].start() : found[first + k - 1].end()]
