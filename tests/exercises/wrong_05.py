"""Wrong answers to chapter 05's exercises, as people give them. Each must be refused."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def one_hot(targets, classes):
    return np.eye(classes)[targets]


def log_sum_exp_without_the_shift(x):
    return np.log(np.exp(x).sum(axis=-1))


def log_sum_exp_shifted_for_good(x):
    return np.log(np.exp(x - x.max(axis=-1, keepdims=True)).sum(axis=-1))


def log_sum_exp_shifted_by_the_whole_matrix(x):
    return x.max() + np.log(np.exp(x - x.max()).sum(axis=-1))


def log_sum_exp_not_a_number_for_minus_infinity(x):
    m = x.max(axis=-1, keepdims=True)
    return m[..., 0] + np.log(np.exp(x - m).sum(axis=-1))


def log_sum_exp_with_a_small_number_added(x):
    m = np.maximum(x.max(axis=-1), 0)
    return m + np.log(np.exp(x - m[:, None]).sum(axis=-1) + 1e-12)


def temperature_multiplied(x, T):
    return softmax(x * T)


def temperature_of_the_probabilities(x, T):
    return softmax(x) / T


def temperature_without_a_limit(x, T):
    return softmax(x / T)


def temperature_0_as_the_first_largest(x, T):
    return softmax(x / T) if T else one_hot(x.argmax(axis=-1), x.shape[-1])


def temperature_as_a_power(x, T):
    if T == 0:
        largest = x == x.max(axis=-1, keepdims=True)
        return largest / largest.sum(axis=-1, keepdims=True)
    p = softmax(x) ** (1 / T)
    return p / p.sum(axis=-1, keepdims=True)


def parts_mean_of_perplexities(losses, counts):
    return np.exp(losses[counts > 0]).mean()


def parts_weighted_mean_of_perplexities(losses, counts):
    counted = counts > 0
    return np.average(np.exp(losses[counted]), weights=counts[counted])


def parts_mean_of_means(losses, counts):
    return np.exp(losses[counts > 0].mean())


def parts_with_nan(losses, counts):
    return np.exp((losses * counts).sum() / counts.sum())


def parts_with_bits(losses, counts):
    counted = counts > 0
    return 2 ** np.average(losses[counted], weights=counts[counted])


def surprise(logits, targets):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    safe = np.where(targets == -100, 0, targets)
    return -np.take_along_axis(log_p, safe[..., None], -1)[..., 0] * (targets != -100)


def sentences_with_padding_counted(logits, targets):
    return surprise(logits, targets).mean(axis=1)


def sentences_divided_by_all_tokens(logits, targets):
    return surprise(logits, targets).sum(axis=1) / (targets != -100).sum()


def sentences_zero_divided_by_zero(logits, targets):
    return surprise(logits, targets).sum(axis=1) / (targets != -100).sum(axis=1)


def sentences_with_0_as_padding(logits, targets):
    counts = targets > 0
    return (surprise(logits, targets) * counts).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)


def sentences_by_the_logarithm_of_softmax(logits, targets):
    safe = np.where(targets == -100, 0, targets)
    nll = -np.log(np.take_along_axis(softmax(logits), safe[..., None], -1)[..., 0])
    counts = targets != -100
    return np.where(counts, nll, 0).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)


def smoothed_not_at_all(logits, targets, epsilon):
    return (softmax(logits) - one_hot(targets, logits.shape[1])) / len(targets)


def smoothed_over_the_other_classes(logits, targets, epsilon):
    y = one_hot(targets, logits.shape[1])
    y = (1 - epsilon) * y + epsilon / (logits.shape[1] - 1) * (1 - y)
    return (softmax(logits) - y) / len(targets)


def smoothed_summed_over_tokens(logits, targets, epsilon):
    classes = logits.shape[1]
    return softmax(logits) - (1 - epsilon) * one_hot(targets, classes) - epsilon / classes


def smoothed_the_wrong_way_round(logits, targets, epsilon):
    classes = logits.shape[1]
    return ((1 - epsilon) * one_hot(targets, classes) + epsilon / classes - softmax(logits)) / len(targets)


def smoothed_only_the_first_term(logits, targets, epsilon):
    return (softmax(logits) - (1 - epsilon) * one_hot(targets, logits.shape[1])) / len(targets)


WRONG = {
    "05.1": [
        log_sum_exp_without_the_shift,
        log_sum_exp_shifted_for_good,
        log_sum_exp_shifted_by_the_whole_matrix,
        log_sum_exp_not_a_number_for_minus_infinity,
        log_sum_exp_with_a_small_number_added,
    ],
    "05.2": [
        temperature_multiplied,
        temperature_of_the_probabilities,
        temperature_without_a_limit,
        temperature_0_as_the_first_largest,
        temperature_as_a_power,
    ],
    "05.3": [
        parts_mean_of_perplexities,
        parts_weighted_mean_of_perplexities,
        parts_mean_of_means,
        parts_with_nan,
        parts_with_bits,
    ],
    "05.4": [
        sentences_with_padding_counted,
        sentences_divided_by_all_tokens,
        sentences_zero_divided_by_zero,
        sentences_with_0_as_padding,
        sentences_by_the_logarithm_of_softmax,
    ],
    "05.5": [
        smoothed_not_at_all,
        smoothed_over_the_other_classes,
        smoothed_summed_over_tokens,
        smoothed_the_wrong_way_round,
        smoothed_only_the_first_term,
    ],
}
