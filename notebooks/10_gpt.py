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
# # 10 GPT: pre-training on the next token
#
# Covers section 3.2.2 of the document, generative pre-training.
#
# Formulas: [3.2.2-clm]
#
# The document has one sentence on it: the model must generate the next word or subword, to become better at generating. How a
# text becomes examples, why the model can't peek, and what is computed, is left out; and its sample program (5.2) has
# no causal mask, no shift of the targets and no positions. Here is all of it, from the chain rule to a model that writes.
#
# You need: chapters 04 (the engine), 05 (cross-entropy) and 06 (causal attention). Chapter 01 has the n-grams to beat.

# %%
import numpy as np

import minillm as ml
from minillm.book import module, say, show
from minillm.exercises import check, hint, solution
from minillm.formula import formula

# %%
formula("3.2.2-clm")

# %% [markdown]
# ## The idea
#
# By the chain rule of probability, a text is as probable as its first token, times its second given the first, and so on:
#
# $$P(w_1 \ldots w_T) = P(w_1) \prod_{t=2}^{T} P(w_t \mid w_1 \ldots w_{t-1}).$$
#
# Nothing is assumed in this. So whoever can say what comes **next** has a model of whole texts. The loss is the surprise,
# $-\sum_t \ln p(w_t \mid w_{<t})$, where $p$ is the model's probability and $w_{<t}$ all tokens before $w_t$; usually its mean over $t$
# is given. No person has to label anything: the text holds the answers.
#
# A text of $T$ tokens asks $T - 1$ such questions. Inputs and targets are the same text, one place apart:

# %%
poem = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"  # Wang Zhihuan, about 700
inputs, targets = poem[:-1], poem[1:]
print("inputs ", inputs)
print("targets", targets)
for t in (0, 1, 2, 3, len(inputs) - 1):
    print(f"t = {t:2}: after {inputs[: t + 1]} comes {targets[t]}")
say(f"{len(poem)} characters make **{len(inputs)} examples**.")

# %% [markdown]
# An n-gram would cut these contexts to a few tokens. A GPT takes them whole, and answers all of the questions in **one** pass:
# at each place its causal attention sees the tokens up to there and no further. One pass instead of $T - 1$ is why a
# Transformer can be trained on so much text.

# %% [markdown]
# ## A worked example
#
# The smallest GPT: three words, vectors of size 2, one attention without weights of its own, no feed-forward network. The
# text is 我 爱 猫 ("I love cats"). First, each token's vector and that of its place are added:

# %%
words = ["我", "爱", "猫"]
E = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])  # a row for each word
places = np.array([[0.0, 0.5], [0.5, 0.0]])
ids = np.array([0, 1])  # 我 爱, the inputs
answers = np.array([1, 2])  # 爱 猫, the targets
x = E[ids] + places
print(f"x = E[ids] + places\n{x}")

# %% [markdown]
# Causal attention with $Q = K = V = x$; its result is added to $x$:

# %%
scores = np.where(np.tril(np.ones((2, 2), bool)), x @ x.T / np.sqrt(2), -np.inf)
shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
h = x + shares @ x
print(f"scores, masked\n{scores.round(4)}\nshares\n{shares.round(4)}\nh = x + shares x\n{h.round(4)}")

# %% [markdown]
# The head compares $h$ with every word's vector: $h E^\top$, the *same* matrix as at the start. Softmax makes
# probabilities of the scores, and the targets pick one from each row:

# %%
logits = h @ E.T
p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
print(f"logits = h Eᵀ\n{logits.round(4)}\np\n{p.round(4)}")
surprise = -np.log(p[[0, 1], answers])
for t in (0, 1):
    print(f"p({words[answers[t]]} | {' '.join(words[: t + 1])}) = {p[t, answers[t]]:.4f}, −ln p = {surprise[t]:.4f}")
print(f"p(爱 猫 | 我) = {p[0, 1]:.4f} · {p[1, 2]:.4f} = {p[0, 1] * p[1, 2]:.4f} = exp(−{surprise.sum():.4f})")
print(f"L, the mean: {surprise.mean():.4f} nats a token")

# %% [markdown]
# ## The code from scratch
#
# What is still missing is the **embedding**, as a pair. Forward picks rows of a table. Backward adds each gradient to
# the row it was picked from: a token that occurs three times gets three gradients. In matrices, $x = O\,W$ with $O$ a one-hot
# row for each token, so $dW = O^\top dx$.

# %% tags=["gpt"]
import numpy as np

import minillm as ml
from minillm.book import module

engine, attending = module("04", "engine"), module("06", "attention")
cross_entropy = module("05", "losses").cross_entropy


def embedding_forward(weight, ids):
    return weight[ids], (ids, weight.shape)


def embedding_backward(dx, saved):
    """dW[v] = Σ_{t: id_t = v} dx_t"""
    ids, shape = saved
    dweight = np.zeros(shape)
    np.add.at(dweight, ids, dx)  # `dweight[ids] += dx` would count each id once
    return (dweight,)


def borrowed(op, inputs):
    """An op of minillm in our engine: its pair has the form of ours. The first `inputs` of its inputs get gradients."""
    return engine.op(
        lambda *arrays: op.reference.forward(np, *arrays),
        lambda gradient, saved: op.reference.backward(np, gradient, saved)[:inputs],
    )


embedding = engine.op(embedding_forward, embedding_backward)
layer_norm, gelu = borrowed(ml.ops.layer_norm, 2), borrowed(ml.ops.gelu_tanh, 1)

# %% [markdown]
# Layer norm (each vector to mean 0 and variance 1, times a weight) and GELU (a smooth ReLU, in GPT-2's form with a tanh)
# are taken from the library. A **block** is attention and a feed-forward network, each on the normed vectors, each *added* to
# what was there. The weights lie in a dict, under the names that minillm gives them.


# %% tags=["gpt"]
def linear(x, weight):
    """x Wᵀ, weight (d_out, d_in)"""
    return x @ engine.move_axes(weight, axes=(1, 0))


def block(x, w, layer, n_head, mask):
    """h = x + MultiHead(LN(x));  h + FFN(LN(h)).  (batch, time, d_model) -> the same"""

    def weight(name):
        return w[f"layers.{layer}.{name}.weight"]

    a = layer_norm(x, weight("attention.norm"))
    parts = (linear(a, weight(f"attention.sublayer.{name}")) for name in ("query", "key", "value"))
    heads = attending.attention(*(attending.split(part, n_head) for part in parts), mask=mask)
    h = x + linear(attending.merge(heads), weight("attention.sublayer.output"))
    f = layer_norm(h, weight("feed_forward.norm"))
    return h + linear(gelu(linear(f, weight("feed_forward.sublayer.up"))), weight("feed_forward.sublayer.down"))


def gpt(w, ids, n_layer, n_head, mask=None):
    """ids (batch, time) -> logits (batch, time, vocab_size): at each place, the scores of the token after it"""
    time = ids.shape[1]
    mask = attending.causal_mask(time) if mask is None else mask
    x = embedding(w["token_embedding.weight"], ids=ids)
    x = x + embedding(w["positions.embedding.weight"], ids=np.arange(time))
    for layer in range(n_layer):
        x = block(x, w, layer, n_head, mask)
    return linear(layer_norm(x, w["norm.weight"]), w["token_embedding.weight"])  # the tied head


# %% [markdown]
# That is GPT-2, but for the biases. Some random weights for it:


# %% tags=["gpt"]
def random_weights(rng, vocab_size, context_length, n_layer, d, std=0.3):
    """Norms are ones, matrices N(0, std²)."""
    shapes = {"token_embedding": (vocab_size, d), "positions.embedding": (context_length, d), "norm": (d,)}
    for layer in range(n_layer):
        for part in ("attention.norm", "feed_forward.norm"):
            shapes[f"layers.{layer}.{part}"] = (d,)
        for part in ("query", "key", "value", "output"):
            shapes[f"layers.{layer}.attention.sublayer.{part}"] = (d, d)
        shapes[f"layers.{layer}.feed_forward.sublayer.up"] = (4 * d, d)
        shapes[f"layers.{layer}.feed_forward.sublayer.down"] = (d, 4 * d)
    drawn = {name: np.ones(s) if len(s) == 1 else std * rng.normal(size=s) for name, s in shapes.items()}
    return {f"{name}.weight": engine.Tensor(array) for name, array in drawn.items()}


# %% [markdown]
# ## It can't peek
#
# First, one pass gives what $T - 1$ passes would: the losses of all prefixes, computed one prefix at a time, are those of
# the whole. Then we change the *last* token. Everything before it must stay as it was, to the last bit.

# %%
rng = np.random.default_rng(0)
w = random_weights(rng, vocab_size=10, context_length=8, n_layer=2, d=8)
text = rng.integers(10, size=9)
ids, targets = text[None, :-1], text[None, 1:]


def loss_at(t, mask=None):
    """The loss of the question at place t alone."""
    only = np.where(np.arange(8) == t, targets, -100)
    return cross_entropy(gpt(w, ids, 2, 2, mask), targets=only)


together = [float(loss_at(t).array) for t in range(8)]
apart = [
    float(
        cross_entropy(
            gpt(w, ids[:, : t + 1], 2, 2), targets=np.where(np.arange(t + 1) == t, targets[:, : t + 1], -100)
        ).array
    )
    for t in range(8)
]
np.testing.assert_allclose(together, apart, rtol=1e-12)
print("one pass:    ", np.round(together, 5))
print("eight passes:", np.round(apart, 5))

changed = ids.copy()
changed[0, -1] = (changed[0, -1] + 1) % 10
before, after = (gpt(w, i, 2, 2).array for i in (ids, changed))
assert np.array_equal(before[:, :-1], after[:, :-1]) and not np.array_equal(before[:, -1], after[:, -1])
print("another last token: logits at the seven places before it are equal bit for bit")

# %% [markdown]
# And for the gradients: how much does the loss at place $t$ move with the vector at place $j$? (In a batch of one, that is the
# gradient of row $j$ of the positions.) Exactly 0 for every $j > t$:

# %%
import matplotlib.pyplot as plt


def influence(mask=None):
    """(8, 8): the norm of ∂L_t/∂x_j"""
    rows = []
    for t in range(8):
        loss_at(t, mask).backward()
        rows.append(np.linalg.norm(w["positions.embedding.weight"].grad, axis=1))
    return np.array(rows)


pictures = {"with the causal mask": influence(), "without a mask": influence(np.ones((8, 8), bool))}
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for axis, (title, norms) in zip(axes, pictures.items(), strict=True):
    picture = axis.imshow(np.where(norms > 0, norms, np.nan), cmap="viridis")
    axis.set(title=title, xlabel="place j of the input", ylabel="place t of the loss")
figure.colorbar(picture, ax=axes, label="‖∂L_t/∂x_j‖")
show(figure, "What each loss depends on; white is exactly 0. With the mask, nothing to the right of the diagonal.")
assert not np.triu(pictures["with the causal mask"], 1).any()

# %% [markdown]
# ## The gradient check
#
# Every weight of a whole small GPT by finite differences, through both uses of the tied matrix; and our embedding on
# the cases that the library's is tested with.

# %%
small = random_weights(np.random.default_rng(1), vocab_size=4, context_length=3, n_layer=1, d=4)
ids, targets = np.array([[0, 3, 3], [1, 2, 0]]), np.array([[3, 3, 1], [2, 0, -100]])


def loss_of(*weights):
    return cross_entropy(gpt(dict(zip(small, weights, strict=True)), ids, 1, 2), targets=targets)


error = engine.gradient_check(loss_of, *(tensor.array for tensor in small.values()))
print(f"{sum(t.array.size for t in small.values())} weights: largest error {error:.1e}")
assert error < 1e-8

passed = ml.testing.check(
    ml.ops.embedding,
    forward=lambda xp, weight, ids: embedding_forward(weight, ids),
    backward=lambda xp, dx, saved: (*embedding_backward(dx, saved), None),
)
print(f"embedding: right in {passed} cases")

# %% [markdown]
# ## A poem by heart
#
# With an engine and a loss, the model can learn: our GPT, one block of width 16, on the poem and nothing else, by gradient descent
# with momentum (chapter 09). Greedy writing takes the likeliest next character, adds it to the text, and asks again
# (document section 3.2.4).

# %%
characters = sorted(set(poem))
text = np.array([characters.index(c) for c in poem])
w = random_weights(np.random.default_rng(0), len(characters), len(poem), n_layer=1, d=16)
moves, losses = dict.fromkeys(w, 0.0), []
for _ in range(80):
    loss = cross_entropy(gpt(w, text[None, :-1], 1, 2), targets=text[None, 1:])
    loss.backward()
    losses.append(float(loss.array))
    for name, weight in w.items():
        moves[name] = 0.9 * moves[name] + weight.grad
        weight.array = weight.array - 0.1 * moves[name]

written = [characters.index("白")]
while len(written) < len(poem):
    written.append(int(gpt(w, np.array([written]), 1, 2).array[0, -1].argmax()))
recited = "".join(characters[i] for i in written)
print(recited)
say(
    f"The loss fell from {losses[0]:.2f} to {losses[-1]:.3f} nats (uniform: ln {len(characters)} = {np.log(len(characters)):.2f}). "
    f"From its first character it recites {sum(a == b for a, b in zip(recited, poem, strict=True))} of {len(poem)} characters rightly."
)

# %% [markdown]
# The comma stands in it twice, and is followed by different characters, so a bigram couldn't do this. But a text known by heart
# says nothing about texts that the model never read. For that one needs more text, and a part of it held out.

# %% [markdown]
# ## The same thing in minillm
#
# [models/gpt.py](../minillm/models/gpt.py) is this model with options. The same weights loaded into both, the poem as input:
# equal logits, an equal loss, and equal gradients of every weight.

# %%
from minillm.models import GPT, GPTConfig

config = GPTConfig(len(characters), len(poem), n_layer=1, n_head=2, d_model=16, bias=False, dtype="float64")
library = GPT(config)
library.load_state_dict({name: tensor.array for name, tensor in w.items()})

ours = gpt(w, text[None, :-1], 1, 2)
theirs, their_loss = library(text[None, :-1], text[None, 1:])
np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-9, atol=1e-9)
print(f"logits of shape {ours.shape}: equal")

our_loss = cross_entropy(ours, targets=text[None, 1:])
np.testing.assert_allclose(our_loss.array, their_loss.item(), rtol=1e-10)
our_loss.backward()
their_loss.backward()
for name, parameter in library.named_parameters():
    np.testing.assert_allclose(w[name].grad, parameter.grad, rtol=1e-7, atol=1e-10)
print(f"loss {our_loss.array:.6f} and the gradients of {len(w)} weights: equal")
spoken = library.generate(text[:1], len(poem) - 1, temperature=0)
print("".join(characters[i] for i in [text[0], *spoken]))

# %% [markdown]
# ## Pre-training
#
# Now more text: stories that minillm draws from a grammar, so that the least possible loss is known, cut into byte pairs. Twenty
# stories are held out. A byte-pair vocabulary covers every text, Chinese too; what it never saw it spells in bytes:

# %%
from minillm.data import batch, stories, windows
from minillm.metrics.language import bits_per_byte
from minillm.models import NGram
from minillm.tokenizers import BPETokenizer

documents = stories.documents(220)
train_text, held_text = "".join(documents[:200]), "".join(documents[200:])
tokenizer = BPETokenizer.train([train_text], 1024)
train_ids, held_ids = (np.array(tokenizer.encode(t)) for t in (train_text, held_text))
for name, piece in (("English", documents[200][:60]), ("Chinese", poem)):
    pieces = [tokenizer.token_bytes(i) for i in tokenizer.encode(piece)]
    assert b"".join(pieces).decode() == piece
    print(f"{name}: {len(piece.encode())} bytes, {len(pieces)} tokens: {', '.join(map(str, pieces[:9]))} …")
print(f"to train on: {len(train_ids):,} tokens; held out: {len(held_ids):,}")

# %% [markdown]
# Each step takes a batch of random windows and their targets, the same windows one place on. AdamW and the learning
# rate that rises and falls are chapter 09's. The loss is measured on all of the held-out text.


# %%
from minillm.memory import keep_freed_memory
from minillm.training.schedule import TrainingConfig, learning_rate

keep_freed_memory()  # faster: nothing is given back to the system between steps
HELD_BYTES = len(tokenizer.decode_bytes(held_ids[1:]))


def held_out_loss(model, context_length=64):
    """Bits per byte on the held-out stories."""
    total = count = 0
    with ml.no_grad():
        for x, y in windows(held_ids, context_length, 32):
            n = int((y != -100).sum())
            total, count = total + n * model.loss(x, y).item(), count + n
    return bits_per_byte(total / count, count, HELD_BYTES)


def pre_train(model, steps, rate=5e-3, measure_at=(), shift=1):
    """Train on the stories; yield the number of steps done at each of `measure_at`."""
    settings = TrainingConfig(steps=steps, learning_rate=rate, min_learning_rate=rate / 20, warmup_steps=15)
    optimizer = ml.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99))
    for step in range(steps):
        if step in measure_at:
            yield step
        x, y = batch(train_ids, seed=0, step=step, batch_size=8, context_length=64)
        optimizer.lr = learning_rate(step, settings)
        loss = model.loss(x, y if shift else x)
        model.zero_grad()
        loss.backward()
        ml.optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
    if steps in measure_at:
        yield steps


# %%
STEPS, MEASURED = 100, (0, 20, 50, 100)
config = GPTConfig(tokenizer.vocab_size, context_length=64, n_layer=2, n_head=4, d_model=64)


def new_model(**changes):
    ml.seed(0)
    return GPT(GPTConfig(**{**vars(config), **changes}))


model = new_model()
curve, samples = [], {}
prompt = "One fine morning"
for step in pre_train(model, STEPS, measure_at=MEASURED):
    curve.append(held_out_loss(model))
    samples[step] = tokenizer.decode(model.generate(tokenizer.encode(prompt), 24, temperature=0.7, seed=1))

ladder = {"uniform": NGram.uniform(tokenizer.vocab_size)}
names = {1: "unigram", 2: "bigram", 3: "trigram", 5: "5-gram"}
ladder |= {name: NGram.train(train_ids, tokenizer.vocab_size, n) for n, name in names.items()}
rungs = {name: bits_per_byte(m.evaluate(held_ids), len(held_ids) - 1, HELD_BYTES) for name, m in ladder.items()}
rungs["entropy of the stories"] = stories.entropy_bits_per_byte()
for name, bits in rungs.items():
    print(f"{name:24} {bits:.3f} bits per byte")
print(f"{f'GPT after {STEPS} steps':24} {curve[-1]:.3f} bits per byte")

# %% [markdown]
# ## Picture: the loss, and the ladder of n-grams

# %%
figure, axis = plt.subplots(figsize=(7.5, 4))
axis.plot(MEASURED, curve, "o-", label="GPT")
for name, bits in rungs.items():
    axis.axhline(bits, color="0.6", linewidth=1, linestyle="--")
    axis.annotate(name, (STEPS, bits), ha="right", va="bottom", fontsize=8, color="0.3")
axis.set(xlabel="steps, of 512 tokens each", ylabel="held-out loss (bits per byte)", yscale="log")
axis.set_yticks([0.1, 0.2, 0.5, 1, 2, 3], ["0.1", "0.2", "0.5", "1", "2", "3"])
axis.minorticks_off()
axis.legend(loc="lower left")
show(figure, "The GPT starts at uniform and comes down as it trains; dashed, what counting reaches, and the floor.")

# %%
beaten = [name for name in rungs if curve[-1] < rungs[name]]
ahead = [name for name in rungs if curve[-1] >= rungs[name]]
say(
    f"It starts at the uniform model's loss ({curve[0]:.3f} and {rungs['uniform']:.3f} bits per byte): with small random weights all "
    f"tokens are about equally likely. After {STEPS} steps, {STEPS * 512:,} tokens, it stands at **{curve[-1]:.3f}**: ahead of "
    f"{', '.join(beaten)}; behind {', '.join(ahead)}."
)

# %% [markdown]
# Counting is done in one pass, and on a small text the n-grams, with Kneser-Ney's smoothing (chapter 01), are hard to beat.
# What a GPT has is room. Its curve goes on falling with steps, size and text, where counts run dry: no 5-gram can remember the
# name in a story's first sentence until its last. The preset [modern](../minillm/configs/modern.toml) passes such a 5-gram
# on a megabyte of text ([measured](../docs/results.md)). What ours writes on the way, always after the same beginning:

# %%
for step, sample in samples.items():
    print(f"step {step:3}: {prompt + sample!r}")

# %% [markdown]
# Read them beside the ladder. Are the tokens frequent ones? Do pairs of them go together? Are there phrases? All of it was learnt
# from *this* text. A language that it never read:

# %%
chinese = np.array(tokenizer.encode(poem))
with ml.no_grad():
    nats = model.loss(chinese[None, :63], chinese[None, 1:64]).item()
uniform = np.log(tokenizer.vocab_size)
say(
    f"The poem costs it **{nats:.2f}** nats a token, where a model that knows nothing pays {uniform:.2f}: it is "
    f"{'surely wrong, which is worse than unsure' if nats > uniform else 'little better than unsure'}."
)
print("after 白日:", repr(tokenizer.decode(model.generate(tokenizer.encode("白日"), 12, temperature=0.7, seed=0))))

# %% [markdown]
# ## Parameters, operations, memory
#
# With $d$ for d_model, a layer has $4d^2$ weights in the attention and $2 \cdot 4d^2$ in the feed-forward network: $12 d^2$.
# Add the embeddings, and some vectors of biases and norms:

# %%
from minillm.planning import counts

V, T, L, d = config.vocab_size, config.context_length, config.n_layer, config.d_model
print(f"12 d² in each of {L} layers {L * 12 * d * d:,}; tokens {V * d:,}; positions {T * d:,}")
for name, number in counts.parameters(config).items():
    print(f"{name:16} {number:8,}")
assert sum(counts.parameters(config).values()) == model.num_parameters()
print(f"together         {model.num_parameters():8,}")

# %% [markdown]
# **Operations.** Each weight is used once a token in a multiplication and an addition: 2. Backward has two such products for each
# weight (chapter 04: $dA = G B^\top$, $dB = A^\top G$): 4. So training takes $6N$ operations a token, with $N$ the weights
# *in products*: the token table counts as the head, not as the lookup. Counted in our own engine:

# %%
from unittest import mock

forward = []


def counting(a, b):
    """a @ b, noting its multiplications and additions."""
    forward.append(2 * a.array.size * b.shape[-1])
    return engine.matmul(a, b)


w = random_weights(np.random.default_rng(0), V, T, L, d)
with mock.patch.object(engine.Tensor, "__matmul__", counting):
    gpt(w, train_ids[None, :T], L, config.n_head)
N = counts.matrix_weights(config)
print(f"counted forward: {sum(forward):,} for {T} tokens; 2 N T = {2 * N * T:,}")
assert sum(forward) == 2 * N * T
per_token = counts.flops_per_token(config)
print(f"6 N = {6 * N:,} a token; attention's scores and sums, 12 L d T = {per_token - 6 * N:,}")
print(f"this training: {per_token * 512 * STEPS:.2e} operations")

# %% [markdown]
# **Memory.** Weights, gradients and AdamW's two moments are four numbers of 4 bytes for each parameter, whatever the batch is.
# What forward saves for backward grows with the batch:

# %%
from minillm.planning.tape import saved_bytes

for rows in (8, 16):
    x, y = batch(train_ids, seed=0, step=0, batch_size=rows, context_length=T)
    activations = saved_bytes(model.loss(x, y), model.parameters())
    print(f"batch of {rows:2}: 16 for each parameter, {16 * model.num_parameters():,} bytes; saved {activations:,}")

# %% [markdown]
# ## The modern dress
#
# The models since 2023 are this one with other parts: **RMSNorm** (no mean taken off, no bias), **rotary** positions (queries and
# keys turned by their place), **SwiGLU** (a gate in the feed-forward network), and keys and values shared by groups of
# heads (**GQA**), which makes the cache of a writing model (chapter 12) smaller. In minillm that is a configuration:

# %%
dress = {"normalization": "rms_norm", "position": "rotary", "activation": "swiglu", "n_kv_head": 2, "d_ff": 168}
modern = new_model(**dress, bias=False)
modern_curve = [held_out_loss(modern) for _ in pre_train(modern, STEPS, measure_at=MEASURED)]
figure, axis = plt.subplots(figsize=(6.5, 3.4))
for name, losses_of, m in (("GPT-2's parts", curve, model), ("modern parts", modern_curve, modern)):
    axis.plot(
        MEASURED, losses_of, "o-", label=f"{name}: {m.num_parameters():,} parameters, {losses_of[-1]:.3f} in the end"
    )
axis.set(xlabel="steps, of 512 tokens each", ylabel="held-out loss (bits per byte)")
axis.legend()
show(figure, "The same steps on the same batches, in the parts of GPT-2 and in those of today.")

# %%
say(
    f"**{modern_curve[-1]:.3f}** bits per byte against {curve[-1]:.3f}, with {modern.num_parameters():,} parameters against "
    f"{model.num_parameters():,}. The steps, the batches and the learning rate are the same; which of the parts makes the "
    f"difference, this run doesn't say."
)

# %% [markdown]
# ## What breaks if
#
# **... there is no causal mask.** The answer stands in the input, one place on, and the layer learns to look there. In use there
# is nothing to look at:

# %%
peeking = new_model(n_layer=1, n_head=1, position="rotary")
attention = peeking.layers[0].attention.sublayer
attention.causal = False
list(pre_train(peeking, STEPS, rate=1e-2))
in_view = held_out_loss(peeking)
attention.causal = True  # as in use: what comes next isn't there yet
in_use = held_out_loss(peeking)
print(repr(tokenizer.decode(peeking.generate(tokenizer.encode(prompt), 20, temperature=0.7, seed=1))))
say(
    f"With the answers in view **{in_view:.3f}** bits per byte, where the honest model above had {curve[-1]:.3f} "
    f"after as many steps; in use **{in_use:.3f}**."
)

# %% [markdown]
# **... the targets aren't shifted**, as in the document's program. Then the model is asked for the token that it was given, and
# learns to repeat it:

# %%
copying = new_model(n_layer=1)
list(pre_train(copying, 50, rate=1e-2, shift=0))
x, y = next(windows(held_ids, 64, 32))
with ml.no_grad():
    own, following = copying.loss(x, x).item(), copying.loss(x, y).item()
spoken = copying.generate(tokenizer.encode(prompt), 10, temperature=0)
print(repr(tokenizer.decode(spoken)))
say(
    f"On held-out text the loss it was trained for is **{own:.3f}** nats, that of the next token **{following:.2f}**. Writing, it "
    f"uses {len(set(spoken))} different token(s) in {len(spoken)}."
)

# %% [markdown]
# **... there are no positions.** To attention, keys are a set. With one layer, what a token sees doesn't depend on the order of
# the tokens before it. With two, it does: by the mask, the first layer's outputs differ with what stood before them.

# %%
sentence = tokenizer.encode("The dog saw the cat. Then")
orders = [sentence, sentence[-2::-1] + sentence[-1:]]  # all but the last token turned round
for n_layer in (1, 2):
    for positions in ("without", "with"):
        placed = new_model(n_layer=n_layer, dtype="float64")
        placed.positions = placed.positions if positions == "with" else None
        first, second = (placed(np.array([ids]))[0].numpy()[0, -1] for ids in orders)
        print(
            f"{n_layer} layer(s), {positions:7} positions: two orders, logits differ by {abs(first - second).max():.1e}"
        )

# %% [markdown]
# **... the head isn't tied.** Nothing breaks, but the matrix is paid for twice. How much that is depends on the size of the model:

# %%
gpt2 = GPTConfig(50_257, 1024, 12, 12, d_model=768)
for name, shape in (("ours", config), ("GPT-2, small", gpt2)):
    tied = sum(counts.parameters(shape).values())
    untied = sum(counts.parameters(GPTConfig(**{**vars(shape), "tie_weights": False})).values())
    print(f"{name:13} tied {tied:12,}, untied {untied:12,}: {untied / tied - 1:.0%} more")

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("10.1")` gives a hint, and another when you call it again;
# `solution("10.1")` shows a solution.

# %% [markdown]
# **10.1** Count the parameters of a GPT-2: biases everywhere but in the head, a feed-forward network of width $4d$, two norms in each
# layer and one at the end, each with a weight and a bias. `n_layer` may be 0; `tied` says whether the head shares the token
# table.


# %%
def count_parameters(vocab_size, context_length, n_layer, d_model, tied): ...


check("10.1", count_parameters)

# %% [markdown]
# **10.2** Bits per byte. `nats` are losses of single tokens, `targets` (the same shape) their ids, -100 where a place doesn't count,
# and `pieces[i]` the bytes of token `i`. Return the bits per byte of all that count.


# %%
def bits_per_byte_of(nats, targets, pieces): ...


check("10.2", bits_per_byte_of)

# %% [markdown]
# **10.3** The loss by position shows whether a model uses its context. Of `logits` `(batch, time, vocab_size)` and `targets`
# `(batch, time)`, -100 where a place doesn't count, return the mean loss in nats at each position, `(time,)`; `nan` where
# no row counts. Logits may be in the thousands.


# %%
def loss_by_position(logits, targets): ...


check("10.3", loss_by_position)

# %% [markdown]
# **10.4** `texts` are lists of ids, of different lengths, and each is followed by the token `end`, which the model is to learn, too.
# Many tokenizers have no padding token, so `end` also fills up the inputs. Return `ids` and `targets`, both `(batch, time)`, with
# `time` the length of the longest text, and -100 at the targets that don't count. `end` may also stand inside a text.


# %%
def inputs_and_targets(texts, end): ...


check("10.4", inputs_and_targets)

# %% [markdown]
# **10.5** The gradient of a tied matrix `W` `(vocab_size, d)`. Forward: `x = W[ids]`, then layers make `h` of `x`, and the logits
# are $h W^\top$. Given are `ids` `(...)`, `dx` and `h` `(..., d)`, and `dlogits` `(..., vocab_size)`: return the gradient of `W`.


# %%
def tied_gradient(ids, dx, h, dlogits): ...


check("10.5", tied_gradient)
