"""Wrong answers to chapter 06's exercises, as people give them. Each must be refused."""

import numpy as np


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def scores_without_the_scale(q, k, lengths):
    return np.where(np.arange(len(k)) < lengths[:, None], q @ k.T, -np.inf)


def scores_divided_by_d_k(q, k, lengths):
    return np.where(np.arange(len(k)) < lengths[:, None], q @ k.T / q.shape[1], -np.inf)


def scores_that_see_one_key_too_many(q, k, lengths):
    return np.where(np.arange(len(k)) <= lengths[:, None], q @ k.T / np.sqrt(q.shape[1]), -np.inf)


def scores_hidden_by_zero(q, k, lengths):
    return (np.arange(len(k)) < lengths[:, None]) * (q @ k.T) / np.sqrt(q.shape[1])


def scores_hidden_by_a_large_number(q, k, lengths):
    return np.where(np.arange(len(k)) < lengths[:, None], q @ k.T / np.sqrt(q.shape[1]), -1e9)


def row_without_the_scale(query, keys, values):
    return softmax(keys @ query) @ values


def row_that_overflows(query, keys, values):
    e = np.exp(keys @ query / np.sqrt(len(query)))
    return e @ values / e.sum()


def row_that_forgets_to_rescale_the_mixture(query, keys, values):
    largest, total, mixed = -np.inf, 0.0, np.zeros(values.shape[1])
    for key, value in zip(keys, values, strict=True):
        score = key @ query / np.sqrt(len(query))
        new = max(largest, score)
        total = total * np.exp(largest - new) + np.exp(score - new)
        mixed = mixed + np.exp(score - new) * value
        largest = new
    return mixed / total


def row_with_zero_as_the_first_maximum(query, keys, values):
    largest, total, mixed = 0.0, 0.0, np.zeros(values.shape[1])
    for key, value in zip(keys, values, strict=True):
        score = key @ query / np.sqrt(len(query))
        new = max(largest, score)
        total = total * np.exp(largest - new) + np.exp(score - new)
        mixed = mixed * np.exp(largest - new) + np.exp(score - new) * value
        largest = new
    return mixed / total


def backward_without_the_scale(g, q, k):
    return g @ k, g.swapaxes(-1, -2) @ q


def backward_with_the_scale_in_one(g, q, k):
    return g @ k / np.sqrt(q.shape[-1]), g.swapaxes(-1, -2) @ q


def backward_with_a_transpose_of_all_axes(g, q, k):
    return g @ k / np.sqrt(q.shape[-1]), g.T @ q / np.sqrt(q.shape[-1])


def backward_with_the_two_exchanged(g, q, k):
    return g.swapaxes(-1, -2) @ q / np.sqrt(q.shape[-1]), g @ k / np.sqrt(q.shape[-1])


def heads_by_reshape_alone(qkv, n_head, attend):
    batch, time, width = qkv.shape
    parts = (part.reshape(batch, n_head, time, -1) for part in np.split(qkv, 3, axis=-1))
    return attend(*parts).reshape(batch, time, width // 3)


def heads_before_the_three_parts(qkv, n_head, attend):
    batch, time, width = qkv.shape
    apart = qkv.reshape(batch, time, n_head, 3, -1).transpose(3, 0, 2, 1, 4)
    return attend(*apart).transpose(0, 2, 1, 3).reshape(batch, time, width // 3)


def heads_interleaved(qkv, n_head, attend):
    batch, time, width = qkv.shape
    parts = (part.reshape(batch, time, -1, n_head).transpose(0, 3, 1, 2) for part in np.split(qkv, 3, axis=-1))
    return attend(*parts).transpose(0, 2, 3, 1).reshape(batch, time, width // 3)


def heads_merged_without_the_transpose(qkv, n_head, attend):
    batch, time, width = qkv.shape
    parts = (part.reshape(batch, time, n_head, -1).transpose(0, 2, 1, 3) for part in np.split(qkv, 3, axis=-1))
    return attend(*parts).reshape(batch, time, width // 3)


def attend_with(mask, past_k, past_v, q, k, v):
    keys, values = np.concatenate([past_k, k]), np.concatenate([past_v, v])
    scores = q @ keys.T / np.sqrt(q.shape[1])
    return softmax(np.where(mask(len(q), len(keys)), scores, -np.inf)) @ values


def go_on_without_a_mask(*given):
    return attend_with(lambda new, keys: np.ones((new, keys), bool), *given)


def go_on_with_the_triangle_at_the_left(*given):
    return attend_with(lambda new, keys: np.tril(np.ones((new, keys), bool)), *given)


def go_on_that_sees_one_too_many(*given):
    return attend_with(lambda new, keys: np.tril(np.ones((new, keys), bool), keys - new + 1), *given)


def go_on_from_the_past_alone(past_k, past_v, q, k, v):
    return softmax(q @ past_k.T / np.sqrt(q.shape[1])) @ past_v


def go_on_without_the_past(past_k, past_v, q, k, v):
    return attend_with(lambda new, keys: np.tril(np.ones((new, keys), bool)), past_k[:0], past_v[:0], q, k, v)


WRONG = {
    "06.1": [
        scores_without_the_scale,
        scores_divided_by_d_k,
        scores_that_see_one_key_too_many,
        scores_hidden_by_zero,
        scores_hidden_by_a_large_number,
    ],
    "06.2": [
        row_without_the_scale,
        row_that_overflows,
        row_that_forgets_to_rescale_the_mixture,
        row_with_zero_as_the_first_maximum,
    ],
    "06.3": [
        backward_without_the_scale,
        backward_with_the_scale_in_one,
        backward_with_a_transpose_of_all_axes,
        backward_with_the_two_exchanged,
    ],
    "06.4": [
        heads_by_reshape_alone,
        heads_before_the_three_parts,
        heads_interleaved,
        heads_merged_without_the_transpose,
    ],
    "06.5": [
        go_on_without_a_mask,
        go_on_with_the_triangle_at_the_left,
        go_on_that_sees_one_too_many,
        go_on_from_the_past_alone,
        go_on_without_the_past,
    ],
}
