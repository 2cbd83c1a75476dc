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
# # 08 Encoder, decoder, cross-attention
#
# Covers sections 4.1.1 and 4.2.2 of the document (the Transformer's two layers, and cross-attention), the configuration of
# its 4.3.2, the second case of its 4.3.3 and a claim of its 3.3.1.
#
# Formulas: [4.1.1-encoder] [4.1.1-decoder] [4.2.2]
#
# The document writes each layer as a sum, attention "+" feed-forward network, leaves out residual connections and
# norms, and gives the decoder one attention that is both masked and crossed. It has two, and only one of them is masked.
#
# You need: chapter 04 (the engine), chapter 06 (attention, masks, heads). Layer norm is used here and derived in 07.

# %%
import numpy as np

import minillm as ml
from minillm.book import say, show
from minillm.exercises import check, hint, solution
from minillm.formula import formula

# %%
formula("4.1.1-encoder")

# %%
formula("4.1.1-decoder")

# %%
formula("4.2.2")

# %% [markdown]
# ## The idea
#
# A translation is two sequences. The **source** is there from the start, so it may be read in both directions. The
# **target** is written word by word, so each of its words knows only those before it. Two stacks of layers share the work:
#
# - the **encoder** makes of each word of the source a vector that knows the others. All of them together are the **memory** $m$;
# - the **decoder** reads what it has written so far, looks things up in the memory, and scores every word of the vocabulary as
#   the next.
#
# The looking up is **cross-attention**: chapter 06's formula, where queries come from one sequence, and keys and values from
# the other.
#
# $$Q = x\,W_Q, \qquad K = m\,W_K, \qquad V = m\,W_V, \qquad \mathrm{CrossAttention} = \mathrm{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right)V.$$
#
# With $t$ words written and $s$ words in the source the shares are a table of $t \times s$: not square, so "below the
# diagonal" means nothing. There is no causal mask, because nothing in the source is later than what is being written.

# %% [markdown]
# ## A worked example
#
# The document's own: a query 10 from the decoder; 3, 4, 5 as keys and as values from the encoder; scores divided by
# $\sqrt{64}$.

# %%
query, keys, values = 10.0, np.array([3.0, 4.0, 5.0]), np.array([3.0, 4.0, 5.0])
scores = query * keys / np.sqrt(64)
exponentials = np.exp(scores)
shares = exponentials / exponentials.sum()
output = shares @ values
print(f"scores 10 · k / √64 = {scores}")
print(f"exp(scores)         = {exponentials.round(4)}, their sum {exponentials.sum():.4f}")
print(f"shares              = {shares.round(5)}")
print(
    f"output              = {' + '.join(f'{p:.5f} · {v:g}' for p, v in zip(shares, values, strict=True))} = {output:.5f}"
)

# %% [markdown]
# The document says 0.4 and 0.6, for the keys 3 and 4, and nothing of key 5. Each of its two lines is again, as in chapter 06, a softmax
# of one number, which is 1. Might it have meant the keys 3 and 4 alone?

# %%
two = np.exp(scores[:2]) / np.exp(scores[:2]).sum()
print(f"keys 3, 4 alone: shares {two.round(5)}, the document says [0.4 0.6]")
gap = np.log(0.6 / 0.4)
print(f"shares of 0.4 and 0.6 need scores {gap:.4f} apart; these are {scores[1] - scores[0]:.2f} apart")
largest = int(keys[shares.argmax()])
say(f"With all three keys, the largest share is that of key **{largest}**; the document finds word 4 to matter most.")

# %% [markdown]
# "So the decoder picks word 4", the document goes on. Attention picks nothing. It hands over a mixture, which is the vector of
# no word at all; what picks is the softmax over the **vocabulary**, at the very end, from scores that a matrix makes of the
# decoder's vector. Four such heads, drawn at random, for a vocabulary of 20 words, all given the output above:

# %%
picked = []
for seed in range(4):
    W, b = np.random.default_rng(seed).normal(size=(2, 20))
    logits = output * W + b
    p = np.exp(logits - logits.max())
    p /= p.sum()
    picked.append(int(p.argmax()) + 1)
    print(f"head {seed}: word {picked[-1]:2} with p = {p.max():.3f}; word 4 has p = {p[3]:.3f}")
say(f"The same shares and the same output, and the words picked are **{', '.join(map(str, picked))}**.")

# %% [markdown]
# ## The derivative, to both sides
#
# $O = \mathrm{Attention}(Q, K, V)$ with $Q = xW_Q$, $K = mW_K$, $V = mW_V$. Chapter 06 has $dQ$, $dK$ and $dV$. What is left is
# three matrix products $C = AB$, each with $dA = GB^\top$ and $dB = A^\top G$, where $G = dC$ (chapter 04):
#
# 1. $Q = xW_Q$ is the only way by which $x$ acts, so $dx = dQ\,W_Q^\top$.
# 2. The memory acts by two ways, as keys and as values, and what comes by several ways adds up:
#    $dm = dK\,W_K^\top + dV\,W_V^\top$.
# 3. The matrices: $dW_Q = x^\top dQ$, $dW_K = m^\top dK$, $dW_V = m^\top dV$.
#
# In self-attention $m$ *is* $x$, and all three terms add up to one gradient. Here they part: the first teaches the decoder what
# to ask, the other two teach the encoder what to answer. It is only by the memory that the loss reaches the encoder.

# %% tags=["layers"]
import numpy as np

from minillm import ops
from minillm.book import module

engine, attention = module("04", "engine"), module("06", "attention")


def cross_forward(x, m, w_q, w_k, w_v, mask=None):
    """One head of cross-attention.  [4.2.2]   x: (..., t, d_x), m: (..., s, d_m) -> (..., t, d_v)"""
    o, saved = attention.attention_forward(x @ w_q, m @ w_k, m @ w_v, mask=mask)
    return o, (x, m, w_q, w_k, w_v, saved)


def cross_backward(do, saved):
    x, m, w_q, w_k, w_v, attended = saved
    dq, dk, dv = attention.attention_backward(do, attended)
    dx, dw_q = engine.matmul_backward(dq, (x, w_q))
    dm_as_keys, dw_k = engine.matmul_backward(dk, (m, w_k))
    dm_as_values, dw_v = engine.matmul_backward(dv, (m, w_v))
    return dx, dm_as_keys + dm_as_values, dw_q, dw_k, dw_v


cross_attention = engine.op(cross_forward, cross_backward)

# %% [markdown]
# The worked example backwards. $x = 10$, $m = (3, 4, 5)$, and the matrices are single numbers, so $d_k$ is 1. $W_K$ and $W_V$ are 1;
# to have the document's $\sqrt{64}$, $W_Q$ is $1/8$. For a loss that is the output itself:

# %%
one, eighth = np.array([[1.0]]), np.array([[1 / 8]])
o, saved = cross_forward(np.array([[10.0]]), keys[:, None], eighth, one, one)
np.testing.assert_allclose(o, output)
dx, dm, dw_q, dw_k, dw_v = cross_backward(one, saved)
print(f"dx = {dx.item():.5f}: what the decoder gets")
print(f"dm = {dm[:, 0].round(5)}: what the three words of the source get")
print(f"   = {(dm[:, 0] - shares).round(5)} as keys")
print(f"   + {shares.round(5)} as values, which are the shares")
print(f"dW_Q = {dw_q.item():.5f}, dW_K = {dw_k.item():.5f}, dW_V = {dw_v.item():.5f}")

# %% [markdown]
# ## The layers
#
# An encoder layer is two **sublayers**, a decoder layer three. Each sublayer is wrapped the same way: normalise, compute, and
# *add to what was there*, $h = x + f(\mathrm{LN}(x))$. The sum is the residual connection: a layer changes a vector instead of
# replacing it, and gradients have a way around every layer. The document's "+" stands between attention and feed-forward network,
# which are composed: the second works on the result of the first.
#
# The feed-forward network is $\mathrm{relu}(xW_1)W_2$, for each place alone. Layer norm's pair is taken from minillm, and its
# derivation is chapter 07's.


# %% tags=["layers"]
def layer_norm_backward(dy, saved):
    return ops.layer_norm.reference.backward(np, dy, saved)[:2]


layer_norm = engine.op(lambda x, w: ops.layer_norm.reference.forward(np, x, w), layer_norm_backward)


class FeedForward:
    def __init__(self, rng, d_model, d_ff):
        self.up = engine.Tensor(rng.normal(size=(d_model, d_ff)) / np.sqrt(d_model))
        self.down = engine.Tensor(rng.normal(size=(d_ff, d_model)) / np.sqrt(d_ff))

    def __call__(self, x):
        return engine.relu(x @ self.up) @ self.down


class EncoderLayer:
    """h = x + MultiHead(LN(x)),  y = h + FFN(LN(h))  [4.1.1-encoder]"""

    def __init__(self, rng, n_head, d_model, d_ff):
        self.attention = attention.MultiHead(rng, n_head, d_model, d_model, d_model)
        self.feed_forward = FeedForward(rng, d_model, d_ff)
        self.norms = [engine.Tensor(np.ones(d_model)) for _ in range(2)]

    def __call__(self, x, mask=None):
        h = x + self.attention(layer_norm(x, self.norms[0]), mask=mask)
        return h + self.feed_forward(layer_norm(h, self.norms[1]))


# %% [markdown]
# The decoder layer's three: causal self-attention, cross-attention with no causal mask, feed-forward network. The memory isn't
# normalised again; its mask hides padding, and nothing else.


# %% tags=["layers"]
class DecoderLayer:
    """h₁ = x + Masked(LN(x)),  h₂ = h₁ + Cross(LN(h₁), m),  y = h₂ + FFN(LN(h₂))  [4.1.1-decoder]"""

    def __init__(self, rng, n_head, d_model, d_ff):
        self.own = attention.MultiHead(rng, n_head, d_model, d_model, d_model)
        self.cross = attention.MultiHead(rng, n_head, d_model, d_model, d_model)
        self.feed_forward = FeedForward(rng, d_model, d_ff)
        self.norms = [engine.Tensor(np.ones(d_model)) for _ in range(3)]

    def __call__(self, x, memory, memory_mask=None):
        causal = attention.causal_mask(x.shape[1])
        h1 = x + self.own(layer_norm(x, self.norms[0]), mask=causal)
        h2 = h1 + self.cross(layer_norm(h1, self.norms[1]), memory, mask=memory_mask)
        return h2 + self.feed_forward(layer_norm(h2, self.norms[2]))


# %% [markdown]
# What each place of the result depends on can be tried: change one place of the input, and see which places of the result move.

# %%
rng = np.random.default_rng(0)
encoder_layer, decoder_layer = EncoderLayer(rng, 2, 6, 12), DecoderLayer(rng, 2, 6, 12)
x, memory = engine.Tensor(rng.normal(size=(1, 4, 6))), engine.Tensor(rng.normal(size=(1, 3, 6)))


def moved(before, after):
    """For each place, ■ if its vector moved, · if it is the same to the last bit."""
    return " ".join("■" if change else "·" for change in (before.array != after.array).any(axis=(0, 2)))


for place in range(4):
    other = engine.Tensor(x.array + np.outer(np.arange(4) == place, np.arange(6)))
    encoded = moved(encoder_layer(x), encoder_layer(other))
    decoded = moved(decoder_layer(x, memory), decoder_layer(other, memory))
    print(f"word {place} of x changed:      encoder layer {encoded}   decoder layer {decoded}")
for place in range(3):
    other = engine.Tensor(memory.array + np.outer(np.arange(3) == place, np.arange(6)))
    print(
        f"word {place} of memory changed:  {'':21} decoder layer {moved(decoder_layer(x, memory), decoder_layer(x, other))}"
    )

# %% [markdown]
# Three patterns: the encoder's words all see each other; in the decoder a word is seen by itself and by later ones; and the
# memory is seen from everywhere.

# %% [markdown]
# ## The gradient check
#
# Cross-attention as a pair, with and without a mask; and both layers, with respect to what they read. Their results are squared, so
# that the gradient that comes in isn't the same everywhere.

# %%
draw = np.random.default_rng(1).normal
mats = [draw(size=(6, 2)), draw(size=(5, 2)), draw(size=(5, 3))]
padded = np.array([[[True, True, False]]])  # the third word of the memory is padding
for name, fn, inputs in [
    ("cross-attention", cross_attention, [draw(size=(2, 4, 6)), draw(size=(2, 3, 5)), *mats]),
    ("... with padding", lambda x, m: cross_attention(x, m, *mats, mask=padded), [x.array, draw(size=(1, 3, 5))]),
    ("encoder layer", lambda x: encoder_layer(x) * encoder_layer(x), [x.array]),
    ("decoder layer", lambda x, m: decoder_layer(x, m) * decoder_layer(x, m), [x.array, memory.array]),
]:
    error = engine.gradient_check(fn, *inputs)
    print(f"{name:18} largest error {error:.1e}")
    assert error < 1e-6

# %% [markdown]
# ## The same thing in minillm
#
# First the op: the library's gradients of cross-attention, with respect to all five inputs, against ours and against finite
# differences.

# %%
inputs = [draw(size=(2, 4, 6)), draw(size=(2, 3, 5)), *mats]


def library_cross(x, m, w_q, w_k, w_v):
    q, k, v = (y.reshape(len(y), 1, *y.shape[1:]) for y in (x @ w_q, m @ w_k, m @ w_v))  # one head
    return ml.ops.attention(q, k, v)[:, 0]


ours, theirs = [engine.Tensor(a) for a in inputs], [ml.Tensor(a, requires_grad=True) for a in inputs]
y, library_y = cross_attention(*ours), library_cross(*theirs)
(y * y).sum().backward()
(library_y * library_y).sum().backward()
np.testing.assert_allclose(y.array, library_y.numpy(), rtol=1e-12)
for name, mine, library in zip(["x", "m", "W_Q", "W_K", "W_V"], ours, theirs, strict=True):
    np.testing.assert_allclose(mine.grad, library.grad, rtol=1e-9, atol=1e-12)
    print(f"∂L/∂{name}: shape {mine.shape}, equal")
report = ml.testing.gradcheck(library_cross, inputs)
print(f"the library's, against finite differences: within {report.largest_error:.0e}")

# %% [markdown]
# Then the whole model. `ml.models.Seq2Seq` is embeddings and positions, encoder layers, decoder layers, and a head that scores the
# vocabulary with the target embedding's own matrix. Read [nn/blocks.py](../minillm/nn/blocks.py) for the layers and
# [models/seq2seq.py](../minillm/models/seq2seq.py) for the model. To compare, our layers take its weights; it keeps each matrix
# transposed.


# %% tags=["layers"]
def take_weights(layer, library):
    """Our encoder or decoder layer with the weights of one of minillm's (without biases)."""
    sublayers = list(vars(library).values())
    layer.norms = [engine.Tensor(s.norm.weight.numpy()) for s in sublayers]
    attentions = [layer.attention] if hasattr(layer, "attention") else [layer.own, layer.cross]
    for mine, sublayer in zip(attentions, sublayers, strict=False):
        theirs = sublayer.sublayer
        linears = [theirs.query, theirs.key, theirs.value, theirs.output]
        mine.weights = [engine.Tensor(linear.weight.numpy().T) for linear in linears]
    last = sublayers[-1].sublayer
    layer.feed_forward.up = engine.Tensor(last.up.weight.numpy().T)
    layer.feed_forward.down = engine.Tensor(last.down.weight.numpy().T)
    return layer


def embed(ids, words, places):
    """Each word's row, plus its place's; a product with one-hot rows, so that the engine knows the derivative."""
    return engine.Tensor(np.eye(len(words.array))[ids]) @ words + places.array[: ids.shape[1]]


# %%
CONFIG = ml.models.Seq2SeqConfig(
    vocab_size=14, context_length=16, n_encoder_layer=1, n_decoder_layer=1, n_head=2, d_model=32, d_ff=64,
    dropout=0.0, bias=False, position="learned",
)  # fmt: skip


def our_logits(model, source, inputs):
    """What minillm's model computes, by our layers with its weights: logits (batch, time, vocab), and the memory."""
    width = (np.random.default_rng(0), model.config.n_head, model.config.d_model, model.config.d_ff)
    words = engine.Tensor(model.target_embedding.weight.numpy())
    places = [engine.Tensor(p.embedding.weight.numpy()) for p in (model.source_positions, model.target_positions)]
    mask = (source != model.config.pad_id)[:, None, None, :]
    m = embed(source, words, places[0])
    for layer in model.encoder:
        m = take_weights(EncoderLayer(*width), layer)(m, mask=mask)
    m = memory = layer_norm(m, engine.Tensor(model.encoder_norm.weight.numpy()))
    y = embed(inputs, words, places[1])
    for layer in model.decoder:
        y = take_weights(DecoderLayer(*width), layer)(y, m, memory_mask=mask)
    y = layer_norm(y, engine.Tensor(model.decoder_norm.weight.numpy()))
    return y @ engine.move_axes(words, axes=(1, 0)), memory


ml.seed(0)
exact = ml.models.Seq2Seq(ml.models.Seq2SeqConfig(**{**vars(CONFIG), "dtype": "float64"}))
ids = np.random.default_rng(0).integers(3, 14, size=(2, 2, 6))
ids[0, 1, 4:] = 0  # the second source is padded
ours, memory = our_logits(exact, ids[0], ids[1])
theirs, _ = exact(ids[0], ids[1])
np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-9, atol=1e-10)
print(f"logits of shape {ours.shape}, by our layers and by minillm's Seq2Seq: equal")

# %% [markdown]
# And the gradient that reaches the memory, which is what the encoder learns by:

# %%
(ours * ours).sum().backward()
mask = exact.mask_of(ids[0])
library_memory = ml.Tensor(exact.encode(ids[0]).numpy(), requires_grad=True)
decoded = exact.logits(exact.decode(ids[1], library_memory, ids[0], mask), library_memory, ids[0], mask)
(decoded * decoded).sum().backward()
np.testing.assert_allclose(memory.grad, library_memory.grad, rtol=1e-8, atol=1e-9)
np.testing.assert_array_equal(memory.grad[1, 4:], 0)
print(f"∂L/∂memory of shape {memory.shape}: equal; at the padding exactly 0")

# %% [markdown]
# ## The document's configuration, counted
#
# Section 4.3.2: 8 heads of 64, 20 encoder layers and 2 decoder layers, so $d_{model} = 8 \cdot 64$. It says nothing of the feed-forward
# network's width; four times $d_{model}$ is what the 2017 paper has. With $d$ for $d_{model}$ and $f$ for that width, and a
# bias after each matrix:
#
# - an attention has four matrices with their biases, $4d^2 + 4d$;
# - a feed-forward network $2df + f + d$;
# - a norm a weight and a bias, $2d$.


# %%
def parameters(d, f):
    """Of an encoder layer and of a decoder layer, from the shapes alone."""
    one_attention, network, norm = 4 * d**2 + 4 * d, 2 * d * f + f + d, 2 * d
    return one_attention + network + 2 * norm, 2 * one_attention + network + 3 * norm


d, f = 8 * 64, 4 * 8 * 64
in_encoder, in_decoder = parameters(d, f)
att, cross = ml.nn.MultiHeadAttention(d, 8), ml.nn.MultiHeadAttention(d, 8)
network = ml.nn.FeedForward(d, f)
built = ml.nn.EncoderLayer(att, network, lambda: ml.nn.LayerNorm(d))
assert built.num_parameters() == in_encoder
built = ml.nn.DecoderLayer(att, cross, network, lambda: ml.nn.LayerNorm(d))
assert built.num_parameters() == in_decoder
total = 20 * in_encoder + 2 * in_decoder
print(f"an encoder layer   {in_encoder:>12,}  (counted in minillm's layer: the same)")
print(f"a decoder layer    {in_decoder:>12,}  (the same)")
print(f"20 and 2 of them   {total:>12,}  without embeddings")

# %% [markdown]
# The document doesn't count. 20 to 2 looks lopsided, beside the 2017 paper's six of each, but it has its sense: the encoder
# runs once, and the decoder once for every word that is written.
#
# ## "Efficient on long text"
#
# So section 3.3.1 calls the Transformer. Every word scores every word: $n^2$ scores for each head and layer. They are kept for
# backward, and in float32 they take 4 bytes each. Computed for $n = 1000$ with 8 heads of 64, by the
# library's formula in NumPy, which keeps what backward needs:

# %%
q, k, v = np.random.default_rng(0).normal(size=(3, 8, 1000, 64)).astype(np.float32)
_, (_, _, _, p, *_) = ml.ops.attention.reference.forward(np, q[None], k[None], v[None])
assert p.dtype == np.float32 and p.nbytes == 8 * 1000**2 * 4
print(
    f"shares of shape {p.shape}: {p.nbytes / 1e6:.0f} MB a layer, {20 * p.nbytes / 1e6:.0f} MB over 20 layers, for one text"
)
print("     n   shares, 20 layers   what goes through the layers, 20 · n · 512")
for n in (500, 1000, 2000, 8000):
    print(f"{n:6,} {20 * 8 * n * n * 4 / 1e6:12,.0f} MB {20 * n * 512 * 4 / 1e6:15,.0f} MB")

# %% [markdown]
# Twice the text is four times the shares and their products. What is true of the claim: all places are computed at once, where a
# recurrent network must go one by one. And the memory can be spared: exercise 06.2 never keeps a row of scores, and the kernels of
# minillm don't either. The $n^2$ products remain.

# %% [markdown]
# ## Teacher forcing
#
# Training could let the decoder write, and compare. But one wrong word early on, and everything after it is about another
# sentence; and writing is slow. **Teacher forcing** hands the decoder the *right* words so far, whatever it would have said, at
# all places at once. Its inputs are the target moved by one place, with a start symbol before it, and the causal mask sees to it that
# no place sees its own answer.
#
# The task: write a word backwards. Sentences of one batch are filled up to one length with a padding symbol. The source's
# padding is hidden by a mask; the target's doesn't count in the loss (minillm marks it by −100). A mask works wherever padding
# stands. Here sources are filled up *in front*, so that the last letter, which is said first, always has the same place.

# %%
from minillm.models.seq2seq import teacher_forcing

LETTERS = "adeilrstv蜜蜂"
SYMBOLS = ["⌀", "⟨start⟩", "⟨end⟩", *LETTERS]  # ids 0, 1 and 2 as in minillm's configuration
PAD, START, END = 0, 1, 2
LONGEST = 8


def to_ids(words, width=LONGEST):
    """Sources (batch, width), padding first, and targets (batch, width + 1): each word backwards, then the end."""
    sources, targets = np.zeros((len(words), width), int), np.zeros((len(words), width + 1), int)
    for row, word in enumerate(words):
        letters = [SYMBOLS.index(letter) for letter in word]
        sources[row, width - len(word) :] = letters
        targets[row, : len(word) + 1] = [*letters[::-1], END]
    return sources, targets


def to_text(ids):
    return "".join(SYMBOLS[i] for i in ids)


source, target = to_ids(["live", "蜜蜂"], width=4)
inputs, wanted = teacher_forcing(target, CONFIG)
for row in range(2):
    print("source        ", " ".join(SYMBOLS[i] for i in source[row]))
    print("decoder reads ", " ".join(SYMBOLS[i] for i in inputs[row]))
    print("should say    ", " ".join("(−100)" if i < 0 else SYMBOLS[i] for i in wanted[row]))

# %% [markdown]
# 蜜蜂 is a bee; backwards, 蜂蜜, it is honey. Now training: random words of two to eight letters, one encoder and one decoder
# layer, minillm's model and optimizer.


# %%
def random_words(rng, n, shortest=2):
    lengths = rng.integers(shortest, LONGEST + 1, size=n)
    return ["".join(rng.choice(list(LETTERS), size=length)) for length in lengths]


def train(steps, causal=True, read=teacher_forcing):
    """A model trained for so many steps, and its losses."""
    ml.seed(0)
    rng, model = np.random.default_rng(0), ml.models.Seq2Seq(CONFIG)
    for positions in (model.source_positions, model.target_positions):
        positions.embedding.weight.mutable()[...] *= 10  # as large as the letters: here it's all about places
    model.decoder[0].self_attention.sublayer.causal = causal
    optimizer, losses = ml.optim.AdamW(model.parameters(), lr=0.01, betas=(0.9, 0.98)), []
    for step in range(steps):
        optimizer.lr = 0.01 * min(1, (step + 1) / 20, 2 * (steps - step) / steps)  # up, level, down
        source, target = to_ids(random_words(rng, 32))
        loss = model.loss(source, *read(target, CONFIG))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return model.eval(), losses


STEPS = 120
model, losses = train(STEPS)
say(
    f"{model.num_parameters():,} parameters, {STEPS} steps: from {losses[0]:.2f} nats a letter to "
    f"**{np.mean(losses[-20:]):.3f}**. Knowing nothing costs ln {len(SYMBOLS)} = {np.log(len(SYMBOLS)):.2f}."
)

# %% [markdown]
# ## Writing: greedy decoding
#
# The source is encoded once. Then, from the start symbol on, the likeliest next letter is taken and becomes the next input,
# until the end symbol comes. Here the softmax over the vocabulary picks, as promised.


# %%
def greedy(model, source, most):
    """What the model writes for sources (batch, time), without start and end: a list of ids for each row."""
    inputs = np.full((len(source), 1), START)
    for _ in range(most):
        logits, _ = model(source, inputs)
        inputs = np.concatenate([inputs, logits.numpy()[:, -1:].argmax(-1)], axis=1)
    rows = [list(row[1:]) for row in inputs]
    return [row[: row.index(END)] if END in row else row for row in rows]


words = ["live", "deliver", "stressed", "rats", "蜜蜂"]
sources, _ = to_ids(words)
written = greedy(model, sources, most=LONGEST + 1)
assert written == model.generate(sources, LONGEST + 1)
for word, ids in zip(words, written, strict=True):
    print(f"{word} → {to_text(ids)}")
print("minillm's generate, which keeps keys and values instead of computing them anew, writes the same")

# %%
TEST = random_words(np.random.default_rng(1), 200)


def accuracy(model):
    """The share of 200 random words that are written backwards without a mistake, by a model that reads its own letters."""
    written = model.generate(to_ids(TEST)[0], LONGEST + 1, use_cache=False)
    return np.mean([to_text(ids) == word[::-1] for word, ids in zip(TEST, written, strict=True)])


say(f"Of 200 random words, **{accuracy(model):.0%}** are right to the last letter.")

# %% [markdown]
# ## Picture: where the decoder looks
#
# The shares of the two cross-attention heads, from the trained model's own weights, while it writes *desserts* from
# *stressed*.

# %%
import matplotlib.pyplot as plt


def cross_parts(model, source, inputs):
    """Queries, keys, values of the decoder layer's cross-attention, (batch, n_head, time, d_head) each."""
    memory, x = model.encode(source), model.target_positions(model.target_embedding(inputs))
    layer = model.decoder[0]
    x = layer.cross_attention.norm(layer.self_attention(x))
    c = layer.cross_attention.sublayer
    parts = [c.query(x), c.key(memory), c.value(memory)]
    return [
        part.reshape(len(source), -1, c.query.weight.shape[0] // c.d_head, c.d_head).numpy().transpose(0, 2, 1, 3)
        for part in parts
    ]


word = "stressed"
source, target = to_ids([word])
inputs, _ = teacher_forcing(target, CONFIG)
p = attention.attention_forward(*cross_parts(model, source, inputs))[1][3][0]  # the saved shares, of the one text
figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for axis, shares, name in zip(axes, p, ["first head", "second head"], strict=True):
    picture = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axis.set(title=name, xlabel="key: the source's letter", ylabel="query: the letter read, and to be said")
    axis.set_xticks(range(len(word)), word)
    axis.set_yticks(
        range(len(word) + 1), [f"{SYMBOLS[a]} → {SYMBOLS[b]}" for a, b in zip(inputs[0], target[0], strict=True)]
    )
figure.colorbar(picture, ax=axes, label="share")
show(figure, "Shares while writing backwards: the dark squares are the letters of the source that each step looks at.")

# %%
mirror = [np.mean([p[head, t, len(word) - 1 - t] for t in range(len(word))]) for head in range(2)]
say(
    f"On the anti-diagonal, where letter $t$ of the target meets letter $n - 1 - t$ of the source, lies a mean share of "
    f"**{mirror[0]:.2f}** in the first head and **{mirror[1]:.2f}** in the second; spread evenly it would be {1 / len(word):.2f}. "
    "Nobody told it to look there."
)

# %% [markdown]
# Step by step, for 蜜蜂: three queries (start and two letters) and two keys. The table isn't square, and there is no mask but
# that of the padding, whose keys are left out here.

# %%
from minillm import views

source, target = to_ids(["蜜蜂"])
inputs, _ = teacher_forcing(target[:, :3], CONFIG)
q, k, v = (part[0, int(np.argmax(mirror))] for part in cross_parts(model, source, inputs))
views.attention([SYMBOLS[i] for i in inputs[0]], q, k[-2:], v[-2:], key_tokens=list("蜜蜂"))

# %% [markdown]
# ## What breaks if
#
# **... the decoder has no causal mask.** The letter that a place should say stands one place on in the inputs, and self-attention just
# takes it from there. The source needn't be read. When writing, there is nothing one place on.

# %%
peeking, peeking_losses = train(80, causal=False)
print("training loss of steps 71 to 80, and words right at the end:")
print(f"with the mask     {np.mean(losses[70:80]):.3f}   {accuracy(model):.0%} (after {STEPS} steps)")
print(f"without the mask  {np.mean(peeking_losses[70:]):.3f}   {accuracy(peeking):.0%}")
for word, ids in zip(
    ["live", "deliver"], peeking.generate(to_ids(["live", "deliver"])[0], 9, use_cache=False), strict=True
):
    print(f"{word} → {to_text(ids)!r}")


# %% [markdown]
# **... the target isn't shifted.** The decoder reads, at each place, the very letter it should say there. It learns to
# repeat what it reads; and the first thing it reads when writing is a start symbol that it has never seen.


# %%
def unshifted(target, config):
    _, wanted = teacher_forcing(target, config)
    return target, wanted


copying, copying_losses = train(60, read=unshifted)
samples = [to_text(ids) for ids in copying.generate(to_ids(["live", "deliver"])[0], LONGEST + 1)]
say(
    f"After 60 steps the training loss is **{np.mean(copying_losses[-10:]):.4f}** nats, and **{accuracy(copying):.0%}** of the "
    f"words are right. *live* becomes *{samples[0]}*, *deliver* becomes *{samples[1]}*."
)

# %% [markdown]
# **... padding isn't masked.** The model was trained with the mask, so nobody ever told it what to think of padding. The same
# model, with and without the mask, by the length of the word:

# %%
print("letters   padding   words right: masked   not masked   share of cross-attention on padding")
for length in range(2, LONGEST + 1):
    some = [word for word in TEST if len(word) == length]
    source, target = to_ids(some)
    right = []
    for mask in (source != PAD, np.ones_like(source, bool)):
        written = model.generate(source, LONGEST + 1, source_mask=mask)
        right.append(np.mean([to_text(ids) == word[::-1] for word, ids in zip(some, written, strict=True)]))
    p = attention.attention_forward(*cross_parts(model, source, teacher_forcing(target[:, : length + 1], CONFIG)[0]))[
        1
    ][3]
    lost = p[..., : LONGEST - length].sum(-1).mean()
    print(f"{length:7} {LONGEST - length:9} {right[0]:21.0%} {right[1]:12.0%} {lost:37.2f}")

# %% [markdown]
# The last column is what cross-attention gives to padding if nothing hides it there. It tells where damage may come from, and not
# how large it is: nobody trained the model for this. Padding is also part of the *loss* if it
# isn't left out. It is easy to foresee, so it makes the mean look better than the letters are:

# %%
source, target = to_ids(TEST)
inputs, wanted = teacher_forcing(target, CONFIG)
letters = ml.ops.cross_entropy(model(source, inputs)[0], wanted).item()
padding = (wanted < 0).mean()
say(
    f"**{padding:.0%}** of this batch's places in the target are padding. The loss of the letters is {letters:.3f} nats. Had "
    f"padding counted, a model that foresees it without fail would report {(1 - padding) * letters:.3f}, and write no better."
)

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("08.1")` gives a hint, and another when you call it again;
# `solution("08.1")` shows a solution.

# %% [markdown]
# **08.1** Teacher forcing from lists. `targets` are lists of ids of different lengths, without start and end. Return two integer
# arrays `(batch, longest + 1)`: what the decoder reads (start, then the sentence, then `pad`), and what it should say (the
# sentence, then `end`, then −100). Beware: a sentence may contain the id that is used as `pad` here, as a token of its own.


# %%
def forced(targets, start, end, pad): ...


check("08.1", forced)

# %% [markdown]
# **08.2** Every decoder layer reads the same memory. `dk` and `dv` are lists, one array `(batch, n_head, keys, d_head)` for each
# layer: the gradients of its keys and values. `w_k` and `w_v` are lists of matrices `(d_model, n_head · d_head)`, with
# `keys = memory @ w_k`, split by heads as in chapter 06. Return the gradient of the memory, `(batch, keys, d_model)`.


# %%
def memory_gradient(dk, dv, w_k, w_v): ...


check("08.2", memory_gradient)

# %% [markdown]
# **08.3** To waste nothing on padding, several pairs are packed into one row: `source_pairs`, `(batch, source_time)`, and
# `target_pairs`, `(batch, time)`, say which pair each token belongs to: 1, 2, 3 and so on, and 0 for padding. Return two masks, true
# where a query may look: the decoder's own, causal, `(batch, time, time)`, and the one over the memory,
# `(batch, time, source_time)`. No pair may see another, nobody sees padding, and padding sees nothing.


# %%
def packed_masks(source_pairs, target_pairs): ...


check("08.3", packed_masks)

# %% [markdown]
# **08.4** Count the parameters of an encoder-decoder in which `n_kv_head` key and value heads are shared by `n_head` query heads:
# $W_K$ and $W_V$ are then $d_{model} \times (n_{kv} \cdot d_{head})$ only. All matrices have biases, norms have a weight and a bias, a norm
# ends each of the two stacks, one embedding of `vocab_size` words serves source, target and head, and the head has no bias.
# Places are told by fixed waves, which aren't parameters.


# %%
def count(vocab_size, d_model, d_ff, n_head, n_kv_head, n_encoder, n_decoder): ...


check("08.4", count)

# %% [markdown]
# **08.5** Greedy decoding of a batch. `score(inputs)` takes the decoder's inputs so far, `(batch, time)`, and returns logits
# `(batch, time, vocab)`. Return a list of ids for each row, without start and end: a row is over at its first `end`, or
# after `most` ids. Rows end at different times, and what comes after an end is no part of the answer. Don't call `score` once all
# rows are over: it raises an error if asked to go on.


# %%
def write(score, batch, start, end, most): ...


check("08.5", write)
