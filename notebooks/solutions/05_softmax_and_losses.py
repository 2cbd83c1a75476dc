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
# # Solutions of chapter 05, softmax and the losses
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **05.1** The largest of each row is taken off and added again. A row of $-\infty$ alone gets 0 for its $m$, or $-\infty - (-\infty)$
# would be not a number; then the sum is 0, and its logarithm $-\infty$ is what we want, so NumPy needn't warn of it.


# %% tags=["solution-05.1"]
def log_sum_exp(x):
    m = x.max(axis=-1, keepdims=True)
    m = np.where(np.isfinite(m), m, 0)
    with np.errstate(divide="ignore"):
        return m[:, 0] + np.log(np.exp(x - m).sum(axis=-1))


# %%
assert check("05.1", log_sum_exp)

# %% [markdown]
# **05.2** Equal scores have equal probabilities at every temperature, so the limit shares the 1 among the largest. Powers of
# `softmax(x)` would be right on paper, but probabilities that became 0 stay 0 however hot it gets.


# %% tags=["solution-05.2"]
def tempered_softmax(x, T):
    below = x - x.max(axis=-1, keepdims=True)
    e = np.exp(below / T) if T else (below == 0) * 1.0
    return e / e.sum(axis=-1, keepdims=True)


# %%
assert check("05.2", tempered_softmax)

# %% [markdown]
# **05.3** Nats add up; means and perplexities don't. A mean times its count is a sum again.


# %% tags=["solution-05.3"]
def perplexity_of_parts(losses, counts):
    counted = counts > 0  # nan · 0 would be nan
    return np.exp((losses * counts)[counted].sum() / counts.sum())


# %%
assert check("05.3", perplexity_of_parts)

# %% [markdown]
# **05.4** Where the target is $-100$, class 0 is looked up in its place and the result thrown away. The logarithm is never
# taken of a probability, so scores far apart do no harm.


# %% tags=["solution-05.4"]
def sentence_losses(logits, targets):
    counted = targets != -100
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1))
    of_target = np.take_along_axis(shifted, np.where(counted, targets, 0)[..., None], -1)[..., 0]
    nats = np.where(counted, log_sum - of_target, 0)
    return nats.sum(axis=1) / np.maximum(counted.sum(axis=1), 1)


# %%
assert check("05.4", sentence_losses)

# %% [markdown]
# **05.5** $y'$ sums to $(1 - \varepsilon) + V \varepsilon / V = 1$, so the gradient is $p - y'$ as before, divided by the number of tokens.


# %% tags=["solution-05.5"]
def smoothed_gradient(logits, targets, epsilon):
    tokens, classes = logits.shape
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    y = np.full_like(logits, epsilon / classes)
    y[np.arange(tokens), targets] += 1 - epsilon
    return (p - y) / tokens


# %%
assert check("05.5", smoothed_gradient)
