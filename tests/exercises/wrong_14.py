"""Wrong answers to chapter 14's exercises, as people give them. Each must be refused."""

from collections import Counter
from math import comb

import numpy as np


def kappa_with_chance_as_one_in_k(matrix):
    accuracy, chance = matrix.trace() / matrix.sum(), 1 / len(matrix)
    return 0.0 if chance == 1 else (accuracy - chance) / (1 - chance)


def kappa_with_rows_alone(matrix):
    rows = matrix.sum(axis=1) / matrix.sum()
    chance = (rows**2).sum()
    return 0.0 if chance == 1 else (matrix.trace() / matrix.sum() - chance) / (1 - chance)


def kappa_without_the_denominator(matrix):
    shares = matrix / matrix.sum()
    return shares.trace() - shares.sum(axis=1) @ shares.sum(axis=0)


def kappa_that_divides_by_zero(matrix):
    shares = matrix / matrix.sum()
    chance = shares.sum(axis=1) @ shares.sum(axis=0)
    return (shares.trace() - chance) / (1 - chance)


def pass_with_putting_back(n, c, k):
    return 1 - (1 - c / n) ** k


def pass_as_a_sum(n, c, k):
    return min(1.0, k * c / n)


def pass_of_exactly_one(n, c, k):
    return c * comb(n - c, k - 1) / comb(n, k)


def pass_in_floats(n, c, k):
    failing = 1.0
    for i in range(n - c + 1, n + 1):
        failing *= 1 - k / i
    return 1 - failing if n - c >= k else 0.0


def _orders(text, reference, clip=True):
    for n in range(1, 7):
        own, theirs = (Counter(x[i : i + n] for i in range(len(x) - n + 1)) for x in (text, reference))
        shared = (own & theirs).total() if clip else sum(times for gram, times in own.items() if gram in theirs)
        if own and theirs:
            yield shared / own.total(), shared / theirs.total()


def _chrf(text, reference, beta=2, clip=True, orders=None):
    rows = list(_orders("".join(text.split()), "".join(reference.split()), clip))
    p, r = np.sum(rows, axis=0) / (orders or len(rows)) if rows else (0.0, 0.0)
    return 100 * (1 + beta**2) * p * r / (beta**2 * p + r) if p else 0.0


def chrf_as_f1(text, reference):
    return _chrf(text, reference, beta=1)


def chrf_unclipped(text, reference):
    return _chrf(text, reference, clip=False)


def chrf_always_over_six(text, reference):
    return _chrf(text, reference, orders=6)


def chrf_with_beta_for_precision(text, reference):
    return _chrf(text, reference, beta=0.5)


def chrf_with_spaces(text, reference):
    p, r = np.mean(list(_orders(text, reference)) or [(0, 0)], axis=0)
    return 100 * 5 * p * r / (4 * p + r) if p else 0.0


def chrf_as_a_mean_of_scores(text, reference):
    rows = list(_orders("".join(text.split()), "".join(reference.split())))
    return 100 * sum(5 * p * r / (4 * p + r) if p else 0 for p, r in rows) / max(len(rows), 1)


def _split(a, b):
    wins, losses = int((a & ~b).sum()), int((b & ~a).sum())
    return wins + losses, min(wins, losses), wins


def sign_in_one_direction(a, b):
    m, least, _ = _split(a, b)
    return sum(comb(m, i) for i in range(least + 1)) / 2**m


def sign_that_exceeds_one(a, b):
    return 2 * sign_in_one_direction(a, b)


def sign_of_this_split_alone(a, b):
    m, least, _ = _split(a, b)
    return min(1, 2 * comb(m, least) / 2**m)


def sign_over_all_examples(a, b):
    _, least, _ = _split(a, b)
    return min(1, 2 * sum(comb(len(a), i) for i in range(least + 1)) / 2 ** len(a))


def sign_in_floats(a, b):
    m, least, _ = _split(a, b)
    return min(1.0, 2 * sum(comb(m, i) * 0.5**m for i in range(least + 1)))


def sign_for_a_alone(a, b):
    m, _, wins = _split(a, b)
    return min(1, 2 * sum(comb(m, i) for i in range(wins + 1)) / 2**m)


def _edits(a, b, replacing=1):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (replacing if x != y else 0)))
    return row[-1]


def errors_as_a_mean_of_rates(texts, references):
    return sum(_edits(a, b) / max(len(b), 1) for a, b in zip(texts, references, strict=True)) / len(texts)


def errors_over_the_text(texts, references):
    return sum(map(_edits, texts, references)) / max(sum(map(len, texts)), 1)


def errors_place_by_place(texts, references):
    wrong = sum(
        sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b))
        for a, b in zip(texts, references, strict=True)
    )
    return wrong / sum(map(len, references))


def errors_without_replacing(texts, references):
    return sum(_edits(a, b, replacing=2) for a, b in zip(texts, references, strict=True)) / sum(map(len, references))


def errors_of_one_long_text(texts, references):
    return _edits(sum(texts, []), sum(references, [])) / sum(map(len, references))


WRONG = {
    "14.1": [
        kappa_with_chance_as_one_in_k,
        kappa_with_rows_alone,
        kappa_without_the_denominator,
        kappa_that_divides_by_zero,
    ],
    "14.2": [pass_with_putting_back, pass_as_a_sum, pass_of_exactly_one, pass_in_floats],
    "14.3": [
        chrf_as_f1,
        chrf_unclipped,
        chrf_always_over_six,
        chrf_with_beta_for_precision,
        chrf_with_spaces,
        chrf_as_a_mean_of_scores,
    ],
    "14.4": [
        sign_in_one_direction,
        sign_that_exceeds_one,
        sign_of_this_split_alone,
        sign_over_all_examples,
        sign_in_floats,
        sign_for_a_alone,
    ],
    "14.5": [
        errors_as_a_mean_of_rates,
        errors_over_the_text,
        errors_place_by_place,
        errors_without_replacing,
        errors_of_one_long_text,
    ],
}
