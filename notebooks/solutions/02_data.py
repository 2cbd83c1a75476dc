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
# # Solutions of chapter 02, data and cleaning
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import hashlib
import unicodedata

import numpy as np

from minillm.exercises import check

# %% [markdown]
# **02.1** Valid UTF-8 that is cut off has at most one incomplete character, at its end, and that is what `ignore` leaves out.


# %% tags=["solution-02.1"]
def beginning(text, size):
    return text.encode()[:size].decode(errors="ignore")


# %%
assert check("02.1", beginning)

# %% [markdown]
# **02.2** The length of a sentence says what is real; the ids don't, since the pad may be one of them.


# %% tags=["solution-02.2"]
def inputs_and_targets(sentences, pad_id):
    shape = len(sentences), max(map(len, sentences)) - 1
    x, y = np.full(shape, pad_id), np.full(shape, -100)
    for row, ids in enumerate(sentences):
        x[row, : len(ids) - 1] = ids[:-1]
        y[row, : len(ids) - 1] = ids[1:]
    return x, y


# %%
assert check("02.2", inputs_and_targets)

# %% [markdown]
# **02.3** What is equal under the key has one hash, hence one side. `casefold` makes ß to ss, which `lower` doesn't.


# %% tags=["solution-02.3"]
def held_out_of(texts, share):
    held_out = []
    for text in texts:
        key = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        held_out.append(number < share * 2**64)
    return held_out


# %%
assert check("02.3", held_out_of)

# %% [markdown]
# **02.4** Go from text to text: whatever is like one that was reached belongs to the group. Started from the smallest index
# that is left, each group comes in its place.


# %% tags=["solution-02.4"]
def groups(texts, n, threshold):
    pieces = [{text[i : i + n] for i in range(len(text) - n + 1)} or {text} for text in texts]
    left, found = set(range(len(texts))), []
    while left:
        group = [min(left)]
        left -= set(group)
        for i in group:  # the list grows as we go
            near = [j for j in left if len(pieces[i] & pieces[j]) >= threshold * len(pieces[i] | pieces[j])]
            group += near
            left -= set(near)
        found.append(sorted(group))
    return found


# %%
assert check("02.4", groups)

# %% [markdown]
# **02.5** A pair is found with probability $1 - (1 - J^r)^b$. Add up the expected mistakes of each way to cut, and keep the first
# of the best.


# %% tags=["solution-02.5"]
def best_bands(similarities, threshold, k):
    best, fewest = None, np.inf
    for b in range(1, k + 1):
        if k % b == 0:
            found = 1 - (1 - similarities ** (k // b)) ** b
            mistakes = np.where(similarities >= threshold, 1 - found, found).sum()
            if mistakes < fewest:
                best, fewest = (b, k // b), mistakes
    return best


# %%
assert check("02.5", best_bands)
