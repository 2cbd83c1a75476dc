"""Exercises of chapter 12: penalties, min-p, sampling by an argmax, half characters, and the likeliest text of all."""

import codecs

import numpy as np

from minillm.exercises.exercise import Exercise, given
from minillm.ops import softmax


def discourage_inputs(rng):
    yield given(np.array([2.0]), [], 2.0, note="nothing was said yet")
    yield given(np.array([2.0, 1.0]), [0], 2.0)
    yield given(np.array([-2.0, 1.0]), [0], 2.0, note="a logit below 0")
    yield given(np.array([3.0, -1.0, 0.5]), [0, 1, 0, 0], 1.5, note="a token said three times")
    yield given(rng.normal(size=9), [3, 8, 3, 1], 1.3)


def discourage(logits, said, penalty):
    result = logits.copy()
    places = sorted(set(said))
    result[places] = np.where(logits[places] > 0, logits[places] / penalty, logits[places] * penalty)
    return result


def min_p_inputs(rng):
    yield given(np.array([0.0]), 1.0, 0.5, note="one token")
    yield given(np.array([3.0, 0.0]), 1.0, 0.1, note="the second is below the bar")
    yield given(np.array([3.0, 0.0]), 2.0, 0.1, note="at T = 2 it is above the bar")
    yield given(np.array([1.0, 1.0, 0.0]), 1.0, 1.0, note="share = 1, two are likeliest")
    yield given(np.zeros(50), 0.7, 0.9, note="fifty tokens alike: each has less than share")
    for temperature in (0.5, 1.0, 3.0):
        yield given(rng.normal(size=60) * 3, temperature, 0.05)


def min_p(logits, temperature, share):
    scaled = np.where(logits >= logits.max() + temperature * np.log(share), logits / temperature, -np.inf)
    return softmax.reference.forward(np, scaled)[0]


def noisy_inputs(rng):
    yield given(np.array([0.0, 1.0]), 1.0, np.array([[0.5, 0.5]]), note="the same noise for both")
    yield given(np.array([0.0, 1.0]), 1.0, np.array([[0.9, 0.5], [0.2, 0.8]]), note="two draws")
    yield given(rng.normal(size=5), 1.0, rng.uniform(size=(200, 5)), note="200 draws")
    yield given(rng.normal(size=5) * 2, 0.3, rng.uniform(size=(200, 5)), note="T = 0.3")
    yield given(rng.normal(size=5) * 2, 4.0, rng.uniform(size=(200, 5)), note="T = 4")


def noisy_argmax(logits, temperature, u):
    return (logits / temperature - np.log(-np.log(u))).argmax(axis=1)


def whole_inputs(rng):
    yield given(b"", note="nothing yet")
    yield given(b"a")
    for text in ("é", "猫", "𝄞", "a猫", "猫a", "猫狗", "é猫𝄞"):
        data = text.encode()
        for stop in range(1, len(data) + 1):
            yield given(data[:stop], note=f"{stop} of the {len(data)} bytes of {text}")


def whole_bytes(data):
    decoder = codecs.getincrementaldecoder("utf-8")()
    return len(decoder.decode(data).encode())


def likeliest_inputs(rng):
    first = np.array([[0.6, 0.4], [0.5, 0.5], [1.0, 0.0]])
    bait = np.log(np.maximum(first, 1e-300))
    yield given(bait[0], bait[1:], 1, note="one token")
    yield given(bait[0], bait[1:], 2, note="the likelier first token leads nowhere")
    for size, n, note in [(3, 4, ""), (5, 8, ""), (3, 300, "3³⁰⁰ texts")]:
        for _ in range(3):
            p = rng.dirichlet(np.full(size, 0.4), size=size + 1)
            log_p = np.log(np.maximum(p, 1e-300))
            yield given(log_p[0], log_p[1:], n, note=note)


def likeliest_accepts(result, first, following, n):
    """Any text of n tokens will do that is as likely as the likeliest."""
    tokens = np.asarray(result)
    if tokens.shape != (n,) or tokens.dtype.kind not in "iu" or not ((tokens >= 0) & (tokens < len(first))).all():
        return f"it should return {n} tokens, whole numbers from 0 to {len(first) - 1}; it returned {result!r}"
    best = first
    for _ in range(n - 1):
        best = (best[:, None] + following).max(axis=0)
    score = first[tokens[0]] + following[tokens[:-1], tokens[1:]].sum()
    if score < best.max() - 1e-9 * abs(best.max()) - 1e-9:
        return f"expected a text with log P = {best.max():.6f}, got one with {score:.6f}"
    return None


EXERCISES = [
    Exercise(
        "12.1",
        "a penalty for what was said",
        hints=(
            "Work on logits.copy(), or the caller's logits change.",
            "To make a positive logit smaller, divide it. What does a division do to one below 0?",
            "set(said) has each token once.",
        ),
        expected=discourage,
        inputs=discourage_inputs,
    ),
    Exercise(
        "12.2",
        "min-p",
        hints=(
            "First p = softmax(logits / T). The bar is share times the largest of these.",
            "np.where(p >= bar, p, 0), divided by its own sum.",
        ),
        expected=min_p,
        inputs=min_p_inputs,
    ),
    Exercise(
        "12.3",
        "drawing by an argmax",
        hints=(
            "The noise is −ln(−ln u), of the same shape as u: (draws, vocab_size).",
            "The temperature divides the logits and leaves the noise as it is.",
            "Then .argmax(axis=1).",
        ),
        expected=noisy_argmax,
        inputs=noisy_inputs,
    ),
    Exercise(
        "12.4",
        "bytes that are whole characters",
        hints=(
            "Only the last character can be incomplete, and it has at most 4 bytes. Look for where it begins.",
            "Bytes 10xxxxxx (128 to 191) continue a character; all others begin one.",
            "A first byte below 128 begins a character of 1 byte, from 240 on of 4, from 224 on of 3, else of 2.",
        ),
        expected=whole_bytes,
        inputs=whole_inputs,
    ),
    Exercise(
        "12.5",
        "the likeliest text of all",
        hints=(
            "best[j] = log P of the likeliest text so far that ends with token j. How does it grow by one token?",
            "best[:, None] + following has a row for each last token and a column for each next one; "
            "take the maximum of each column, and keep the argmax: where it came from.",
            "At the end start from best.argmax(), follow what you kept back to the beginning, and turn it round.",
        ),
        accepts=likeliest_accepts,
        inputs=likeliest_inputs,
    ),
]
