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
# # 15 Looking inside: attention maps, saliency, logit lens, and what they don't prove
#
# Covers question 9.4 of the document (how to make LLMs more interpretable), and what its sections 3.3.2 and 6.4.3 say of
# black boxes.
#
# In minillm: [views/attention.py](../minillm/views/attention.py), [nn/attention.py](../minillm/nn/attention.py), [models/gpt.py](../minillm/models/gpt.py); checked in [tests/models/test_gpt.py](../tests/models/test_gpt.py), [tests/test_hooks.py](../tests/test_hooks.py).
#
# The document gives three means: to show attention, to build models that explain themselves, and to compress the model. The
# first is done here, together with four other ways of looking inside, on a model whose mechanism we know, so that each
# can be found wrong. The third isn't one: a smaller model is not by itself more interpretable, as is computed below.
#
# You need: chapters 04 (the engine), 06 (attention) and 10 (GPT).

# %%
import matplotlib.pyplot as plt
import numpy as np

import minillm as ml
from minillm import views
from minillm.book import module, say, show
from minillm.exercises import check, hint, solution

# %% [markdown]
# ## The idea
#
# Nothing in a model is hidden. Every number can be printed; what is missing is what they *mean*. There are four kinds of
# question, and an answer to one is often sold as an answer to another:
#
# - **Where does it look?** Attention maps.
# - **What does the answer depend on?** Attribution: gradients, integrated gradients, occlusion. Each input gets a share.
# - **What is there?** The logit lens and probes: what can be read from the vectors half-way.
# - **What is used?** Ablation: take a part out, and see whether the answer changes.
#
# Only ablation and occlusion interfere. The others look on, and whoever only looks on sees what goes together, not what causes
# what.
#
# ## Attributions that add up
#
# Let $F$ be a number that the model computes of an input $x$, and $x'$ a **baseline**, an input that says nothing. Walk from
# one to the other on a straight line, $\gamma(\alpha) = x' + \alpha(x - x')$. By the chain rule, $F$ changes on the way at
# the rate
#
# $$\frac{d}{d\alpha} F(\gamma(\alpha)) = \sum_i \frac{\partial F}{\partial x_i}(\gamma(\alpha))\,(x_i - x'_i).$$
#
# Integrate both sides from 0 to 1. On the left stands the integral of a derivative; on the right each input has a term of its
# own, its **integrated gradient** (Sundararajan et al. 2017):
#
# $$F(x) - F(x') = \sum_i \mathrm{IG}_i, \qquad \mathrm{IG}_i = (x_i - x'_i)\int_0^1 \frac{\partial F}{\partial x_i}(\gamma(\alpha))\,d\alpha.$$
#
# So the shares sum to what there is to share. This is called **completeness**. The gradient at $x$ alone is the same with the
# integral replaced by its value at $\alpha = 1$, and in general it doesn't add up.

# %% [markdown]
# ## A worked example
#
# $F(x_1, x_2) = \min(x_1, 1) + x_1 x_2$ at $x = (2, 3)$, with the baseline $(0, 0)$. The first term is saturated: beyond 1,
# more of $x_1$ does nothing for it. The integral is taken by the midpoint rule, at
# $\alpha = \frac18, \frac38, \frac58, \frac78$.


# %%
def F(x):
    return np.minimum(x[..., 0], 1) + x[..., 0] * x[..., 1]


def dF(x):
    return np.stack([(x[..., 0] < 1) + x[..., 1], x[..., 0]], axis=-1)


x = np.array([2.0, 3.0])
print(f"F(x) = {F(x)}, F(baseline) = {F(0 * x)}, to be shared: {F(x) - F(0 * x)}")
alphas = (np.arange(4) + 0.5) / 4
for alpha in alphas:
    print(f"α = {alpha:.3f}: at {alpha * x}, gradient {dF(alpha * x)}")
mean = dF(alphas[:, None] * x).mean(axis=0)
occluded = np.array([F(x) - F(x * [0, 1]), F(x) - F(x * [1, 0])])
shares = {"gradient × input": dF(x) * x, "integrated gradients": mean * x, "occlusion": occluded}
print(f"mean gradient {mean}")
for name, share in shares.items():
    print(f"{name:21} {share}, sum {share.sum()}")

# %% [markdown]
# Three reasonable methods, three answers. The gradient at $x$ doesn't see the first term at all. **Occlusion**, setting one
# input to its baseline, gives the whole product to *each* of its factors. Integrated gradients split it, and add up. None of
# them is wrong: they answer different questions.

# %% [markdown]
# ## A model whose mechanism is known
#
# To judge a method we must know the truth. So take a task with one rule: eight different words in random order, then the same
# again, begun anywhere. After the first eight, **find the same word earlier, and say what followed it then**. ("A B … A" is
# answered by "B". It is called *induction*, after Elhage et al. 2021 and Olsson et al. 2022.) Where the rule doesn't say what
# follows, nothing is asked.

# %%
WORDS = ["cat", "dog", "bird", "fish", "tree", "river", "stone", "lamp", "猫", "狗", "鸟", "鱼", "树", "河", "石", "灯"]
BLOCK, IGNORED = 8, -100


def texts(rng, count):
    """Words and targets, (count, 16) each; IGNORED where the rule doesn't say what comes next."""
    block = rng.permuted(np.tile(np.arange(len(WORDS)), (count, 1)), axis=1)[:, :BLOCK]
    turn = rng.integers(BLOCK, size=(count, 1))
    again = np.take_along_axis(block, (np.arange(BLOCK + 1) + turn) % BLOCK, axis=1)
    ids, following = np.hstack([block, again[:, :-1]]), np.hstack([block[:, 1:], again])
    known = (np.arange(2 * BLOCK) >= BLOCK) & (ids != block[:, -1:])
    return ids, np.where(known, following, IGNORED)


ids, targets = texts(np.random.default_rng(1), 1)
print("reads ", " ".join(WORDS[i] for i in ids[0]))
print("to say", " ".join("-" if i == IGNORED else WORDS[i] for i in targets[0]))

# %% [markdown]
# One layer can't do it: the word to be said doesn't know which word stood before it, and a query can only ask for what a key
# says. With two it can. Layer 1 tells each place **the word before it**; then layer 2 looks for the
# place that was told *its own* word. A GPT of two layers with eight heads each finds this by itself. Its weights
# start larger than GPT-2's, those of the places most of all, as the model is small; it trains until it can do it.

# %%
from minillm.memory import keep_freed_memory
from minillm.models import GPT, GPTConfig

keep_freed_memory()  # trains faster: memory isn't given back to the system after each step
N_LAYER, N_HEAD, D = 2, 8, 64
sizes = {"vocab_size": len(WORDS), "context_length": 2 * BLOCK, "n_layer": N_LAYER, "n_head": N_HEAD, "d_model": D}


def new_model(seed):
    ml.seed(seed)
    model = GPT(GPTConfig(**sizes, d_ff=16, bias=False))
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.mutable()[...] *= 6
    model.positions.embedding.weight.mutable()[...] *= 3
    return model


trained, rng, losses = new_model(seed=0), np.random.default_rng(0), []
optimizer = ml.optim.AdamW(trained.parameters(), lr=0.0, betas=(0.9, 0.98))
while len(losses) < 700 and (len(losses) < 20 or np.mean(losses[-20:]) > 0.03):
    loss = trained.loss(*texts(rng, 32))
    trained.zero_grad()
    loss.backward()
    optimizer.lr = 0.005 * min(1, (len(losses) + 1) / 20)
    optimizer.step()
    losses.append(loss.item())

# %%
fresh_ids, fresh_targets = texts(np.random.default_rng(99), 200)
asked = fresh_targets != IGNORED


def accuracy(model, stream=None):
    """Of what is asked in the fresh texts, the share that is answered rightly."""
    with ml.no_grad():
        logits = model(fresh_ids)[0] if stream is None else stream
    return (logits.numpy().argmax(-1) == fresh_targets)[asked].mean()


figure, axis = plt.subplots(figsize=(6.5, 2.8))
axis.plot(losses)
axis.set(xlabel="step, of 32 texts", ylabel="loss (nats)", ylim=(0, None))
show(figure, "The loss stays high while the two layers find each other, and falls fast once they have.")
say(
    f"After {len(losses)} steps it answers **{accuracy(trained):.1%}** of fresh questions rightly; guessing gets {1 / 16:.1%}."
)

# %% [markdown]
# ## The code from scratch: a gradient for each word
#
# Words are ids, and ids have no derivative. But the model begins by adding two vectors, that of the word and that of its place;
# those have. Chapter 10's blocks in our own engine, with the trained weights, in float64. What we ask of is the **margin**
# $F$ at the last place: the logit of the right word, less the mean of all logits.

# %%
engine, gpt = module("04", "engine"), module("10", "gpt")
causal_mask = module("06", "attention").causal_mask


def weights_of(model):
    return {name: engine.Tensor(array) for name, array in model.state_dict().items()}


def margin(w, x, answers):
    """x (rows, time, d_model) -> (rows,): the logit of each row's answer at the last place, less the mean logit"""
    rows, time, _ = x.shape
    for layer in range(N_LAYER):
        x = gpt.block(x, w, layer, N_HEAD, causal_mask(time))
    logits = gpt.linear(gpt.layer_norm(x, w["norm.weight"]), w["token_embedding.weight"])
    pick = np.zeros(logits.shape)
    pick[:, -1] = np.eye(logits.shape[-1])[answers] - 1 / logits.shape[-1]
    return (logits * pick).sum(axis=(1, 2))


def value_and_gradient(w, vectors, answers):
    """The margins (rows,), and ∂F/∂x, (rows, time, d_model)"""
    x = engine.Tensor(vectors)
    value = margin(w, x, answers)
    value.sum().backward()
    return value.array, x.grad


# %% [markdown]
# The baseline "says nothing": each word's vector becomes the mean of all words' vectors, and the places stay. Four
# attributions of a word, with $g_t = \partial F/\partial x_t$: **saliency** $\lVert g_t \rVert$, **gradient × input**
# $g_t \cdot (x_t - x'_t)$, integrated gradients, and occlusion. A vector's share is the sum over its elements, so
# completeness holds for words, too. All points of the walk are rows of one batch.


# %%
def vectors_of(w, ids):
    """Vectors (rows, time, d_model) of the ids, and of the baseline"""
    words, places = w["token_embedding.weight"].array, w["positions.embedding.weight"].array[: ids.shape[1]]
    return words[ids] + places, np.broadcast_to(words.mean(axis=0) + places, (*ids.shape, D))


def integrated_gradients(w, x, baseline, answers, steps=30):
    """(rows, time), summing to F(x) − F(baseline); midpoint rule"""
    alphas = (np.arange(steps) + 0.5)[:, None, None, None] / steps
    points = (baseline + alphas * (x - baseline)).reshape(-1, *x.shape[1:])
    _, g = value_and_gradient(w, points, np.tile(answers, steps))
    return (g.reshape(steps, *x.shape).mean(axis=0) * (x - baseline)).sum(axis=-1)


def occlusion(w, x, baseline, answers):
    """(rows, time): by how much F falls if this word alone says nothing"""
    rows, time, d = x.shape
    hidden = np.eye(time, dtype=bool)[None, :, :, None]
    points = np.where(hidden, baseline[:, None], x[:, None]).reshape(rows * time, time, d)
    without = margin(w, engine.Tensor(points), np.repeat(answers, time)).array.reshape(rows, time)
    return margin(w, engine.Tensor(x), answers).array[:, None] - without


def attributions(w, ids, answers):
    x, baseline = vectors_of(w, ids)
    _, g = value_and_gradient(w, x, answers)
    return {
        "saliency": np.linalg.norm(g, axis=-1),
        "gradient × input": (g * (x - baseline)).sum(axis=-1),
        "integrated gradients": integrated_gradients(w, x, baseline, answers),
        "occlusion": occlusion(w, x, baseline, answers),
    }


# %% [markdown]
# Thirty prompts: eight words, and one of them again. The rule makes three places matter, and no others: the word's first
# place, the place after it (which holds the answer), and the last place.

# %%
rng = np.random.default_rng(5)
blocks = rng.permuted(np.tile(np.arange(len(WORDS)), (30, 1)), axis=1)[:, :BLOCK]
at = rng.integers(BLOCK - 1, size=30)
prompts = np.hstack([blocks, blocks[np.arange(30), at][:, None]])
answers = blocks[np.arange(30), at + 1]
w = weights_of(trained)
found = attributions(w, prompts, answers)

first = [WORDS[i] for i in prompts[0]]
print(f"{' '.join(first)} -> {WORDS[answers[0]]}")
print(" " * 20 + "".join(f"{word:>8}" for word in first) + "     sum")
for name, shares in found.items():
    print(f"{name:20}" + "".join(f"{share:8.2f}" for share in shares[0]) + f"{shares[0].sum():8.2f}")
x, baseline = vectors_of(w, prompts)
there, nothing = (margin(w, engine.Tensor(points), answers).array for points in (x, baseline))
print(f"F(x) − F(baseline) = {there[0]:.2f} − {nothing[0]:.2f} = {there[0] - nothing[0]:.2f}")

# %% [markdown]
# Completeness is an equation, so it is a test, too: of the code, and of whether there are enough points on the way.

# %%
for steps in (1, 5, 30, 90):
    shares = integrated_gradients(w, x[:10], baseline[:10], answers[:10], steps)
    error = np.abs(shares.sum(axis=1) - (there - nothing)[:10]).max()
    print(f"{steps:3} points: the sums differ from F(x) − F(x') by at most {error:.4f}")

# %% [markdown]
# ## The gradient check
#
# A saliency is a derivative, and finite differences are its judge. First every element, on a small random model; then the
# trained one, along random directions $v$: $\big(F(x + \varepsilon v) - F(x - \varepsilon v)\big)/2\varepsilon$ must be
# $\sum g\,v$.

# %%
rng = np.random.default_rng(0)
small = gpt.random_weights(rng, vocab_size=5, context_length=4, n_layer=N_LAYER, d=8)
error = engine.gradient_check(lambda x: margin(small, x, np.array([3])), rng.normal(size=(1, 4, 8)))
print(f"margin, small model: 32 elements, largest error {error:.1e}")
assert error < 1e-7

value, g = value_and_gradient(w, x[:4], answers[:4])
for _ in range(3):
    v, eps = rng.normal(size=x[:4].shape), 1e-5
    sides = [margin(w, engine.Tensor(x[:4] + s * v), answers[:4]).array for s in (eps, -eps)]
    numeric, analytic = (sides[0] - sides[1]) / (2 * eps), (g * v).sum(axis=(1, 2))
    print(f"trained model: by finite differences {numeric.round(6)}, by backward {analytic.round(6)}")
    np.testing.assert_allclose(numeric, analytic, rtol=1e-5, atol=1e-6)

# %% [markdown]
# ## The same thing in minillm
#
# The library's tensors have hooks ([tensor.py](../minillm/tensor.py)): `register_hook` calls a function with the gradient, and
# `retain_grad` keeps it. Its layers have none that would record what they compute, and need none: a model is a Python object,
# and its `forward` is a loop over layers ([models/gpt.py](../minillm/models/gpt.py)). Write the loop yourself, and you hold all
# that passes through it. Here it is the **residual stream**: the vectors to which each sublayer adds.


# %%
def layers_of(model, x, first=0):
    """The stream after each sublayer, from vectors x (rows, time, d_model): names and tensors"""
    for i, layer in enumerate(model.layers[first:], first + 1):
        x = layer.attention(x)
        yield f"after attention {i}", x
        x = layer.feed_forward(x)
        yield f"after feed-forward {i}", x


def stream_of(model, ids):
    x = model.positions(model.token_embedding(ids), 0)
    return {"words and places": x, **dict(layers_of(model, x))}


exact = GPT(GPTConfig(**sizes, d_ff=16, bias=False, dtype="float64"))
exact.load_state_dict(trained.state_dict())
stream = stream_of(exact, prompts)
logits = exact.head(exact.norm(stream[f"after feed-forward {N_LAYER}"]))
np.testing.assert_array_equal(logits.numpy(), exact(prompts)[0].numpy())
print(f"logits {logits.shape} from the recorded stream: those of model(ids)")

# %% [markdown]
# Its gradients must be ours, and pass the library's own check. A vector that isn't a parameter is made a leaf with
# `requires_grad=True`.


# %%
def library_margin(x, answers):
    *_, (_, top) = layers_of(exact, x)
    logits = exact.head(exact.norm(top))[:, -1]
    return (logits * np.eye(len(WORDS))[answers]).sum() - logits.mean(axis=-1).sum()


leaf = ml.Tensor(x, requires_grad=True)
library_margin(leaf, answers).backward()
_, ours = value_and_gradient(w, x, answers)
np.testing.assert_allclose(ours, leaf.grad, rtol=1e-9, atol=1e-11)
print(f"∂F/∂x, {leaf.grad.shape}: ours and the library's equal")
report = ml.testing.gradcheck(lambda x: library_margin(x, answers[:4]), [x[:4]])
print(f"the library's, by finite differences: largest error {report.largest_error:.0e}")

# %% [markdown]
# ## Pictures: attention maps
#
# The shares that attention computes are among what its op saves for backward. A row is a word that looks, a column one that is looked at:


# %%
def heads_of(layer, x):
    """Queries, keys and values, (batch, heads, time, d_head) each"""
    h, a = layer.attention.norm(x), layer.attention.sublayer
    shape = (*x.shape[:2], N_HEAD, D // N_HEAD)
    return [project(h).numpy().reshape(shape).swapaxes(1, 2) for project in (a.query, a.key, a.value)]


def maps_of(model, ids):
    """(layers, batch, heads, time, time), each row summing to 1"""
    stream = stream_of(model, ids)
    inputs = [stream["words and places"], *(stream[f"after feed-forward {i}"] for i in range(1, N_LAYER))]
    forward = ml.ops.attention.reference.forward
    pairs = zip(model.layers, inputs, strict=True)
    return np.stack([forward(np, *heads_of(layer, x), causal=True)[1][3] for layer, x in pairs])


sentence = ["river", "cat", "stone", "lamp", "dog", "bird", "tree", "fish", "dog"]
maps = maps_of(exact, np.array([[WORDS.index(word) for word in sentence]]))[:, 0]
figure, axes = plt.subplots(2, N_HEAD, figsize=(14, 4.2))
for place, axis in np.ndenumerate(axes):
    axis.imshow(maps[place], cmap="Blues", vmin=0, vmax=1)
    axis.set(title=f"{place[0] + 1}.{place[1] + 1}", xticks=[], yticks=[])
    if not place[1]:
        axis.set_yticks(range(9), sentence, fontsize=7)
    if place[0]:
        axis.set_xticks(range(9), sentence, rotation=90, fontsize=7)
figure.supylabel("the word that looks (layer 1 above, layer 2 below)", fontsize=8)
figure.supxlabel("the word that is looked at", fontsize=8)
caption = f"The maps of all {N_LAYER * N_HEAD} heads; in layer 2, see where the last row, the second 'dog', looks."
show(figure, caption)

# %% [markdown]
# Looking at so many pictures, one finds what one looks for. So measure it. The **previous-word score** of a head is the mean
# share that a place gives to the place before it, over the first eight places (layer 2 looks only there); the **induction
# score** the mean share that a word, seen before, gives to the place *after* that earlier one. Over 200 fresh texts:

# %%
maps = maps_of(exact, fresh_ids)
time = np.arange(2 * BLOCK)
earlier = (fresh_ids[:, :, None] == fresh_ids[:, None, :]) & (time[:, None] > time)
after_it = np.roll(earlier, 1, axis=2)[:, None]  # no earlier one stands at the last place, so nothing wraps
previous = maps[:, :, :, time[1:BLOCK], time[: BLOCK - 1]].mean(axis=(1, 3))
induction = np.where(after_it, maps, 0).sum(axis=-1).transpose(0, 2, 1, 3)[:, :, asked].mean(axis=-1)
chance = (after_it.sum(axis=-1)[:, 0] / (time + 1))[asked].mean()
for layer in range(N_LAYER):
    print(f"layer {layer + 1}, previous word " + " ".join(f"{score:.2f}" for score in previous[layer]))
    print(f"layer {layer + 1}, induction     " + " ".join(f"{score:.2f}" for score in induction[layer]))
print(f"a head that spreads its shares evenly has the induction score {chance:.2f}")

# %% [markdown]
# A head on a sentence of yours, step by step: change the words (each from the list `WORDS`, at most 16 of them), and run the
# cell.

# %%
yours = ["猫", "river", "灯", "dog", "树", "stone", "鱼", "bird", "灯"]
layer, head = np.unravel_index(induction.argmax(), induction.shape)
your_ids = np.array([[WORDS.index(word) for word in yours]])
stream = stream_of(exact, your_ids)
inputs = [stream["words and places"], stream["after feed-forward 1"]]
said = exact(your_ids)[0].numpy()[0, -1]
print(f"head {layer + 1}.{head + 1}; the model says: {WORDS[said.argmax()]}")
views.attention(yours, *(part[0, head] for part in heads_of(exact.layers[layer], inputs[layer])), causal=True)

# %% [markdown]
# ## What a map doesn't prove
#
# **First: that the head is needed.** Take a head out by setting its columns of $W_O$ to 0. Its map stays as striking as it
# was: a map is made of queries and keys, and knows nothing of what becomes of the values.


# %%
def accuracy_without(heads):
    """Accuracy with the given heads, pairs of (layer, head), silenced."""
    model, width = new_model(seed=0), D // N_HEAD
    model.load_state_dict(trained.state_dict())
    for layer, head in heads:
        output = model.layers[layer].attention.sublayer.output.weight.mutable()
        output[:, head * width : (head + 1) * width] = 0
    return accuracy(model)


whole = accuracy(trained)
without = np.array([[accuracy_without([(layer, head)]) for head in range(N_HEAD)] for layer in range(N_LAYER)])
print("         previous word   induction   accuracy without it")
for place in np.ndindex(N_LAYER, N_HEAD):
    scores = f"{previous[place]:13.2f} {induction[place]:11.2f}"
    print(f"head {place[0] + 1}.{place[1] + 1} {scores} {without[place]:16.1%}")

# %%
strong = sorted(map(tuple, np.argwhere(induction > 0.5)), key=lambda place: induction[place])
striking = max(strong, key=lambda place: without[place])
needed = np.unravel_index(without.argmin(), without.shape)
say(
    f"Head {striking[0] + 1}.{striking[1] + 1} gives **{induction[striking]:.0%}** of its attention to the right word. Without it "
    f"the accuracy goes from {whole:.1%} to **{without[striking]:.1%}**. The one that costs most alone is head "
    f"{needed[0] + 1}.{needed[1] + 1}: {without[needed]:.1%} without it; its share for the word before is {previous[needed]:.0%}."
)
for count in range(1, len(strong) + 1):
    print(f"without the {count} lowest of the {len(strong)} induction heads: {accuracy_without(strong[:count]):.1%}")

# %% [markdown]
# That cuts both ways. A map doesn't prove that a head is needed, and an ablation without effect doesn't prove that it does
# nothing: others may stand in for it.
#
# **Second: that the output came about by these shares.** A head's output is $o = pV$, with $d_{head}$ numbers. Let $n$ be a
# row with $nV = 0$ and $n\mathbf{1} = 0$: then $p + n$ sums to 1, too, and $(p + n)V = o$. These are $d_{head} + 1$ equations
# for as many unknowns as a token sees tokens; wherever it sees more than $d_{head} + 1$, there are such rows (Brunner et al. 2020). Shares
# mustn't be negative, which leaves little room where nearly all lies on one. We take the row that lowers the largest share,
# go until some share reaches 0, hold that one there, and go on.


# %%
def other_shares(p, v):
    """Shares (time,) with the output of p, in which the largest share of p is smaller if that can be"""
    equations, other = [*v.T, np.ones(len(p))], p.copy()
    while True:  # n is at right angles to all equations, so p + n has the same sum and output
        basis = np.linalg.svd(np.array(equations))[2][np.linalg.matrix_rank(equations) :]
        n = -basis.T @ basis[:, p.argmax()]
        falling = np.flatnonzero(n < -1e-9)
        if not len(falling):
            return other
        steps = np.maximum(other[falling], 0) / -n[falling]
        other += steps.min() * n
        equations.append(np.eye(len(p))[falling[steps.argmin()]])


some = stream_of(exact, fresh_ids[:20])
inputs = [some["words and places"], some["after feed-forward 1"]]
values = [heads_of(layer, x_now)[2] for layer, x_now in zip(exact.layers, inputs, strict=True)]
rows = [(maps[i, text, j, -1], values[i][text, j]) for i, text, j in np.ndindex(N_LAYER, 20, N_HEAD)]
others = [other_shares(*row) for row in rows]
room = np.array([np.abs(other - p).sum() / 2 for (p, _), other in zip(rows, others, strict=True)])
(p, v), other = rows[room.argmax()], others[room.argmax()]
print("shares      ", " ".join(f"{share:.2f}" for share in p))
print("other shares", " ".join(f"{share:.2f}" for share in np.abs(other)))
print(f"outputs differ by {np.abs(p @ v - other @ v).max():.0e}")
assert other.min() > -1e-9 and np.allclose(p @ v, other @ v, atol=1e-9)
say(
    f"So **{room.max():.0%}** of this head's attention went elsewhere, and every later number of the model is the same. Of "
    f"{len(room)} rows (all heads at the last place of 20 texts) {(room > 0.1).mean():.0%} leave room for more than a tenth."
)

# %% [markdown]
# ## Do attributions find what matters?
#
# The rule says which three of a prompt's nine places matter. How many of a method's top three are among them? And does it agree
# with occlusion, which really changes the input? Agreement is Spearman's: the correlation of ranks, averaged over prompts.


# %%
def agreement(a, b):
    """The mean correlation of the ranks in each row."""
    ranks = [m.argsort(axis=1).argsort(axis=1).astype(float) for m in (a, b)]
    a, b = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    return ((a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))).mean()


matters = np.zeros(prompts.shape, bool)
matters[np.arange(30), at] = matters[np.arange(30), at + 1] = matters[:, -1] = True


def hits(shares):
    """Of the three places with the largest shares, signs aside, the part that matters. shares: of the first prompts"""
    top = np.abs(shares).argsort(axis=1)[:, -3:]
    return np.take_along_axis(matters[: len(shares)], top, axis=1).mean()


for name, shares in found.items():
    signless = agreement(np.abs(shares), np.abs(found["occlusion"]))
    print(f"{name:21} of its top three {hits(shares):.0%} matter; agreement with occlusion {signless:.2f}")
print(f"three places at random: {3 / 9:.0%}")

# %% [markdown]
# Completeness promises a sum, and not that the parts lie where the mechanism is. Half-way along the straight line each word
# is a mixture that no text holds, and what the model does there counts as much as what it does at $x$. A single gradient, on
# the other hand, says what a small step does, where attention is already settled.

# %% [markdown]
# **The sanity check.** A picture of shares looks like an explanation whatever it shows. So make the same pictures of a model
# that *has learnt nothing* (Adebayo et al. 2018). If they look alike, the method shows the input or the architecture, and not
# what was learnt.

# %%
untrained = weights_of(new_model(seed=1))
of_untrained = attributions(untrained, prompts, answers)
figure, axes = plt.subplots(2, 4, figsize=(12, 3.8), sharex=True)
for column, name in enumerate(found):
    for row, shares in enumerate((found[name][0], of_untrained[name][0])):
        colours = np.where(matters[0], "tab:orange", "tab:gray")
        axes[row, column].bar(range(9), shares / np.abs(shares).max(), color=colours)
        axes[row, column].set(ylim=(-1.1, 1.1), xticks=range(9))
    axes[0, column].set_title(name)
    axes[1, column].set(xlabel="place")
axes[0, 0].set_ylabel("share ÷ the panel's\nlargest, trained", fontsize=9)
axes[1, 0].set_ylabel("share ÷ the panel's\nlargest, untrained", fontsize=9)
show(figure, "One prompt: the trained model above, one that learnt nothing below; in orange what matters.")
for name in found:
    alike = agreement(np.abs(found[name]), np.abs(of_untrained[name]))
    print(
        f"{name:21} hits of the untrained model {hits(of_untrained[name]):.0%}; trained and untrained agree by {alike:.2f}"
    )

# %% [markdown]
# Drawn to its own largest value, as saliency maps usually are, each panel has a bar of full height. And the last place reaches
# the output past all attention, by the residual stream, in any model. A map is worth only what it shows *beyond* the
# untrained model's.
#
# ## The logit lens
#
# Every sublayer adds to the same stream, and the head reads it at the end. The **logit lens** (nostalgebraist 2020) puts the
# head on the stream half-way: what would the model say if it stopped here?

# %%
stream = stream_of(exact, your_ids)
print(" " * 22 + "".join(f"{word:>8}" for word in yours))
for name, x_now in stream.items():
    logits = exact.head(exact.norm(x_now)).numpy()[0]
    print(f"{name:22}" + "".join(f"{WORDS[i]:>8}" for i in logits.argmax(axis=-1)))
everywhere = stream_of(exact, fresh_ids)
read = {name: exact.head(exact.norm(x_now)) for name, x_now in everywhere.items()}
for name, logits in read.items():
    itself = (logits.numpy().argmax(-1) == fresh_ids)[asked].mean()
    print(f"{name:22} says the word that follows {accuracy(exact, logits):6.1%}, the word itself {itself:6.1%}")

# %% [markdown]
# The head is tied to the words' vectors, so the stream begins as the word itself. In between the lens may say anything: nobody
# trained those vectors to be read by this head, and what it doesn't show may well be there.
#
# ## Probes, and their control
#
# A **probe** is a small classifier trained to read something from the stream. After layer 1, can one tell, at one of the
# first eight places, whether the word *before* is Chinese? If so, is that the model's doing, or the probe's own? Hewitt &
# Liang (2019) give it a **control task**: the same vectors with labels drawn at random, one for each type, here for each pair
# of a word and the one before. No model can have computed those; whatever the probe gets right there, it has learnt by heart.
# The difference is its **selectivity**.


# %%
def probe(train_x, train_y, test_x, test_y, wide):
    """Accuracy of least squares on ±1, on the vectors or on 600 random ReLU features of them."""
    if wide:
        project = np.random.default_rng(0).normal(size=(train_x.shape[1], 600)) / 8
        train_x, test_x = (np.maximum(x @ project, 0) for x in (train_x, test_x))
    train_x, test_x = (np.column_stack([x, np.ones(len(x))]) for x in (train_x, test_x))
    gram = train_x.T @ train_x + 1e-2 * np.eye(train_x.shape[1])
    solved = np.linalg.solve(gram, train_x.T @ (2.0 * train_y - 1))
    return ((test_x @ solved > 0) == test_y).mean()


train_ids, _ = texts(np.random.default_rng(7), 600)
chinese = np.arange(len(WORDS)) >= 8
control = np.random.default_rng(0).random((len(WORDS), len(WORDS))) < 0.5
both = (train_ids[:, :BLOCK], fresh_ids[:, :BLOCK])
pairs = [(some[:, :-1].ravel(), some[:, 1:].ravel()) for some in both]
tasks = {"word before": [chinese[before] for before, _ in pairs], "control": [control[pair] for pair in pairs]}
blank = new_model(seed=1)
for name, model, place in [
    ("words and places", trained, "words and places"),
    ("after layer 1", trained, "after feed-forward 1"),
    ("after layer 1, untrained", blank, "after feed-forward 1"),
]:
    sides = [stream_of(model, some)[place].numpy()[:, 1:].reshape(-1, D).astype(float) for some in both]
    for wide in (False, True):
        scores = {task: probe(sides[0], y[0], sides[1], y[1], wide) for task, y in tasks.items()}
        gap = scores["word before"] - scores["control"]
        kind = "wide" if wide else "linear"
        print(
            f"{name:25} {kind:6} " + ", ".join(f"{t} {s:.0%}" for t, s in scores.items()) + f"; selectivity {gap:+.0%}"
        )

# %% [markdown]
# Read the three numbers of a line together, and the lines of the untrained model with those of the trained one. A probe that
# is as good at the control says nothing about the model; and random layers pass words on to their neighbours, too.
#
# And **what is there needn't be used**. A probe also reads whether a place lies in the first half of the text or the second,
# and the rule has no use for that after layer 1. Take out of the stream the directions along which the mean vectors of the
# classes differ (with equal means, least squares finds nothing more), and let layer 2 go on with the rest:

# %%
after_1 = everywhere["after feed-forward 1"].numpy()
flat, half, rng = after_1.reshape(-1, D), np.tile(time >= BLOCK, 200), np.random.default_rng(0)
before = np.hstack([np.full((200, 1), -1), fresh_ids[:, :-1]])


def differences(labels):
    """(classes − 1, d_model): the directions along which the classes' means differ"""
    means = np.stack([flat[labels == label].mean(axis=0) for label in np.unique(labels)])
    return means[1:] - means[0]


left = {}
print(
    f"the stream as it is: accuracy {whole:.1%}, a linear probe reads the half at {probe(flat, half, flat, half, False):.0%}"
)
for name, directions in {
    "the half": differences(half),
    "a random split in two": differences(rng.integers(2, size=len(flat))),
    "random directions": rng.normal(size=(16, D)),
    "the word before": differences(before.ravel()),
    "a random split in 17": differences(rng.integers(17, size=len(flat))),
}.items():
    basis = np.linalg.qr(directions.T)[0]
    changed = flat - (flat @ basis) @ basis.T
    *_, (_, top) = layers_of(exact, ml.Tensor(changed.reshape(after_1.shape)), first=1)
    left[name], reads = accuracy(exact, exact.head(exact.norm(top))), probe(changed, half, changed, half, False)
    print(
        f"without {name:21} ({len(directions):2} of {D} directions): accuracy {left[name]:.1%}, half read at {reads:.0%}"
    )

# %%
kept, control_kept = left["the word before"], left["a random split in 17"]
small = abs(kept - control_kept) < 0.1
say(
    f"Taking out the half costs {100 * (whole - left['the half']):.1f} points of accuracy. And see the last two lines: without the word before it "
    f"is {kept:.1%}, and without as many directions along which *random* classes differ {control_kept:.1%}. So "
    + (
        "that ablation says nothing about the word before: it takes away too much."
        if small
        else "it is the word before that counts."
    )
    + " Ablations need a control as much as probes do."
)

# %% [markdown]
# ## A smaller model is not by itself clearer
#
# The document's third means is compression (9.4). But fewer numbers can mean that each says more things at once. Let $n$
# features have a direction each, unit vectors $w_i$ in $d$ dimensions, and be read by $w_i \cdot x$. All must be at right
# angles, or one answers when another is meant. Their Gram matrix $G_{ij} = w_i \cdot w_j$ has at most $d$ eigenvalues that
# aren't 0, and they sum to its trace $n$. The sum of their squares is least if all are equal, $n/d$ each:
#
# $$\sum_{ij} G_{ij}^2 = \sum_k \lambda_k^2 \ge d\,\Big(\frac{n}{d}\Big)^2 = \frac{n^2}{d} \quad\Longrightarrow\quad \text{mean of } G_{ij}^2 \text{ over } i \ne j \;\ge\; \frac{n^2/d - n}{n(n-1)} = \frac{n - d}{d\,(n - 1)}.$$
#
# The $n$ ones of the diagonal were taken off. With $d < n$ there is no arrangement without overlap (Welch's bound; Elhage et
# al. 2022 call it *superposition*). We look for the best arrangement, and then read sixteen features of which two are
# present:

# %%
n = 16
present = np.array([np.eye(n)[[i, j]].sum(axis=0) for i in range(n) for j in range(i)])
for d in (16, 12, 8, 4):
    directions = np.random.default_rng(0).normal(size=(n, d))
    for _ in range(400):  # downhill on Σ G², each direction set to length 1 again
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        directions -= 0.1 * (directions @ directions.T - np.eye(n)) @ directions
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    overlap = ((directions @ directions.T)[~np.eye(n, dtype=bool)] ** 2).mean()
    readings = present @ directions @ directions.T
    wrong = ((readings > 0.5) != (present > 0)).mean()
    print(
        f"{n} features in {d:2} dimensions: mean overlap² {overlap:.4f}, bound {(n - d) / (d * (n - 1)):.4f}; read wrongly {wrong:.1%}"
    )

# %% [markdown]
# So a layer made narrower can get harder to read. What does help is a model simple enough to be read as a whole, such as a
# decision tree or chapter 01's table of counts (the document's second means), if it does the task.

# %% [markdown]
# ## What breaks if
#
# **... the baseline is badly chosen.** Zero for everything, places too, is the usual choice. But layer norm forgets a
# vector's length: $\mathrm{LN}(\alpha x) \approx \mathrm{LN}(x)$ for all but the smallest $\alpha$, so nearly all of the walk
# happens in its first steps, and points spread evenly miss it.

# %%
for name, start in {"mean word": baseline[:10], "zero": np.zeros_like(baseline[:10])}.items():
    due = there[:10] - margin(w, engine.Tensor(start), answers[:10]).array
    for steps in (10, 40):
        shares = integrated_gradients(w, x[:10], start, answers[:10], steps)
        error = np.abs(shares.sum(axis=1) - due).mean() / np.abs(due).mean()
        print(
            f"baseline {name:9} {steps:3} points: the sums are off by {error:.1%} of what is to be shared; hits {hits(shares):.0%}"
        )

# %% [markdown]
# **... you ask for the probability.** Where the model is sure, $p$ is flat:
# $\partial p = p\,(1 - p)\,\partial(\ln\tfrac{p}{1-p})$. The surer the answer, the less it seems to depend on anything. We
# make the model surer by multiplying its logits, which changes no answer:


# %%
def probability(x, factor):
    *_, (_, top) = layers_of(exact, x)
    return ml.ops.softmax(exact.head(exact.norm(top))[:, -1] * factor)[np.arange(len(answers)), answers]


for factor in (0.1, 1, 3):
    leaf = ml.Tensor(x, requires_grad=True)
    p = probability(leaf, factor)
    p.sum().backward()
    size = np.linalg.norm(leaf.grad, axis=-1).max(axis=1)
    print(
        f"logits × {factor:3}: mean p of the answer {p.numpy().mean():.4f}, largest saliency {np.median(size):.1e} (median)"
    )

# %% [markdown]
# ## What each can say, and can't
#
# | method | shows | doesn't show |
# |---|---|---|
# | attention map | where a head's shares go | whether its values matter; other shares may give the same output |
# | saliency | how fast the output moves, here and now | anything beyond a small step; saturated inputs look idle |
# | gradient × input | a first guess at each input's part | parts that add up |
# | integrated gradients | parts that add up, from a baseline | the one true split: another baseline or path gives another |
# | occlusion | what this one change does | what two inputs do together; the changed input may be like no text |
# | logit lens | what the head would say half-way | what is there in a form the head doesn't read |
# | probe | that something can be read | that the model reads it; compare with a control task |
# | ablation | that a part is needed, as things stand | that an unneeded part does nothing: others may stand in |

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("15.1")` gives a hint, and another when you call it again;
# `solution("15.1")` shows a solution.

# %% [markdown]
# **15.1** The induction scores of heads in one text where words may come any number of times. `maps` is `(heads, time,
# time)`, `ids` `(time,)`. A place counts if its word has come before; its share is what it gives, in all, to the places right
# after each earlier one. Return the mean over places that count, `(heads,)`; zeros if none does.


# %%
def induction_scores(maps, ids): ...


check("15.1", induction_scores)

# %% [markdown]
# **15.2** A path needn't be straight. `points` `(steps + 1, d)` are points on a path, the first of them the baseline, the
# last the input; `gradient(x)` is $\partial F/\partial x$ at one point, `(d,)`. Return the attributions along this path,
# `(d,)`: on each of its straight pieces, take the gradient in the middle.


# %%
def path_gradients(gradient, points): ...


check("15.2", path_gradients)

# %% [markdown]
# **15.3** The stream is a sum, so a logit can be shared out exactly. `parts` `(n, d)` are what was added to the stream at one
# place. The logit is $\mathrm{LN}(\sum_i \mathrm{part}_i) \cdot u$, where LN takes off the mean, divides by
# $\sqrt{\mathrm{variance} + 10^{-5}}$ and multiplies by `weight`. Return each part's contribution, `(n,)`, with the divisor
# held as it is: they must sum to the logit.


# %%
def logit_parts(parts, weight, u): ...


check("15.3", logit_parts)

# %% [markdown]
# **15.4** Setting a head to zero also takes away what it adds on *every* text. Better set it to its mean. `outputs` `(batch,
# heads, time, d_head)` are the heads' results, `w_o` `(heads · d_head, d_model)` mixes them. Return the layer's output
# `(batch, time, d_model)` with head `head` replaced by its mean over all texts, taken at each place separately.


# %%
def mean_ablated(outputs, w_o, head): ...


check("15.4", mean_ablated)
