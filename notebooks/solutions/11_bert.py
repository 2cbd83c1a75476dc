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
# # Solutions of chapter 11, BERT
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **11.1** The mean of $n$ real tokens moves with each of them at the rate $1/n$, and with padding not at all.


# %% tags=["solution-11.1"]
def pooling_backward(g, real):
    n = np.maximum(real.sum(axis=1), 1)  # where there is no real token the product below is 0 anyway
    return real[:, :, None] * g[:, None, :] / n[:, None, None]


# %%
assert check("11.1", pooling_backward)

# %% [markdown]
# **11.2** $p(w_t \mid w_{\setminus t})$ is the text's probability, divided by that of all texts that differ from it at place
# $t$ only. These are a line of the table along axis $t$.


# %% tags=["solution-11.2"]
def log_pseudo_likelihood(joint, w):
    lines = [joint[(*w[:t], slice(None), *w[t + 1 :])] for t in range(len(w))]
    return sum(np.log(joint[w] / line.sum()) for line in lines)


# %%
assert check("11.2", log_pseudo_likelihood)

# %% [markdown]
# **11.3** A sentinel goes to both lists where a run begins; each token goes to one of them.


# %% tags=["solution-11.3"]
def hide_spans(ids, hidden, first_sentinel):
    inputs, target, sentinel, before = [], [], first_sentinel, False
    for token, out in zip(ids, hidden, strict=True):
        if out and not before:
            inputs.append(sentinel)
            target.append(sentinel)
            sentinel += 1
        (target if out else inputs).append(token)
        before = out
    return inputs, [*target, sentinel]


# %%
assert check("11.3", hide_spans)

# %% [markdown]
# **11.4** Bayes' rule: what the left says of a token, times what the token says of the right. Both are sums over all ways
# through the other hidden tokens, which is what powers of the matrix are. One vector walks in from either side:


# %% tags=["solution-11.4"]
def fill(chain, left, right, gap):
    from_left, to_right = [chain[left]], [chain[:, right]]
    for _ in range(gap - 1):
        from_left.append(from_left[-1] @ chain)
        to_right.append(chain @ to_right[-1])
    both = np.array(from_left) * np.array(to_right[::-1])
    return both / both.sum(axis=1, keepdims=True)


# %%
assert check("11.4", fill)
