"""Exercises of chapter 07: a folded norm, two backwards, a distance read off waves, rotary positions in halves."""

import numpy as np

from minillm.exercises.exercise import Exercise, given
from minillm.nn.position import SinusoidalPositions


def fold_inputs(rng):
    yield given(*(np.array(x) for x in ([2.0], [3.0], [[5.0]], [7.0])), note="one of everything")
    yield given(np.array([1.0, 10.0]), np.zeros(2), np.ones((2, 2)), np.zeros(2), note="no biases")
    yield given(np.ones(2), np.array([1.0, -1.0]), np.array([[1.0, 2.0], [0.0, 1.0]]), np.ones(2), note="no weights")
    yield given(*(rng.normal(size=shape) for shape in (4, 4, (4, 4), 4)), note="a square matrix")
    yield given(*(rng.normal(size=shape) for shape in (3, 3, (3, 5), 5)))


def fold(w, b, W, c):
    return w[:, None] * W, b @ W + c


def unit_inputs(rng):
    yield given(np.array([1.0]), np.array([2.0]), note="one feature: its length can't change")
    yield given(np.array([1.0, 0.0]), np.array([3.0, 4.0]))
    yield given(rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), note="two rows")
    yield given(rng.normal(size=(2, 2, 3, 4)), 100 * rng.normal(size=(2, 2, 3, 4)), note="heads, and large entries")


def unit_backward(g, x):
    length = np.sqrt((x * x).sum(-1, keepdims=True))
    y = x / length
    return (g - y * (g * y).sum(-1, keepdims=True)) / length


def gate_inputs(rng):
    yield given(np.array([1.0]), np.array([0.0]), np.array([2.0]), note="the gate at 0")
    yield given(np.array([1.0, 1.0]), np.array([1.0, -1.0]), np.array([3.0, 3.0]))
    yield given(np.ones(3), np.array([-5000.0, 0.5, 5000.0]), np.array([1.0, 2.0, 3.0]), note="far out")
    yield given(*rng.normal(size=(3, 2, 3, 4)), note="a batch")


def gate_backward(g, a, b):
    s = 0.5 * (1 + np.tanh(a / 2))
    return g * b * (s + a * s * (1 - s)), g * a * s


def places_inputs(rng):
    for d, later, earlier, note in [
        (16, 3, 0, ""),
        (16, 5, 5, "the same place"),
        (16, 9, 7, "not from 0"),
        (32, 57, 45, "more than one turn of the fastest hand"),
        (64, 1203, 1203 - 700, "far apart"),
        (64, 1000, 0, "the farthest"),
    ]:
        table = SinusoidalPositions(1300, d, "float64").table.values
        yield given(table[later], table[earlier], note=note)


def places_between(later, earlier):
    d = len(later)
    distances = np.arange(1001)
    turn = np.angle((later[1::2] + 1j * later[0::2]) * (earlier[1::2] - 1j * earlier[0::2]))
    hands = np.exp(1j * distances[:, None] / 10000 ** (np.arange(0, d, 2) / d))
    return int(np.argmax((hands * np.exp(-1j * turn)).real.sum(1)))


def halves_inputs(rng):
    yield given(np.array([[1.0, 0.0]]), 0, note="place 0 isn't turned")
    yield given(np.array([[1.0, 0.0], [1.0, 0.0]]), 1, note="one pair, from place 1 on")
    yield given(np.arange(8.0).reshape(2, 4), 0, note="two pairs")
    yield given(rng.normal(size=(2, 3, 5, 8)), 100, note="heads, from place 100 on")


def rotary_halves(x, start):
    time, d = x.shape[-2:]
    angle = (start + np.arange(time))[:, None] / 10000 ** (np.arange(0, d, 2) / d)
    turned = (x[..., : d // 2] + 1j * x[..., d // 2 :]) * np.exp(1j * angle)
    return np.concatenate([turned.real, turned.imag], axis=-1)


EXERCISES = [
    Exercise(
        "07.1",
        "folding a norm's weight and bias into the next matrix",
        hints=(
            "Multiply out: (w ∘ x̂ + b) W + c = (w ∘ x̂) W + b W + c.",
            "w ∘ x̂ is x̂ times a diagonal matrix, and diag(w) W is W with row i multiplied by w_i.",
        ),
        expected=fold,
        inputs=fold_inputs,
    ),
    Exercise(
        "07.2",
        "the gradient of a vector brought to length 1",
        hints=(
            "Go back as in layer norm: y = x r with r = 1/‖x‖, one number for each vector.",
            "r = (Σ x²)^(−1/2), so dr = Σ g x and the derivative of r by x_i is −r³ x_i.",
            "dx = r (g − y Σ g y), the sum over the last axis, with keepdims=True.",
        ),
        expected=unit_backward,
        inputs=unit_inputs,
    ),
    Exercise(
        "07.3",
        "the gradients of SwiGLU's middle",
        hints=(
            "A product: each factor gets g times the other. So db = g silu(a), and silu(a) gets g b.",
            "silu(a) = a σ(a) has the derivative σ(a) + a σ(a) (1 − σ(a)).",
            "σ(a) = ½ (1 + tanh(a/2)) can't overflow, whatever a is.",
        ),
        expected=gate_backward,
        inputs=gate_inputs,
    ),
    Exercise(
        "07.4",
        "the distance between two sinusoidal positions",
        hints=(
            "PE(t + k) = R_k PE(t): try every k from 0 to 1,000, and take the one that fits best.",
            "later · (R_k earlier) is largest at the right k; R_k turns each pair of (sin, cos) by ω_i k.",
            "With cosines = later[0::2] * earlier[0::2] + later[1::2] * earlier[1::2] and sines = later[0::2] * "
            "earlier[1::2] - later[1::2] * earlier[0::2], that product is Σ cosines cos(ω k) + sines sin(ω k).",
        ),
        expected=places_between,
        inputs=places_inputs,
    ),
    Exercise(
        "07.5",
        "rotary positions whose pairs are halves apart",
        hints=(
            "first, second = x[..., : d // 2], x[..., d // 2 :] are the two features of all pairs.",
            "The angles are (start + np.arange(time))[:, None] / 10000 ** (np.arange(0, d, 2) / d), (time, d/2).",
            "np.concatenate([first cos − second sin, first sin + second cos], axis=-1)",
        ),
        expected=rotary_halves,
        inputs=halves_inputs,
    ),
]
