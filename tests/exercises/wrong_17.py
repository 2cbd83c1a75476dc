"""Wrong answers to chapter 17's exercises, as people give them. Each must be refused."""

import numpy as np


def mean_without_a_zero_case(precision, recall, claimed):
    means = {"harmonic": 2 * precision * recall / (precision + recall), "geometric": np.sqrt(precision * recall)}
    means["arithmetic"] = (precision + recall) / 2
    return next((name for name, value in means.items() if abs(value - claimed) <= 0.00005 + 1e-9), "none")


def mean_compared_exactly(precision, recall, claimed):
    harmonic = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    means = {"harmonic": harmonic, "geometric": np.sqrt(precision * recall), "arithmetic": (precision + recall) / 2}
    return next((name for name, value in means.items() if value == claimed), "none")


def mean_that_is_nearest(precision, recall, claimed):
    harmonic = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    means = {"harmonic": harmonic, "geometric": np.sqrt(precision * recall), "arithmetic": (precision + recall) / 2}
    return min(means, key=lambda name: abs(means[name] - claimed))


def softmax_if_the_sum_is_1(printed, digits):
    return bool(abs(sum(printed) - 1) < 1e-9)


def softmax_with_one_rounding(printed, digits):
    return bool(abs(sum(printed) - 1) <= 0.5 * 10**-digits)


def softmax_without_cutting_at_0(printed, digits):
    values = np.array(printed)
    near = abs(values.sum() - 1) <= len(values) * 0.5 * 10**-digits + 1e-9
    return bool(near and (values >= 0).all() and (values <= 1).all())


def softmax_without_the_range(printed, digits):
    half, values = 0.5 * 10.0**-digits, np.array(printed)
    return bool((values - half).sum() <= 1 + 1e-9 and (values + half).sum() >= 1 - 1e-9)


def odd_with_the_wrong_logarithm(nats, bits, perplexity):
    losses = {"nats": nats, "bits": bits / np.log(2), "perplexity": np.log(perplexity) if perplexity >= 1 else -1.0}
    return odd_by_median(losses)


def odd_without_the_range(nats, bits, perplexity):
    with np.errstate(divide="ignore"):
        return odd_by_median({"nats": nats, "bits": bits * np.log(2), "perplexity": np.log(perplexity)})


def odd_is_the_farthest(nats, bits, perplexity):
    losses = {"nats": nats, "bits": bits * np.log(2), "perplexity": np.log(max(perplexity, 1e-9))}
    middle = np.median(list(losses.values()))
    far = max(losses, key=lambda name: abs(losses[name] - middle))
    return far if abs(losses[far] - middle) > 0.01 else "none"


def odd_by_median(losses):
    middle = np.median(list(losses.values()))
    far = [name for name, value in losses.items() if abs(value - middle) > 0.01]
    return {0: "none", 1: far[0] if far else ""}.get(len(far), "unclear")


def counted(d, f, n_encoder, n_decoder, norms_of_decoder=3, network_bias=None):
    bias = f + d if network_bias is None else network_bias
    att, network, norm = 4 * d * d + 4 * d, 2 * d * f + bias, 2 * d
    whole = n_encoder * (att + network + 2 * norm) + n_decoder * (2 * att + network + norms_of_decoder * norm)
    return whole, {
        "nothing": 0,
        "biases": n_encoder * (4 * d + bias) + n_decoder * (8 * d + bias),
        "norms": (2 * n_encoder + norms_of_decoder * n_decoder) * norm,
        "cross-attention": n_decoder * (att + norm),
    }


def first_that_fits(whole, parts, claimed):
    return next((name for name, part in parts.items() if whole - part == claimed), "something else")


def left_out_with_two_norms_in_the_decoder(d_model, d_ff, n_encoder, n_decoder, claimed):
    return first_that_fits(*counted(d_model, d_ff, n_encoder, n_decoder, norms_of_decoder=2), claimed)


def left_out_without_the_networks_biases(d_model, d_ff, n_encoder, n_decoder, claimed):
    return first_that_fits(*counted(d_model, d_ff, n_encoder, n_decoder, network_bias=0), claimed)


def left_out_that_is_nearest(d_model, d_ff, n_encoder, n_decoder, claimed):
    whole, parts = counted(d_model, d_ff, n_encoder, n_decoder)
    return min(parts, key=lambda name: abs(whole - parts[name] - claimed))


def left_out_cross_attention_with_its_norm_kept(d_model, d_ff, n_encoder, n_decoder, claimed):
    whole, parts = counted(d_model, d_ff, n_encoder, n_decoder)
    parts["cross-attention"] -= n_decoder * 2 * d_model
    return first_that_fits(whole, parts, claimed)


def scale_from_the_first_two(shares, query, keys):
    score = query * (keys[1] - keys[0]) if len(keys) > 1 else 0
    return float(np.log(shares[1] / shares[0]) / score) if score else 1.0


def scale_without_checking(shares, query, keys):
    scores = query * np.array(keys, float)
    high, low = scores.argmax(), scores.argmin()
    if scores[high] == scores[low] or min(shares) <= 0:
        return 1.0
    scale = np.log(shares[high] / shares[low]) / (scores[high] - scores[low])
    return float(scale) if scale > 0 else None


def scale_of_any_sign(shares, query, keys):
    scores = query * np.array(keys, float)
    high, low = scores.argmax(), scores.argmin()
    if min(shares) <= 0:
        return None
    spread = scores[high] - scores[low]
    scale = np.log(shares[high] / shares[low]) / spread if spread else 1.0
    e = np.exp(scale * scores)
    return float(scale) if np.abs(e / e.sum() - shares).max() <= 1e-6 else None


WRONG = {
    "17.1": [mean_without_a_zero_case, mean_compared_exactly, mean_that_is_nearest],
    "17.2": [
        softmax_if_the_sum_is_1,
        softmax_with_one_rounding,
        softmax_without_cutting_at_0,
        softmax_without_the_range,
    ],
    "17.3": [odd_with_the_wrong_logarithm, odd_without_the_range, odd_is_the_farthest],
    "17.4": [
        left_out_with_two_norms_in_the_decoder,
        left_out_without_the_networks_biases,
        left_out_that_is_nearest,
        left_out_cross_attention_with_its_norm_kept,
    ],
    "17.5": [scale_from_the_first_two, scale_without_checking, scale_of_any_sign],
}
