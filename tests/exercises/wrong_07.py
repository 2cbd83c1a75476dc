"""Wrong answers to chapter 07's exercises, as people give them. Each must be refused."""

import numpy as np


def fold_into_columns(w, b, W, c):
    return W * w, b @ W + c


def fold_that_scales_the_bias(w, b, W, c):
    return w[:, None] * W, (w * b) @ W + c


def fold_that_forgets_the_bias(w, b, W, c):
    return w[:, None] * W, c


def fold_that_adds_the_bias_as_it_is(w, b, W, c):
    return w[:, None] * W, b.sum() + c


def unit_with_the_length_held_fixed(g, x):
    return g / np.linalg.norm(x, axis=-1, keepdims=True)


def unit_with_a_mean(g, x):
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    y = x / length
    return (g - y * (g * y).mean(-1, keepdims=True)) / length


def unit_with_x_for_y(g, x):
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return (g - x * (g * x).sum(-1, keepdims=True)) / length


def unit_over_all_axes(g, x):
    length = np.linalg.norm(x)
    y = x / length
    return (g - y * (g * y).sum()) / length


def gate_with_the_sigmoid_alone(g, a, b):
    s = 0.5 * (1 + np.tanh(a / 2))
    return g * b * s * (1 - s), g * s


def gate_without_the_product_rule(g, a, b):
    s = 0.5 * (1 + np.tanh(a / 2))
    return g * b * s, g * a * s


def gate_that_overflows(g, a, b):
    e = np.exp(a)
    s = e / (1 + e)
    return g * b * (s + a * s * (1 - s)), g * a * s


def gate_with_the_two_exchanged(g, a, b):
    s = 0.5 * (1 + np.tanh(a / 2))
    return g * a * s, g * b * (s + a * s * (1 - s))


def places_by_the_fastest_hand(later, earlier):
    angle = np.arctan2(later[0], later[1]) - np.arctan2(earlier[0], earlier[1])
    return round(angle % (2 * np.pi))


def places_by_the_slowest_hand_and_no_turns(later, earlier):
    omega = 10000 ** (-(len(later) - 2) / len(later))
    return round((later[-2] - earlier[-2]) / omega)


def places_backwards(later, earlier):
    angle = np.arange(1001)[:, None] / 10000 ** (np.arange(0, len(later), 2) / len(later))
    cosines = later[0::2] * earlier[0::2] + later[1::2] * earlier[1::2]
    sines = later[0::2] * earlier[1::2] - later[1::2] * earlier[0::2]
    return int(np.argmax((cosines * np.cos(angle) - sines * np.sin(angle)).sum(1)))


def places_as_if_earlier_stood_at_zero(later, earlier):
    angle = np.arange(1001)[:, None] / 10000 ** (np.arange(0, len(later), 2) / len(later))
    return int(np.argmax((later[0::2] * np.sin(angle) + later[1::2] * np.cos(angle)).sum(1)))


def rotated(x, start, step=2, sign=1):
    time, d = x.shape[-2:]
    angle = sign * (start + np.arange(time))[:, None] / 10000 ** (np.arange(d // 2) * step / d)
    return x[..., : d // 2], x[..., d // 2 :], np.cos(angle), np.sin(angle)


def halves_without_the_start(x, start):
    first, second, c, s = rotated(x, 0)
    return np.concatenate([first * c - second * s, first * s + second * c], axis=-1)


def halves_turned_backwards(x, start):
    first, second, c, s = rotated(x, start, sign=-1)
    return np.concatenate([first * c - second * s, first * s + second * c], axis=-1)


def halves_with_frequencies_twice_as_close(x, start):
    first, second, c, s = rotated(x, start, step=1)
    return np.concatenate([first * c - second * s, first * s + second * c], axis=-1)


def halves_put_back_in_pairs(x, start):
    first, second, c, s = rotated(x, start)
    return np.stack([first * c - second * s, first * s + second * c], axis=-1).reshape(x.shape)


def neighbours_in_place_of_halves(x, start):
    _, _, c, s = rotated(x, start)
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack([even * c - odd * s, even * s + odd * c], axis=-1).reshape(x.shape)


WRONG = {
    "07.1": [
        fold_into_columns,
        fold_that_scales_the_bias,
        fold_that_forgets_the_bias,
        fold_that_adds_the_bias_as_it_is,
    ],
    "07.2": [unit_with_the_length_held_fixed, unit_with_a_mean, unit_with_x_for_y, unit_over_all_axes],
    "07.3": [
        gate_with_the_sigmoid_alone,
        gate_without_the_product_rule,
        gate_that_overflows,
        gate_with_the_two_exchanged,
    ],
    "07.4": [
        places_by_the_fastest_hand,
        places_by_the_slowest_hand_and_no_turns,
        places_backwards,
        places_as_if_earlier_stood_at_zero,
    ],
    "07.5": [
        halves_without_the_start,
        halves_turned_backwards,
        halves_with_frequencies_twice_as_close,
        halves_put_back_in_pairs,
        neighbours_in_place_of_halves,
    ],
}
