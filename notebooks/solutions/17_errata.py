# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions of chapter 17, what the article got wrong
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **17.1** Three means, compared in the order asked for. The harmonic one is written so that it doesn't divide by 0.


# %% tags=["solution-17.1"]
def which_mean(precision, recall, claimed):
    total = precision + recall
    means = {
        "harmonic": 2 * precision * recall / total if total else 0.0,
        "geometric": (precision * recall) ** 0.5,
        "arithmetic": total / 2,
    }
    for name, value in means.items():
        if abs(value - claimed) <= 0.00005 + 1e-9:  # claimed has 4 digits
            return name
    return "none"


# %%
assert check("17.1", which_mean)

# %% [markdown]
# **17.2** Each printed number stands for an interval, cut at 0 and 1. Numbers in the intervals can have any sum between that of the lowest ends and that of the highest.


# %% tags=["solution-17.2"]
def may_be_softmax(printed, digits):
    values, half = np.array(printed), 0.5 * 10.0**-digits
    if values.min() < 0 or values.max() > 1:
        return False
    lowest = np.clip(values - half, 0, 1).sum()
    highest = np.clip(values + half, 0, 1).sum()
    return bool(lowest <= 1 + 1e-9 and highest >= 1 - 1e-9)


# %%
assert check("17.2", may_be_softmax)

# %% [markdown]
# **17.3** All in nats, then the three pairs. With one pair alone agreeing, the third number is odd; with two of three pairs agreeing nobody can tell.


# %% tags=["solution-17.3"]
def odd_one_out(nats, bits, perplexity):
    losses = {"nats": nats, "bits": bits * np.log(2), "perplexity": np.log(perplexity) if perplexity >= 1 else -1}

    def agree(a, b):
        return losses[a] >= 0 and losses[b] >= 0 and abs(losses[a] - losses[b]) <= 0.01

    pair_without = {
        "nats": agree("bits", "perplexity"),
        "bits": agree("nats", "perplexity"),
        "perplexity": agree("nats", "bits"),
    }
    agreeing = [name for name, agrees in pair_without.items() if agrees]
    if len(agreeing) == 3:
        return "none"
    return agreeing[0] if len(agreeing) == 1 else "unclear"


# %%
assert check("17.3", odd_one_out)

# %% [markdown]
# **17.4** Everything, and what each part has; then the part that is missing from the claim, exactly.


# %% tags=["solution-17.4"]
def left_out(d_model, d_ff, n_encoder, n_decoder, claimed):
    attentions, layers = n_encoder + 2 * n_decoder, n_encoder + n_decoder
    norms = 2 * n_encoder + 3 * n_decoder
    matrices = attentions * 4 * d_model**2 + layers * 2 * d_model * d_ff
    biases = attentions * 4 * d_model + layers * (d_ff + d_model)
    parts = {
        "nothing": 0,
        "biases": biases,
        "norms": norms * 2 * d_model,
        "cross-attention": n_decoder * (4 * d_model**2 + 4 * d_model + 2 * d_model),
    }
    for name, missing in parts.items():
        if matrices + biases + norms * 2 * d_model - missing == claimed:
            return name
    return "something else"


# %%
assert check("17.4", left_out)

# %% [markdown]
# **17.5** $\ln p_i - \ln p_j = s \cdot q \cdot (k_i - k_j)$. The two scores that lie furthest apart give $s$; whether the others fit, only the softmax can tell.


# %% tags=["solution-17.5"]
def scale_of(shares, query, keys):
    shares, scores = np.array(shares, float), query * np.array(keys, float)
    if shares.min() <= 0:
        return None  # a softmax has no zeros
    high, low = scores.argmax(), scores.argmin()
    spread = scores[high] - scores[low]
    scale = (np.log(shares[high]) - np.log(shares[low])) / spread if spread else 1.0
    e = np.exp(scale * (scores - scores.max()))
    fits = scale > 0 and np.abs(e / e.sum() - shares).max() <= 1e-6
    return float(scale) if fits else None


# %%
assert check("17.5", scale_of)
