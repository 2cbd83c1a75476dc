"""Wrong answers to chapter 15's exercises, as people give them. Each must be refused."""

import numpy as np


def induction_by_the_same_word(maps, ids):
    time = np.arange(len(ids))
    earlier = (ids[:, None] == ids) & (time < time[:, None])
    counts = earlier.any(axis=1)
    return np.where(earlier, maps, 0).sum(-1)[:, counts].mean(-1) if counts.any() else np.zeros(len(maps))


def induction_over_all_places(maps, ids):
    time = np.arange(len(ids))
    earlier = (ids[:, None] == ids) & (time < time[:, None])
    return np.where(np.roll(earlier, 1, axis=1), maps, 0).sum(-1).mean(-1)


def induction_of_the_last_occurrence(maps, ids):
    found = []
    for t in range(len(ids)):
        before = np.flatnonzero(ids[:t] == ids[t])
        if len(before):
            found.append(maps[:, t, before[-1] + 1])
    return np.mean(found, axis=0) if found else np.zeros(len(maps))


def induction_without_the_empty_case(maps, ids):
    time = np.arange(len(ids))
    earlier = (ids[:, None] == ids) & (time < time[:, None])
    return np.where(np.roll(earlier, 1, axis=1), maps, 0).sum(-1)[:, earlier.any(axis=1)].mean(-1)


def path_by_its_ends(gradient, points):
    middle = (points[0] + points[-1]) / 2
    return gradient(middle) * (points[-1] - points[0])


def path_with_the_mean_gradient(gradient, points):
    middles = (points[1:] + points[:-1]) / 2
    return np.mean([gradient(m) for m in middles], axis=0) * (points[-1] - points[0])


def path_at_the_right_ends(gradient, points):
    return sum(gradient(b) * (b - a) for a, b in zip(points[:-1], points[1:], strict=True))


def path_summed_over_elements(gradient, points):
    return sum(gradient((a + b) / 2) @ (b - a) for a, b in zip(points[:-1], points[1:], strict=True))


def logit_with_each_parts_own_divisor(parts, weight, u):
    centred = parts - parts.mean(axis=1, keepdims=True)
    return centred / np.sqrt(parts.var(axis=1, keepdims=True) + 1e-5) @ (weight * u)


def logit_without_the_mean(parts, weight, u):
    return parts / np.sqrt(parts.sum(axis=0).var() + 1e-5) @ (weight * u)


def logit_without_eps(parts, weight, u):
    centred = parts - parts.mean(axis=1, keepdims=True)
    return centred / (parts.sum(axis=0).std() or 1) @ (weight * u)


def ablated_to_zero(outputs, w_o, head):
    changed = outputs.copy()
    changed[:, head] = 0
    return changed.swapaxes(1, 2).reshape(outputs.shape[0], outputs.shape[2], -1) @ w_o


def ablated_to_the_mean_of_all_places(outputs, w_o, head):
    changed = outputs.copy()
    changed[:, head] = outputs[:, head].mean(axis=(0, 1))
    return changed.swapaxes(1, 2).reshape(outputs.shape[0], outputs.shape[2], -1) @ w_o


def ablated_with_heads_and_time_confused(outputs, w_o, head):
    changed = outputs.copy()
    changed[:, head] = outputs[:, head].mean(axis=0)
    return changed.reshape(outputs.shape[0], outputs.shape[2], -1) @ w_o


def ablated_in_place(outputs, w_o, head):
    outputs[:, head] = outputs[:, head].mean(axis=0)
    return outputs.swapaxes(1, 2).reshape(outputs.shape[0], outputs.shape[2], -1) @ w_o


WRONG = {
    "15.1": [
        induction_by_the_same_word,
        induction_over_all_places,
        induction_of_the_last_occurrence,
        induction_without_the_empty_case,
    ],
    "15.2": [path_by_its_ends, path_with_the_mean_gradient, path_at_the_right_ends, path_summed_over_elements],
    "15.3": [logit_with_each_parts_own_divisor, logit_without_the_mean, logit_without_eps],
    "15.4": [
        ablated_to_zero,
        ablated_to_the_mean_of_all_places,
        ablated_with_heads_and_time_confused,
        ablated_in_place,
    ],
}
