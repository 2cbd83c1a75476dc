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
# # Solutions of chapter 16, making it fast
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import math

import numpy as np

from minillm.exercises import check

# %% [markdown]
# **16.1** $2 r\, d_{in} d_{out} / \pi \ge (w + 4 r (d_{in} + d_{out}))/\beta$, with $w$ the weight's bytes. All that has $r$ in it goes to the left. If a row's bytes
# take as long as its operations or longer, more rows never help.


# %% tags=["solution-16.1"]
def rows_needed(d_in, d_out, bits, peak, bandwidth):
    weight = d_in * d_out * bits / 8 / bandwidth  # seconds
    row = 2 * d_in * d_out / peak - 4 * (d_in + d_out) / bandwidth
    return max(1, math.ceil(weight / row)) if row > 0 else None


# %%
assert check("16.1", rows_needed)

# %% [markdown]
# **16.2** The largest score of all is finite, so an empty part's factor is $e^{-\infty} = 0$.


# %% tags=["solution-16.2"]
def merge(parts):
    largest = max(m for m, _, _ in parts)
    total, output = 0.0, 0.0
    for m, l_part, mixed in parts:
        factor = np.exp(m - largest)
        total = total + factor * l_part
        output = output + factor * mixed
    return output / total


# %%
assert check("16.2", merge)

# %% [markdown]
# **16.3** Two groups' squared distances add up, and to them comes that of the means: each of the $n_a$ numbers is off by $d\,n_b/n$, and each of the $n_b$ by
# $d\,n_a/n$, together $d^2 n_a n_b / n$.


# %% tags=["solution-16.3"]
def mean_and_variance(pieces):
    n, mean, squares = 0, 0.0, 0.0  # squares: Σ (x − mean)²
    for piece in pieces:
        if not len(piece):
            continue
        d = piece.mean() - mean
        squares += ((piece - piece.mean()) ** 2).sum() + d**2 * n * len(piece) / (n + len(piece))
        n += len(piece)
        mean += d * len(piece) / n
    return mean, squares / n


# %%
assert check("16.3", mean_and_variance)

# %% [markdown]
# **16.4** What the last query of a tile sees decides whether the tile is needed; what the first one sees, whether it is whole.


# %% tags=["solution-16.4"]
def causal_tiles(queries, keys, rows, columns):
    tiles = []
    for i in range(math.ceil(queries / rows)):
        first_sees = i * rows + keys - queries  # the last key that the tile's first query sees
        last_sees = min((i + 1) * rows, queries) - 1 + keys - queries
        for j in range(last_sees // columns + 1):
            last_key = min((j + 1) * columns, keys) - 1
            tiles.append((i, j, last_key <= first_sees))
    return tiles


# %%
assert check("16.4", causal_tiles)

# %% [markdown]
# **16.5** Groups become an axis for the scales, pairs become one for the bytes.


# %% tags=["solution-16.5"]
def to_int4(weight, group):
    rows, n = weight.shape
    groups = weight.reshape(rows, n // group, group)
    largest = abs(groups).max(axis=2, keepdims=True)
    scales = np.where(largest > 0, largest / 7, 1.0)
    q = (np.rint(groups / scales) + 8).astype(np.uint8).reshape(rows, n // 2, 2)
    return q[..., 0] | (q[..., 1] << 4), scales[..., 0]


# %%
assert check("16.5", to_int4)
