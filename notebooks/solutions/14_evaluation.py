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
# # Solutions of chapter 14, evaluation
#
# One right answer for each exercise; yours may look different and be as right.

# %%
from collections import Counter
from math import comb

import numpy as np

from minillm.exercises import check

# %% [markdown]
# **14.1** In shares, the rows sum to how often each class occurs and the columns to how often it is predicted. Dealt out at random, the two meet as
# often as their product says.


# %% tags=["solution-14.1"]
def kappa(matrix):
    shares = matrix / matrix.sum()
    by_chance = shares.sum(axis=1) @ shares.sum(axis=0)
    return (shares.trace() - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


# %%
assert check("14.1", kappa)

# %% [markdown]
# **14.2** The opposite is easier: all $k$ fail. $\binom{n-c}{k}$ of the $\binom{n}{k}$ ways to draw do, and none if fewer than $k$ failed.


# %% tags=["solution-14.2"]
def pass_at_k(n, c, k):
    return 1 - comb(n - c, k) / comb(n, k)


# %%
assert check("14.2", pass_at_k)

# %% [markdown]
# **14.3** Precision and recall of each order, their means over the orders that count, and one F of the means. It is sacrebleu's chrF2.


# %% tags=["solution-14.3"]
def chrf(text, reference):
    text, reference = "".join(text.split()), "".join(reference.split())
    precisions, recalls = [], []
    for n in range(1, min(6, len(text), len(reference)) + 1):
        own = Counter(text[i : i + n] for i in range(len(text) - n + 1))
        theirs = Counter(reference[i : i + n] for i in range(len(reference) - n + 1))
        shared = (own & theirs).total()
        precisions.append(shared / own.total())
        recalls.append(shared / theirs.total())
    if not sum(precisions):
        return 0.0
    P, R = np.mean(precisions), np.mean(recalls)
    return 100 * 5 * P * R / (4 * P + R)


# %%
assert check("14.3", chrf)

# %% [markdown]
# **14.4** The two tails are alike, so twice the lower one; when the split is even they overlap, and the probability is 1. In whole numbers, divided
# once: $2^m$ as a float is infinite from $m = 1024$ on.


# %% tags=["solution-14.4"]
def sign_test(a, b):
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    m = only_a + only_b
    ways = sum(comb(m, i) for i in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * ways / 2**m)


# %%
assert check("14.4", sign_test)

# %% [markdown]
# **14.5** The Levenshtein distance of words, of which only the last row of the table is kept. Errors and words are added up over the corpus; the
# division comes last.


# %% tags=["solution-14.5"]
def edits(a, b):
    row = list(range(len(b) + 1))
    for x in a:
        above, row = row, [row[0] + 1]
        for j, y in enumerate(b, 1):
            row.append(above[j - 1] if x == y else 1 + min(above[j], row[j - 1], above[j - 1]))
    return row[-1]


def word_error_rate(texts, references):
    return sum(map(edits, texts, references)) / sum(map(len, references))


# %%
assert check("14.5", word_error_rate)
