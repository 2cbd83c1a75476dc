"""Exercises of chapter 04: derivatives of ops, and the order of the walk back."""

import numpy as np

from minillm.exercises.exercise import Exercise, given
from minillm.ops import div


def tanh_inputs(rng):
    yield given(np.array(1.0), np.array(0.0), note="at x = 0, where the slope is 1")
    for shape in [(1,), (3,), (2, 3)]:
        yield given(rng.normal(size=shape), np.tanh(rng.normal(size=shape)))


def tanh_backward(g, saved):
    return g * (1 - saved**2)


def divide_inputs(rng):
    yield given(np.array(1.0), np.array(3.0), np.array(2.0))
    for shape in [(3,), (2, 3)]:
        yield given(rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=shape) + 3)


def divide_backward(g, a, b):
    _, saved = div.reference.forward(np, a, b)
    return div.reference.backward(np, g, saved)


def largest_inputs(rng):
    yield given(np.array([2.0]), np.array([[1.0, 3.0]]))
    yield given(np.array([2.0]), np.array([[3.0, 3.0]]), note="two are largest")
    yield given(np.array([2.0, 0.5]), np.array([[-1.0, -3.0], [0.0, 4.0]]), note="negative numbers, two rows")
    yield given(rng.normal(size=4), rng.normal(size=(4, 5)))


def largest_backward(g, x):
    one_hot = np.arange(x.shape[1]) == x.argmax(axis=1)[:, None]
    return np.where(one_hot, g[:, None], 0)


def order_inputs(rng):
    yield given({"x": []}, "x", note="a single name")
    yield given({"a": [], "b": ["a"], "unused": ["b"]}, "b", note="one name isn't needed")
    yield given({"a": [], "b": ["a"], "c": ["a", "b"], "d": ["b", "c"]}, "d", note="a diamond")
    long = {str(i): [str(i - 1), str(i // 2)] if i else [] for i in range(100_000)}
    yield given(long, "99999", note="100,000 steps")


def order_accepts(result, inputs, last):
    """Any order will do in which each name comes after those it is computed from, once, and nothing is left out."""
    if not isinstance(result, list):
        return f"it should return a list of names, not {type(result).__name__}"
    needed, waiting = set(), [last]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += inputs[name]
    if len(result) != len(set(result)):
        return "a name comes twice"
    if set(result) != needed:
        different = sorted(set(result) ^ needed)[0]
        return f"{different!r} {'is missing' if different in needed else 'is there, but isn’t needed'}"
    place = {name: i for i, name in enumerate(result)}
    early = [(name, source) for name in result for source in inputs[name] if place[source] > place[name]]
    return f"{early[0][0]!r} comes before {early[0][1]!r}, which it is computed from" if early else None


EXERCISES = [
    Exercise(
        "04.1",
        "the gradient of tanh",
        hints=(
            "The incoming gradient is multiplied by the local rate, element by element.",
            "The local rate is 1 − tanh² x, and saved is tanh x already: don't apply tanh again.",
        ),
        expected=tanh_backward,
        inputs=tanh_inputs,
    ),
    Exercise(
        "04.2",
        "the gradients of a division",
        hints=(
            "Write a / b as a · b⁻¹ and differentiate each factor.",
            "∂(a/b)/∂a = 1/b, and ∂(a/b)/∂b = −a/b². Return both, times g, as a tuple.",
        ),
        expected=divide_backward,
        inputs=divide_inputs,
    ),
    Exercise(
        "04.3",
        "the gradient of a maximum",
        hints=(
            "Only the largest element moves the result: its rate is 1, that of the others 0.",
            "x.argmax(axis=1) gives the first largest column of each row.",
            "Make an array of zeros like x, and put g at [np.arange(len(x)), x.argmax(axis=1)].",
        ),
        expected=largest_backward,
        inputs=largest_inputs,
    ),
    Exercise(
        "04.4",
        "a topological order without recursion",
        hints=(
            "Keep a list of your own as the stack. A name is met twice: going in, and when all it needs is done.",
            "Push (name, False); when you pop it, push (name, True) and then (source, False) for each of its sources; "
            "when you pop (name, True), append it.",
            "Mark names as seen when you push them with True, or a diamond's foot comes twice.",
        ),
        accepts=order_accepts,
        inputs=order_inputs,
    ),
]
