"""Exercises of chapter 13: LoRA's factors, the sum of two adapters, spans that cover a token, and turns read back."""

import numpy as np

from minillm.exercises.exercise import Exercise, given
from minillm.ops import matmul

ROLES = {"<|system|>": "system", "<|user|>": "user", "<|assistant|>": "assistant"}
MARKS = {"<|system|>": 90, "<|user|>": 91, "<|assistant|>": 92, "<|end|>": 93}


def factor_inputs(rng):
    one = np.ones((1, 1))
    yield given(2 * one, 3 * one, 5 * one, 1.0, note="1 × 1, s = 1")
    yield given(2 * one, 3 * one, 5 * one, 0.5, note="1 × 1, s = ½")
    yield given(rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), rng.normal(size=(3, 3)), 2.0, note="square")
    yield given(rng.normal(size=(3, 4)), rng.normal(size=(2, 4)), np.zeros((3, 2)), 4.0, note="the start, B = 0")
    yield given(rng.normal(size=(5, 4)), rng.normal(size=(2, 4)), rng.normal(size=(5, 2)), 4.0)


def factor_gradients(dW, A, B, s):
    _, saved = matmul.reference.forward(np, B, A)
    dB, dA = matmul.reference.backward(np, s * dW, saved)
    return dA, dB


def adapter(rng, d_out, rank, d_in, s):
    return rng.normal(size=(rank, d_in)), rng.normal(size=(d_out, rank)), s


def adapter_inputs(rng):
    yield given(*[(np.array([[x]]), np.array([[y]]), 1.0) for x, y in [(2.0, 3.0), (5.0, 7.0)]], note="1 × 1, s = 1")
    yield given(adapter(rng, 3, 1, 2, 1.0), adapter(rng, 3, 1, 2, 1.0), note="one rank, s = 1")
    yield given(adapter(rng, 5, 2, 4, 2.0), adapter(rng, 5, 2, 4, 0.5), note="one rank, two values of s")
    yield given(adapter(rng, 5, 2, 4, 2.0), adapter(rng, 5, 1, 4, -0.5), note="two ranks; the second is subtracted")


def adapters_accept(result, first, second):
    """Any pair will do whose product is the sum, of rank r₁ + r₂ at most."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        return "it should return a pair, A and B"
    A, B = (np.asarray(part, float) for part in result)
    (A1, B1, s1), (A2, B2, s2) = first, second
    most = len(A1) + len(A2)
    if A.ndim != 2 or B.ndim != 2 or A.shape[1] != A1.shape[1] or B.shape != (len(B1), len(A)):
        return (
            f"expected shapes (r, {A1.shape[1]}) and ({len(B1)}, r) with one r, got A of shape {A.shape} "
            f"and B of shape {B.shape}"
        )
    if len(A) > most:
        return f"expected a rank of at most {most}, got {len(A)}"
    wanted = s1 * B1 @ A1 + s2 * B2 @ A2
    error = np.abs(B @ A - wanted).max()
    return (
        None if error < 1e-8 * max(1, np.abs(wanted).max()) else f"expected B A to be the sum, it is off by {error:.3g}"
    )


def covered_inputs(rng):
    yield given(np.zeros(1), np.zeros(1), note="one token")
    yield given(np.zeros(2), np.zeros(2), note="three equally likely spans")
    yield given(np.array([0.0, 5.0]), np.array([5.0, 0.0]), note="the likeliest start is after the likeliest end")
    yield given(rng.normal(size=5), rng.normal(size=5))
    yield given(
        np.array([-1e9, -1e9, 1.0, 0.5]), np.array([-1e9, -1e9, 0.0, 2.0]), note="no answer can be in the first two"
    )
    yield given(1000 * rng.normal(size=6), 1000 * rng.normal(size=6), note="large scores")


def covered(start, end):
    time = len(start)
    spans = [(s, e) for s in range(time) for e in range(s, time)]
    scores = np.array([start[s] + end[e] for s, e in spans])
    chances = np.exp(scores - scores.max())
    chances /= chances.sum()
    return np.array([sum(p for p, (s, e) in zip(chances, spans, strict=True) if s <= t <= e) for t in range(time)])


def turn_inputs(rng):
    yield given([], MARKS, note="nothing said")
    yield given([91, 5, 6, 93], MARKS, note="one turn")
    yield given([91, 93], MARKS, note="an empty turn")
    yield given([90, 7, 93, 91, 5, 93, 92, 6, 6, 93], MARKS, note="three turns")
    yield given([91, 5, 6], MARKS, note="the end is missing")
    yield given([91, 5, 93, 6], MARKS, note="a token after the end")
    yield given([5, 91, 5, 93], MARKS, note="a token before the first mark")
    yield given([91, 5, 92, 6, 93], MARKS, note="a mark inside a turn")
    yield given([93], MARKS, note="an end of nothing")


def turns_of(ids, marks):
    roles = {marks[name]: role for name, role in ROLES.items()}
    turns, said, role = [], [], None
    for i in ids:
        if (i in roles) != (role is None):
            return None
        if i in roles:
            role, said = roles[i], []
        elif i == marks["<|end|>"]:
            turns.append((role, said))
            role = None
        else:
            said.append(i)
    return turns if role is None else None


EXERCISES = [
    Exercise(
        "13.1",
        "the gradients of LoRA's factors",
        hints=(
            "W + s B A depends on A and B through the product B A only, whose gradient is s dW.",
            "For C = B A chapter 04 has dB = dC Aᵀ and dA = Bᵀ dC. Return A's first.",
        ),
        expected=factor_gradients,
        inputs=factor_inputs,
    ),
    Exercise(
        "13.2",
        "the sum of two adapters",
        hints=(
            "A sum of products is one product of matrices set side by side: [B₁ B₂] times A₁ over A₂.",
            "np.concatenate the A's along axis 0 and the B's along axis 1; each s goes into its own factor.",
        ),
        accepts=adapters_accept,
        inputs=adapter_inputs,
    ),
    Exercise(
        "13.3",
        "the probability that a token is in the answer",
        hints=(
            "All scores start_s + end_e are a matrix; those with s > e get −∞. Softmax runs over the whole of it.",
            "Take its largest valid element off before exp. np.triu keeps s ≤ e, diagonal included.",
            "Token t is covered by the spans with s ≤ t and e ≥ t: the block P[: t + 1, t:].",
        ),
        expected=covered,
        inputs=covered_inputs,
    ),
    Exercise(
        "13.4",
        "reading turns back from ids",
        hints=(
            "Walk through the ids with one thing in mind: the role that is speaking, or None between turns.",
            "Between turns only a role's mark may come; within one, anything but a role's mark; <|end|> closes it.",
            "At the end of the ids nobody may be speaking. No ids at all are a conversation without turns, [].",
        ),
        expected=turns_of,
        inputs=turn_inputs,
    ),
]
