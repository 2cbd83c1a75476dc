"""Exercises of chapter 06: attention with masks, row by row, backwards, by heads, and token by token."""

import numpy as np

from minillm.exercises.exercise import Exercise, given
from minillm.ops import attention


def masked_inputs(rng):
    yield given(np.array([[1.0]]), np.array([[2.0]]), np.array([1]), note="one query, one key")
    yield given(
        np.array([[1.0, 2.0, 2.0, 1.0]]), rng.normal(size=(3, 4)), np.array([2]), note="d_k = 4, two of three keys"
    )
    yield given(rng.normal(size=(2, 2)), rng.normal(size=(3, 2)), np.array([0, 3]), note="one sees nothing, one all")
    yield given(rng.normal(size=(4, 8)), rng.normal(size=(6, 8)), np.array([5, 1, 6, 2]), note="lengths in no order")


def masked_scores(q, k, lengths):
    visible = np.arange(len(k)) < lengths[:, None]
    return np.where(visible, q @ k.T / np.sqrt(q.shape[1]), -np.inf)


def one_row_inputs(rng):
    yield given(np.array([1.0]), np.array([[2.0]]), np.array([[5.0]]), note="one key")
    yield given(np.array([2.0, 1.0]), np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[10.0], [20.0]]))
    yield given(
        np.array([-3.0, 0.0]), np.array([[1.0, 0.0], [2.0, 1.0]]), np.array([[1.0], [2.0]]), note="scores below 0"
    )
    large = np.array([[1.0], [3.0], [3.001]])
    yield given(
        np.array([1000.0]), large, np.array([[1.0, 0.0], [0.0, 1.0], [4.0, 4.0]]), note="large, the last largest"
    )
    yield given(np.array([1000.0]), -large, np.array([[1.0], [2.0], [3.0]]), note="large and below 0")
    yield given(rng.normal(size=9), rng.normal(size=(40, 9)), rng.normal(size=(40, 3)))


def one_row(query, keys, values):
    return _attend(query[None], keys, values)[0]


def scores_backward_inputs(rng):
    yield given(np.array([[1.0]]), np.array([[2.0]]), np.array([[3.0]]))
    for batch in [(), (2,), (2, 3)]:
        g, q, k = (rng.normal(size=(*batch, *shape)) for shape in [(2, 3), (2, 4), (3, 4)])
        yield given(g, q, k, note=f"batch axes {batch}" if batch else "two queries, three keys, d_k = 4")


def scores_backward(g, q, k):
    scale = 1 / np.sqrt(q.shape[-1])
    return g @ k * scale, g.swapaxes(-1, -2) @ q * scale


def queries(q, k, v):
    """An attend that hands back the queries: what was split must come together again."""
    return q


def keys_and_values(q, k, v):
    """An attend of keys and values alone, which tells the two apart."""
    return k - 2 * v


def later_minus_first(q, k, v):
    """An attend in which time and heads must stand where they should."""
    places, heads = np.arange(q.shape[2])[:, None], np.arange(q.shape[1])[:, None, None]
    return (q + places) * (heads + 1) + k[:, :, :1] - v


def heads_inputs(rng):
    yield given(np.arange(3.0).reshape(1, 1, 3), 1, queries, note="one of everything")
    for attend in (queries, keys_and_values, later_minus_first):
        yield given(np.arange(24.0).reshape(1, 2, 12), 2, attend, note="two tokens, two heads of 2")
    yield given(rng.normal(size=(2, 5, 36)), 3, later_minus_first, note="five tokens, three heads of 4")


def multi_head(qkv, n_head, attend):
    batch, time, width = qkv.shape
    apart = qkv.reshape(batch, time, 3, n_head, width // 3 // n_head).transpose(2, 0, 3, 1, 4)
    return attend(*apart).transpose(0, 2, 1, 3).reshape(batch, time, width // 3)


def go_on_inputs(rng):
    yield given(*(np.array(x) for x in ([[1.0]], [[10.0]], [[1.0]], [[2.0]], [[20.0]])), note="one past, one new")
    for past, new, note in [
        (0, 1, "the very first"),
        (3, 1, "writing"),
        (0, 3, "no past"),
        (2, 3, "a prompt in pieces"),
    ]:
        sizes = [past, past, new, new, new]
        yield given(*(rng.normal(size=(n, 4)) for n in sizes), note=note)
    yield given(*(rng.normal(size=(n, 4)) for n in (1, 1, 5, 5, 5)), note="more new tokens than past ones")


def go_on(past_k, past_v, q, k, v):
    return _attend(q, np.concatenate([past_k, k]), np.concatenate([past_v, v]), causal=True)


def _attend(q, k, v, **options):
    """The library's attention of one head."""
    return attention.reference.forward(np, *(x[None, None] for x in (q, k, v)), **options)[0][0, 0]


EXERCISES = [
    Exercise(
        "06.1",
        "scores with a mask",
        hints=(
            "Scores first, q @ k.T / √d_k; then decide for each pair of query and key whether it is visible.",
            "np.arange(len(k)) are the keys' places; compare them with lengths as a column, lengths[:, None].",
            "np.where(visible, scores, -np.inf)",
        ),
        expected=masked_scores,
        inputs=masked_inputs,
    ),
    Exercise(
        "06.2",
        "one row of attention, a key at a time",
        hints=(
            "Keep m, the largest score so far, total = Σ exp(s − m) and mixed = Σ exp(s − m) v.",
            "When a new score is larger than m, what you have was computed with the old m: "
            "multiply total and mixed by exp(m_old − m_new).",
            "Start with m = −∞, total = 0, mixed = zeros; exp(−∞) is 0. At the end, mixed / total.",
        ),
        expected=one_row,
        inputs=one_row_inputs,
    ),
    Exercise(
        "06.3",
        "the gradients of scaled scores",
        hints=(
            "A matrix product C = A B has dA = G Bᵀ and dB = Aᵀ G. Here B is Kᵀ.",
            "dQ = G K / √d_k and dK = Gᵀ Q / √d_k. With batch axes, ᵀ swaps the last two: swapaxes(-1, -2).",
        ),
        expected=scores_backward,
        inputs=scores_backward_inputs,
    ),
    Exercise(
        "06.4",
        "splitting and merging heads",
        hints=(
            "np.split(qkv, 3, axis=-1) gives the three parts, (batch, time, d_model) each.",
            "Reshape each to (batch, time, n_head, d_head), then transpose(0, 2, 1, 3): reshaping alone mixes tokens.",
            "The way back is the same transpose, then a reshape to (batch, time, d_model).",
        ),
        expected=multi_head,
        inputs=heads_inputs,
    ),
    Exercise(
        "06.5",
        "causal attention, token by token",
        hints=(
            "Put the new keys behind the past ones: np.concatenate([past_k, k]), and the values likewise.",
            "New query i stands at place past + i, and sees the keys up to there: all of the past, and i + 1 new ones.",
            "np.tril(np.ones((new, past + new), bool), past) is that mask.",
        ),
        expected=go_on,
        inputs=go_on_inputs,
    ),
]
