"""Wrong answers to chapter 10's exercises, as people give them. Each must be refused."""

import math

import numpy as np


def counted(vocab_size, context_length, n_layer, d_model, layer, rest):
    return (vocab_size + context_length) * d_model + n_layer * layer + rest


def count_without_biases(vocab_size, context_length, n_layer, d_model, tied):
    layer = 12 * d_model**2 + 4 * d_model
    total = counted(vocab_size, context_length, n_layer, d_model, layer, 2 * d_model)
    return total + (0 if tied else vocab_size * d_model)


def count_without_the_last_norm(vocab_size, context_length, n_layer, d_model, tied):
    total = counted(vocab_size, context_length, n_layer, d_model, 12 * d_model**2 + 13 * d_model, 0)
    return total + (0 if tied else vocab_size * d_model)


def count_with_the_head_always(vocab_size, context_length, n_layer, d_model, tied):
    layer = 12 * d_model**2 + 13 * d_model
    return counted(vocab_size, context_length, n_layer, d_model, layer, 2 * d_model + vocab_size * d_model)


def count_with_a_bias_in_the_head(vocab_size, context_length, n_layer, d_model, tied):
    layer = 12 * d_model**2 + 13 * d_model
    head = 0 if tied else vocab_size * (d_model + 1)
    return counted(vocab_size, context_length, n_layer, d_model, layer, 2 * d_model + head)


def bits_by_characters(nats, targets, pieces):
    seen = targets != -100
    return nats[seen].sum() / math.log(2) / sum(len(pieces[i].decode()) for i in targets[seen])


def bits_as_a_mean_of_ratios(nats, targets, pieces):
    seen = targets != -100
    sizes = np.array([len(pieces[i]) for i in targets[seen]])
    return (nats[seen] / math.log(2) / sizes).mean()


def bits_with_padding(nats, targets, pieces):
    return nats.sum() / math.log(2) / sum(len(pieces[i]) for i in targets[targets != -100])


def nats_per_byte(nats, targets, pieces):
    seen = targets != -100
    return nats[seen].sum() / sum(len(pieces[i]) for i in targets[seen])


def bits_per_token(nats, targets, pieces):
    return nats[targets != -100].mean() / math.log(2)


def surprises(logits, targets):
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    picked = np.take_along_axis(log_p, np.where(targets == -100, 0, targets)[..., None], -1)[..., 0]
    return np.where(targets == -100, 0, -picked)


def position_over_the_whole_batch(logits, targets):
    return surprises(logits, targets).mean(axis=0)


def position_over_the_wrong_axis(logits, targets):
    return surprises(logits, targets).sum(axis=1) / (targets != -100).sum(axis=1)


def position_that_overflows(logits, targets):
    e = np.exp(logits)
    p = np.take_along_axis(e / e.sum(-1, keepdims=True), np.where(targets == -100, 0, targets)[..., None], -1)[..., 0]
    return np.where(targets == -100, 0, -np.log(p)).sum(axis=0) / (targets != -100).sum(axis=0)


def position_where_minus_100_is_an_index(logits, targets):
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.take_along_axis(log_p, (targets % logits.shape[-1])[..., None], -1)[..., 0].mean(axis=0)


def filled(texts, end):
    time = max(map(len, texts))
    return np.array([[*text, *[end] * (time - len(text))] for text in texts], int).reshape(len(texts), time)


def targets_not_shifted(texts, end):
    ids = filled(texts, end)
    seen = np.arange(ids.shape[1]) < np.array([len(text) for text in texts])[:, None]
    return ids, np.where(seen, ids, -100)


def targets_without_the_end(texts, end):
    ids = filled(texts, end)
    targets = np.full_like(ids, -100)
    for row, text in enumerate(texts):
        targets[row, : len(text[1:])] = text[1:]
    return ids, targets


def targets_whose_padding_counts(texts, end):
    ids = filled(texts, end)
    return ids, np.concatenate([ids[:, 1:], np.full((len(ids), 1), end)], axis=1)


def targets_that_ignore_every_end(texts, end):
    ids, targets = targets_whose_padding_counts(texts, end)
    first_end = np.array([len(text) for text in texts])[:, None] - 1
    hidden = (targets == end) & (np.arange(ids.shape[1]) != first_end)
    return ids, np.where(hidden, -100, targets)


def of_the_head(dlogits, h):
    return dlogits.reshape(-1, dlogits.shape[-1]).T @ h.reshape(-1, h.shape[-1])


def of_the_embedding(ids, dx, vocab_size):
    gradient = np.zeros((vocab_size, dx.shape[-1]))
    np.add.at(gradient, ids, dx)
    return gradient


def tied_from_the_head_alone(ids, dx, h, dlogits):
    return of_the_head(dlogits, h)


def tied_from_the_embedding_alone(ids, dx, h, dlogits):
    return of_the_embedding(ids, dx, dlogits.shape[-1])


def tied_that_counts_an_id_once(ids, dx, h, dlogits):
    gradient = of_the_head(dlogits, h)
    gradient[ids] += dx
    return gradient


def tied_averaged(ids, dx, h, dlogits):
    return (of_the_head(dlogits, h) + of_the_embedding(ids, dx, dlogits.shape[-1])) / 2


WRONG = {
    "10.1": [
        count_without_biases,
        count_without_the_last_norm,
        count_with_the_head_always,
        count_with_a_bias_in_the_head,
    ],
    "10.2": [bits_by_characters, bits_as_a_mean_of_ratios, bits_with_padding, nats_per_byte, bits_per_token],
    "10.3": [
        position_over_the_whole_batch,
        position_over_the_wrong_axis,
        position_that_overflows,
        position_where_minus_100_is_an_index,
    ],
    "10.4": [
        targets_not_shifted,
        targets_without_the_end,
        targets_whose_padding_counts,
        targets_that_ignore_every_end,
    ],
    "10.5": [
        tied_from_the_head_alone,
        tied_from_the_embedding_alone,
        tied_that_counts_an_id_once,
        tied_averaged,
    ],
}
