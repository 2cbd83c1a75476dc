"""Wrong answers to chapter 11's exercises, as people give them. Each must be refused."""

import numpy as np


def pooling_over_all_positions(g, real):
    return real[:, :, None] * g[:, None, :] / real.shape[1]


def pooling_that_reaches_the_padding(g, real):
    count = np.maximum(real.sum(axis=1), 1)
    return np.repeat((g / count[:, None])[:, None, :], real.shape[1], axis=1)


def pooling_that_divides_by_zero(g, real):
    return real[:, :, None] * (g / real.sum(axis=1, keepdims=True))[:, None, :]


def pooling_without_the_division(g, real):
    return real[:, :, None] * g[:, None, :]


def likelihood_of_the_text(joint, w):
    return np.log(joint[w])


def likelihood_from_left_to_right(joint, w):
    total = 0.0
    for t in range(len(w)):
        total += np.log(joint[w[: t + 1]].sum() / joint[w[:t]].sum())
    return total


def likelihood_of_each_place_alone(joint, w):
    axes = set(range(joint.ndim))
    return sum(np.log(joint.sum(axis=tuple(axes - {t}))[w[t]]) for t in axes)


def likelihood_as_a_mean(joint, w):
    lines = [joint[(*w[:t], slice(None), *w[t + 1 :])].sum() for t in range(len(w))]
    return np.mean([np.log(joint[w] / line) for line in lines])


def spans_with_a_sentinel_for_each_token(ids, hidden, first_sentinel):
    inputs, target, count = [], [], 0
    for token, out in zip(ids, hidden, strict=True):
        if out:
            inputs.append(first_sentinel + count)
            target += [first_sentinel + count, token]
            count += 1
        else:
            inputs.append(token)
    return inputs, [*target, first_sentinel + count]


def spans(ids, hidden, first_sentinel, step=1):
    inputs, target, runs = [], [], 0
    for t, (token, out) in enumerate(zip(ids, hidden, strict=True)):
        if out and (t == 0 or not hidden[t - 1]):
            inputs.append(first_sentinel + step * runs)
            target.append(first_sentinel + step * runs)
            runs += 1
        (target if out else inputs).append(token)
    return inputs, target, first_sentinel + step * runs


def spans_without_the_last_sentinel(ids, hidden, first_sentinel):
    inputs, target, _ = spans(ids, hidden, first_sentinel)
    return inputs, target


def spans_with_one_sentinel_for_all(ids, hidden, first_sentinel):
    inputs, target, last = spans(ids, hidden, first_sentinel, step=0)
    return inputs, [*target, last]


def spans_that_miss_one_at_the_start(ids, hidden, first_sentinel):
    inputs, target, runs = [], [], 0
    for t, (token, out) in enumerate(zip(ids, hidden, strict=True)):
        if out and not hidden[t - 1]:  # at t = 0 this looks at the last token
            inputs.append(first_sentinel + runs)
            target.append(first_sentinel + runs)
            runs += 1
        (target if out else inputs).append(token)
    return inputs, [*target, first_sentinel + runs]


def fill_from_the_left_alone(chain, left, right, gap):
    return np.array([np.linalg.matrix_power(chain, i)[left] for i in range(1, gap + 1)])


def fill_as_if_the_neighbours_were_next_to_each(chain, left, right, gap):
    row = chain[left] * chain[:, right]
    return np.tile(row / row.sum(), (gap, 1))


def fill_without_making_it_sum_to_one(chain, left, right, gap):
    power = np.linalg.matrix_power
    return np.array([power(chain, i)[left] * power(chain, gap + 1 - i)[:, right] for i in range(1, gap + 1)])


def fill_one_step_short(chain, left, right, gap):
    power = np.linalg.matrix_power
    rows = [power(chain, i)[left] * power(chain, gap - i)[:, right] for i in range(1, gap + 1)]
    return np.array([row / row.sum() for row in rows])


WRONG = {
    "11.1": [
        pooling_over_all_positions,
        pooling_that_reaches_the_padding,
        pooling_that_divides_by_zero,
        pooling_without_the_division,
    ],
    "11.2": [
        likelihood_of_the_text,
        likelihood_from_left_to_right,
        likelihood_of_each_place_alone,
        likelihood_as_a_mean,
    ],
    "11.3": [
        spans_with_a_sentinel_for_each_token,
        spans_without_the_last_sentinel,
        spans_with_one_sentinel_for_all,
        spans_that_miss_one_at_the_start,
    ],
    "11.4": [
        fill_from_the_left_alone,
        fill_as_if_the_neighbours_were_next_to_each,
        fill_without_making_it_sum_to_one,
        fill_one_step_short,
    ],
}
