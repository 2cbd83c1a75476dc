"""Multiple choice by shared words: the option whose words, with the question's, stand closest together in the text.

Richardson, Burges and Renshaw 2013 (MCTest), section 5.1: Algorithm 1, the sliding window, and Algorithm 2, the
distance between the question's words and the option's. Nothing is learned; it is what a reader of meaning must beat.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence

from minillm.errors import DataError
from minillm.metrics.words import words

_FUNCTION_WORDS = """
    a about after all also an and any are as at be because been before but by can could did do does for from get
    got had has have he her hers him his how i if in into is it its just me my no not of on or our out she so some
    than that the their them then there these they this those to up us very was we were what when where which
    while who whose why will with would you your 的 了 在 是 和 就 不 也 都 这 那 他 她 它 我 你 吗 呢
"""
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that tell nothing about which place of a text is meant; Algorithm 2 leaves them out."""


def sliding_window_scores(text: str, question: str, options: Sequence[str]) -> list[float]:
    """Algorithm 1: how much of an option and the question the best window of the text holds; higher is better.

    S = words of the option and the question;  IC(w) = ln(1 + 1 / C(w)), C(w) the number of times w is in the text
    score = max over windows of |S| words of  Σ_{w in the window} IC(w) if w ∈ S else 0

    A rare word counts more than a frequent one. Windows go on past the end of the text.
    """
    passage, asked = words(text), words(question)
    counts = Counter(passage)
    scores = []
    for option in options:
        wanted = {*asked, *words(option)}
        values = [math.log(1 + 1 / counts[w]) if w in wanted else 0.0 for w in passage]
        scores.append(max((math.fsum(values[i : i + len(wanted)]) for i in range(len(values))), default=0.0))
    return scores


def distance_scores(
    text: str, question: str, options: Sequence[str], stop_words: Collection[str] = STOP_WORDS
) -> list[float]:
    """Algorithm 2: how far a word of the question is from one of the option in the text, 0 to 1; lower is better.

    d = 1 / (|P| - 1) · min over q, a of the distance between an occurrence of q and one of a in the text P, in words;
    q: the question's words that are in the text, without stop words; a: the option's that are not in the question,
    either. 1 where there is no q or no a.
    """
    passage = words(text)
    asked = set(words(question))
    first = [i for i, w in enumerate(passage) if w in asked and w not in stop_words]
    scores = []
    for option in options:
        own = set(words(option)) - asked
        second = [i for i, w in enumerate(passage) if w in own and w not in stop_words]
        nearest = min((abs(i - j) for i in first for j in second), default=None)
        scores.append(1.0 if nearest is None else nearest / (len(passage) - 1))
    return scores


def choose(text: str, question: str, options: Sequence[str], distance: bool = True) -> int:
    """Index of the option with the best window score, less its distance (unless `distance` is False).

    The first of equals. Raises DataError without options.
    """
    if not options:
        raise DataError("no options to choose from; give at least one")
    scores = sliding_window_scores(text, question, options)
    if distance:
        scores = [s - d for s, d in zip(scores, distance_scores(text, question, options), strict=True)]
    return scores.index(max(scores))
