"""Wrong answers to chapter 01's exercises, as people give them. Each must be refused."""

import math

import numpy as np


def pairs(ids, vocab_size):
    counts = np.zeros((vocab_size, vocab_size))
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    return counts


def bigrams_counting_a_repeated_pair_once(ids, vocab_size):
    counts = np.zeros((vocab_size, vocab_size))
    counts[ids[:-1], ids[1:]] += 1
    totals = counts.sum(axis=1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), 1 / vocab_size)


def bigrams_by_columns(ids, vocab_size):
    counts = pairs(ids, vocab_size).T
    totals = counts.sum(axis=1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), 1 / vocab_size)


def bigrams_dividing_by_all_occurrences(ids, vocab_size):
    totals = np.bincount(ids, minlength=vocab_size)[:, None]
    return np.where(totals > 0, pairs(ids, vocab_size) / np.maximum(totals, 1), 1 / vocab_size)


def bigrams_with_empty_rows(ids, vocab_size):
    counts = pairs(ids, vocab_size)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def pick_up_to_and_with_the_end(counts, u):
    return int(np.searchsorted(np.cumsum(counts), u * counts.sum()))


def pick_the_likeliest(counts, u):
    return int(np.argmax(counts))


def pick_evenly(counts, u):
    return int(u * len(counts))


def pick_one_too_far(counts, u):
    return int(np.searchsorted(np.cumsum(counts), u * counts.sum(), side="right")) + 1


def measures_with_a_mean_of_means(losses, sizes, text):
    mean = sum(losses) / len(losses)
    return math.exp(mean), mean * sum(sizes) / math.log(2) / len(text.encode())


def measures_by_characters(losses, sizes, text):
    total = float(np.dot(losses, sizes))
    return math.exp(total / sum(sizes)), total / math.log(2) / len(text)


def measures_in_nats(losses, sizes, text):
    total = float(np.dot(losses, sizes))
    return math.exp(total / sum(sizes)), total / len(text.encode())


def measures_with_a_power_of_two(losses, sizes, text):
    total = float(np.dot(losses, sizes))
    return 2 ** (total / sum(sizes)), total / math.log(2) / len(text.encode())


def add_k_across_borders(documents, context, word, k, vocab_size):
    n, ids = len(context), [i for document in documents for i in document]
    groups = [tuple(ids[i : i + n + 1]) for i in range(len(ids) - n)]
    total = sum(group[:n] == context for group in groups) + k * vocab_size
    return (groups.count((*context, word)) + k) / total if total else 1 / vocab_size


def add_k_counting_contexts_at_the_end(documents, context, word, k, vocab_size):
    n = len(context)
    contexts = [tuple(ids[i : i + n]) for ids in documents for i in range(len(ids) - n + 1)]
    groups = [tuple(ids[i : i + n + 1]) for ids in documents for i in range(len(ids) - n)]
    total = contexts.count(context) + k * vocab_size
    return (groups.count((*context, word)) + k) / total if total else 1 / vocab_size


def add_k_once_in_the_denominator(documents, context, word, k, vocab_size):
    n = len(context)
    groups = [tuple(ids[i : i + n + 1]) for ids in documents for i in range(len(ids) - n)]
    total = sum(group[:n] == context for group in groups) + k
    return (groups.count((*context, word)) + k) / total if total else 1 / vocab_size


def add_k_by_text(documents, context, word, k, vocab_size):
    def occurrences(group):
        return sum("".join(map(str, ids)).count("".join(map(str, group))) for ids in documents)

    total = occurrences(context) + k * vocab_size
    return (occurrences((*context, word)) + k) / total if total else 1 / vocab_size


def back_off_that_interpolates(counts, d, lower):
    total, seen = counts.sum(), (counts > 0).sum()
    return (np.maximum(counts - d, 0) + d * seen * lower) / total if total else lower


def back_off_without_renormalising(counts, d, lower):
    seen = counts > 0
    if not seen.any() or seen.all():
        return counts / counts.sum() if seen.all() else lower
    return np.where(seen, (counts - d) / counts.sum(), d * seen.sum() / counts.sum() * lower)


def back_off_with_the_discount_once(counts, d, lower):
    seen = counts > 0
    if not seen.any() or seen.all():
        return counts / counts.sum() if seen.all() else lower
    return np.where(seen, (counts - d) / counts.sum(), d / counts.sum() * lower / lower[~seen].sum())


def back_off_discounting_where_all_were_seen(counts, d, lower):
    seen = counts > 0
    if not seen.any():
        return lower
    freed = d * seen.sum() / counts.sum()
    rest = max(lower[~seen].sum(), 1e-300)
    return np.where(seen, (counts - d) / counts.sum(), freed * lower / rest)


WRONG = {
    "01.1": [
        bigrams_counting_a_repeated_pair_once,
        bigrams_by_columns,
        bigrams_dividing_by_all_occurrences,
        bigrams_with_empty_rows,
    ],
    "01.2": [pick_up_to_and_with_the_end, pick_the_likeliest, pick_evenly, pick_one_too_far],
    "01.3": [
        measures_with_a_mean_of_means,
        measures_by_characters,
        measures_in_nats,
        measures_with_a_power_of_two,
    ],
    "01.4": [
        add_k_across_borders,
        add_k_counting_contexts_at_the_end,
        add_k_once_in_the_denominator,
        add_k_by_text,
    ],
    "01.5": [
        back_off_that_interpolates,
        back_off_without_renormalising,
        back_off_with_the_discount_once,
        back_off_discounting_where_all_were_seen,
    ],
}
