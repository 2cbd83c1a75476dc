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
# # Solutions of chapter 13, fine-tuning
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **13.1** The product $C = BA$ has the gradient $s\,dW$. For a product, $dB = dC\,A^\top$ and $dA = B^\top dC$: no input is needed, but `dW`
# is a matrix of the full size, which LoRA's own backward never makes.


# %% tags=["solution-13.1"]
def factor_gradients(dW, A, B, s):
    return s * B.T @ dW, s * dW @ A.T


# %%
assert check("13.1", factor_gradients)

# %% [markdown]
# **13.2** $s_1 B_1 A_1 + s_2 B_2 A_2 = [\,s_1 B_1 \;\; s_2 B_2\,] \begin{bmatrix} A_1 \\ A_2 \end{bmatrix}$. Adding the factors would give the cross terms $B_1 A_2$
# and $B_2 A_1$ as well.


# %% tags=["solution-13.2"]
def add_adapters(first, second):
    (A1, B1, s1), (A2, B2, s2) = first, second
    return np.concatenate([A1, A2]), np.concatenate([s1 * B1, s2 * B2], axis=1)


# %%
assert check("13.2", add_adapters)

# %% [markdown]
# **13.3** One softmax over all pairs with $s \le e$. The largest score that is taken off must be that of a pair which counts, or all others
# may become 0. Token $t$ is covered where $s \le t \le e$.


# %% tags=["solution-13.3"]
def covered(start, end):
    time = len(start)
    scores = np.where(np.triu(np.ones((time, time), bool)), start[:, None] + end, -np.inf)
    p = np.exp(scores - scores.max())
    p /= p.sum()
    return np.array([p[: t + 1, t:].sum() for t in range(time)])


# %%
assert check("13.3", covered)

# %% [markdown]
# **13.4** Between turns only a role's mark may come; within one, anything else. So a token is wrong exactly if it is a role's mark while somebody
# speaks, or isn't one while nobody does.


# %% tags=["solution-13.4"]
def turns_of(ids, marks):
    roles = {marks[f"<|{role}|>"]: role for role in ("system", "user", "assistant")}
    turns, speaker, said = [], None, []
    for i in ids:
        if (i in roles) != (speaker is None):
            return None
        if i in roles:
            speaker, said = roles[i], []
        elif i == marks["<|end|>"]:
            turns.append((speaker, said))
            speaker = None
        else:
            said.append(i)
    return None if speaker else turns


# %%
assert check("13.4", turns_of)
