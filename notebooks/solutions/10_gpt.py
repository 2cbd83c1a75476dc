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
# # Solutions of chapter 10, GPT
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **10.1** The matrices of a layer are $4d^2$ in the attention and $8d^2$ in the feed-forward network. Its vectors are few beside them:
# $4d$ and $5d$ biases, and $4d$ in the two norms. A tied head adds nothing.


# %% tags=["solution-10.1"]
def count_parameters(vocab_size, context_length, n_layer, d_model, tied):
    layer = 12 * d_model**2 + 13 * d_model
    embeddings = (vocab_size + context_length) * d_model
    head = 0 if tied else vocab_size * d_model
    return embeddings + n_layer * layer + 2 * d_model + head


# %%
assert check("10.1", count_parameters)

# %% [markdown]
# **10.2** Total bits over total bytes. A mean of each token's own ratio would be another number, which depends on the tokenizer again.


# %% tags=["solution-10.2"]
def bits_per_byte(nats, targets, pieces):
    counted = targets != -100
    bits = nats[counted].sum() / np.log(2)
    return bits / sum(len(pieces[i]) for i in targets[counted])


# %%
assert check("10.2", bits_per_byte)

# %% [markdown]
# **10.3** The fused form of chapter 05, kept apart for each position until the last line. Each position is divided by its own count.


# %% tags=["solution-10.3"]
def loss_by_position(logits, targets):
    counted = targets != -100
    shifted = logits - logits.max(axis=-1, keepdims=True)
    safe = np.where(counted, targets, 0)[..., None]
    right = np.take_along_axis(shifted, safe, axis=-1)[..., 0]
    surprise = np.log(np.exp(shifted).sum(axis=-1)) - right
    with np.errstate(invalid="ignore"):  # 0/0 where nothing counts
        return np.where(counted, surprise, 0).sum(axis=0) / counted.sum(axis=0)


# %%
assert check("10.3", loss_by_position)

# %% [markdown]
# **10.4** Where a text ends is known from its length. Its own end is a target like any other; the padding behind it is none.


# %% tags=["solution-10.4"]
def inputs_and_targets(texts, end):
    time = max(len(text) for text in texts)
    ids = np.full((len(texts), time), end)
    targets = np.full((len(texts), time), -100)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        targets[row, : len(text)] = [*text, end][1:]  # of an empty text: nothing
    return ids, targets


# %%
assert check("10.4", inputs_and_targets)

# %% [markdown]
# **10.5** Used twice, so two terms. The head's is the rule for a matrix product; it touches every row. The embedding's touches only
# rows of tokens that occurred, each as often as it did.


# %% tags=["solution-10.5"]
def tied_gradient(ids, dx, h, dlogits):
    d_model, vocab_size = h.shape[-1], dlogits.shape[-1]
    gradient = dlogits.reshape(-1, vocab_size).T @ h.reshape(-1, d_model)
    np.add.at(gradient, ids.reshape(-1), dx.reshape(-1, d_model))
    return gradient


# %%
assert check("10.5", tied_gradient)
