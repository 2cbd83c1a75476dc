"""Exercises of chapter 01: n-gram probabilities from counts, drawing from them, and how good a model is."""

import math

import numpy as np

from minillm.exercises.exercise import Exercise, given
from minillm.models.ngram import NGram


def bigram_inputs(rng):
    yield given(np.array([0, 1]), 2, note="nothing follows the last token")
    yield given(np.array([0, 0, 0, 1]), 3, note="a pair that repeats, and a token that isn't there")
    yield given(np.array([0, 1, 0, 1, 0, 2]), 3)
    yield given(rng.integers(0, 5, size=40), 6)


def bigram_matrix(ids, vocab_size):
    model = NGram.train(ids, vocab_size, order=2, smoothing="add-k", k=0)
    rows = [model.distribution(np.array([a])) for a in range(vocab_size)]
    return np.array(rows)


def pick_inputs(rng):
    yield given(np.array([1, 1]), 0.25)
    yield given(np.array([1, 1]), 0.5, note="u on a border belongs to the right")
    yield given(np.array([0, 3]), 0.0, note="a token never seen mustn't be drawn")
    yield given(np.array([2, 0, 0, 2]), 0.5, note="tokens never seen on the border")
    yield given(np.array([1, 3, 0]), 0.999, note="and none at the end")
    for u in rng.random(5):
        yield given(rng.integers(0, 9, size=6) + np.eye(6, dtype=int)[2], float(u))


def pick(counts, u):
    point = u * counts.sum()
    return next(i for i, end in enumerate(np.cumsum(counts)) if point < end)


def measures_inputs(rng):
    yield given([1.0], [2], "ab")
    yield given([2.0, 1.0], [1, 3], "abcd", note="batches of different sizes")
    yield given([1.5], [2], "你好", note="two characters, six bytes")
    yield given([float(x) for x in rng.random(4) + 1], [8, 8, 8, 3], "a tree, 一棵树, and 25 °C")


def measures(losses, sizes, text):
    total = float(np.dot(losses, sizes))
    return math.exp(total / sum(sizes)), total / math.log(2) / len(text.encode())


def add_k_inputs(rng):
    yield given([[0, 1, 0, 1]], (0,), 1, 0, 2, note="the formula itself")
    yield given([[0, 1], [0, 1]], (1,), 0, 1, 2, note="1 is never followed: each time, the document ends")
    yield given([[0], [1, 0]], (), 0, 0.5, 3, note="the empty context: a unigram")
    yield given([[0, 1, 0]], (1, 1), 0, 0, 4, note="a context never seen")
    yield given([[0, 0, 0, 0, 1]], (0, 0), 0, 1, 2, note="groups that overlap")
    documents = [[int(i) for i in rng.integers(0, 3, size=6)] for _ in range(8)]
    yield given(documents, (2, 1), 0, 0.1, 4)


def add_k_of(documents, context, word, k, vocab_size):
    n = len(context)
    groups = [tuple(ids[i : i + n + 1]) for ids in documents for i in range(len(ids) - n)]
    total = sum(group[:n] == context for group in groups) + k * vocab_size
    return (groups.count((*context, word)) + k) / total if total else 1 / vocab_size


def back_off_inputs(rng):
    yield given(np.array([2, 0]), 0.5, np.array([0.25, 0.75]))
    yield given(np.array([2, 1]), 0.5, np.array([0.25, 0.75]), note="all have been seen")
    yield given(np.array([0, 0]), 0.5, np.array([0.25, 0.75]), note="none has been seen")
    yield given(np.array([4, 0, 1, 0]), 0.7, np.array([0.4, 0.1, 0.3, 0.2]), note="two seen, two not")
    lower = rng.random(7) + 0.1
    yield given(np.array([0, 3, 1, 0, 0, 9, 1]), 0.4, lower / lower.sum())


def back_off(counts, d, lower):
    seen = counts > 0
    if not seen.any():
        return lower
    if seen.all():
        return counts / counts.sum()
    freed = d * seen.sum() / counts.sum()
    return np.where(seen, (counts - d) / counts.sum(), freed * lower / lower[~seen].sum())


EXERCISES = [
    Exercise(
        "01.1",
        "bigram probabilities from ids",
        hints=(
            "Count the pairs (ids[t], ids[t + 1]) in a matrix of zeros, then divide each row by its sum.",
            "counts[ids[:-1], ids[1:]] += 1 counts a repeated pair once; np.add.at, or a loop, counts it each time.",
            "A row whose sum is 0 would be 0/0: set it to 1 / vocab_size.",
        ),
        expected=bigram_matrix,
        inputs=bigram_inputs,
    ),
    Exercise(
        "01.2",
        "a token drawn from counts",
        hints=(
            "Scale u to the counts: u · sum(counts) falls into the stretch of one token.",
            "np.cumsum(counts) gives the right ends of the stretches. Find the first that is larger than the point.",
            'Larger, not "larger or equal": np.searchsorted(ends, point, side="right").',
        ),
        expected=pick,
        inputs=pick_inputs,
    ),
    Exercise(
        "01.3",
        "perplexity and bits per byte",
        hints=(
            "The surprise of the whole text is Σ loss · size, in nats.",
            "Perplexity is e to the mean over all tokens; the mean of the batches' means is something else.",
            "One bit is ln 2 nats; the bytes are those of text.encode().",
        ),
        expected=measures,
        inputs=measures_inputs,
    ),
    Exercise(
        "01.4",
        "add-k without crossing documents",
        hints=(
            "Make the groups of len(context) + 1 tokens within each document, and count among them.",
            "The denominator counts the groups that begin with the context; the context at a document's end isn't one.",
            "Add k to the numerator and k · vocab_size to the denominator; if that is 0, nothing is known.",
        ),
        expected=add_k_of,
        inputs=add_k_inputs,
    ),
    Exercise(
        "01.5",
        "back-off by hand",
        hints=(
            "Do the two special cases first. Then split the tokens into seen and not seen.",
            "What is taken is d for each different token seen: d · (number of tokens seen) / c(h) in all.",
            "α is what was taken, divided by the sum of `lower` over the tokens never seen.",
        ),
        expected=back_off,
        inputs=back_off_inputs,
    ),
]
