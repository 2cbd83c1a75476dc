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
# # Solutions of chapter 15, looking inside
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **15.1** A place after an earlier one is the matrix of "the same word, earlier", moved one column to the right. It can't wrap:
# nothing comes after the last place, so its column is never "earlier".


# %% tags=["solution-15.1"]
def induction_scores(maps, ids):
    time = np.arange(len(ids))
    earlier = (ids[:, None] == ids) & (time < time[:, None])
    counts = earlier.any(axis=1)
    if not counts.any():
        return np.zeros(len(maps))
    share = np.where(np.roll(earlier, 1, axis=1), maps, 0).sum(axis=-1)  # (heads, time)
    return share[:, counts].mean(axis=-1)


# %%
assert check("15.1", induction_scores)

# %% [markdown]
# **15.2** On each piece $F$ changes by about $\sum_i \partial F/\partial x_i\,\Delta x_i$. Keep the terms apart, and add up the pieces.
# For a product the path matters: whichever factor comes last gets all of it.


# %% tags=["solution-15.2"]
def path_gradients(gradient, points):
    total = np.zeros(points.shape[1])
    for start, end in zip(points[:-1], points[1:], strict=True):
        total += gradient((start + end) / 2) * (end - start)
    return total


# %%
assert check("15.2", path_gradients)

# %% [markdown]
# **15.3** All of layer norm but the divisor is linear, so each part goes through it on its own.


# %% tags=["solution-15.3"]
def logit_parts(parts, weight, u):
    divisor = np.sqrt(parts.sum(axis=0).var() + 1e-5)  # of the whole stream: one number for all parts
    centred = parts - parts.mean(axis=1, keepdims=True)
    return (centred / divisor * weight) @ u


# %%
assert check("15.3", logit_parts)

# %% [markdown]
# **15.4** The mean over texts keeps what the head does at a place whatever the text is; only what depends on the text is gone.


# %% tags=["solution-15.4"]
def mean_ablated(outputs, w_o, head):
    changed = outputs.copy()
    changed[:, head] = outputs[:, head].mean(axis=0)  # (time, d_head), for every text the same
    batch, _, time, _ = outputs.shape
    return changed.swapaxes(1, 2).reshape(batch, time, -1) @ w_o  # the heads of a place side by side


# %%
assert check("15.4", mean_ablated)
