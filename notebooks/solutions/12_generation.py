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
# # Solutions of chapter 12, generation
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **12.1** A division by more than 1 brings a number nearer to 0: lower if it is positive, but *higher* if it is negative. So negative
# logits are multiplied. Each token counts once, however often it was said.


# %% tags=["solution-12.1"]
def discourage(logits, said, penalty):
    result = logits.copy()
    for token in set(said):
        result[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
    return result


# %%
assert check("12.1", discourage)

# %% [markdown]
# **12.2** The bar moves with the likeliest token, so that token always passes. In logits it reads $z_i \ge z_{max} + T \ln m$: the
# hotter, the lower.


# %% tags=["solution-12.2"]
def min_p(logits, temperature, share):
    e = np.exp((logits - logits.max()) / temperature)  # the likeliest has 1
    kept = np.where(e >= share, e, 0)
    return kept / kept.sum()


# %%
assert check("12.2", min_p)

# %% [markdown]
# **12.3** The noise $g = -\ln(-\ln u)$ lies below $x$ with probability $\exp(-e^{-x})$, a Gumbel distribution. The largest of all
# $s_i + g_i$ is the $i$-th with probability $e^{s_i}/\sum_j e^{s_j}$: integrate over $g_i$ that all others lie lower. With
# $s = z/T$ these are the shares of the softmax, and nobody had to compute it.


# %% tags=["solution-12.3"]
def noisy_argmax(logits, temperature, u):
    return (logits / temperature - np.log(-np.log(u))).argmax(axis=1)


# %%
assert check("12.3", noisy_argmax)

# %% [markdown]
# **12.4** From the end, step back over bytes that continue a character to the one that begins it. That byte says how many there
# should be.


# %% tags=["solution-12.4"]
def whole_bytes(data):
    start = len(data) - 1
    while start > 0 and 128 <= data[start] < 192:
        start -= 1
    if start < 0:
        return 0
    first = data[start]
    size = 1 if first < 128 else 4 if first >= 240 else 3 if first >= 224 else 2
    return len(data) if len(data) - start >= size else start


# %%
assert check("12.4", whole_bytes)

# %% [markdown]
# **12.5** Of all texts that end with $j$, only the likeliest can begin the likeliest longer text: what comes next depends on $j$
# alone. So $V$ numbers are enough, instead of $V^n$ texts (Viterbi 1967). A Transformer looks at the whole text, so there
# two texts with the same last token are two different cases, and only a search like the beam is left.


# %% tags=["solution-12.5"]
def likeliest(first, following, n):
    best, sources = first, []
    for _ in range(n - 1):
        ways = best[:, None] + following  # (last token, next token)
        sources.append(ways.argmax(axis=0))
        best = ways.max(axis=0)
    tokens = [int(best.argmax())]
    for source in reversed(sources):
        tokens.append(int(source[tokens[-1]]))
    return tokens[::-1]


# %%
assert check("12.5", likeliest)
