"""Exercises of chapter 15: induction scores, attributions along a path, shares of a logit, mean ablation."""

import numpy as np

from minillm.exercises.exercise import Exercise, given
from minillm.ops import softmax


def shares(rng, heads, time):
    """Causal attention maps, (heads, time, time)."""
    hidden = np.triu(np.ones((time, time), bool), 1)
    return softmax(np.where(hidden, -np.inf, rng.normal(size=(heads, time, time)))).numpy()


def induction_inputs(rng):
    yield given(shares(rng, 1, 1), np.array([3]), note="a single word")
    yield given(shares(rng, 1, 3), np.array([0, 1, 2]), note="no word comes twice")
    yield given(shares(rng, 1, 2), np.array([1, 1]), note="the place after the earlier one is the place itself")
    yield given(shares(rng, 2, 4), np.array([0, 1, 2, 0]), note="A B C A")
    yield given(shares(rng, 2, 6), np.array([0, 1, 0, 2, 0, 1]), note="a word that comes three times")
    yield given(shares(rng, 3, 12), rng.integers(4, size=12))


def induction_scores(maps, ids):
    time = np.arange(len(ids))
    earlier = (ids[:, None] == ids) & (time < time[:, None])
    after_it = np.roll(earlier, 1, axis=1)
    counts = earlier.any(axis=1)
    if not counts.any():
        return np.zeros(len(maps))
    return np.where(after_it, maps, 0).sum(axis=-1)[:, counts].mean(axis=-1)


def ones(x):
    return np.ones_like(x)


def product(x):
    """Of F(x) = x₁ x₂."""
    return x[::-1].copy()


def saturated(x):
    """Of F(x) = Σ tanh x."""
    return 1 - np.tanh(x) ** 2


def path_inputs(rng):
    yield given(ones, np.array([[0.0], [2.0]]), note="F(x) = x")
    yield given(product, np.array([[0.0, 0.0], [2.0, 3.0]]), note="a product, one piece")
    yield given(product, np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]]), note="one factor first, then the other")
    yield given(product, np.array([[1.0, -1.0], [1.0, -1.0], [0.0, 4.0]]), note="the path rests, and goes back")
    yield given(
        saturated, np.linspace(0, 1, 9)[:, None] ** 2 * rng.normal(size=(1, 5)), note="pieces of unlike lengths"
    )


def path_gradients(gradient, points):
    steps = np.diff(points, axis=0)
    middles = points[:-1] + steps / 2
    return sum(gradient(middle) * step for middle, step in zip(middles, steps, strict=True))


def logit_inputs(rng):
    yield given(np.array([[1.0, 3.0]]), np.ones(2), np.array([1.0, 0.0]), note="one part")
    yield given(np.array([[1.0, 3.0], [2.0, 2.0]]), np.ones(2), np.array([1.0, 0.0]), note="a part without variance")
    yield given(np.zeros((2, 3)), np.ones(3), rng.normal(size=3), note="nothing was added")
    yield given(rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4))
    yield given(1e-3 * rng.normal(size=(5, 8)) + 1, rng.normal(size=8), rng.normal(size=8), note="small variance")


def logit_parts(parts, weight, u):
    centred = parts - parts.mean(axis=1, keepdims=True)
    divisor = np.sqrt(parts.sum(axis=0).var() + 1e-5)
    return centred / divisor @ (weight * u)


def ablation_inputs(rng):
    yield given(rng.normal(size=(2, 1, 1, 1)), np.ones((1, 1)), 0, note="one head")
    yield given(rng.normal(size=(2, 2, 1, 1)), np.eye(2), 1, note="the second of two heads")
    yield given(rng.normal(size=(3, 2, 2, 2)), rng.normal(size=(4, 3)), 0)
    yield given(rng.normal(size=(4, 3, 5, 2)), rng.normal(size=(6, 6)), 2)


def mean_ablated(outputs, w_o, head):
    changed = outputs.copy()
    changed[:, head] = outputs[:, head].mean(axis=0)
    batch, heads, time, d_head = outputs.shape
    return changed.transpose(0, 2, 1, 3).reshape(batch, time, heads * d_head) @ w_o


EXERCISES = [
    Exercise(
        "15.1",
        "the induction scores of heads",
        hints=(
            "For place t, collect the j < t with ids[j] == ids[t]; the places wanted are j + 1.",
            "The share of a place is the sum over these j + 1 of maps[:, t, j + 1]; j + 1 may be t itself.",
            "Divide by the number of places that have any such j, not by the time; return zeros if there is none.",
        ),
        expected=induction_scores,
        inputs=induction_inputs,
    ),
    Exercise(
        "15.2",
        "attributions along a path of straight pieces",
        hints=(
            "A piece goes from points[i] to points[i + 1]; there F changes by about gradient(middle) · difference.",
            "Leave the product element by element, and sum over the pieces only.",
        ),
        expected=path_gradients,
        inputs=path_inputs,
    ),
    Exercise(
        "15.3",
        "a logit shared out to the parts of the stream",
        hints=(
            "Taking off the mean is linear: the mean of a sum is the sum of the means, so each part gives up its own.",
            "The divisor is one number, from the variance of the sum of all parts.",
            "(part − mean of part) / divisor, times weight, times u, summed over d.",
        ),
        expected=logit_parts,
        inputs=logit_inputs,
    ),
    Exercise(
        "15.4",
        "a head replaced by its mean",
        hints=(
            "Work on a copy; outputs[:, head] is (batch, time, d_head), and its mean over texts is (time, d_head).",
            "To mix, the heads of a place must stand side by side: move the heads behind time, then reshape.",
        ),
        expected=mean_ablated,
        inputs=ablation_inputs,
    ),
]
