"""Wrong answers to chapter 09's exercises, as people give them. Each must be refused."""

import math

import numpy as np


def stay_that_begins_at_zero(step, steps, warmup, down, highest):
    rising = step / warmup if warmup else 1.0
    falling = (steps - step) / down if down else 1.0
    return highest * min(1.0, rising, falling)


def stay_that_ends_at_zero(step, steps, warmup, down, highest):
    rising = (step + 1) / warmup if warmup else 1.0
    falling = (steps - 1 - step) / down if down else 1.0
    return highest * min(1.0, rising, falling)


def stay_where_warmup_goes_first(step, steps, warmup, down, highest):
    if step < warmup:
        return highest * (step + 1) / warmup
    return highest * (steps - step) / down if steps - step < down else highest


def stay_where_the_slopes_multiply(step, steps, warmup, down, highest):
    rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
    falling = min(1.0, (steps - step) / down) if down else 1.0
    return highest * rising * falling


def stay_that_divides_by_zero(step, steps, warmup, down, highest):
    return highest * min(1.0, (step + 1) / warmup, (steps - step) / down)


def combine_by_the_mean(gradients, counts):
    return np.nan_to_num(gradients).mean(axis=0)


def combine_without_a_thought_of_nan(gradients, counts):
    return counts @ gradients / max(counts.sum(), 1)


def combine_the_mean_of_those_that_have_some(gradients, counts):
    return gradients[counts > 0].mean(axis=0) if (counts > 0).any() else np.zeros(gradients.shape[1])


def combine_that_divides_by_nothing(gradients, counts):
    return counts @ np.nan_to_num(gradients) / counts.sum()


def stop_compared_with_the_one_before(losses, patience):
    best, waited = None, 0
    for i, loss in enumerate(losses):
        if not math.isnan(loss) and (best is None or loss < losses[best]):
            best = i
        waited = 0 if i == 0 or loss < losses[i - 1] else waited + 1
        if waited >= patience:
            return i, best
    return len(losses) - 1, best


def stop_where_as_good_is_better(losses, patience):
    best, waited = None, 0
    for i, loss in enumerate(losses):
        if not math.isnan(loss) and (best is None or loss <= losses[best]):
            best, waited = i, 0
        else:
            waited += 1
        if waited >= patience:
            return i, best
    return len(losses) - 1, best


def stop_with_nan_as_the_first_best(losses, patience):
    best, waited = 0, 0
    for i, loss in enumerate(losses[1:], 1):
        if loss < losses[best]:
            best, waited = i, 0
        else:
            waited += 1
        if waited >= patience:
            return i, best
    return len(losses) - 1, best


def stop_one_too_late(losses, patience):
    best, waited = None, 0
    for i, loss in enumerate(losses):
        if not math.isnan(loss) and (best is None or loss < losses[best]):
            best, waited = i, 0
        else:
            waited += 1
        if waited > patience:
            return i, best
    return len(losses) - 1, best


def rate_without_n(x):
    return 2 / np.linalg.eigvalsh(x.T @ x)[-1]


def rate_of_one_step(x):
    return len(x) / np.linalg.eigvalsh(x.T @ x)[-1]


def rate_of_the_flattest_direction(x):
    return 2 * len(x) / np.linalg.eigvalsh(x.T @ x)[0]


def rate_by_the_trace(x):
    return 2 * len(x) / (x * x).sum()


def rate_with_a_singular_value_unsquared(x):
    return 2 * len(x) / np.linalg.svd(x, compute_uv=False)[0]


def lion_that_updates_m_first(theta, gradients, lr, betas, decay):
    m = np.zeros_like(theta)
    for g in gradients:
        m = betas[1] * m + (1 - betas[1]) * g
        theta = theta - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + decay * theta)
    return theta


def lion_with_one_beta(theta, gradients, lr, betas, decay):
    m = np.zeros_like(theta)
    for g in gradients:
        m = betas[0] * m + (1 - betas[0]) * g
        theta = theta - lr * (np.sign(m) + decay * theta)
    return theta


def lion_with_decay_in_the_sign(theta, gradients, lr, betas, decay):
    m = np.zeros_like(theta)
    for g in gradients:
        theta = theta - lr * np.sign(betas[0] * m + (1 - betas[0]) * g + decay * theta)
        m = betas[1] * m + (1 - betas[1]) * g
    return theta


def lion_without_the_sign(theta, gradients, lr, betas, decay):
    m = np.zeros_like(theta)
    for g in gradients:
        theta = theta - lr * (betas[0] * m + (1 - betas[0]) * g + decay * theta)
        m = betas[1] * m + (1 - betas[1]) * g
    return theta


def lion_in_place(theta, gradients, lr, betas, decay):
    m = np.zeros_like(theta)
    for g in gradients:
        u = np.sign(betas[0] * m + (1 - betas[0]) * g)
        theta -= lr * (u + decay * theta)
        m = betas[1] * m + (1 - betas[1]) * g
    return theta


WRONG = {
    "09.1": [
        stay_that_begins_at_zero,
        stay_that_ends_at_zero,
        stay_where_warmup_goes_first,
        stay_where_the_slopes_multiply,
        stay_that_divides_by_zero,
    ],
    "09.2": [
        combine_by_the_mean,
        combine_without_a_thought_of_nan,
        combine_the_mean_of_those_that_have_some,
        combine_that_divides_by_nothing,
    ],
    "09.3": [
        stop_compared_with_the_one_before,
        stop_where_as_good_is_better,
        stop_with_nan_as_the_first_best,
        stop_one_too_late,
    ],
    "09.4": [
        rate_without_n,
        rate_of_one_step,
        rate_of_the_flattest_direction,
        rate_by_the_trace,
        rate_with_a_singular_value_unsquared,
    ],
    "09.5": [
        lion_that_updates_m_first,
        lion_with_one_beta,
        lion_with_decay_in_the_sign,
        lion_without_the_sign,
        lion_in_place,
    ],
}
