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
# # Solutions of chapter 07, the pieces of a block
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **07.1** $(w \circ \hat x + b)\,W + c = \hat x\,(\mathrm{diag}(w)\,W) + (b\,W + c)$. A diagonal matrix from the left multiplies the rows of $W$.


# %% tags=["solution-07.1"]
def fold(w, b, W, c):
    return w[:, None] * W, b @ W + c


# %%
assert check("07.1", fold)

# %% [markdown]
# **07.2** $y = r\,x$ with $r = (\sum x^2)^{-1/2}$. $x_i$ moves its own $y_i$, with the rate $r$, and through $r$ all of them, with $-r^3 x_i$:
# $dx_i = r\,g_i - r^3 x_i \sum_j g_j x_j = r\,(g_i - y_i \sum_j g_j y_j)$. What points along $y$ is taken off: moving along it changes
# only the length.


# %% tags=["solution-07.2"]
def unit_backward(g, x):
    r = 1 / np.sqrt((x * x).sum(-1, keepdims=True))
    y = r * x
    return r * (g - y * (g * y).sum(-1, keepdims=True))


# %%
assert check("07.2", unit_backward)

# %% [markdown]
# **07.3** Each factor gets the gradient times the other; $\mathrm{silu}'(a) = \sigma(a) + a\,\sigma(a)(1 - \sigma(a))$ by the product rule. Through
# $\tanh$ the sigmoid can't overflow; $e^a/(1 + e^a)$ would be $\infty/\infty$ for large $a$.


# %% tags=["solution-07.3"]
def gate_backward(g, a, b):
    s = 0.5 * (1 + np.tanh(a / 2))
    return g * b * (s + a * s * (1 - s)), g * a * s


# %%
assert check("07.3", gate_backward)

# %% [markdown]
# **07.4** The pairs' products give $\cos \omega_i k$ and $\sin \omega_i k$ for the unknown $k$, wherever the rows stand. The product of later
# with earlier turned by $j$ places is $\sum_i \cos \omega_i (k - j)$, largest at $j = k$, so we try all. One hand alone isn't enough:
# the fastest comes round every $2\pi$ places.


# %% tags=["solution-07.4"]
def places_between(later, earlier):
    d = len(later)
    angle = np.arange(1001)[:, None] / 10000 ** (np.arange(0, d, 2) / d)
    cosines = later[0::2] * earlier[0::2] + later[1::2] * earlier[1::2]  # cos ω k
    sines = later[0::2] * earlier[1::2] - later[1::2] * earlier[0::2]  # sin ω k
    return int(np.argmax((cosines * np.cos(angle) + sines * np.sin(angle)).sum(axis=1)))


# %%
assert check("07.4", places_between)

# %% [markdown]
# **07.5** The same turn; only which two features make a pair is different. A model trained with one of the two layouts needs the columns
# of its $W_Q$ and $W_K$ reordered to be run with the other.


# %% tags=["solution-07.5"]
def rotary_halves(x, start):
    time, d = x.shape[-2:]
    angle = (start + np.arange(time))[:, None] / 10000 ** (np.arange(0, d, 2) / d)
    first, second = x[..., : d // 2], x[..., d // 2 :]
    c, s = np.cos(angle), np.sin(angle)
    return np.concatenate([first * c - second * s, first * s + second * c], axis=-1)


# %%
assert check("07.5", rotary_halves)
