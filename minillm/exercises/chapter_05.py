"""Exercises of chapter 05: softmax and cross-entropy where they are delicate, and means over the tokens that count."""

import numpy as np

from minillm.exercises.exercise import Exercise, given
from minillm.ops import cross_entropy, softmax
from minillm.ops.loss import IGNORED


def log_sum_exp_inputs(rng):
    yield given(np.array([[0.0]]))
    yield given(np.array([[1000.0, 1000.0]]), note="large scores")
    yield given(np.array([[-1000.0, -1001.0]]), note="scores far below 0")
    yield given(np.array([[0.0, 1.0], [2000.0, 2001.0]]), note="two rows far apart")
    yield given(np.array([[-np.inf, 1.0, 2.0]]), note="one score of −inf")
    yield given(np.array([[-np.inf, -np.inf], [0.0, -np.inf]]), note="a row of −inf alone")
    yield given(rng.normal(size=(4, 7)))


def log_sum_exp(x):
    return np.logaddexp.reduce(x, axis=-1)


def temperature_inputs(rng):
    for temperature in (1.0, 0.5, 2.0):
        yield given(np.array([1.0, 3.0]), temperature)
    yield given(np.array([1.0, 3.0]), 0.0, note="the limit for T → 0")
    yield given(np.array([3.0, 1.0, 3.0]), 0.0, note="the limit for T → 0, where two are largest")
    yield given(np.array([0.0, 1000.0, 900.0]), 100.0, note="scores far apart, but hot")
    yield given(np.array([1.0, 2.0, 1.5, 0.0]), 0.001, note="nearly 0")
    yield given(rng.normal(size=(3, 5)), 0.7, note="each row by itself")
    yield given(np.array([[1.0, 2.0, 0.0], [9.0, 8.0, 7.0]]), 0.0, note="each row by itself, the limit for T → 0")


def tempered_softmax(x, T):
    if T == 0:
        largest = x == x.max(axis=-1, keepdims=True)
        return largest / largest.sum(axis=-1, keepdims=True)
    return softmax(x / T).numpy()


def parts_inputs(rng):
    yield given(np.array([2.0]), np.array([10]))
    yield given(np.array([1.0, 3.0]), np.array([5, 5]), note="parts of one length")
    yield given(np.array([1.0, 3.0, 2.0]), np.array([30, 5, 1]), note="parts of different lengths")
    yield given(np.array([1.0, np.nan, 3.0, 2.5]), np.array([9, 0, 1, 2]), note="a part in which nothing counts")
    yield given(rng.uniform(1, 5, size=6), rng.integers(1, 100, size=6))


def perplexity_of_parts(losses, counts):
    total = sum(loss * count for loss, count in zip(losses, counts, strict=True) if count)
    return np.exp(total / counts.sum())


def sentence_inputs(rng):
    yield given(np.array([[[1.0, 2.0]]]), np.array([[1]]))
    yield given(
        rng.normal(size=(1, 2, 3)), np.array([[0, IGNORED]]), note="one padded position; 0 is an id like others"
    )
    yield given(rng.normal(size=(2, 3, 4)), np.array([[3, 1, 2], [2, IGNORED, IGNORED]]), note="two lengths")
    padded = np.array([[IGNORED, IGNORED, IGNORED], [0, 1, IGNORED]])
    yield given(rng.normal(size=(2, 3, 5)), padded, note="a sentence without tokens")
    yield given(rng.normal(size=(2, 3, 6)) * 1000, np.array([[3, 1, 2], [2, 5, IGNORED]]), note="scores far apart")
    yield given(rng.normal(size=(2, 2, 110)), np.array([[10, IGNORED], [109, 0]]), note="more than 100 classes")


def sentence_losses(logits, targets):
    rows = zip(logits, targets, strict=True)
    return np.array([cross_entropy(x, target).item() for x, target in rows])


def smoothed_inputs(rng):
    yield given(np.array([[1.0, 2.0]]), np.array([0]), 0.0, note="ε = 0")
    yield given(np.array([[1.0, 2.0]]), np.array([0]), 0.1)
    yield given(np.array([[0.0, 0.0, 0.0]]), np.array([2]), 1.0, note="ε = 1, equal scores")
    yield given(rng.normal(size=(3, 4)), np.array([1, 3, 1]), 0.2, note="three tokens")
    yield given(np.array([[0.0, 1000.0, 2.0, 1.0, 5.0], [3.0] * 5]), np.array([0, 4]), 0.1, note="scores far apart")


def smoothed_gradient(logits, targets, epsilon):
    _, saved = cross_entropy.reference.forward(np, logits, targets, label_smoothing=epsilon)
    return cross_entropy.reference.backward(np, 1.0, saved)[0]


EXERCISES = [
    Exercise(
        "05.1",
        "a logarithm of a sum of exponentials that can't overflow",
        hints=(
            "Take the largest of each row off, as softmax does. What has to be added again afterwards?",
            "ln Σ e^x = m + ln Σ e^(x − m), with m the largest of the row (not of the matrix).",
            "In a row of −inf alone, x − m is −inf minus −inf, which is nan. Use 0 for m where it isn't finite: "
            "then the sum is 0, and ln 0 is −inf.",
        ),
        expected=log_sum_exp,
        inputs=log_sum_exp_inputs,
    ),
    Exercise(
        "05.2",
        "softmax with a temperature",
        hints=(
            "Divide by T, then take the largest off, then exponentiate: the order of the first two doesn't matter.",
            "The colder, the more of the probability is with the largest score. Two largest scores are equal at every "
            "T, so their probabilities are, too.",
            "For T = 0: x == x.max(axis=-1, keepdims=True) is true at the largest; divide by how many there are.",
        ),
        expected=tempered_softmax,
        inputs=temperature_inputs,
    ),
    Exercise(
        "05.3",
        "the perplexity of a text from the losses of its parts",
        hints=(
            "Neither perplexities nor the means of parts of different lengths can be averaged. What can be added up?",
            "The total surprise of a part is its mean times its count. Divide the sum of these by all tokens, then "
            "take the exponential.",
            "nan · 0 is nan. Leave out the parts with a count of 0 first.",
        ),
        expected=perplexity_of_parts,
        inputs=parts_inputs,
    ),
    Exercise(
        "05.4",
        "the mean loss of each sentence of a padded batch",
        hints=(
            "Compute −ln p of the target for every position, then put 0 where the target is −100, then sum over time.",
            "A target of −100 can't be looked up. Look up class 0 there instead (np.where), as the result is thrown "
            "away; np.take_along_axis(log_p, target[..., None], -1) does the looking up.",
            "Divide by the number of counted positions of each sentence, or by 1 where there are none.",
        ),
        expected=sentence_losses,
        inputs=sentence_inputs,
    ),
    Exercise(
        "05.5",
        "the gradient of cross-entropy with label smoothing",
        hints=(
            "The derivation of p − y nowhere used that y is one-hot, only that it sums to 1. Does y′?",
            "The gradient is (p − y′) / tokens. Every class gets ε / V of y′, and the target's class 1 − ε besides.",
        ),
        expected=smoothed_gradient,
        inputs=smoothed_inputs,
    ),
]
