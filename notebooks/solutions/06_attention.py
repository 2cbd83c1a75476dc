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
# # Solutions of chapter 06, attention
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **06.1** Key $j$ is visible to query $i$ if $j$ is smaller than its length: a row of places compared with a column of lengths.


# %% tags=["solution-06.1"]
def masked_scores(q, k, lengths):
    visible = np.arange(len(k)) < lengths[:, None]
    return np.where(visible, q @ k.T / np.sqrt(q.shape[1]), -np.inf)


# %%
assert check("06.1", masked_scores)

# %% [markdown]
# **06.2** Sum and mixture are relative to the largest score so far. When a larger one comes, both are brought to the new measure, by the factor $e^{m_{old} - m_{new}}$; at the first key that factor is
# $e^{-\infty} = 0$, of zeros. Each step is right for the keys seen so far.


# %% tags=["solution-06.2"]
def one_row(query, keys, values):
    largest, total, mixed = -np.inf, 0.0, np.zeros(values.shape[1])
    for key, value in zip(keys, values, strict=True):
        score = key @ query / np.sqrt(len(query))
        new = max(largest, score)
        shrink, weight = np.exp(largest - new), np.exp(score - new)
        total = total * shrink + weight
        mixed = mixed * shrink + weight * value
        largest = new
    return mixed / total


# %%
assert check("06.2", one_row)

# %% [markdown]
# **06.3** $S = A B$ with $A = Q$ and $B = K^\top$: $dA = G B^\top = G K$, and $dB = A^\top G = Q^\top G$, which is $dK$ transposed. The number $1/\sqrt{d_k}$ multiplies both.


# %% tags=["solution-06.3"]
def scores_backward(g, q, k):
    scale = 1 / np.sqrt(q.shape[-1])
    return g @ k * scale, g.swapaxes(-1, -2) @ q * scale


# %%
assert check("06.3", scores_backward)

# %% [markdown]
# **06.4** Reshape cuts the last axis only; the transpose then moves the heads before the time. A reshape alone would cut across tokens.


# %% tags=["solution-06.4"]
def multi_head(qkv, n_head, attend):
    batch, time, width = qkv.shape
    parts = (part.reshape(batch, time, n_head, -1).transpose(0, 2, 1, 3) for part in np.split(qkv, 3, axis=-1))
    return attend(*parts).transpose(0, 2, 1, 3).reshape(batch, time, width // 3)


# %%
assert check("06.4", multi_head)

# %% [markdown]
# **06.5** The triangle is moved to the right by as many columns as there are past keys. With one new token it hides nothing: writing needs no mask.


# %% tags=["solution-06.5"]
def go_on(past_k, past_v, q, k, v):
    keys, values = np.concatenate([past_k, k]), np.concatenate([past_v, v])
    visible = np.tril(np.ones((len(q), len(keys)), bool), len(past_k))
    scores = np.where(visible, q @ keys.T / np.sqrt(q.shape[1]), -np.inf)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True) @ values


# %%
assert check("06.5", go_on)
