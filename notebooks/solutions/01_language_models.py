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
# # Solutions of chapter 01, language models and n-grams
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import math

import numpy as np

from minillm.exercises import check

# %% [markdown]
# **01.1** `np.add.at` adds once for each pair, also when a pair repeats, which `counts[a, b] += 1` wouldn't.


# %% tags=["solution-01.1"]
def bigram_matrix(ids, vocab_size):
    counts = np.zeros((vocab_size, vocab_size))
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    totals = counts.sum(axis=1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), 1 / vocab_size)


# %%
assert check("01.1", bigram_matrix)

# %% [markdown]
# **01.2** The first right end that is *larger* than the point: a token never seen ends where it begins, so it is never the first.


# %% tags=["solution-01.2"]
def pick(counts, u):
    ends = np.cumsum(counts)
    return int(np.searchsorted(ends, u * ends[-1], side="right"))


# %%
assert check("01.2", pick)

# %% [markdown]
# **01.3** Both come from the surprise of the whole text: per token it gives the perplexity, per byte the bits.


# %% tags=["solution-01.3"]
def measures(losses, sizes, text):
    surprise = sum(loss * size for loss, size in zip(losses, sizes, strict=True))
    return math.exp(surprise / sum(sizes)), surprise / (math.log(2) * len(text.encode()))


# %%
assert check("01.3", measures)

# %% [markdown]
# **01.4** Only places that have a next token *in the same document* count, in the numerator and in the denominator.


# %% tags=["solution-01.4"]
def add_k_of(documents, context, word, k, vocab_size):
    n, with_context, with_word = len(context), 0, 0
    for ids in documents:
        for t in range(n, len(ids)):
            if tuple(ids[t - n : t]) == context:
                with_context += 1
                with_word += ids[t] == word
    size = with_context + k * vocab_size
    return (with_word + k) / size if size else 1 / vocab_size


# %%
assert check("01.4", add_k_of)

# %% [markdown]
# **01.5** Each token seen gives up $d$; what is freed goes to the others as `lower` divides it among them.


# %% tags=["solution-01.5"]
def back_off(counts, d, lower):
    seen = counts > 0
    if not seen.any():
        return lower
    if seen.all():
        return counts / counts.sum()
    p = (counts - d) / counts.sum()
    alpha = (1 - p[seen].sum()) / lower[~seen].sum()
    return np.where(seen, p, alpha * lower)


# %%
assert check("01.5", back_off)
