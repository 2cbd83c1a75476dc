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
# # Solutions of chapter 08, encoder and decoder
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **08.1** Both rows are one longer than the sentence, and begin at the same place: what is said at a place is read at the next. How
# long a sentence is, its list knows; its ids don't.


# %% tags=["solution-08.1"]
def forced(targets, start, end, pad):
    shape = (len(targets), max(map(len, targets)) + 1)
    reads, says = np.full(shape, pad), np.full(shape, -100)
    for row, target in enumerate(targets):
        reads[row, : len(target) + 1] = [start, *target]
        says[row, : len(target) + 1] = [*target, end]
    return reads, says


# %%
assert check("08.1", forced)

# %% [markdown]
# **08.2** The memory goes into two products of each layer. Each product sends back its gradient times its matrix transposed, and
# all of them add up.


# %% tags=["solution-08.2"]
def memory_gradient(dk, dv, w_k, w_v):
    total = 0
    for gradient, matrix in zip([*dk, *dv], [*w_k, *w_v], strict=True):
        batch, n_head, keys, d_head = gradient.shape
        merged = gradient.transpose(0, 2, 1, 3).reshape(batch, keys, n_head * d_head)
        total = total + merged @ matrix.T
    return total


# %%
assert check("08.2", memory_gradient)

# %% [markdown]
# **08.3** A column of numbers compared with a row of numbers. Padding would be a pair of its own, number 0, so its rows are taken
# out; its columns go with them, since no other number equals 0.


# %% tags=["solution-08.3"]
def packed_masks(source_pairs, target_pairs):
    queries = target_pairs[:, :, None]
    own = np.tril(queries == target_pairs[:, None, :]) & (queries > 0)
    memory = (queries == source_pairs[:, None, :]) & (queries > 0)
    return own, memory


# %%
assert check("08.3", packed_masks)

# %% [markdown]
# **08.4** From the shapes, one after the other. Sharing makes keys and values narrower, and nothing else.


# %% tags=["solution-08.4"]
def count(vocab_size, d_model, d_ff, n_head, n_kv_head, n_encoder, n_decoder):
    narrow = n_kv_head * (d_model // n_head)
    query_or_output = d_model * d_model + d_model
    key_or_value = d_model * narrow + narrow
    attention = 2 * query_or_output + 2 * key_or_value
    network = d_model * d_ff + d_ff + d_ff * d_model + d_model
    norm = 2 * d_model
    encoder = n_encoder * (attention + network + 2 * norm) + norm
    decoder = n_decoder * (2 * attention + network + 3 * norm) + norm
    return vocab_size * d_model + encoder + decoder


# %%
assert check("08.4", count)

# %% [markdown]
# **08.5** Rows that are over stay in the batch, so that the shapes stay; nobody listens to them any more. The loop ends with the
# last live row.


# %% tags=["solution-08.5"]
def write(score, batch, start, end, most):
    inputs = np.full((batch, 1), start)
    rows, live = [[] for _ in range(batch)], np.ones(batch, bool)
    for _ in range(most):
        said = score(inputs)[:, -1].argmax(-1)
        live &= said != end
        if not live.any():
            break
        for row in np.flatnonzero(live):
            rows[row].append(int(said[row]))
        inputs = np.concatenate([inputs, said[:, None]], axis=1)
    return rows


# %%
assert check("08.5", write)
