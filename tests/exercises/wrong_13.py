"""Wrong answers to chapter 13's exercises, as people give them. Each must be refused."""

import numpy as np

from minillm.exercises.chapter_13 import ROLES


def factors_without_the_scale(dW, A, B, s):
    return B.T @ dW, dW @ A.T


def factors_the_wrong_way_round(dW, A, B, s):
    return s * dW @ A.T, s * B.T @ dW


def factors_not_transposed(dW, A, B, s):
    return s * B.T @ dW, s * dW.T @ A.T if dW.shape[0] == dW.shape[1] else s * dW @ A.T


def factors_with_the_scale_on_one(dW, A, B, s):
    return B.T @ dW, s * dW @ A.T


def adapters_added_by_factor(first, second):
    (A1, B1, s1), (A2, B2, s2) = first, second
    return A1 + A2, s1 * B1 + s2 * B2


def adapters_without_their_scales(first, second):
    (A1, B1, _), (A2, B2, _) = first, second
    return np.concatenate([A1, A2]), np.concatenate([B1, B2], axis=1)


def adapters_scaled_twice(first, second):
    (A1, B1, s1), (A2, B2, s2) = first, second
    return np.concatenate([s1 * A1, s2 * A2]), np.concatenate([s1 * B1, s2 * B2], axis=1)


def adapters_of_full_rank(first, second):
    (A1, B1, s1), (A2, B2, s2) = first, second
    return np.eye(A1.shape[1]), s1 * B1 @ A1 + s2 * B2 @ A2


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def covered_by_independent_ends(start, end):
    """P(start ≤ t) P(end ≥ t), where spans that end before they start count, too."""
    return np.cumsum(softmax(start)) * np.cumsum(softmax(end)[::-1])[::-1]


def covered_that_overflows(start, end):
    p = np.triu(np.exp(start)[:, None] * np.exp(end))
    return np.array([p[: t + 1, t:].sum() for t in range(len(start))]) / p.sum()


def covered_without_single_tokens(start, end):
    scores = start[:, None] + end
    p = np.triu(np.exp(scores - scores.max()), k=1)
    return np.array([p[: t + 1, t:].sum() for t in range(len(start))]) / max(p.sum(), 1e-300)


def covered_by_the_best_span(start, end):
    scores = np.where(np.triu(np.ones((len(start), len(end)), bool)), start[:, None] + end, -np.inf)
    s, e = np.unravel_index(scores.argmax(), scores.shape)
    return ((np.arange(len(start)) >= s) & (np.arange(len(start)) <= e)).astype(float)


def turns_by_splitting_at_ends(ids, marks):
    """Takes what stands between two ends for a turn, whatever is in it."""
    roles, turns, said = {marks[name]: role for name, role in ROLES.items()}, [], []
    for i in ids:
        if i != marks["<|end|>"]:
            said.append(i)
        elif not said or said[0] not in roles:
            return None
        else:
            turns.append((roles[said[0]], said[1:]))
            said = []
    return None if said else turns


def turns_that_need_no_end(ids, marks):
    roles, turns, said = {marks[name]: role for name, role in ROLES.items()}, [], None
    for i in ids:
        if i in roles:
            said = []
            turns.append((roles[i], said))
        elif i == marks["<|end|>"]:
            said = None
        elif said is None:
            return None
        else:
            said.append(i)
    return turns


def turns_that_skip_what_is_outside(ids, marks):
    roles, turns, role, said = {marks[name]: role for name, role in ROLES.items()}, [], None, []
    for i in ids:
        if i in roles:
            if role is not None:
                return None
            role, said = roles[i], []
        elif role is not None and i == marks["<|end|>"]:
            turns.append((role, said))
            role = None
        elif role is not None:
            said.append(i)
    return turns if role is None else None


def turns_that_keep_the_end(ids, marks):
    roles, turns, role, said = {marks[name]: role for name, role in ROLES.items()}, [], None, []
    for i in ids:
        if (i in roles) != (role is None):
            return None
        if i in roles:
            role, said = roles[i], []
            continue
        said.append(i)
        if i == marks["<|end|>"]:
            turns.append((role, said))
            role = None
    return turns if role is None else None


WRONG = {
    "13.1": [
        factors_without_the_scale,
        factors_the_wrong_way_round,
        factors_not_transposed,
        factors_with_the_scale_on_one,
    ],
    "13.2": [
        adapters_added_by_factor,
        adapters_without_their_scales,
        adapters_scaled_twice,
        adapters_of_full_rank,
    ],
    "13.3": [
        covered_by_independent_ends,
        covered_that_overflows,
        covered_without_single_tokens,
        covered_by_the_best_span,
    ],
    "13.4": [
        turns_by_splitting_at_ends,
        turns_that_need_no_end,
        turns_that_skip_what_is_outside,
        turns_that_keep_the_end,
    ],
}
