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
# # 06 Attention, derived
#
# Covers sections 4.2.1 and 4.3.3 of the document (self-attention, and its case study with numbers).
#
# Formulas: [4.2.1]
#
# The document states the formula under the title "derivation" and derives nothing: where queries, keys and values come
# from, why $\sqrt{d_k}$ and what several heads are is left out, and the numbers of its case study don't follow from the
# formula. Here all of it is derived and computed.
#
# You need: chapter 04 (its engine is used throughout), softmax as a word, matrix products.

# %%
import numpy as np

import minillm as ml
from minillm.book import say, show
from minillm.exercises import check, hint, solution
from minillm.formula import formula

# %%
formula("4.2.1")

# %% [markdown]
# ## The idea
#
# A dictionary is a lookup by equality: the query either is one of the keys, and you get that key's value, or it isn't, and
# you get nothing. Nothing in between exists, so there is nothing to differentiate. **Attention is a lookup by similarity**:
# the query is compared with *every* key, the comparisons become shares that sum to 1, and you get the mixture of all values
# by these shares.
#
# Similarity is the dot product: large where two vectors point the same way. Softmax makes shares of it. Multiply the query
# by a growing number, and the mixture turns into the lookup that we know:

# %%
keys = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
values = np.array([10.0, 20.0, 30.0])
query = np.array([0.2, 1.0])  # most like the second key

for sharpness in (0, 1, 4, 100):
    e = np.exp(sharpness * (keys @ query))
    shares = e / e.sum()
    print(f"sharpness {sharpness:3}: shares {shares.round(3)}, result {shares @ values:.3f}")

# %% [markdown]
# At 0 all values count the same; at 100 it is a dictionary. Between them the result moves smoothly with the query, with
# each key and with each value, so all three can be learnt.
#
# In **self-attention** a sequence looks things up in itself. Each token's vector $x_t$ is made into three others, by three
# matrices that are learnt:
#
# $$q_t = x_t W_Q \quad\text{(what it looks for)}, \qquad k_t = x_t W_K \quad\text{(what it offers)}, \qquad v_t = x_t W_V \quad\text{(what it hands over)}.$$
#
# Three, because these are three questions. In "the cat sat", *sat* may look for a subject, offer itself as a verb, and hand
# over that sitting is done. With $x_t$ in all three places, every token would mostly find itself.

# %% [markdown]
# ## A worked example
#
# Three tokens, vectors of size 4, queries, keys and values of size $d_k = 2$. First, the three projections:

# %%
x = np.array([[1.0, 0, 1, 0], [0, 2, 0, 1], [1, 1, 0, 0]])
W_Q = np.array([[1.0, 0], [0, 1], [1, 0], [0, 1]])
W_K = np.array([[0.0, 1], [1, 0], [1, 1], [0, 0]])
W_V = np.array([[1.0, 0], [0, 2], [0, 1], [3, 0]])
Q, K, V = x @ W_Q, x @ W_K, x @ W_V
for name, value in {"Q = x W_Q": Q, "K = x W_K": K, "V = x W_V": V}.items():
    print(f"{name}\n{value}")

# %% [markdown]
# Every query with every key: row $i$ of $S = QK^\top$ holds the scores of query $i$. Then the division by $\sqrt{d_k}$,
# explained below.

# %%
S = Q @ K.T
scaled = S / np.sqrt(2)
print(f"S = Q Kᵀ\n{S}\nS / √2\n{scaled.round(4)}")

# %% [markdown]
# Softmax row by row: each row is exponentiated, and divided by its own sum.

# %%
exponentials = np.exp(scaled)
totals = exponentials.sum(axis=1, keepdims=True)
P = exponentials / totals
print(f"exp(S / √2)\n{exponentials.round(4)}\nsums of its rows\n{totals.round(4)}\nP\n{P.round(4)}")
print(f"rows of P sum to {P.sum(axis=1)}")

# %% [markdown]
# And the values are mixed: row $i$ of the output is $\sum_j P_{ij} v_j$.

# %%
mixed = P @ V
terms = " + ".join(f"{p:.4f}·{v}" for p, v in zip(P[0], V, strict=True))
print(f"first row: {terms} = {mixed[0].round(4)}")
print(f"O = P V\n{mixed.round(4)}")

# %% [markdown]
# ## Why softmax
#
# Many functions make shares of scores. Softmax is what you get if you ask for two things at once: a large mean score
# $\sum_i p_i s_i$, and not to put everything on one card, measured by the entropy $-\sum_i p_i \ln p_i$. With a multiplier
# $\lambda$ for $\sum_i p_i = 1$, the derivative with respect to $p_i$ must be 0 at the best shares:
#
# $$s_i - \ln p_i - 1 - \lambda = 0 \quad\Longrightarrow\quad p_i = e^{s_i}\,e^{-1-\lambda} = \frac{e^{s_i}}{\sum_j e^{s_j}}.$$
#
# The factor $e^{-1-\lambda}$ is the same for all $i$, so it can only be what makes them sum to 1. Do any other shares reach
# more?

# %%
scores = scaled[0]
others = np.random.default_rng(0).dirichlet([1, 1, 1], size=100_000)


def mean_score_and_entropy(p):
    return p @ scores - (p * np.log(p)).sum(axis=-1)


print(f"softmax reaches            {mean_score_and_entropy(P[0]):.6f}")
print(f"ln Σ exp(s), its maximum   {np.log(np.exp(scores).sum()):.6f}")
print(f"best of 100,000 others     {mean_score_and_entropy(others).max():.6f}")
assert mean_score_and_entropy(others).max() < mean_score_and_entropy(P[0])

# %% [markdown]
# ## Why $\sqrt{d_k}$
#
# A score is a sum of $d_k$ products, $q \cdot k = \sum_{c=1}^{d_k} q_c k_c$. Let all entries be independent, with mean 0
# and variance 1. Each product has mean 0 and variance $E[q_c^2 k_c^2] = E[q_c^2]\,E[k_c^2] = 1$, and the variances of
# independent terms add up:
#
# $$\mathrm{Var}(q \cdot k) = d_k, \qquad \mathrm{Var}\!\left(\frac{q \cdot k}{\sqrt{d_k}}\right) = \frac{d_k}{(\sqrt{d_k})^2} = 1.$$
#
# So undivided scores lie further apart the wider the heads are, and softmax of scores far apart is all or nothing. Divided,
# they are of one size whatever $d_k$ is. Measured:

# %%
rng = np.random.default_rng(64)
print("  d_k   Var(q·k)   Var(q·k / √d_k)")
for d_k in (1, 4, 16, 64, 256):
    q, k = rng.normal(size=(2, 10_000, d_k))
    dots = (q * k).sum(axis=1)
    print(f"{d_k:5} {dots.var():10.2f} {(dots / np.sqrt(d_k)).var():17.3f}")

# %% [markdown]
# ## The code
#
# Softmax first. Two details are there for the corners: the largest score is subtracted, which changes nothing (it cancels)
# but keeps `exp` from overflowing; and a row without any visible key, all $-\infty$, gets zeros where $0/0$ would stand.
#
# For its backward we need how $p_i$ moves with $s_j$. With $Z = \sum_m e^{s_m}$, the quotient rule gives
#
# $$\frac{\partial p_i}{\partial s_j} = \frac{[i{=}j]\,e^{s_i}}{Z} - \frac{e^{s_i}e^{s_j}}{Z^2} = p_i\,([i{=}j] - p_j),$$
#
# and the gradient $dP$ that arrives is summed over all $i$ that a score $s_j$ moves:
#
# $$dS_j = \sum_i dP_i\,p_i\,([i{=}j] - p_j) = p_j\Big(dP_j - \sum_i dP_i\,p_i\Big).$$
#
# In words: a score gains if its key's share is worth more than the average share is.

# %% tags=["attention"]
import numpy as np

from minillm.book import module

engine = module("04", "engine")


def softmax_forward(s, axis=-1):
    largest = s.max(axis, keepdims=True, initial=-np.inf)
    e = np.exp(s - np.where(np.isfinite(largest), largest, 0))
    total = e.sum(axis, keepdims=True)
    p = e / np.where(total == 0, 1, total)
    return p, (p, axis)


def softmax_backward(dp, saved):
    """dS = P ∘ (dP − Σ dP P)"""
    p, axis = saved
    return (p * (dp - (dp * p).sum(axis, keepdims=True)),)


# %% [markdown]
# ## Attention as a pair
#
# Forward is three lines: $S = QK^\top/\sqrt{d_k}$, $P = \mathrm{softmax}(S)$, $O = PV$. Backward walks them from the end,
# given $dO$:
#
# 1. $O = PV$ is a matrix product. By chapter 04's rule ($dA = G B^\top$, $dB = A^\top G$): $dP = dO\,V^\top$ and
#    $dV = P^\top dO$.
# 2. $P = \mathrm{softmax}(S)$, row by row: $dS = P \circ (dP - \sum_j dP_j P_j)$, as derived above.
# 3. $S = QK^\top/\sqrt{d_k}$ is a matrix product with $K^\top$, times a number: $dQ = dS\,K/\sqrt{d_k}$ and
#    $dK = dS^\top Q/\sqrt{d_k}$.
#
# `mask` is true where a query may look; elsewhere the score becomes $-\infty$ and the share 0. Backward needs no word about
# it: where $P = 0$, $dS = 0$.


# %% tags=["attention"]
def attention_forward(q, k, v, mask=None):
    """softmax(Q Kᵀ / √d_k) V  [4.2.1]

    q: (..., queries, d_k), k: (..., keys, d_k), v: (..., keys, d_v) -> (..., queries, d_v)
    """
    scale = 1 / np.sqrt(q.shape[-1])
    s = q @ k.swapaxes(-1, -2) * scale
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    p, _ = softmax_forward(s)
    return p @ v, (q, k, v, p, scale)


def attention_backward(do, saved):
    q, k, v, p, scale = saved
    dv = p.swapaxes(-1, -2) @ do
    dp = do @ v.swapaxes(-1, -2)
    (ds,) = softmax_backward(dp, (p, -1))
    dq = ds @ k * scale
    dk = ds.swapaxes(-1, -2) @ q * scale
    return dq, dk, dv


softmax = engine.op(softmax_forward, softmax_backward)
attention = engine.op(attention_forward, attention_backward)

# %% [markdown]
# The worked example again, and backwards. Say that the loss moves with the outputs as `dO` has it:

# %%
dO = np.array([[1.0, 0], [0, 1], [1, 1]])
output, saved = attention_forward(Q, K, V)
np.testing.assert_allclose(output, mixed, rtol=1e-12)

dP = dO @ V.T
dS = P * (dP - (dP * P).sum(axis=1, keepdims=True))
dQ, dK, dV = attention_backward(dO, saved)
for name, value in {"dP = dO Vᵀ": dP, "dS": dS, "dQ": dQ, "dK": dK, "dV = Pᵀ dO": dV}.items():
    print(f"{name}\n{value.round(4)}")
np.testing.assert_allclose(dS.sum(axis=1), 0, atol=1e-12)
print("every row of dS sums to 0: if all scores rise alike, no share changes")

# %% [markdown]
# ## The causal mask
#
# A model that predicts the next token must not look at it. Query $i$ may see the keys $j \le i$: a lower triangle of ones.
# It lets a model learn from all positions of a text at once, each as if the text ended there.


# %% tags=["attention"]
def causal_mask(time):
    """(time, time), true where query i may see key j: j ≤ i."""
    return np.tril(np.ones((time, time), bool))


# %%
masked_O, (_, _, _, masked_P, _) = attention_forward(Q, K, V, mask=causal_mask(3))
print(f"P with the mask\n{masked_P.round(4)}\nO with the mask\n{masked_O.round(4)}")

# %% [markdown]
# The first token sees only itself, so its output is its own value. The last sees all, as it did without the mask.
#
# ## Heads
#
# One softmax has one set of shares: a token that must find its subject *and* its object gets them mixed. So attention is
# done $h$ times side by side, each time with narrower vectors, $d_{head} = d_{model}/h$, and the results are set side by
# side and mixed by a fourth matrix:
#
# $$\mathrm{head}_i = \mathrm{Attention}(x W_Q^i,\; m W_K^i,\; m W_V^i), \qquad \mathrm{MultiHead}(x, m) = \mathrm{Concat}(\mathrm{head}_1, \dots, \mathrm{head}_h)\,W_O.$$
#
# $m = x$ is self-attention; with another sequence as the memory $m$ it is cross-attention (chapter 08). In code, all heads'
# matrices are one: `x @ w_q` makes $h$ queries for each token, one after the other. To **split** is to cut the last axis
# and move the heads forward, so that the products see (time, d_head); to **merge** is the way back.


# %% tags=["attention"]
def split(x, n_head):
    """(batch, time, n_head · d_head) -> (batch, n_head, time, d_head)"""
    batch, time, width = x.shape
    return engine.move_axes(engine.reshape(x, shape=(batch, time, n_head, width // n_head)), axes=(0, 2, 1, 3))


def merge(x):
    """(batch, n_head, time, d_head) -> (batch, time, n_head · d_head)"""
    batch, n_head, time, d_head = x.shape
    return engine.reshape(engine.move_axes(x, axes=(0, 2, 1, 3)), shape=(batch, time, n_head * d_head))


class MultiHead:
    """MultiHead(x, m) = Concat(head_1, …, head_h) W_O"""

    def __init__(self, rng, n_head, d_in, width, d_out):
        self.n_head = n_head
        shapes = [(d_in, width), (d_in, width), (d_in, width), (width, d_out)]
        self.weights = [engine.Tensor(rng.normal(size=shape) / np.sqrt(shape[0])) for shape in shapes]

    def __call__(self, x, memory=None, mask=None):
        q, k, v = self.heads(x, memory)
        return merge(attention(q, k, v, mask=mask)) @ self.weights[3]

    def heads(self, x, memory=None):
        """Queries, keys and values, (batch, n_head, time, d_head) each."""
        memory = x if memory is None else memory
        w_q, w_k, w_v, _ = self.weights
        return split(x @ w_q, self.n_head), split(memory @ w_k, self.n_head), split(memory @ w_v, self.n_head)


# %% [markdown]
# Each of the four matrices is $d_{model} \times d_{model}$, however many heads share it. The document's model (4.3.2) has 8
# heads of 64:

# %%
for n_head in (1, 8, 64):
    layer = MultiHead(np.random.default_rng(0), n_head, d_in=512, width=512, d_out=512)
    print(f"{n_head:2} heads of {512 // n_head:3}: {sum(w.array.size for w in layer.weights):,} parameters")
with_biases = ml.nn.MultiHeadAttention(512, 8).num_parameters()
print(f"minillm's, with a bias after each matrix: {with_biases:,} = 4 · 512² + 4 · 512")
assert with_biases == 4 * 512**2 + 4 * 512

# %% [markdown]
# ## The document's numbers, recomputed
#
# Section 4.3.3 takes the ids 3, 4 and 5 as they are, as vectors of size 1 and as queries, keys and values alike, and
# divides by $\sqrt{64}$. Its three lines are each a "softmax" of a single number. But $e^s/e^s = 1$ for every $s$:

# %%
for query, says in {3: 0.5, 4: 0.2, 5: 0.3}.items():
    score = query * 3 / np.sqrt(64)
    print(
        f"softmax({query} × 3 / √64 = {score:.3f}): the document {says}, right {softmax_forward(np.array([score]))[0][0]}"
    )

# %% [markdown]
# With all three keys in the softmax, as the formula has it:


# %%
def attend(query, keys, d_k):
    """Shares and output for ids taken as vectors of size 1, with scores divided by √d_k."""
    keys = np.array(keys, float)
    shares, _ = softmax_forward(query * keys / np.sqrt(d_k))
    return shares, shares @ keys


for d_k in (64, 1):
    for query in (3, 4, 5):
        shares, output = attend(query, [3, 4, 5], d_k)
        print(f"√{d_k:<2} q = {query}: shares {', '.join(f'{share:.5f}' for share in shares)}; output {output:.5f}")

# %% [markdown]
# The second block is what the formula says of vectors of size 1, whose $d_k$ is 1 and not 64.
#
# "Word 3 matters most", says the document. For a query above 0 and any scale above 0 the score grows with the key, so 5 has
# the largest share in every row. And 0.5, 0.2, 0.3 aren't possible at all: the score of 4 is halfway between those of 3 and
# 5, so its share is never the smallest of the three. Tried with scales of both signs:

# %%
scales = np.concatenate([-np.geomspace(1e-6, 10, 500), np.geomspace(1e-6, 10, 500)])
rows = np.array([softmax_forward(scale * 3 * np.array([3.0, 4, 5]))[0] for scale in scales])
print(f"positive scales where 5 has the largest share: {(rows[500:].argmax(axis=1) == 2).mean():.0%}")
print(f"scales of either sign where 4 has the smallest share: {(rows.argmin(axis=1) == 1).mean():.0%}")
assert (rows[500:].argmax(axis=1) == 2).all() and not (rows.argmin(axis=1) == 1).any()

# %% [markdown]
# Its cross-attention: the decoder's query is 10, the encoder's keys and values are 3, 4 and 5. The document gives two
# shares, 0.4 and 0.6, and leaves key 5 out:

# %%
print(f"scores 10 · key / √64: {10 * np.array([3, 4, 5]) / np.sqrt(64)}")
for keys in ([3, 4, 5], [3, 4]):
    shares, output = attend(10, keys, 64)
    print(f"q = 10, keys {keys}: shares {', '.join(f'{share:.5f}' for share in shares)}; output {output:.5f}")

# %% [markdown]
# "So the decoder picks word 4": it doesn't. The output is a number between the values and no word at all. Attention mixes;
# what picks a word is another softmax, over the vocabulary, at the end of the model.

# %% [markdown]
# ## The gradient check
#
# Finite differences against backward, for every element. The sum of a softmax's row is 1 whatever the scores are, so we
# weigh the results first; or the right gradient would be 0, and any mistake that keeps it at 0 would pass.

# %%
rng = np.random.default_rng(0)
q, k, v = rng.normal(size=(3, 2, 4, 3))  # two heads, four tokens, d_k = 3
s, w = rng.normal(size=(2, 4, 4))
x, memory = rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 5, 6))
layer = MultiHead(rng, n_head=2, d_in=6, width=6, d_out=6)
nothing_to_see = causal_mask(4) & (np.arange(4) > 0)[:, None]  # the first query sees no key
for name, fn, inputs in [
    ("softmax", lambda s: softmax(s) * w, [s]),
    ("attention", attention, [q, k, v]),
    ("causal attention", lambda q, k, v: attention(q, k, v, mask=causal_mask(4)), [q, k, v]),
    ("a row that sees nothing", lambda q, k, v: attention(q, k, v, mask=nothing_to_see), [q, k, v]),
    ("two heads, of itself", lambda x: layer(x, mask=causal_mask(4)), [x]),
    ("two heads, of a memory", layer, [x, memory]),
]:
    error = engine.gradient_check(fn, *inputs)
    print(f"{name:24} largest error {error:.1e}")
    assert error < 1e-7

# %% [markdown]
# ## The same thing in minillm
#
# `ml.testing.check` runs a pair of your own on the cases that the library's op is tested with. Softmax passes them all:

# %%
passed = ml.testing.check(
    ml.ops.softmax,
    forward=lambda xp, s, axis=-1: softmax_forward(s, axis),
    backward=lambda xp, dp, saved: softmax_backward(dp, saved),
)
print(f"softmax: {passed} cases, forward and backward")

# %% [markdown]
# The library's attention also knows dropout and heads that share keys, which ours doesn't; those cases are left out. The
# others are compared one by one, and the library's own gradients are checked by finite differences:

# %%
op = ml.ops.attention
for case in op.cases(np.random.default_rng(0)):
    (q, k, v, *mask), options = case.args, case.kwargs
    if q.shape[1] != k.shape[1] or not options.keys() <= {"causal"}:
        continue
    mask = mask[0] if mask else None
    if options.get("causal"):
        past = np.tril(np.ones((q.shape[2], k.shape[2]), bool), k.shape[2] - q.shape[2])
        mask = past if mask is None else mask & past
    ours, saved = attention_forward(q, k, v, mask=mask)
    theirs, their_saved = op.reference.forward(np, *case.args, **options)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    gradient = np.cos(np.arange(ours.size)).reshape(ours.shape)
    pairs = zip(attention_backward(gradient, saved), op.reference.backward(np, gradient, their_saved), strict=False)
    for mine, library in pairs:
        np.testing.assert_allclose(mine, library, atol=1e-12)
    report = ml.testing.gradcheck(lambda q, k, v, m=mask: op(q, k, v, m), [q, k, v])
    print(f"{case.note:42} equal; finite differences within {report.largest_error:.0e}")

# %% [markdown]
# And the layer: `ml.nn.MultiHeadAttention` with our weights (it keeps each matrix transposed) gives our output and our
# gradients. Read [ops/attention.py](../minillm/ops/attention.py) and [nn/attention.py](../minillm/nn/attention.py).

# %%
library = ml.nn.MultiHeadAttention(6, 2, causal=True, bias=False, dtype="float64")
linears = [library.query, library.key, library.value, library.output]
for linear, weight in zip(linears, layer.weights, strict=True):
    linear.weight.mutable()[...] = weight.array.T

ours = layer(x, mask=causal_mask(4))
theirs = library(ml.Tensor(x))
np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-10)
print(f"outputs of shape {ours.shape}: equal")

(ours * ours).sum().backward()
(theirs * theirs).sum().backward()
for name, linear, weight in zip(["W_Q", "W_K", "W_V", "W_O"], linears, layer.weights, strict=True):
    np.testing.assert_allclose(weight.grad, linear.weight.grad.T, rtol=1e-10, atol=1e-12)
    print(f"∂L/∂{name} of shape {weight.shape}: equal")

# %% [markdown]
# ## A task that needs two lookups
#
# Now let attention learn. Sequences of eight random words; at each place the layer is to say the word **one back** and the
# word **two back**. It is given each word and its place, as a one for the word and a one for the place, and it has to find
# out by itself that places are what to look by.
#
# The loss is the cross-entropy, as a pair; rows of the target that are all 0 (there is no word before the first) don't
# count.

# %%
WORDS = ["the", "cat", "sat", "on", "mat", "我", "喜欢", "猫", "和", "狗"]
TIME = 8


def vectors(ids):
    """(batch, time) -> (batch, time, 10 words + 8 places): a one for the word, a one for its place."""
    places = np.broadcast_to(np.eye(TIME)[: ids.shape[1]], (*ids.shape, TIME))
    return np.concatenate([np.eye(len(WORDS))[ids], places], axis=-1)


def back_targets(ids):
    """(batch, time, 2, words): which word stands one back, and which two back."""
    wanted = np.zeros((*ids.shape, 2, len(WORDS)))
    wanted[:, 1:, 0] = np.eye(len(WORDS))[ids[:, :-1]]
    wanted[:, 2:, 1] = np.eye(len(WORDS))[ids[:, :-2]]
    return wanted


def cross_entropy_forward(logits, wanted):
    p, _ = softmax_forward(logits)
    return -(wanted * np.log(np.maximum(p, 1e-300))).sum() / wanted.sum(), (p, wanted)


def cross_entropy_backward(g, saved):
    """softmax and logarithm together: p − y, for the rows that count"""
    p, wanted = saved
    return g * (p * wanted.sum(-1, keepdims=True) - wanted) / wanted.sum(), np.zeros_like(wanted)


cross_entropy = engine.op(cross_entropy_forward, cross_entropy_backward)

# %% [markdown]
# Training walks against the gradient, with momentum: each step also keeps nine tenths of the one before, which smooths the
# way (chapters on training follow).


# %%
def loss_of(layer, ids, targets, mask):
    wanted = targets(ids)
    logits = engine.reshape(layer(vectors(ids), mask=mask), shape=wanted.shape)
    return cross_entropy(logits, wanted)


def train(n_head, targets, mask, steps=250, step_size=0.5):
    """A layer of width 16 trained on random sequences; the layer and the losses of its steps."""
    rng = np.random.default_rng(0)
    n_out = targets(np.zeros((1, TIME), int)).shape[2] * len(WORDS)
    layer = MultiHead(rng, n_head, len(WORDS) + TIME, 16, n_out)
    moves, losses = [0.0] * 4, []
    for _ in range(steps):
        loss = loss_of(layer, rng.integers(len(WORDS), size=(16, TIME)), targets, mask)
        loss.backward()
        losses.append(float(loss.array))
        moves = [0.9 * move + weight.grad for move, weight in zip(moves, layer.weights, strict=True)]
        for weight, move in zip(layer.weights, moves, strict=True):
            weight.array = weight.array - step_size * move
    return layer, losses


one, losses_of_one = train(1, back_targets, causal_mask(TIME))
two, losses_of_two = train(2, back_targets, causal_mask(TIME))
say(
    f"After {len(losses_of_two)} steps the loss is **{np.mean(losses_of_one[-20:]):.3f}** nats with one head of 16 and "
    f"**{np.mean(losses_of_two[-20:]):.3f}** with two heads of 8, of {losses_of_two[0]:.3f} at the start. Both have "
    f"{sum(w.array.size for w in two.weights):,} parameters."
)

# %% [markdown]
# One head has one set of shares for each token. It can find both words, but it hands them over mixed, and which of the two
# came first is lost: a toss of a coin costs $\ln 2$ nats. Taking more of one word than of the other helps one answer and
# harms the other. Two heads find one word each.

# %% [markdown]
# ## Picture: what the heads learnt
#
# The shares $P$ of a sentence that neither layer has seen as such.

# %%
import matplotlib.pyplot as plt


def shares_of(layer, ids):
    """(n_head, time, time): the softmax's rows, for one sentence."""
    q, k, v = (t.array for t in layer.heads(vectors(ids[None])))
    return attention_forward(q, k, v, mask=causal_mask(len(ids)))[1][3][0]


sentence = ["the", "cat", "sat", "on", "the", "mat"]  # or your own: up to eight of WORDS; then run the cells below, too
ids = np.array([WORDS.index(word) for word in sentence])
pictures = {"one head, of 16": shares_of(one, ids)[0]}
pictures |= {f"two heads, the {name}": p for name, p in zip(["first", "second"], shares_of(two, ids), strict=True)}

figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
for axis, (title, p) in zip(axes, pictures.items(), strict=True):
    picture = axis.imshow(p, vmin=0, vmax=1, cmap="Blues")
    axis.set(title=title, xlabel="key: the token looked at", ylabel="query: the token that looks")
    axis.set_xticks(range(len(sentence)), sentence, rotation=45)
    axis.set_yticks(range(len(sentence)), sentence)
figure.colorbar(picture, ax=axes, label="share")
show(figure, "Learnt shares: one head spreads over the two tokens before; of two heads, each looks at one of them.")

# %%
offsets = [int(np.median(np.arange(2, len(ids)) - p[2:].argmax(axis=1))) for p in shares_of(two, ids)]
for i, offset in enumerate(offsets):
    p = shares_of(two, ids)[i]
    mean = np.mean([p[t, t - offset] for t in range(2, len(ids))])
    say(f"The {['first', 'second'][i]} head looks **{offset} back**, with a share of {mean:.2f} on average.")

# %% [markdown]
# ## Picture: the formula, step by step
#
# The head that looks one back, on this sentence: queries and keys, scores, scale, mask, softmax row by row, output. The two
# *the* are one word, and are told apart by their places.

# %%
from minillm import views

head = offsets.index(1)
q, k, v = (t.array[0, head] for t in two.heads(vectors(ids[None])))
views.attention(sentence, q, k, v, causal=True)

# %% [markdown]
# What it learnt is about places and not about words, so it does the same in any language that its words come from:

# %%
chinese = ["我", "喜欢", "猫", "和", "狗"]
chinese_ids = np.array([WORDS.index(word) for word in chinese])
q, k, v = (t.array[0, head] for t in two.heads(vectors(chinese_ids[None])))
print(views.attention(chinese, q, k, v, causal=True))

# %% [markdown]
# **Your own sentence.** Any words will do where nothing has been learnt: each gets a random vector, the same wherever it stands, and the three matrices
# are random, too. So what you see is the formula alone, without a meaning and without places. A sentence without spaces, such as
# 更上一层楼, is taken character by character. (`views.attention(...).save("mine.html")` writes it as a page of its own.)

# %%
import zlib

mine = "the old dog sleeps beside the hand that led him"
tokens = mine.split() if " " in mine else list(mine)
x = np.stack([np.random.default_rng(zlib.crc32(token.encode())).normal(size=8) for token in tokens])
W_q, W_k, W_v = np.random.default_rng(0).normal(size=(3, 8, 4)) / np.sqrt(8)
views.attention(tokens, x @ W_q, x @ W_k, x @ W_v, causal=True)

# %% [markdown]
# ## What breaks if
#
# **... scores aren't divided by $\sqrt{d_k}$.** The shares then go to one key, and where a share is 0 or 1 the softmax is
# flat: $p_j(dP_j - \sum dP\,p)$ is 0 in both cases. No gradient, no learning. Of random queries and 32 random keys, with a
# random gradient of the shares, the median over queries:

# %%
widths, rng = [4, 16, 64, 256, 1024], np.random.default_rng(0)
norms = {"undivided": [], "divided by √d_k": []}
print(" d_k             scores   largest share   norm of dS")
for d_k in widths:
    q, k = rng.normal(size=(512, d_k)), rng.normal(size=(32, d_k))
    dp = rng.normal(size=(512, 32))
    for name, divisor in zip(norms, (1, np.sqrt(d_k)), strict=True):
        p, saved = softmax_forward(q @ k.T / divisor)
        (ds,) = softmax_backward(dp, saved)
        norms[name].append(np.median(np.linalg.norm(ds, axis=1)))
        print(f"{d_k:4}  {name:>17}  {np.median(p.max(axis=1)):14.4f}   {norms[name][-1]:10.1e}")

# %%
figure, axis = plt.subplots(figsize=(6, 3.4))
for (name, values), style in zip(norms.items(), ("o--", "s-"), strict=True):
    axis.loglog(widths, values, style, label=name)
axis.set(xlabel="d_k, the width of queries and keys", ylabel="‖∂L/∂s‖, median over queries")
axis.set_xticks(widths, widths)
axis.minorticks_off()
axis.legend()
show(figure, "The gradient of the scores against the width of a head: it dies off undivided, and stays when divided.")

# %% [markdown]
# **... there is no causal mask.** Let the task be the next word. The words are random, so nobody can do better than
# $\ln 10$ nats. Without a mask, training says otherwise:


# %%
def next_targets(ids):
    wanted = np.zeros((*ids.shape, 1, len(WORDS)))
    wanted[:, :-1, 0] = np.eye(len(WORDS))[ids[:, 1:]]
    return wanted


honest, honest_losses = train(1, next_targets, causal_mask(TIME), steps=150)
peeking, peeking_losses = train(1, next_targets, None, steps=150)
test = np.random.default_rng(1).integers(len(WORDS), size=(256, TIME))
used = loss_of(peeking, test, next_targets, causal_mask(TIME)).array
say(
    f"The best possible is ln 10 = {np.log(10):.3f} nats. With the mask: **{np.mean(honest_losses[-20:]):.3f}**. Without it: "
    f"**{np.mean(peeking_losses[-20:]):.1e}**, for the answer stands one place on and the layer looks there. When it is used, the "
    f"next word isn't there yet: then its loss is **{used:.1f}** nats, worse than guessing."
)

# %% [markdown]
# **... a hidden score is $-10^9$ and not $-\infty$.** Where at least one key is visible the two are the same. But take a
# query that may see nothing, as a padding token may; in float32, adding $-10^9$ wipes out the score itself, so all are
# equal, and the query gets the mean of what it must not see. With $-\infty$ and a careless softmax it gets NaN, from
# $-\infty - (-\infty)$. And in float16 there is no $-10^9$.


# %%
def careless_softmax(s):
    e = np.exp(s - s.max())
    return e / e.sum()


scores, secrets = np.array([2.0, -1.0, 0.5], np.float32), np.array([[7.0], [8.0], [9.0]])
with np.errstate(invalid="ignore", over="ignore"):
    shares = {
        "−1e9, careless": careless_softmax(scores + np.float32(-1e9)),
        "−∞, careless": careless_softmax(scores + np.float32(-np.inf)),
        "−1e9 in float16": careless_softmax(scores.astype(np.float16) + np.float32(-1e9).astype(np.float16)),
        "−∞, ours": softmax_forward(np.full(3, -np.inf))[0],
        "−∞, minillm": ml.ops.softmax(np.full(3, -np.inf)).numpy(),
    }
for name, p in shares.items():
    print(f"{name:16} shares {p.round(4)}, output {p @ secrets}")

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("06.1")` gives a hint, and another when you call it again;
# `solution("06.1")` shows a solution.

# %% [markdown]
# **06.1** Scores with a mask. `q` is `(queries, d_k)`, `k` is `(keys, d_k)`, and `lengths` says for each query how many
# keys, from the first on, it may look at. Return the scaled scores `(queries, keys)`, with $-\infty$ where a query may not
# look.


# %%
def masked_scores(q, k, lengths): ...


check("06.1", masked_scores)

# %% [markdown]
# **06.2** One row of attention, by hand: `query` is `(d_k,)`, `keys` `(n, d_k)`, `values` `(n, d_v)`. Go through the keys
# **one at a time** in a loop, and never keep more than a few numbers and one vector of size `d_v`: a running maximum, a
# running sum of exponentials, a running mixture. (This is how attention over a long text fits in a small fast memory.)
# Return the output `(d_v,)`. Scores may be in the thousands. The checker sees the result and not the way; the way is up to
# you.


# %%
def one_row(query, keys, values): ...


check("06.2", one_row)

# %% [markdown]
# **06.3** $S = QK^\top/\sqrt{d_k}$ with `q` of shape `(..., queries, d_k)` and `k` of `(..., keys, d_k)`. Given `g`, the
# gradient of $S$, return those of `q` and `k`.


# %%
def scores_backward(g, q, k): ...


check("06.3", scores_backward)

# %% [markdown]
# **06.4** GPT-2 keeps $W_Q$, $W_K$ and $W_V$ in one matrix, so a single product gives `qkv`, `(batch, time, 3 · d_model)`:
# queries, then keys, then values, and in each of them the heads one after the other. Split it, call `attend(q, k, v)`,
# which takes and returns `(batch, n_head, time, d_head)`, and merge what it returns to `(batch, time, d_model)`.


# %%
def multi_head(qkv, n_head, attend): ...


check("06.4", multi_head)

# %% [markdown]
# **06.5** When a model writes, tokens come one at a time, and the keys and values of the past are kept. Given those,
# `past_k` and `past_v` of shape `(past, d)`, and the queries, keys and values of the new tokens, `(new, d)` each, return
# the outputs of the new tokens `(new, d)`: they must be the same as the last rows of causal attention over the whole
# sequence. `new` is 1 when writing; it is more when a prompt is read in pieces, and `past` may be 0.


# %%
def go_on(past_k, past_v, q, k, v): ...


check("06.5", go_on)
