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
# # Solutions of chapter 04, autograd
#
# One right answer for each exercise; yours may look different and be as right.

# %%
import numpy as np

from minillm.exercises import check

# %% [markdown]
# **04.1** The incoming gradient times the local rate, element by element. `saved` is $\tanh x$ already.


# %% tags=["solution-04.1"]
def tanh_backward(g, saved):
    return g * (1 - saved**2)


# %%
assert check("04.1", tanh_backward)

# %% [markdown]
# **04.2** $\partial(a/b)/\partial a = 1/b$ and $\partial(a/b)/\partial b = -a/b^2$.


# %% tags=["solution-04.2"]
def divide_backward(g, a, b):
    return g / b, -g * a / b**2


# %%
assert check("04.2", divide_backward)

# %% [markdown]
# **04.3** Only the largest element of a row moves the result; its rate is 1.


# %% tags=["solution-04.3"]
def largest_backward(g, x):
    gradient = np.zeros_like(x)
    gradient[np.arange(len(x)), x.argmax(axis=1)] = g
    return gradient


# %%
assert check("04.3", largest_backward)

# %% [markdown]
# **04.4** A name is met twice on a stack of our own: when we come to it, and when everything it needs is done.


# %% tags=["solution-04.4"]
def order_of(inputs, last):
    order, seen, stack = [], set(), [(last, False)]
    while stack:
        name, done = stack.pop()
        if done:
            order.append(name)
        elif name not in seen:
            seen.add(name)
            stack.append((name, True))
            stack += [(source, False) for source in inputs[name]]
    return order


# %%
assert check("04.4", order_of)
