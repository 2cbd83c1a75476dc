"""Exercises of chapter 17: find the fault in what an article claims."""

import numpy as np

from minillm import nn
from minillm.exercises.exercise import Exercise, given
from minillm.metrics import f1_score
from minillm.ops import softmax


def mean_inputs(rng):
    yield given(0.8, 0.5, 0.6154)
    yield given(0.8, 0.5, 0.65, note="the arithmetic mean")
    yield given(0.8, 0.5, 0.6325, note="the geometric mean")
    yield given(0.6, 0.6, 0.6, note="all three are equal")
    yield given(0.0, 0.0, 0.0, note="nothing was found")
    yield given(1.0, 0.0, 0.0, note="recall is 0, so the geometric mean is 0, too")
    yield given(1.0, 0.0, 0.5, note="recall is 0")
    yield given(0.9, 0.3, 0.3, note="the smaller of the two")
    yield given(0.62, 0.6, 0.6099, note="means that are close")
    yield given(0.62, 0.6, 0.61, note="means that are close")
    for _ in range(6):
        precision, recall = rng.uniform(0.1, 1, size=2).round(3)
        arithmetic, geometric = (precision + recall) / 2, np.sqrt(precision * recall)
        for value in (f1_score(precision, recall), geometric, arithmetic, (2 * precision + recall) / 3):
            yield given(float(precision), float(recall), round(float(value), 4))


def which_mean(precision, recall, claimed):
    means = {
        "harmonic": f1_score(precision, recall),
        "geometric": np.sqrt(precision * recall),
        "arithmetic": (precision + recall) / 2,
    }
    return next((name for name, value in means.items() if abs(value - claimed) <= 0.5e-4 + 1e-9), "none")


def softmax_inputs(rng):
    yield given([1.0], 1)
    yield given([0.5], 1, note="one number alone")
    yield given([0.4, 0.6], 1)
    yield given([0.3, 0.3, 0.3], 1, note="three thirds, rounded")
    yield given([0.33, 0.33, 0.33], 2, note="three thirds, rounded")
    yield given([0.3, 0.3, 0.3], 3, note="three digits were printed")
    yield given([0.0, 1.0, 0.0], 2, note="very sure")
    yield given([1.2, -0.2], 1, note="the sum is 1")
    yield given([1.02, 0.0], 2, note="above 1")
    yield given([0.0] * 5, 1, note="five zeros")
    yield given([0.0] * 20, 1, note="twenty zeros")
    yield given([1.0, 0.0, 0.1], 1, note="there is no share below 0 to make up for the 0.1")
    yield given([1.0, 0.1, 0.1, 0.0, 0.0], 1, note="the zeros can't make up for the rest")
    yield given([1.0, 0.1], 1, note="0.95 and 0.05, just so")
    yield given([0.9, 0.15], 2)
    for _ in range(6):
        shares = np.asarray(softmax(rng.normal(size=6)).numpy()).round(2)
        yield given([float(x) for x in shares], 2)
        shares[0] += 0.04
        yield given([round(float(x), 2) for x in shares], 2)


def may_be_softmax(printed, digits):
    half, values = 0.5 * 10.0**-digits, np.asarray(printed)
    if (values < 0).any() or (values > 1).any():
        return False
    lowest, highest = np.maximum(values - half, 0), np.minimum(values + half, 1)
    return bool(lowest.sum() <= 1 + 1e-9 and highest.sum() >= 1 - 1e-9)


def odd_inputs(rng):
    yield given(0.0, 0.0, 1.0, note="a perfect model")
    yield given(0.693, 1.0, 2.0)
    yield given(1.0, 1.0, 2.718, note="nats taken for bits")
    yield given(0.693, 1.0, 2.718)
    yield given(1.0, 1.443, 2.0)
    yield given(1.0, 2.0, 3.0, note="all three differ")
    yield given(-3.178, -4.585, 0.0417, note="they agree with each other, but can't be")
    yield given(3.178, 4.585, 0.0417, note="a perplexity below 1")
    yield given(-3.178, 4.585, 24.0, note="a loss below 0")
    yield given(-3.178, -4.585, 24.0, note="two can't be")
    yield given(2.0, 2.0 / np.log(2), 0.0, note="a perplexity of 0")
    yield given(1.0, 1.008 / np.log(2), np.exp(1.016), note="nats agrees with bits, and bits with the perplexity")
    yield given(1.0, np.exp(1.0) / np.log(2), np.exp(1.0))
    for _ in range(4):
        nats = float(rng.uniform(0.5, 6))
        yield given(nats, nats / np.log(2), float(np.exp(nats)))
        yield given(nats, nats / np.log(2), float(2**nats), note="a perplexity of 2 to the nats")


def odd_one_out(nats, bits, perplexity):
    losses = {"nats": nats, "bits": bits * np.log(2), "perplexity": np.log(perplexity) if perplexity >= 1 else -1.0}

    def agree(a, b):
        return min(losses[a], losses[b]) >= 0 and abs(losses[a] - losses[b]) <= 0.01

    others = {name: [other for other in losses if other != name] for name in losses}
    pairs = {name: agree(*others[name]) for name in losses}
    if all(pairs.values()):
        return "none"
    odd = [name for name in losses if pairs[name] and not any(agree(name, other) for other in others[name])]
    return odd[0] if odd else "unclear"


def counts(d_model, d_ff, n_encoder, n_decoder):
    """All parameters, and those of each part that can be left out, counted in the library's own layers."""
    attention = nn.MultiHeadAttention(d_model, 1)
    network = nn.FeedForward(d_model, d_ff)
    norm = nn.LayerNorm(d_model).num_parameters()
    encoder = nn.EncoderLayer(attention, network, lambda: nn.LayerNorm(d_model)).num_parameters()
    decoder = encoder + attention.num_parameters() + norm
    of_attention, of_network = 4 * d_model, d_ff + d_model
    return n_encoder * encoder + n_decoder * decoder, {
        "nothing": 0,
        "biases": n_encoder * (of_attention + of_network) + n_decoder * (2 * of_attention + of_network),
        "norms": (2 * n_encoder + 3 * n_decoder) * norm,
        "cross-attention": n_decoder * (attention.num_parameters() + norm),
    }


def parameter_inputs(rng):
    for d_model, d_ff, n_encoder, n_decoder in [(2, 3, 1, 1), (8, 32, 1, 2), (16, 24, 3, 1), (64, 256, 20, 2)]:
        whole, parts = counts(d_model, d_ff, n_encoder, n_decoder)
        for part in parts.values():
            yield given(d_model, d_ff, n_encoder, n_decoder, whole - part)
        yield given(d_model, d_ff, n_encoder, n_decoder, whole - 1, note="one is missing")
        yield given(d_model, d_ff, n_encoder, n_decoder, whole + parts["norms"], note="too many")
    whole, _ = counts(4, 8, 2, 0)
    yield given(4, 8, 2, 0, whole, note="an encoder alone")


def left_out(d_model, d_ff, n_encoder, n_decoder, claimed):
    whole, parts = counts(d_model, d_ff, n_encoder, n_decoder)
    return next((name for name, part in parts.items() if whole - part == claimed), "something else")


def shares_of(scale, query, keys):
    return [float(x) for x in softmax(np.array(keys, float) * query * scale).numpy()]


def scale_inputs(rng):
    yield given(shares_of(1.0, 2, [0, 1]), 2, [0, 1])
    yield given(shares_of(1 / 8, 3, [3, 4, 5]), 3, [3, 4, 5], note="the document's")
    yield given([0.5, 0.2, 0.3], 3, [3, 4, 5], note="the document's numbers")
    yield given(shares_of(-0.5, 3, [3, 4, 5]), 3, [3, 4, 5], note="the order is turned round")
    yield given([0.25, 0.75], 3, [4, 4], note="equal keys, different shares")
    yield given([0.5, 0.5], 3, [4, 4], note="equal keys, equal shares")
    yield given([0.5, 0.5], 3, [4, 5], note="different keys, equal shares")
    yield given([0.2, 0.8], 0, [4, 5], note="the query is 0")
    yield given([0.5, 0.5], 0, [4, 5], note="the query is 0")
    yield given(shares_of(0.3, 2, [1, 1, 4]), 2, [1, 1, 4], note="two keys are equal")
    yield given(shares_of(0.3, -2, [1, 3, 4]), -2, [1, 3, 4], note="a query below 0")
    yield given([0.4, 0.4, 0.4], 1, [2, 2, 2], note="they don't sum to 1")
    doubled = [2 * x for x in shares_of(0.3, 2, [1, 2, 4])]
    yield given(doubled, 2, [1, 2, 4], note="they don't sum to 1")
    yield given([0.0, 0.5, 0.5], 1, [1, 2, 3], note="a share of 0")
    yield given([1.0], 3, [7], note="one key")
    for _ in range(3):
        keys = [float(x) for x in rng.normal(size=5)]
        yield given(shares_of(0.7, 1.5, keys), 1.5, keys)


def scale_of(shares, query, keys):
    shares, products = np.asarray(shares, float), query * np.asarray(keys, float)
    if (shares <= 0).any():
        return None
    low, high = products.argmin(), products.argmax()
    spread = products[high] - products[low]
    scale = np.log(shares[high] / shares[low]) / spread if spread else 1.0
    fits = scale > 0 and np.abs(softmax(scale * products).numpy() - shares).max() <= 1e-6
    return float(scale) if fits else None


EXERCISES = [
    Exercise(
        "17.1",
        "which mean an F1 was",
        hints=(
            "Compute all three means, and compare each with the claim; the order decides if several agree.",
            "2PR / (P + R) divides by 0 if both are 0. The mean is 0 there.",
            "abs(mean - claimed) <= 0.00005 + 1e-9 is “agrees, rounded to 4 digits”.",
        ),
        expected=which_mean,
        inputs=mean_inputs,
    ),
    Exercise(
        "17.2",
        "whether printed shares may be a softmax",
        hints=(
            "A printed number stands for an interval: half a unit of the last digit to either side.",
            "The true shares can sum to 1 if the lowest ends sum to 1 or less, and the highest ends to 1 or more.",
            "Cut the intervals at 0 and 1 first, and allow 1e-9 for the floats. Numbers outside [0, 1] are no shares.",
        ),
        expected=may_be_softmax,
        inputs=softmax_inputs,
    ),
    Exercise(
        "17.3",
        "the odd one of three losses",
        hints=(
            "Turn all three into nats: bits · ln 2, ln perplexity.",
            "Write agree(a, b): both are possible, and they differ by at most 0.01. Then look at the three pairs.",
            "One pair agrees and the other two don't: the third number is odd. Two pairs of three agree: unclear.",
        ),
        expected=odd_one_out,
        inputs=odd_inputs,
    ),
    Exercise(
        "17.4",
        "what a count of parameters left out",
        hints=(
            "Count everything, then each part; compare everything minus the part with the claim.",
            "Biases: 4 d for an attention, d_ff + d for a network. An encoder layer has 1 attention and 2 norms, a "
            "decoder layer 2 and 3.",
            "A cross-attention that is left out takes 4 d² + 4 d and its norm, 2 d, with it. Compare exactly.",
        ),
        expected=left_out,
        inputs=parameter_inputs,
    ),
    Exercise(
        "17.5",
        "the scale of a softmax from its shares",
        hints=(
            "Logarithms of shares differ as the scores do: ln p_i − ln p_j = s · query · (key_i − key_j).",
            "Two different scores give s. Take the largest and the smallest; then compute the softmax and compare.",
            "A share of 0 has no finite score. If all scores are equal, softmax is uniform whatever s is: 1.0 or None.",
        ),
        expected=scale_of,
        inputs=scale_inputs,
    ),
]
