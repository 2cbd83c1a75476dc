"""Answers in a dialogue without a model: the one given most often, and the one to the nearest known question."""

from collections import Counter
from collections.abc import Sequence

from minillm.errors import DataError
from minillm.metrics.words import words


def most_frequent(answers: Sequence[str]) -> str:
    """The answer given most often, the first of equals. DataError without answers."""
    return Counter(_filled(answers)).most_common(1)[0][0]


def nearest_question(questions: Sequence[str], answers: Sequence[str], asked: Sequence[str]) -> list[str]:
    """For each question asked, the answer to the known question that shares most words with it, the first of equals.

    Jaccard's index over the sets of words: |A ∩ B| / |A ∪ B|. A Chinese character is a word.
    DataError without answers, or where questions and answers are not equally many.
    """
    if len(questions) != len(_filled(answers)):
        raise DataError(f"{len(questions)} questions need as many answers; got {len(answers)}")
    known = [frozenset(words(question)) for question in questions]
    return [answers[_nearest(frozenset(words(question)), known)] for question in asked]


def _nearest(asked: frozenset[str], known: Sequence[frozenset[str]]) -> int:
    overlaps = [len(asked & each) / max(len(asked | each), 1) for each in known]
    return overlaps.index(max(overlaps))


def _filled(answers: Sequence[str]) -> Sequence[str]:
    if not answers:
        raise DataError("no answers to choose from; give at least one")
    return answers
