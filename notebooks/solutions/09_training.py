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
# # Solutions of chapter 09, training
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import math

import numpy as np

from minillm.exercises import check

# %% [markdown]
# **09.1** Two factors, one for each slope, and never more than 1. The smaller one also settles where they overlap.


# %% tags=["solution-09.1"]
def stay_then_down(step, steps, warmup, down, highest):
    rising = (step + 1) / warmup if warmup else 1.0
    falling = (steps - step) / down if down else 1.0
    return highest * min(1.0, rising, falling)


# %%
assert check("09.1", stay_then_down)

# %% [markdown]
# **09.2** Mean times count is a sum; the sums add up. Who has no token has no sum, so it is left out before $0 \cdot \mathrm{NaN}$
# can spoil the rest.


# %% tags=["solution-09.2"]
def combine(gradients, counts):
    total = np.zeros(gradients.shape[1])
    for gradient, count in zip(gradients, counts, strict=True):
        if count:
            total += count * gradient
    return total / max(counts.sum(), 1)


# %%
assert check("09.2", combine)

# %% [markdown]
# **09.3** The best is where it was, and the count starts again there. Comparisons with NaN are false, so it never becomes the
# best, but it must not become the first best either.


# %% tags=["solution-09.3"]
def stop_early(losses, patience):
    best, waited = None, 0
    for i, loss in enumerate(losses):
        if not math.isnan(loss) and (best is None or loss < losses[best]):
            best, waited = i, 0
        else:
            waited += 1
        if waited >= patience:
            return i, best
    return len(losses) - 1, best


# %%
assert check("09.3", stop_early)

# %% [markdown]
# **09.4** $\nabla L = X^\top(Xw - y)/n$, and its derivative by $w$ is $H = X^\top X/n$, whatever $y$ is. The limit is
# $2/\lambda_{\max}(H)$. (On the limit itself it neither converges nor diverges.)


# %% tags=["solution-09.4"]
def highest_rate(x):
    return 2 / np.linalg.eigvalsh(x.T @ x / len(x))[-1]


# %%
assert check("09.4", highest_rate)

# %% [markdown]
# **09.5** The sign is of a mixture with the *old* average; the decay is decoupled, as in AdamW.


# %% tags=["solution-09.5"]
def lion(theta, gradients, lr, betas, decay):
    m = np.zeros_like(theta)
    for g in gradients:
        u = np.sign(betas[0] * m + (1 - betas[0]) * g)
        theta = theta - lr * (u + decay * theta)
        m = betas[1] * m + (1 - betas[1]) * g
    return theta


# %%
assert check("09.5", lion)
