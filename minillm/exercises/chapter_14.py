"""Exercises of chapter 14: agreement beyond chance, pass@k, chrF, the sign test, word error rate."""

from collections import Counter
from fractions import Fraction
from math import comb

import numpy as np

from minillm.exercises.exercise import Exercise, given


def kappa_inputs(rng):
    yield given(np.array([[7]]), note="one class: chance alone is always right")
    yield given(np.array([[5, 0], [3, 0]]), note="always the same class")
    yield given(np.array([[0, 4], [4, 0]]), note="always wrong")
    yield given(np.array([[20, 5], [10, 15]]))
    yield given(rng.integers(0, 9, size=(4, 4)))


def kappa(matrix):
    shares = matrix / matrix.sum()
    chance = shares.sum(axis=1) @ shares.sum(axis=0)
    return 0.0 if np.isclose(chance, 1) else (shares.trace() - chance) / (1 - chance)


def pass_inputs(rng):
    yield given(1, 1, 1)
    yield given(4, 0, 2, note="none passed")
    yield given(4, 1, 2)
    yield given(5, 3, 3, note="fewer than k failed")
    yield given(200, 3, 100)
    yield given(2000, 40, 17, note="many answers")


def pass_at_k(n, c, k):
    """One draw after the other: each must fail, of those that are left."""
    failing = Fraction(1)
    for drawn in range(k):
        failing *= Fraction(max(n - c - drawn, 0), n - drawn)
    return float(1 - failing)


def chrf_inputs(rng):
    yield given("a", "b", note="nothing shared")
    yield given("ab", "ab", note="too short for six orders")
    yield given("", "a", note="an empty text")
    yield given("aaaa", "ab", note="clipped")
    yield given("the cat", "thecat sat", note="spaces don't count")
    yield given("猫坐在垫子上", "猫正坐在垫子上。")
    yield given("The cats slept on a mat.", "A cat sleeps on the mat, all day long.")
    yield given("I would like to go home.", "I would like to go home, please; it is late.", note="longer reference")


def chrf(text, reference):
    text, reference = ("".join(x.split()) for x in (text, reference))
    rows = []
    for n in range(1, 7):
        own, theirs = (Counter(x[i : i + n] for i in range(len(x) - n + 1)) for x in (text, reference))
        if own and theirs:
            shared = (own & theirs).total()
            rows.append((shared / own.total(), shared / theirs.total()))
    precision, recall = np.mean(rows, axis=0) if rows else (0.0, 0.0)
    return 100 * 5 * precision * recall / (4 * precision + recall) if precision else 0.0


def sign_inputs(rng):
    yield given(np.array([True]), np.array([True]), note="they never differ")
    yield given(np.array([True, False]), np.array([False, True]), note="one each")
    yield given(np.array([True, True, True]), np.array([False, False, True]))
    yield given(np.array([False, False, True, False, False, True]), np.array([True, True, False, True, True, True]))
    yield given(rng.random(60) < 0.7, rng.random(60) < 0.8)
    yield given(rng.random(6000) < 0.5, rng.random(6000) < 0.49, note="many thousand examples")


def sign_test(a, b):
    wins, losses = int((a & ~b).sum()), int((b & ~a).sum())
    differing = wins + losses
    uneven = sum(comb(differing, i) for i in range(differing + 1) if abs(2 * i - differing) >= abs(wins - losses))
    return uneven / 2**differing


def errors_inputs(rng):
    yield given([["a"]], [["a"]])
    yield given([[]], [["a", "b"]], note="nothing was heard")
    yield given([["b"]], [["a"]], note="one replaced")
    yield given([["b", "c"]], [["a", "b", "c"]], note="the first is missing: the rest is right")
    yield given([["a"], ["x"]], [["a", "b", "c", "d"], ["y"]], note="texts of unequal length")
    yield given([["x", "y"], ["a", "b"]], [[], ["a"]], note="an empty reference")
    yield given([["the", "cat", "sat", "on", "mat"]], [["on", "the", "mat", "the", "cat", "sat"]])
    texts, references = ([[str(w) for w in rng.integers(0, 6, size=n)] for n in sizes] for sizes in ([30, 9], [26, 14]))
    yield given(texts, references)


def word_error_rate(texts, references):
    errors = sum(_edits(text, reference) for text, reference in zip(texts, references, strict=True))
    return errors / sum(map(len, references))


def _edits(a, b):
    table = np.add.outer(np.arange(len(a) + 1), np.arange(len(b) + 1))
    for i, x in enumerate(a, 1):
        for j, y in enumerate(b, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (x != y))
    return int(table[-1, -1])


EXERCISES = [
    Exercise(
        "14.1",
        "Cohen's kappa",
        hints=(
            "Divide the matrix by its sum: its rows then sum to how often each class occurs, its columns to how often "
            "each is predicted.",
            "Dealt out at random, class k is hit with (row sum) · (column sum). p_e is the sum of these over k.",
        ),
        expected=kappa,
        inputs=kappa_inputs,
    ),
    Exercise(
        "14.2",
        "pass@k",
        hints=(
            "Ask for the opposite: all k drawn answers fail.",
            "Of all C(n, k) ways to draw, C(n − c, k) have only failing answers. math.comb is 0 where there is no way.",
        ),
        expected=pass_at_k,
        inputs=pass_inputs,
    ),
    Exercise(
        "14.3",
        "chrF",
        hints=(
            '"".join(text.split()) takes out white space; a Counter of text[i:i + n] counts the n-grams.',
            "(own & theirs).total() are the clipped matches: over own.total() the precision, over theirs.total() the "
            "recall.",
            "Average P and R over the orders first, then take one F; divide by the number of orders that count, not "
            "by 6.",
        ),
        expected=chrf,
        inputs=chrf_inputs,
    ),
    Exercise(
        "14.4",
        "the sign test",
        hints=(
            "Count the examples that only A has right and those that only B has right, m together.",
            "With k the smaller of the two: the probability of at most k heads in m tosses is Σ C(m, i) / 2^m over "
            "i ≤ k; twice that for both directions, but never more than 1.",
            "2.0**m overflows for large m. Whole numbers don't: add the combinations up, and divide once, by 2**m.",
        ),
        expected=sign_test,
        inputs=sign_inputs,
    ),
    Exercise(
        "14.5",
        "word error rate",
        hints=(
            "A table of prefixes, as for ROUGE-L. The first row and column: making a prefix from nothing.",
            "The last words are equal: as much as without them. Else 1 plus the least of three: one word less here, "
            "one less there, one less in both.",
            "Add up the errors of all texts, and divide by the words of all references, once.",
        ),
        expected=word_error_rate,
        inputs=errors_inputs,
    ),
]
