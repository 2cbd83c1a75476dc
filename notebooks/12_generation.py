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
# # 12 Generation: from scores to text
#
# Covers section 3.2.4 of the document (text generation), and the generation in its sample program, 5.2.
#
# In minillm: [models/decoding.py](../minillm/models/decoding.py); checked in [tests/models/test_decoding.py](../tests/models/test_decoding.py), [tests/nn/test_kv_cache.py](../tests/nn/test_kv_cache.py).
#
# The document has three steps: put a sequence in, predict the next word or subword and append it, repeat until the text is as long
# as required. How one token is chosen from thousands of scores, how a text ends by itself, and why a long text needn't
# cost the square of its length, is left out; and its program can't run. Here is all of it.
#
# You need: chapters 05 (softmax) and 06 (causal attention). 01 has the n-grams that write here, 10 the GPT.

# %%
import itertools
from dataclasses import fields
from functools import cache
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np

import minillm as ml
from minillm.book import module, say, show
from minillm.exercises import check, hint, solution

# %% [markdown]
# ## The idea
#
# A language model writes nothing. It gives a score, a **logit**, to every token of its vocabulary, and softmax makes probabilities of
# them. Writing is a loop around it:
#
# 1. ask for the logits of the token after the text so far;
# 2. **choose** one token;
# 3. append it, and go on, until a token or a limit says stop.
#
# All freedom is in the second step. *Greedy* takes the likeliest token; it is always the same, and repeats itself in the end.
# *Sampling* draws by the probabilities; now and then it draws nonsense, as there is much of it, and each piece has a little
# probability. The usual remedies reshape the probabilities before drawing (**temperature**) or cut off the tail (**top-k, top-p**).
# *Searching* looks for a text that is likely as a whole.

# %% [markdown]
# ## A worked example
#
# Five tokens may follow "the cat sat on the". Softmax first, with the largest logit taken off:

# %%
words = ["mat", "sofa", "floor", "垫子", "moon"]
z = np.array([3.0, 2.5, 1.5, 0.0, -1.0])
e = np.exp(z - z.max())
p = e / e.sum()
print("token    ", *(f"{word:>7}" for word in words))
for name, row in {"logit z": z, "exp(z−max)": e, "p": p}.items():
    print(f"{name:10}", *(f"{x:7.4f}" for x in row))

# %% [markdown]
# **Greedy** takes the first. To **draw**, lay the probabilities end to end, which fills the line from 0 to 1, and throw $u$ on it
# evenly: the token it hits has been drawn, each as often as it is long.

# %%
borders = np.cumsum(p)
print("borders   ", *(f"{x:7.4f}" for x in borders))
for u in (0.3, 0.7, 0.99):
    print(f"u = {u:.2f} -> {words[np.searchsorted(borders, u, side='right')]}")

# %% [markdown]
# **Temperature** divides the logits by $T$ before the softmax. **Top-k** keeps the $k$ likeliest. **Top-p** (the *nucleus*, Holtzman et
# al. 2020) keeps the fewest likeliest that have $p$ together: go down from the top, and keep a token if those before it haven't
# reached $p$ yet. What is kept is divided by its sum.

# %%
for T in (0.5, 1.0, 2.0):
    e = np.exp((z - z.max()) / T)
    print(f"T = {T}   ", *(f"{x:7.4f}" for x in e / e.sum()))

top_2 = np.where(np.arange(5) < 2, p, 0)
print("top-k, 2  ", *(f"{x:7.4f}" for x in top_2), f"  sum {top_2.sum():.4f}")
print("   divided", *(f"{x:7.4f}" for x in top_2 / top_2.sum()))

before = np.cumsum(p) - p
nucleus = np.where(before < 0.9, p, 0)
print("before it ", *(f"{x:7.4f}" for x in before))
print("top-p, .9 ", *(f"{x:7.4f}" for x in nucleus), f"  sum {nucleus.sum():.4f}")
print("   divided", *(f"{x:7.4f}" for x in nucleus / nucleus.sum()))

# %% [markdown]
# ## Temperature, derived
#
# Why divide? Ask for shares with a large mean score, but not all on one token. The entropy $H = -\sum_i p_i \ln p_i$ measures the
# second, and $T$ says what it is worth. At the maximum of $\sum_i p_i z_i + T H$, with a Lagrange multiplier
# $\lambda$ for $\sum_i p_i = 1$, the derivative along each $p_i$ is 0:
#
# $$z_i - T(\ln p_i + 1) - \lambda = 0 \quad\Longrightarrow\quad p_i \propto e^{z_i/T}.$$
#
# This is the **Boltzmann distribution** of physics, with $-z_i$ as the energy of state $i$: hence the name. Towards $T = 0$ only the mean
# counts, which is greedy; towards infinity only the entropy, and all tokens are alike. At $T = 1$ it is the model's own.
#
# How does it move with $T$? Write $\ln p_i = z_i/T - \ln Z$ with $Z = \sum_j e^{z_j/T}$. The derivative of $\ln Z$ is
# $\sum_j e^{z_j/T}(-z_j/T^2)/Z = -E[z]/T^2$, where $E$ is the mean under $p$ itself. So
#
# $$\frac{d \ln p_i}{dT} = \frac{E[z] - z_i}{T^2}.$$
#
# Tokens below the average score gain when it gets hotter; those above lose. For the entropy, $dp_i = p_i\, d\ln p_i$, and what
# is the same for all $i$ (as $\ln Z$) drops out, because $\sum_i dp_i = 0$:
#
# $$\frac{dH}{dT} = -\sum_i \frac{dp_i}{dT} \ln p_i = -\sum_i p_i\,\frac{E[z] - z_i}{T^2}\,\frac{z_i}{T} = \frac{\mathrm{Var}[z]}{T^3} \ge 0.$$
#
# Hotter is never less even. In code, with the cuts; a temperature of 0 is a case of its own:


# %% tags=["sampling"]
import numpy as np

from minillm.book import module

softmax_forward = module("05", "losses").softmax_forward


def probabilities(logits, temperature=1.0, top_k=None, top_p=1.0):
    """What a token is drawn with, (vocab_size,): softmax(z / T), cut to the k likeliest, cut to the nucleus of p."""
    if temperature == 0:
        return np.eye(len(logits))[logits.argmax()]
    p, _ = softmax_forward(logits / temperature)
    order = np.argsort(-p, kind="stable")
    p[order[top_k:] if top_k else []] = 0
    p = p / p.sum()
    before = np.cumsum(p[order]) - p[order]
    p[order[before >= top_p]] = 0  # the first has 0 before it, and so always stays
    return p / p.sum()


def entropy(p):
    """−Σ p ln p in nats; what is impossible adds nothing."""
    return -(p[p > 0] * np.log(p[p > 0])).sum()


def draw(p, rng):
    """A token, as often as p says."""
    borders = np.cumsum(p)
    return int(np.searchsorted(borders, rng.random() * borders[-1], side="right"))


# %%
np.testing.assert_allclose(probabilities(z, top_k=2), top_2 / top_2.sum())
np.testing.assert_allclose(probabilities(z, top_p=0.9), nucleus / nucleus.sum())
print("the worked example's numbers: equal")

# %% [markdown]
# ## A model to write with
#
# Counting is quick: a 4-gram with Kneser-Ney smoothing (chapter 01) of stories that minillm draws from a grammar, cut into byte pairs.
# Between stories stands a token of its own, `<|endoftext|>`; it is the **start** of a text and the **end** of one. The last stories
# are held out.

# %%
from minillm.data import stories
from minillm.models import NGram
from minillm.tokenizers import BPETokenizer

END = "<|endoftext|>"
texts = [text.strip() for text in stories.documents(220)]
tokenizer = BPETokenizer.train(texts[:200], 1024, special_tokens=[END])
end = tokenizer.special_tokens[END]
ids = np.array([i for text in texts for i in (end, *tokenizer.encode(text))])
held_ids = ids[np.flatnonzero(ids == end)[200] :]
ngram = NGram.train(ids[: -len(held_ids)], tokenizer.vocab_size, order=4)
print(f"{len(ids) - len(held_ids):,} tokens counted, {len(held_ids):,} held out")


@cache
def log_p_of_state(state):
    return np.log(ngram.distribution(state))


def log_p_after(context):
    """Logits of a 4-gram: the logarithms of its probabilities after the last three tokens, (vocab_size,)."""
    return log_p_of_state(tuple(context[-3:]))


prompt = held_ids[1:4].tolist()
print("to be continued:", repr(tokenizer.decode(prompt)))


# %% [markdown]
# Nothing about logits says that they come from a Transformer: any numbers will do whose softmax is $p$, so $\ln p$ does. The loop:


# %% tags=["sampling"]
def write(logits_after, start, most, rng, stop, **options):
    """Up to `most` tokens after `start`, ended before the token `stop`."""
    ids = list(start)
    while len(ids) < len(start) + most:
        token = draw(probabilities(logits_after(ids), **options), rng)
        if token == stop:
            break
        ids.append(token)
    return ids[len(start) :]


# %%
for name, options in {
    "greedy": {"temperature": 0},
    "T = 0.5": {"temperature": 0.5},
    "T = 1": {},
    "T = 2": {"temperature": 2.0},
    "T = 2, top-p 0.9": {"temperature": 2.0, "top_p": 0.9},
}.items():
    written = write(log_p_after, prompt, 40, np.random.default_rng(1), end, **options)
    print(f"{name}: {tokenizer.decode(written)!r}")

# %% [markdown]
# ## Picture: entropy against temperature
#
# Three places in the held-out stories: where the model is sure, less sure, and least sure.

# %%
places = np.arange(4, 404, 4)
contexts = [held_ids[i - 3 : i].tolist() for i in places]
own = np.array([entropy(probabilities(log_p_after(c))) for c in contexts])
chosen = [contexts[own.argsort()[int(q * (len(own) - 1))]] for q in (0.1, 0.75, 1)]
temperatures = np.linspace(0.1, 4, 40)
figure, axis = plt.subplots(figsize=(6.5, 3.6))
for context in chosen:
    line = [entropy(probabilities(log_p_after(context), T)) for T in temperatures]
    assert (np.diff(line) > -1e-12).all()
    axis.plot(temperatures, line, label=repr(tokenizer.decode(context)))
axis.axhline(np.log(tokenizer.vocab_size), color="0.6", linestyle="--", label="all tokens alike")
axis.axvline(1, color="0.8", linewidth=1)
axis.set(xlabel="temperature", ylabel="entropy (nats)")
axis.legend(fontsize=8)
show(figure, "Entropy of the next token after three contexts, against temperature: it only rises.")

# %% [markdown]
# ## What the cuts cut
#
# A fixed $k$ is too much where one token is certain and too little where many are possible. The nucleus follows the model's own
# certainty:

# %%
sizes = [int((probabilities(log_p_after(c), top_p=0.9) > 0).sum()) for c in contexts]
figure, axis = plt.subplots(figsize=(6.5, 3.6))
for i, context in enumerate(chosen):
    p = np.sort(probabilities(log_p_after(context)))[::-1]
    size = int((probabilities(log_p_after(context), top_p=0.9) > 0).sum())
    axis.loglog(np.arange(1, len(p) + 1), p, color=f"C{i}", label=f"{tokenizer.decode(context)!r}: nucleus of {size}")
    axis.plot(size, p[size - 1], "o", color=f"C{i}")
axis.axvline(20, color="0.6", linestyle="--", label="top-k, 20")
axis.set(xlabel="rank of the token", ylabel="probability")
axis.legend(fontsize=8)
show(figure, "Probabilities by rank after three contexts; a dot ends the nucleus of 0.9, a dashed line the top 20.")
say(
    f"Over {len(sizes)} places the nucleus of 0.9 holds from **{min(sizes)} to {max(sizes)}** tokens, half the time at most {np.median(sizes):.0f}."
)

# %% [markdown]
# A third cut, *min-p*, keeps the tokens that have at least some share of the likeliest one's probability. It is exercise 12.2.

# %%
from minillm.models.decoding import Sampling

print("minillm's options:", ", ".join(field.name for field in fields(Sampling)))

# %% [markdown]
# ## Repetition
#
# A model that sees only the last $c$ tokens, an n-gram or a GPT with a full window, chooses greedily by a fixed rule from at most
# $V^c$ states. So sooner or later a state comes back, and from then on *everything* does. How soon?


# %%
def repeated(ids, n=4):
    """The share of groups of n tokens that have stood in the text before."""
    groups = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return 1 - len(set(groups)) / len(groups)


greedy = write(log_p_after, prompt, 250, np.random.default_rng(0), None, temperature=0)
states = [tuple(greedy[i : i + 3]) for i in range(len(greedy) - 2)]
again = next((i for i, state in enumerate(states) if state in states[:i]), None)
if again is not None:
    say(
        f"Greedy, never stopped: the three tokens {tokenizer.decode(states[again])!r} come back at token {again + 3}, and "
        f"it goes round in **{again - states.index(states[again])}** tokens for ever."
    )
for name, temperature in {"greedy": 0, "T = 0.5": 0.5, "T = 1": 1, "T = 2": 2}.items():
    text = write(log_p_after, prompt, 250, np.random.default_rng(0), None, temperature=temperature)
    print(f"{name:8} repeated groups of four: {repeated(text):.0%}")
print(f"people's text, here the grammar's: {repeated(held_ids[:250].tolist()):.0%}")

# %% [markdown]
# People don't choose the likeliest word each time either: a text that is least surprising says least. A penalty for what was said
# already is exercise 12.1.

# %% [markdown]
# ## Beam search
#
# The likeliest *text* needn't be the one made of likeliest tokens. Take three tokens, where "." ends a text, with the next depending
# on the last; at most three tokens long. There are few enough texts to try all of them:

# %%
tokens = ["la", "di", "."]
p_next = {None: [0.50, 0.40, 0.10], 0: [0.35, 0.35, 0.30], 1: [0.05, 0.05, 0.90]}  # of each token, after the last one


def next_log_p(text):
    return np.log(p_next[text[-1] if text else None])


def log_p_of(text):
    return sum(next_log_p(text[:i])[token] for i, token in enumerate(text))


every = [text for n in (1, 2, 3) for text in itertools.product(range(3), repeat=n)]
every = [text for text in every if 2 not in text[:-1] and (text[-1] == 2 or len(text) == 3)]
print(f"{'text':10}      P    log P   log P / n")
for text in sorted(every, key=lambda text: -log_p_of(text)):
    log_p = log_p_of(text)
    print(f"{' '.join(tokens[t] for t in text):10} {np.exp(log_p):.4f} {log_p:8.4f} {log_p / len(text):9.4f}")
print(f"all {len(every)} together: {sum(np.exp(log_p_of(text)) for text in every):.4f}")

# %% [markdown]
# A **beam search** goes forward like greedy, but keeps the `width` best beginnings of each length. Finished texts leave the beam and are
# compared in the end. Each more token makes a text less likely, since $\log p \le 0$, so plain log-probabilities prefer short ones;
# a **length penalty** divides by something that grows with the number of tokens $n$: by $n$ itself, which is the mean, or
# by $((5 + n)/6)^{0.6}$ (Wu et al. 2016).


# %% tags=["beam"]
import numpy as np


def mean(n):
    return n


def beam_search(next_log_p, width, most, stop, penalty=mean, note=None):
    """The text of at most `most` tokens with the best log P / penalty(n) that is found.

    next_log_p: a text, a tuple of tokens -> log-probabilities of the next, (vocab_size,). note(n, candidates) looks on.
    """
    beams, finished = [(0.0, ())], []
    for n in range(1, most + 1):
        ways = [(s + log_p, (*text, t)) for s, text in beams for t, log_p in enumerate(next_log_p(text))]
        ways = sorted(ways, key=lambda way: -way[0])[: 2 * width]  # of each beam, one may end: `width` go on
        if note:
            note(n, ways)
        finished += [(s / penalty(n), text) for s, text in ways if text[-1] == stop]
        beams = [(s, text) for s, text in ways if text[-1] != stop][:width]
    finished += [(s / penalty(most), text) for s, text in beams]
    return max(finished, key=lambda way: way[0])[1]


# %%
def note(n, ways):
    for s, text in ways:
        fate = f"ends, {s:.4f} / {n} = {s / n:.4f}" if text[-1] == 2 else "goes on"
        print(f"   {' '.join(tokens[t] for t in text):9} log P {s:8.4f}  {fate}")


best = max(every, key=lambda text: log_p_of(text) / len(text))
for width in (1, 2):
    print(f"width {width}, candidates:")
    found = beam_search(next_log_p, width, 3, stop=2, note=note)
    print(f"   found: {' '.join(tokens[t] for t in found)}\n")
greedy = tuple(write(lambda ids: next_log_p(tuple(ids)), [], 3, np.random.default_rng(0), 2, temperature=0))
print("greedy:     ", " ".join(tokens[t] for t in greedy))
print("best of all:", " ".join(tokens[t] for t in best))
assert found == best

# %% [markdown]
# Greedy went for the likelier first token, behind which nothing is certain. Is a beam always right? No: what fell out of it can't come
# back. Random tables, each against exhaustive search:


# %%
def random_table(seed, vocab_size=4):
    return np.log(np.random.default_rng(seed).dirichlet(np.full(vocab_size, 0.5), size=vocab_size))


def by_last_token(table):
    """next_log_p of a text that follows token 0, by the table's row of its last token."""
    return lambda text: table[text[-1] if text else 0]


def exhaustive(table, most, stop):
    """The best mean log-probability of all texts after token 0, and the text."""
    texts = [text for n in range(1, most + 1) for text in itertools.product(range(len(table)), repeat=n)]
    texts = [text for text in texts if stop not in text[:-1] and (text[-1] == stop or len(text) == most)]
    return max((sum(table[a, b] for a, b in itertools.pairwise((0, *text))) / len(text), text) for text in texts)


seeds = range(60)
truth = [exhaustive(random_table(seed), 4, stop=3)[1] for seed in seeds]
for width in (1, 2, 4, 64):
    found = [beam_search(by_last_token(random_table(seed)), width, 4, stop=3) for seed in seeds]
    print(
        f"width {width:2}: {sum(a == b for a, b in zip(found, truth, strict=True))} of {len(truth)} are the best there is"
    )
assert found == truth  # 64 beams leave nothing out

# %% [markdown]
# Beams are for tasks with one right answer, translation above all. For a story, "likely" is another question. What the n-gram finds
# likely, and what it thinks of the held-out story itself:


# %%
def nats_per_token(continuation):
    text = [*prompt, *continuation]
    return -np.mean([log_p_after(text[: len(prompt) + i])[token] for i, token in enumerate(continuation)])


for name, continuation in {
    "beam of 3": beam_search(lambda text: log_p_after([*prompt, *text]), 3, 30, end),
    "greedy": write(log_p_after, prompt, 30, np.random.default_rng(1), end, temperature=0),
    "T = 1": write(log_p_after, prompt, 30, np.random.default_rng(1), end),
    "the story": held_ids[4:34].tolist(),
}.items():
    print(f"{name:9} {nats_per_token(continuation):.2f} nats a token: {tokenizer.decode(continuation)!r}")

# %% [markdown]
# ## The key-value cache
#
# Now the cost. To write token $t + 1$, a GPT reads all $t$ tokens before it; written token by token, a text of $n$ tokens is read
# $n$ times. Most of that is done again and again. A token's key and value are made from its own vector, and under the causal mask that
# vector depends on the tokens *up to it* only. What comes later can't change it, in any layer. So keep the keys and values, and
# pass only the new token through the model: its query looks at all that is kept.
#
# A small GPT, trained for a few seconds on six lines by heart; in float64, so that equal means equal:

# %%
from minillm.models import GPT, GPTConfig

LINES = [
    "白日依山尽，黄河入海流。",
    "床前明月光，疑是地上霜。",
    "春眠不觉晓，处处闻啼鸟。",
    "The moon is on the floor of the room.",
    "The river runs into the sea.",
    "The birds are singing in the morning.",
]
poet_tokens = BPETokenizer.train(LINES * 2, 300, special_tokens=[END])
poet_end = poet_tokens.special_tokens[END]
line_ids = [poet_tokens.encode(line) for line in LINES]
longest = max(map(len, line_ids))
rows = [[poet_end, *ids, poet_end, *[-100] * (longest - len(ids))] for ids in line_ids]  # -100: doesn't count
inputs = np.maximum([row[:-1] for row in rows], 0)
targets = np.array([row[1:] for row in rows])
ml.seed(0)
config = GPTConfig(poet_tokens.vocab_size, context_length=64, n_layer=2, n_head=2, d_model=32, dtype="float64")
poet = GPT(config)
optimizer = ml.optim.AdamW(poet.parameters(), 1e-2, betas=(0.9, 0.99))
for _ in range(80):
    loss = poet.loss(inputs, targets)
    poet.zero_grad()
    loss.backward()
    ml.optim.clip_grad_norm(poet.parameters(), 1.0)
    optimizer.step()
least = len(LINES) * np.log(len(LINES)) / (targets >= 0).sum()
say(
    f"The loss is {loss.item():.3f} nats a token; knowing nothing costs {np.log(config.vocab_size):.2f}. To know all lines but not which one "
    f"comes costs ln {len(LINES)} for each, {least:.3f} a token."
)

# %% [markdown]
# The model's forward with our own attention. `kept` has the keys and values of a layer, and grows. Every product goes through `times`,
# which counts its operations. The mask is that of exercise 06.5: new query $i$ sees all that is kept, and the new ones up to itself.


# %% tags=["cache"]
import numpy as np

import minillm as ml
from minillm.book import module

softmax_forward = module("05", "losses").softmax_forward
counted = []


def times(a, b):
    """a @ b, noting its multiplications and additions."""
    counted.append(2 * a.size * b.shape[-1])
    return a @ b


def linear(x, layer):
    return times(x, layer.weight.numpy().T) + layer.bias.numpy()


def attend(layer, x, kept):
    """Causal attention of new tokens, (new, d_model), to those kept and to each other; `kept` gets theirs, too."""
    q, k, v = (linear(x, part) for part in (layer.query, layer.key, layer.value))
    if kept:
        k, v = np.concatenate([kept[0], k]), np.concatenate([kept[1], v])
    kept[:] = [k, v]
    visible = np.tril(np.ones((len(q), len(k)), bool), len(k) - len(q))
    heads = []
    for i in range(0, q.shape[1], layer.d_head):
        head = slice(i, i + layer.d_head)
        scores = times(q[:, head], k[:, head].T) / np.sqrt(layer.d_head)
        shares, _ = softmax_forward(np.where(visible, scores, -np.inf))
        heads.append(times(shares, v[:, head]))
    return linear(np.concatenate(heads, axis=1), layer.output)


# %% tags=["cache"]
def apply(part, x):
    """A layer of the library, for what isn't our subject here."""
    return part(ml.Tensor(x)).numpy()


def logits_of(model, ids, cache):
    """Scores after each of the new tokens `ids`, (new, vocab_size). cache: for each layer a list, empty at first."""
    start = len(cache[0][0]) if cache[0] else 0  # the new tokens stand behind those kept
    x = model.token_embedding.weight.numpy()[ids] + model.positions.embedding.weight.numpy()[start : start + len(ids)]
    for layer, kept in zip(model.layers, cache, strict=True):
        x = x + attend(layer.attention.sublayer, apply(layer.attention.norm, x), kept)
        ffn = layer.feed_forward.sublayer
        hidden = linear(apply(layer.feed_forward.norm, x), ffn.up)
        x = x + linear(ml.ops.gelu_tanh(hidden).numpy(), ffn.down)
    return times(apply(model.norm, x), model.head.weight.numpy().T)


def empty_cache(model):
    return [[] for _ in model.layers]


# %% [markdown]
# The same text at once, token by token, and in pieces:

# %%
text = np.array([poet_end, *line_ids[0]])
at_once = logits_of(poet, text, empty_cache(poet))
for name, size in {"token by token": 1, "in pieces of 5": 5}.items():
    cache = empty_cache(poet)
    parts = np.concatenate([logits_of(poet, text[i : i + size], cache) for i in range(0, len(text), size)])
    print(f"{name:15} largest difference of {parts.size:,} logits: {abs(parts - at_once).max():.1e}")
    np.testing.assert_allclose(parts, at_once, atol=1e-12)

# %% [markdown]
# Identical but for rounding. And the work? With $N$ weights in products, $L$ layers of width $d$, a pass of $q$ new tokens over $t$ keys
# takes $2Nq + 4Ldqt$ operations ($q t d$ multiplications and additions for the scores, and as many for the sums). Writing
# $n$ tokens sums this for $t = 1 \ldots n$: with $q = t$ if all is read again, with $q = 1$ from a cache.

# %%
from minillm.planning import counts


def operations(config, q, t):
    """Of one pass with q new tokens and t keys."""
    return 2 * counts.matrix_weights(config) * q + 4 * config.n_layer * config.d_model * q * t


totals = {}
for name in ("read again", "from a cache"):
    counted.clear()
    ids, cache = [poet_end], empty_cache(poet)
    while len(ids) < config.context_length:
        new, cache = (ids[-1:], cache) if name == "from a cache" else (ids, empty_cache(poet))
        ids.append(int(logits_of(poet, np.array(new), cache)[-1].argmax()))
    by_formula = sum(operations(config, len(ids[:t]) if name == "read again" else 1, t) for t in range(1, len(ids)))
    totals[name] = ids, sum(counted)
    print(f"{name:13} counted {sum(counted):13,}, by the formula {by_formula:13,}")
    assert sum(counted) == by_formula
(first, slow), (second, fast) = totals.values()
assert first == second
say(f"The same {len(first) - 1} tokens for **1/{slow / fast:.1f}** of the operations.")

# %%
gpt2 = GPTConfig(50_257, 1024, 12, 12, d_model=768)
length = np.arange(1, 1025)
again, cached = np.cumsum(operations(gpt2, length, length)), np.cumsum(operations(gpt2, 1, length))
figure, axis = plt.subplots(figsize=(6.5, 3.4))
axis.loglog(length, again, label="everything read again")
axis.loglog(length, cached, label="from a cache")
axis.set(xlabel="tokens written", ylabel="operations in all", title="a GPT-2 of 12 layers")
axis.legend()
show(figure, "Operations for a text of so many tokens: by the square of its length, or nearly in proportion to it.")
kept_bytes = 2 * gpt2.n_layer * gpt2.d_model * 4
say(
    f"At {length[-1]} tokens the cache saves a factor of **{again[-1] / cached[-1]:.0f}**. Its price is memory: keys and values, {gpt2.n_layer} layers, "
    f"{gpt2.d_model} float32 each, are {kept_bytes:,} bytes a token, {kept_bytes * 1024 / 2**20:.0f} MiB for a full context."
)

# %% [markdown]
# ## Characters that come in halves
#
# A byte-pair token is a piece of UTF-8, and a Chinese character has three bytes, so a token's border may be inside it. Whoever decodes token by
# token shows rubbish, though the whole text is right:

# %%
line = LINES[0]
pieces = [poet_tokens.token_bytes(i) for i in line_ids[0]]
print(pieces[:6], "…")
print("each by itself:", "".join(piece.decode("utf-8", "replace") for piece in pieces))
print("all together:  ", b"".join(pieces).decode())


# %% [markdown]
# To show a text while it is being written, hold back the bytes that don't make a character yet:


# %% tags=["streaming"]
def whole(pieces):
    """Text as soon as its characters are complete, of bytes that are UTF-8 in the end."""
    held = b""
    for piece in pieces:
        held += piece
        try:
            text = held.decode()
        except UnicodeDecodeError as error:
            text = held[: error.start].decode()  # what stands before the error is whole
        if text:
            yield text
        held = held[len(text.encode()) :]


# %%
shown = list(whole(pieces))
assert "".join(shown) == line
print(f"{len(pieces)} tokens, shown in {len(shown)} steps:", " | ".join(shown))

# %% [markdown]
# ## The gradient check
#
# Drawing has no derivative; but the two formulas about temperature are derivatives, and finite differences judge them:

# %%
eps = 1e-5
print("   T   d ln p / dT, largest error    dH/dT    error")
for T in (0.3, 1.0, 2.5):
    p = probabilities(z, T)
    E, variance = p @ z, p @ z**2 - (p @ z) ** 2
    up, down = probabilities(z, T + eps), probabilities(z, T - eps)
    numeric = (np.log(up) - np.log(down)) / (2 * eps)
    error = abs((E - z) / T**2 - numeric).max()
    entropy_error = abs(variance / T**3 - (entropy(up) - entropy(down)) / (2 * eps))
    print(f"{T:4} {error:28.1e} {variance / T**3:9.4f} {entropy_error:8.1e}")
    assert max(error, entropy_error) < 1e-6

# %% [markdown]
# And is each token drawn **as often as** $p$ says? Of $n$ draws, token $i$ should come $n p_i$ times, give or take. The sum
#
# $$\chi^2 = \sum_i \frac{(c_i - n p_i)^2}{n p_i}$$
#
# over the possible tokens is about their number less one, $\nu$, if all is well. A larger value than the one found comes by chance with
# probability $e^{-\chi^2/2} \sum_{j<\nu/2} (\chi^2/2)^j / j!$ (for even $\nu$; so here 3 or 5 tokens are possible). A sampler that is
# wrong has next to none. As a wrong one, one that forgets the temperature:


# %%
def chi_squared(counts, p):
    """The statistic, and the chance of a larger one if the counts are drawn from p."""
    possible = p > 0
    assert possible.sum() % 2 and not counts[~possible].any()
    expected = counts.sum() * p[possible]
    x = ((counts[possible] - expected) ** 2 / expected).sum()
    terms = np.cumprod([1.0, *(x / 2 / j for j in range(1, (possible.sum() - 1) // 2))])
    return x, np.exp(-x / 2) * terms.sum()


for options in ({}, {"temperature": 0.7}, {"temperature": 2.0, "top_k": 3}, {"top_p": 0.9}):
    p, rng = probabilities(z, **options), np.random.default_rng(0)
    drawn = np.bincount([draw(p, rng) for _ in range(2000)], minlength=5)
    x, chance = chi_squared(drawn, p)
    print(f"{options!s:36} drawn {drawn}, χ² = {x:6.2f}, chance {chance:.3f}")
    assert chance > 1e-3

rng = np.random.default_rng(0)
forgetful = np.bincount([draw(probabilities(z), rng) for _ in range(2000)], minlength=5)
x, chance = chi_squared(forgetful, probabilities(z, 0.7))
print(f"{'0.7, forgotten':36} drawn {forgetful}, χ² = {x:6.2f}, chance {chance:.0e}")
assert chance < 1e-6

# %% [markdown]
# ## The same thing in minillm
#
# [models/decoding.py](../minillm/models/decoding.py) has all of this for any model with logits, and
# [generate.py](../minillm/generate.py) is the command line. First the distributions, for logits of all sorts, then the tokens:

# %%
from minillm.models import decoding

rng = np.random.default_rng(0)
settings = list(itertools.product((0, 0.3, 1.0, 2.5), (None, 1, 7), (0.2, 0.9, 1.0)))
for temperature, k, top_p in settings:
    logits = rng.normal(size=40) * 3
    ours = probabilities(logits, temperature, k, top_p)
    theirs = decoding.distribution(logits, Sampling(temperature, k, top_p))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
print(f"{len(settings)} settings of temperature, top-k and top-p: equal")


def philox(seed):
    return np.random.Generator(np.random.Philox(key=seed))


def poet_logits(ids):
    return logits_of(poet, np.array(ids), empty_cache(poet))[-1]


for seed, options in enumerate([{"temperature": 0}, {"temperature": 0.8}, {"temperature": 1.5, "top_p": 0.9}]):
    ours = write(poet_logits, [poet_end], 40, philox(seed), poet_end, **options)
    for use_cache in (True, False):
        their_options = {"use_cache": use_cache, "stop_ids": frozenset({poet_end}), "seed": seed}
        theirs = poet.generate([poet_end], 40, **their_options, **options)
        assert ours == theirs.tolist()
    print(f"{options}: equal, {poet_tokens.decode(ours)!r}")

# %% [markdown]
# The cache: the library's logits are ours, at once and token by token. And beams: the library's search scores by the mean
# log-probability, the one for translation ([seq2seq_decoding.py](../minillm/models/seq2seq_decoding.py)) by Wu's penalty.

# %%
with ml.no_grad():
    theirs = poet(text[None])[0].numpy()[0]
    cache = poet.new_cache()
    steps = np.concatenate([poet(text[None, i : i + 1], cache=cache)[0].numpy()[0] for i in range(len(text))])
for name, logits in {"at once": theirs, "with its cache": steps}.items():
    np.testing.assert_allclose(logits, at_once, atol=1e-12)
    print(f"logits {name}: equal to ours")


class Table:
    """A model whose logits depend on the last token alone, as the library's decoding wants it."""

    config = SimpleNamespace(context_length=99)

    def __init__(self, table):
        self.table = table

    def __call__(self, ids, cache=None):
        return ml.Tensor(self.table[ids]), None

    def new_cache(self):
        return []


for seed, width in itertools.product(seeds, (1, 2, 3)):
    table = random_table(seed)
    ours = beam_search(by_last_token(table), width, 6, stop=3)
    theirs = decoding.beam_search(Table(table), [0], 6, width, stop_ids=frozenset({3}))
    assert [token for token in ours if token != 3] == theirs
print(f"beam search on {len(seeds)} tables, widths 1, 2, 3: equal")

# %% [markdown]
# Streaming: `whole_characters` also meets bytes that never become UTF-8, which a model may well draw, and where ours would wait for ever. A
# **stop string** may cross the borders of tokens, too; `until_stop` holds back what could be its beginning.

# %%
from minillm.generate import until_stop, whole_characters

for i, ids in enumerate(line_ids):
    pieces = [poet_tokens.token_bytes(token) for token in ids]
    assert "".join(whole_characters(pieces)) == "".join(whole(pieces)) == LINES[i]
print(f"{len(line_ids)} lines in pieces: equal")
broken = [b"\xe7\x99", b" ", b"\xe7\x99\xbd"]  # two thirds of a character, and then a space
print("ours:", list(whole(broken)), "  minillm:", list(whole_characters(broken)))
print("before a stop:", list(until_stop(["The river", " runs", " into", " the sea", "."], ["runs into"])))

# %% [markdown]
# ## The document's program, set right
#
# Its generation asks the vocabulary of its text for `<start>`, which stands in no text and wasn't added. A dict raises a KeyError; the old
# torchtext silently gave the number of the unknown word. Then it takes the likeliest token *at each place*, and `.item()` of
# that, which is for a single number: the first round works, the second doesn't. There is no end token, so it would always
# fill the 20 places.

# %%
vocabulary = sorted({word for text in texts for word in text.split()})
print("<start> in the vocabulary:", "<start>" in vocabulary)
for time in (1, 2):
    output = at_once[None, :time]  # (batch, time, vocab_size), as in the document
    try:
        print(f"{time} token(s): argmax(output, dim=2).item() = {output.argmax(axis=2).item()}")
    except ValueError as error:
        print(f"{time} token(s): {error}")
print("the last place alone:", output[0, -1].argmax())

# %% [markdown]
# What it set out to do: greedily, at most 20 tokens, from a start token to an end token. `<|endoftext|>` is both here.

# %%
spoken = poet.generate([poet_end], 20, temperature=0, stop_ids=frozenset({poet_end}))
print(f"{len(spoken)} tokens: {poet_tokens.decode(spoken)!r}")

# %% [markdown]
# ## What breaks if
#
# **... the temperature is 0 without care.** Division by it gives $\pm\infty$ and, for a logit of 0, $0/0$. A very small one in its place
# works only if the largest logit is taken off *before* the exponential, and gives the two likeliest a share each when they are tied.


# %%
def careless(logits, temperature):
    with np.errstate(all="ignore"):
        e = np.exp(logits / temperature)
        return e / e.sum()


for temperature in (0.0, 1e-3):
    print(f"T = {temperature}: careless {careless(z, temperature)}, ours {probabilities(z, temperature)}")

# %% [markdown]
# **... top-p keeps nothing.** It sounds right to keep the tokens whose running sum is at most $p$. But where the first has more than $p$,
# none is left, and $0/0$ is drawn from. How often is that so?


# %%
def careless_nucleus(p, top_p):
    ordered = np.sort(p)[::-1]
    return ordered[np.cumsum(ordered) <= top_p]


for top_p in (0.5, 0.9, 0.99):
    kept = [careless_nucleus(probabilities(log_p_after(c)), top_p) for c in contexts]
    mass = np.mean([part.sum() for part in kept])
    empty = np.mean([len(part) == 0 for part in kept])
    print(f"top-p {top_p}: nothing kept at {empty:.0%} of {len(kept)} places; the mass kept is {mass:.2f} on average")

# %% [markdown]
# **... there is no length penalty.** Let every text go on with "la" with probability $p$, or end, each time anew. To stop at once has
# $\ln(1 - p)$, to go on to the limit $n \ln p$. So $\log P$ stops at once wherever $1 - p > p^n$, even if each further "la" is much
# likelier than the end:


# %%
def plain(n):
    return 1


def wu(n):
    return ((5 + n) / 6) ** 0.6


print("p(go on)   length found by log P, by Wu's penalty, by the mean (of at most 12)")
for go_on in (0.5, 0.7, 0.85, 0.95):
    found = [
        len(beam_search(lambda text, p=go_on: np.log([p, 1 - p]), 2, 12, stop=1, penalty=how))
        for how in (plain, wu, mean)
    ]
    print(f"{go_on:8} {found[0]:20} {found[1]:18} {found[2]:13}")

# %% [markdown]
# The random tables from above, and the lengths that each score prefers:

# %%
for name, penalty in {"log P": plain, "Wu's": wu, "the mean": mean}.items():
    lengths = [len(beam_search(by_last_token(random_table(seed)), 4, 8, stop=3, penalty=penalty)) for seed in seeds]
    print(
        f"{name:9} mean length {np.mean(lengths):.2f} of at most 8; of one token: {np.mean(np.array(lengths) == 1):.0%}"
    )

# %% [markdown]
# **... positions are wrong with a cache.** A new token comes alone, so it is easily given place 0, always. Nothing fails; the model is only
# told that every token is the first:


# %%
class AlwaysFirst(ml.nn.Module):
    """Positions that forget how many tokens are in the cache."""

    def __init__(self, positions):
        self.positions = positions

    def forward(self, x, start=0):
        return self.positions(x, 0)


right = poet.positions
texts_written = {}
for name, positions in {"right": right, "wrong": AlwaysFirst(right)}.items():
    poet.positions = positions
    cache = poet.new_cache()
    with ml.no_grad():
        steps = np.concatenate([poet(text[None, i : i + 1], cache=cache)[0].numpy()[0] for i in range(len(text))])
    surprise = -np.log(softmax_forward(steps[:-1])[0][np.arange(len(text) - 1), text[1:]]).mean()
    spoken = poet.generate([poet_end], 30, temperature=0, stop_ids=frozenset({poet_end}))
    print(
        f"{name}: logits off by {abs(steps - at_once).max():.1e}, {surprise:.3f} nats a token; {poet_tokens.decode(spoken)!r}"
    )
poet.positions = right

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("12.1")` gives a hint, and another when you call it again;
# `solution("12.1")` shows a solution.

# %% [markdown]
# **12.1** A penalty for repetition (Keskar et al. 2019). `logits` is `(vocab_size,)`, `said` a list of tokens, `penalty` a number above 1.
# Return new logits in which every token that was said is less likely: a positive logit divided by the penalty, one below 0
# multiplied by it. How often it was said doesn't matter.


# %%
def discourage(logits, said, penalty): ...


check("12.1", discourage)

# %% [markdown]
# **12.2** Min-p. Return the probabilities `(vocab_size,)` at this temperature, of the tokens only that have at least `share` times the
# probability of the likeliest one (at this temperature); the others get 0.


# %%
def min_p(logits, temperature, share): ...


check("12.2", min_p)

# %% [markdown]
# **12.3** One can draw without computing a softmax: add noise $-\ln(-\ln u)$ to each $z_i / T$, where the $u$ are independent and equally likely
# anywhere between 0 and 1, and take the largest. Given `u`, `(draws, vocab_size)`, return the tokens drawn, `(draws,)`. Then try it on the chi-squared test.


# %%
def noisy_argmax(logits, temperature, u): ...


check("12.3", noisy_argmax)

# %% [markdown]
# **12.4** `data` (of type `bytes`) are the first bytes of a text in UTF-8, cut anywhere. Return how many of them, from the front, are whole characters.
# Characters have 1 to 4 bytes.


# %%
def whole_bytes(data): ...


check("12.4", whole_bytes)

# %% [markdown]
# **12.5** Where the next token depends on the last one alone, the likeliest of all texts can be found without trying them. `first` has the
# log-probabilities of the first token, `(vocab_size,)`; `following[i, j]` that of token `j` after `i`. Return the likeliest text of `n`
# tokens, as a list. The checker goes up to 300 tokens.


# %%
def likeliest(first, following, n): ...


check("12.5", likeliest)
