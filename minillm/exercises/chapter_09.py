"""Exercises of chapter 09: schedules, means over uneven parts, early stopping, the largest stable rate, Lion."""

import math

import numpy as np

from minillm.exercises.exercise import Exercise, given


def stay_inputs(rng):
    for step in range(10):
        yield given(step, 10, 3, 4, 0.5, note="ten updates, one by one")
    yield given(0, 5, 0, 0, 1.0, note="neither warm-up nor an end")
    yield given(0, 5, 0, 2, 1.0, note="no warm-up")
    yield given(4, 5, 2, 0, 1.0, note="no end")
    for step in (2, 3):
        yield given(step, 6, 5, 4, 2.0, note="they overlap")


def stay_then_down(step, steps, warmup, down, highest):
    rising = (step + 1) / warmup if warmup else 1.0
    falling = (steps - step) / down if down else 1.0
    return highest * min(1.0, rising, falling)


def combine_inputs(rng):
    yield given(np.array([[2.0]]), np.array([3]), note="one worker")
    yield given(np.array([[2.0], [4.0]]), np.array([1, 3]), note="two workers")
    yield given(np.array([[1.0, -1.0], [np.nan, np.nan]]), np.array([5, 0]), note="one of them has nothing")
    yield given(np.full((2, 3), np.nan), np.array([0, 0]), note="nobody has anything")
    gradients = rng.normal(size=(5, 4))
    gradients[2] = np.nan
    yield given(gradients, np.array([7, 1, 0, 30, 2]))


def combine(gradients, counts):
    some = counts > 0
    if not some.any():
        return np.zeros(gradients.shape[1])
    return np.average(gradients[some], axis=0, weights=counts[some])


def stop_inputs(rng):
    nan = math.nan
    yield given([3.0], 1, note="a single evaluation")
    yield given([nan, nan], 3, note="nothing but NaN")
    yield given([3.0, 2.0, 2.5, 1.0], 1, note="it stops before the best")
    yield given([3.0, 2.0, 2.5, 1.0], 2, note="just saved")
    yield given([2.0, 2.0, 2.0, 1.0], 2, note="as good isn't better")
    yield given([nan, 3.0, 2.0, nan, nan, 1.0], 2, note="NaN at first, and later")
    yield given([nan, nan, 3.0, 2.0], 2, note="NaN until patience ends")
    yield given([5.0, 4.0, 4.5, 3.0, 3.5, 3.2, 3.1, 2.0], 3, note="worse than the best, though falling")
    yield given([4.0, 3.0, 3.5, 2.0, 2.5, 2.4, 1.0, 1.5], 3, note="never long enough")


def stop_early(losses, patience):
    best, waited = None, 0
    for i, loss in enumerate(losses):
        if not math.isnan(loss) and (best is None or loss < losses[best]):
            best, waited = i, 0
        else:
            waited += 1
        if waited >= patience:
            return i, best
    return len(losses) - 1, best


def rate_inputs(rng):
    yield given(np.array([[2.0]]), note="one point, one weight")
    yield given(np.array([[2.0], [0.0]]), note="two points, one weight")
    yield given(np.array([[1.0, 1.0]]), note="one point, two weights: a flat direction")
    yield given(np.array([[3.0, 0.0], [0.0, 1.0]]), note="two axes")
    yield given(rng.normal(size=(4, 6)), note="more weights than points")
    yield given(rng.normal(size=(10, 3)))


def highest_rate(x):
    return 2 * len(x) / np.linalg.svd(x, compute_uv=False)[0] ** 2


def lion_inputs(rng):
    yield given(np.array([1.0]), np.array([[2.0]]), 0.1, (0.9, 0.99), 0.0, note="one step")
    yield given(np.array([1.0]), np.array([[0.0]]), 0.1, (0.9, 0.99), 0.5, note="a gradient of 0, with decay")
    yield given(np.array([1.0, -1.0]), np.zeros((0, 2)), 0.1, (0.9, 0.99), 0.5, note="no step at all")
    yield given(np.array([0.0]), np.array([[10.0], [-6.0], [-6.0]]), 1.0, (0.9, 0.5), 0.0, note="three steps")
    yield given(rng.normal(size=3), rng.normal(size=(20, 3)), 0.01, (0.9, 0.99), 0.3)


def lion(theta, gradients, lr, betas, decay):
    m = np.zeros_like(theta)
    for g in gradients:
        u = np.sign(betas[0] * m + (1 - betas[0]) * g)
        theta = theta - lr * (u + decay * theta)
        m = betas[1] * m + (1 - betas[1]) * g
    return theta


EXERCISES = [
    Exercise(
        "09.1",
        "a schedule that rises, stays and falls",
        hints=(
            "Write two factors, one that rises and one that falls, each at most 1; take the smaller.",
            "The update after `step` finished ones is number step + 1, and with it steps − step are left to make.",
            "The factors are (step + 1) / warmup and (steps − step) / down; 1 where warmup or down is 0.",
        ),
        expected=stay_then_down,
        inputs=stay_inputs,
    ),
    Exercise(
        "09.2",
        "the gradient of a mean over uneven parts",
        hints=(
            "Multiply each worker's mean by its count, and you have its sum. Divide by the number of all tokens.",
            "0 · NaN is NaN: leave those workers out before you multiply.",
        ),
        expected=combine,
        inputs=combine_inputs,
    ),
    Exercise(
        "09.3",
        "early stopping",
        hints=(
            "Keep two things: the index of the best loss so far, and how many evaluations have passed since.",
            "Compare with the best one, not with the one before. loss < nan is false for every loss.",
            "Ask of each loss: is it a number, and the first or below the best? Else count, and stop at patience.",
        ),
        expected=stop_early,
        inputs=stop_inputs,
    ),
    Exercise(
        "09.4",
        "the largest stable learning rate of linear regression",
        hints=(
            "The loss is quadratic. Differentiate it twice: which matrix is its curvature?",
            "H = XᵀX / n. The limit is 2 / λmax of that.",
            "np.linalg.eigvalsh gives the eigenvalues of a symmetric matrix, the largest last.",
        ),
        expected=highest_rate,
        inputs=rate_inputs,
    ),
    Exercise(
        "09.5",
        "Lion, an optimizer from its formula",
        hints=(
            "Three lines in a loop, in the order of the formula. The first uses the m of the step before.",
            "The decay stands outside the sign, and it uses θ as it was before the step.",
        ),
        expected=lion,
        inputs=lion_inputs,
    ),
]
