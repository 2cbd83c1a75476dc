"""Exercises of chapter 11: pooling backwards, pseudo-likelihood from a table, spans, and a bigram that fills gaps."""

import numpy as np

from minillm.exercises.exercise import Exercise, given


def pooling_inputs(rng):
    yield given(np.array([[3.0]]), np.array([[True]]), note="one token")
    yield given(np.array([[3.0, 6.0]]), np.array([[True, True, False]]), note="padding at the end")
    yield given(np.array([[1.0], [2.0]]), np.array([[True, True], [False, False]]), note="a text of padding only")
    yield given(rng.normal(size=(3, 4)), rng.random((3, 5)) < 0.6, note="three texts")


def pooling_backward(g, real):
    count = np.maximum(real.sum(axis=1), 1)
    return real[:, :, None] * (g / count[:, None])[:, None, :]


def table_inputs(rng):
    yield given(np.array([0.25, 0.75]), (1,), note="a text of one token")
    yield given(np.array([[0.0, 0.5], [0.5, 0.0]]), (0, 1), note="ping pong: each token tells the other")
    yield given(np.array([[0.1, 0.2, 0.1], [0.3, 0.1, 0.2]]), (1, 0), note="places with different vocabularies")
    for shape, w in [((3, 3, 3), (2, 0, 1)), ((2, 3, 2, 4), (1, 2, 0, 3))]:
        yield given(rng.dirichlet(np.ones(np.prod(shape))).reshape(shape), w, note=f"{len(w)} tokens")


def log_pseudo_likelihood(joint, w):
    total = 0.0
    for t in range(len(w)):
        line = joint[(*w[:t], slice(None), *w[t + 1 :])]
        total += np.log(joint[w] / line.sum())
    return total


def span_inputs(rng):
    yield given([5], [False], 100, note="nothing hidden")
    yield given([5, 6, 7], [False, True, False], 100, note="one token hidden")
    yield given([5, 6, 7, 8], [False, True, True, False], 100, note="a run of two has one sentinel")
    yield given([5, 6, 7, 8, 9], [True, False, True, False, True], 50, note="three runs, at both ends, too")
    yield given([5, 6, 7], [True, True, True], 100, note="all hidden")
    yield given(rng.integers(5, 50, 40).tolist(), (rng.random(40) < 0.4).tolist(), 50, note="forty tokens")


def hide_spans(ids, hidden, first_sentinel):
    inputs, target, runs = [], [], 0
    for t, (token, out) in enumerate(zip(ids, hidden, strict=True)):
        if out and (t == 0 or not hidden[t - 1]):
            inputs.append(first_sentinel + runs)
            target.append(first_sentinel + runs)
            runs += 1
        (target if out else inputs).append(token)
    return inputs, [*target, first_sentinel + runs]


def fill_inputs(rng):
    ring = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    yield given(np.array([[0.9, 0.1], [0.5, 0.5]]), 0, 1, 1, note="one hidden token")
    yield given(ring, 0, 0, 2, note="a ring, where all is certain")
    yield given(np.array([[0.9, 0.1], [0.5, 0.5]]), 0, 1, 3, note="three hidden tokens")
    yield given(rng.dirichlet(np.ones(4), size=4), 2, 1, 1, note="four tokens, one hidden")
    yield given(rng.dirichlet(np.ones(5), size=5), 3, 0, 6, note="five tokens, six hidden")


def fill(chain, left, right, gap):
    power = np.linalg.matrix_power
    rows = [power(chain, i)[left] * power(chain, gap + 1 - i)[:, right] for i in range(1, gap + 1)]
    return np.array([row / row.sum() for row in rows])


EXERCISES = [
    Exercise(
        "11.1",
        "mean pooling, backwards",
        hints=(
            "The mean of n real tokens is Σ x / n: each real token's rate is 1/n, and padding's is 0.",
            "n = real.sum(axis=1), but at least 1: np.maximum(n, 1). Broadcast g[:, None, :] over the time.",
        ),
        expected=pooling_backward,
        inputs=pooling_inputs,
    ),
    Exercise(
        "11.2",
        "the log-pseudo-likelihood from a table",
        hints=(
            "p(w_t | all others) = P(w) / Σ_v P(w with v at place t).",
            "The texts that differ at place t only are a line of the table: joint[(*w[:t], slice(None), *w[t + 1:])].",
            "Add up np.log(joint[w] / line.sum()) over all places.",
        ),
        expected=log_pseudo_likelihood,
        inputs=table_inputs,
    ),
    Exercise(
        "11.3",
        "hiding spans behind sentinels",
        hints=(
            "A run begins where a token is hidden and the one before it isn't (or there is none before it).",
            "At the beginning of a run append its sentinel to both lists; then the token to one of them.",
            "The last sentinel is first_sentinel + the number of runs, even if there are none.",
        ),
        expected=hide_spans,
        inputs=span_inputs,
    ),
    Exercise(
        "11.4",
        "a gap between two known tokens",
        hints=(
            "By Bayes' rule p(v | left, right) ∝ p(v | left) p(right | v).",
            "Several steps of a chain are a power of its matrix: from left to the i-th hidden token there are i steps, "
            "from there to right gap + 1 − i.",
            "np.linalg.matrix_power(chain, i)[left] * np.linalg.matrix_power(chain, gap + 1 - i)[:, right], "
            "divided by its sum.",
        ),
        expected=fill,
        inputs=fill_inputs,
    ),
]
