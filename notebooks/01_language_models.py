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
# # 01 Language models and n-grams
#
# Covers section 2.1 of the document (what a language model is).
#
# Formulas: [2.1-ngram]
#
# The document says that a language model estimates how probable a word is in its context, that the early ones, n-grams,
# did so by counting words that stand next to each other, and that counting has its limits with long texts. Here we build
# such a model, find out how good it is, and put numbers to the limits. Everything that later chapters
# build has to beat what stands at the end of this one.
#
# You need: Python's dictionaries, logarithms, and what a derivative is.

# %%
import math
import random
import re

import numpy as np

import minillm as ml
from minillm.book import say, show
from minillm.data import corpora, stories
from minillm.exercises import check, hint, solution
from minillm.formula import formula
from minillm.models import NGram

# %%
formula("2.1-ngram")

# %% [markdown]
# ## The idea
#
# A **language model** gives every possible next word $w_t$ a probability, knowing the words before it:
# $P(w_t \mid w_1 \ldots w_{t-1})$. That is enough to give one to a whole text. By the **chain rule of probability**,
#
# $$P(w_1 \ldots w_T) = P(w_1)\,P(w_2 \mid w_1)\,P(w_3 \mid w_1 w_2) \cdots P(w_T \mid w_1 \ldots w_{T-1}),$$
#
# which is no assumption: $P(A, B) = P(A)\,P(B \mid A)$ is what a conditional probability means, and here it is used
# $T - 1$ times. And a model that knows the next word's chances can write: draw a word, add it to the text, go on.
#
# The difficulty is the condition. Nearly every text of twenty words is met once in a lifetime, so what follows it can't be
# counted. An **n-gram model** therefore looks back at the last $n - 1$ words only, and pretends that the rest doesn't matter:
#
# $$P(w_t \mid w_1 \ldots w_{t-1}) \approx P(w_t \mid w_{t-n+1} \ldots w_{t-1})
#   = \frac{c(w_{t-n+1} \ldots w_t)}{c(w_{t-n+1} \ldots w_{t-1})}.$$
#
# *This* is an assumption. $c$ counts how often a group of words occurs in the training text, and $n$, the **order**, is the
# length of the group: 1 a unigram, 2 a bigram, 3 a trigram. A "word" is whatever the text is cut into: words, characters, or
# bytes. The general name is a **token**; all tokens there are make the **vocabulary**, of size $V$.

# %% [markdown]
# ## A worked example
#
# A text of fourteen words, and its bigrams:

# %%
text = "the dog saw the cat and the cat saw the dog and the bird"
words = text.split(" ")
pairs = {}
for before, word in zip(words, words[1:], strict=False):
    followers = pairs.setdefault(before, {})
    followers[word] = followers.get(word, 0) + 1

for before, followers in pairs.items():
    print(f"c({before} ·) = {sum(followers.values())}, of these {followers}")

# %% [markdown]
# The last word, *bird*, is followed by nothing: it ends a group, but begins none. So the denominator
# $c(w_{t-1})$ counts a word only *as a context*. Dividing each line by its sum gives the model, all of it:

# %%
for before, followers in pairs.items():
    for word, c in followers.items():
        total = sum(followers.values())
        print(f"P({word:4} | {before:3}) = {c}/{total} = {c / total:.4f}")

# %% [markdown]
# How probable is *the cat saw the dog*, given its first word? The chances multiply. For a long text the product would soon
# be smaller than any float, so one adds logarithms; $-\ln P$ is called the **surprise**, and its unit is the nat.

# %%
product, surprise = 1.0, 0.0
sentence = ["the", "cat", "saw", "the", "dog"]
for before, word in zip(sentence, sentence[1:], strict=False):
    chance = pairs[before][word] / sum(pairs[before].values())
    product *= chance
    surprise -= math.log(chance)
    print(f"P({word} | {before}) = {chance:.4f}   product {product:.4f}   surprise so far {surprise:.4f} nats")
assert math.isclose(product, math.exp(-surprise))

# %% [markdown]
# That sentence isn't in the text, and yet it has a chance: the model puts pieces together anew. But *the bird saw the
# cat* has none, because no bird happened to see anything. A single count of 0 makes the whole text impossible. We come back
# to this: nearly all of the art of n-grams is about it.

# %% [markdown]
# ## The code from scratch
#
# For any order, one dictionary: from a context (a tuple of $n-1$ tokens) to a counter of what follows it. The context of a
# unigram is the empty tuple.

# %% tags=["ngram"]
import math
from collections import Counter, defaultdict


def count(tokens, n):
    """The groups of n tokens: {context, a tuple of n - 1 tokens: Counter of the tokens that follow it}."""
    counts = defaultdict(Counter)
    for t in range(n - 1, len(tokens)):
        counts[tuple(tokens[t - n + 1 : t])][tokens[t]] += 1
    return counts


def nats(chance):
    """The surprise at something of that probability."""
    return -math.log(chance) if chance else math.inf


# %%
print(f"after the: {dict(count(words, 2)[('the',)])}")
print(f"after saw the: {dict(count(words, 3)[('saw', 'the')])}")

# %% [markdown]
# ### Why the counts are the best estimate
#
# Dividing counts looks natural. It is more: no other table of numbers gives the training text a higher probability. (It is
# the **maximum-likelihood estimate**.) Take one context $h$ and the words $w$ after it, seen $c_w$ times each,
# $N = \sum_w c_w = c(h)$ times in all. With chances $p_w$, the log-likelihood of these places is
#
# $$\ell(p) = \sum_w c_w \ln p_w \qquad\text{and we need}\qquad \sum_w p_w = 1.$$
#
# Without the condition, $\ell$ would rise forever. **Lagrange's multiplier** puts a price $\lambda$ on breaking it:
#
# $$\mathcal{L}(p, \lambda) = \sum_w c_w \ln p_w - \lambda \Big(\sum_w p_w - 1\Big).$$
#
# At the best $p$ all derivatives are 0. With respect to one $p_w$, since $(\ln p)' = 1/p$:
#
# $$\frac{\partial \mathcal{L}}{\partial p_w} = \frac{c_w}{p_w} - \lambda = 0 \quad\Longrightarrow\quad p_w = \frac{c_w}{\lambda}.$$
#
# The chances must sum to 1, so $\sum_w c_w / \lambda = N / \lambda = 1$, hence $\lambda = N$ and
#
# $$p_w = \frac{c_w}{N} = \frac{c(h\,w)}{c(h)}.$$
#
# It is a maximum and not a minimum, because $\partial^2 \ell / \partial p_w^2 = -c_w / p_w^2$ is nowhere positive: $\ell$ is
# concave, it has one top. (A word with $c_w = 0$ adds nothing to $\ell$, so any chance given to it is taken from the others in vain.)

# %% [markdown]
# ## The gradient check
#
# Is that so? After *the* came *dog*, *cat*, *bird* 2, 2 and 1 times. The derivative $c_w / p_w$ should be the same for all three
# words there, namely $\lambda = N$: otherwise it would pay to take chance from one word and give it to another. Finite
# differences along such an exchange, which keeps the sum at 1:

# %%
c = np.array([2.0, 2.0, 1.0])
N = c.sum()


def log_likelihood(p):
    return (c * np.log(p)).sum()


eps = 1e-5
for name, p in {"p = c / N": c / N, "p uniform": np.full(3, 1 / 3)}.items():
    print(f"{name}: ℓ = {log_likelihood(p):.4f}, c/p = {c / p}")
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        step = eps * (np.eye(3)[a] - np.eye(3)[b])
        slope = (log_likelihood(p + step) - log_likelihood(p - step)) / (2 * eps)
        bend = (log_likelihood(p + step) - 2 * log_likelihood(p) + log_likelihood(p - step)) / eps**2
        print(f"  chance moved from word {b} to word {a}: slope {abs(slope):.4f}, second derivative {bend:7.2f}")

# %% [markdown]
# Flat in every direction at the counts, and bending down; not flat elsewhere.
#
# Later models don't hold chances but **logits**, free numbers $z_w$ with $p_w = e^{z_w} / \sum_v e^{z_v}$: the sum is 1 by itself,
# and no multiplier is needed. Then $\partial \ell / \partial z_w = c_w - N p_w$, which is 0 at the same place. The library's
# cross-entropy is the mean of $-\ln p$, so its gradient must be $p - c/N$; and going down it must lead to the counts.

# %%
targets = np.repeat(np.arange(3), c.astype(int))  # the five words after "the": 0 0 1 1 2


def mean_surprise(z):
    return ml.ops.cross_entropy(z + np.zeros((len(targets), 3)), targets)


report = ml.testing.gradcheck(mean_surprise, [np.array([0.3, -1.0, 0.5])])
print(f"gradient against finite differences: {report.compared} numbers, largest error {report.largest_error:.1e}")

at_counts = ml.Tensor(np.log(c / N), requires_grad=True)
mean_surprise(at_counts).backward()
print(f"gradient at the counts: {np.abs(at_counts.grad).max():.1e}")

z = np.zeros(3)
for _ in range(400):
    p = np.exp(z) / np.exp(z).sum()
    z -= p - c / N
print(f"400 steps down from p uniform: p = {p.round(6)}, c/N = {c / N}")
np.testing.assert_allclose(p, c / N, atol=1e-9)

# %% [markdown]
# So counting is training, with the answer known in advance. For a bigram the best weights can be read off the text. For a
# Transformer they can't, but what it goes down is the same loss.

# %% [markdown]
# ## Real text: characters and words
#
# Two corpora that are on every machine. `stories` is drawn from a grammar, so that its **entropy**, the least loss any model can
# reach, is known. `python-docs` is the documentation of the Python that runs this: English by people, whose entropy nobody
# knows. The last part of each is **held out**: never counted, only used to judge.

# %%
documents = stories.documents(220)
train, held = "".join(documents[:200]), "".join(documents[200:])
docs = "".join(corpora.load("python-docs").documents())[:120_000]
docs_train, docs_held = docs[:108_000], docs[108_000:]
say(f"Stories: {len(train):,} characters to count, {len(held):,} held out. One begins: *{documents[0][:118]} …*")

# %%
after = count(train, 2)
for letter in "qhz":
    total = after[(letter,)].total()
    print(f"after {letter!r}:", "  ".join(f"{b!r} {n / total:.3f}" for b, n in after[(letter,)].most_common(5)))


def words_of(text):
    """Words with the space before them, and single signs. Joined, they are the text again."""
    return re.findall(r" ?\w+|[^\w]", text)


after = count(words_of(train), 2)
for word in [" was", " the", " whose"]:
    total = after[(word,)].total()
    print(f"after {word!r}:", "  ".join(f"{b!r} {n / total:.3f}" for b, n in after[(word,)].most_common(5)))

# %% [markdown]
# All of the bigram of letters fits in a picture. Each row is a context and sums to 1 (over all characters, those not shown
# included):

# %%
import matplotlib.pyplot as plt

letters = " abcdefghijklmnopqrstuvwxyz"
after = count(docs_train, 2)
table = np.array([[after[(a,)][b] / after[(a,)].total() for b in letters] for a in letters])
figure, axes = plt.subplots(figsize=(6.2, 5.2))
picture = axes.imshow(np.sqrt(table), cmap="Blues")
axes.set(xlabel="next character", ylabel="character before")
axes.set_xticks(range(27), ["␣", *letters[1:]])
axes.set_yticks(range(27), ["␣", *letters[1:]])
figure.colorbar(picture, ax=axes, label="√P(next | before)")
show(figure, "Bigrams of characters in python-docs: a dark square is a character that nearly always follows.")

# %% [markdown]
# ## Writing by order 1 to 5
#
# Draw a character by the counts, put it behind the text, look at the last $n-1$ characters again. One more character of context
# at a time, and it turns from noise into something like English:


# %%
def write(counts, start, length, seed):
    """Continue `start`, a tuple as long as a context, by drawing; it ends early at a context that nothing followed."""
    rng, text = random.Random(seed), list(start)
    while len(text) < length:
        followers = counts.get(tuple(text[len(text) - len(start) :]))
        if not followers:
            break
        text += rng.choices(list(followers), followers.values())
    return "".join(text)


for n in range(1, 6):
    start = tuple("The set "[:n][: n - 1])
    print(f"order {n}: {write(count(docs_train, n), start, 150, seed=1)!r}\n")

# %% [markdown]
# ## How good is it?
#
# By reading samples one is easily fooled. The measure is how surprised a model is by text it hasn't seen: the mean of
# $-\ln P(w_t \mid \ldots)$ over the held-out tokens, its **loss** in nats a token. Two other ways to say the same:
#
# - **Perplexity** is $e^{\text{loss}}$: being as unsure as if one had to choose among so many equally likely tokens. A uniform
#   model has perplexity $V$, because $-\ln(1/V) = \ln V$.
# - **Bits per byte** is the surprise of the whole text, in bits, over its length in UTF-8 bytes:
#   $\text{loss} \cdot \text{tokens} / (\ln 2 \cdot \text{bytes})$. It doesn't depend on how the text is cut up, so it is the one to
#   compare models of characters and of words by. A program that compresses text with the model would need about so many bits.
#
# There is a floor. If the text comes from chances $q$ and the model says $p$, the loss is on average
# $-\sum q \ln p = -\sum q \ln q + \sum q \ln (q / p)$. The first part is the entropy of the text. The second, the Kullback-Leibler
# divergence, is never negative (since $\ln x \le x - 1$, $\sum q \ln (p/q) \le \sum p - \sum q = 0$), and 0 only for $p = q$.


# %% tags=["ngram"]
def bits_per_byte(loss, tokens, text):
    """From a mean loss in nats over `tokens` tokens, which make up `text`."""
    return loss * tokens / (math.log(2) * len(text.encode()))


# %%
by_length = count(train, 2)
losses = [nats(by_length[(a,)][b] / by_length[(a,)].total()) for a, b in zip(held, held[1:], strict=False)]
loss = sum(losses) / len(losses)
say(
    f"The bigram of characters, held-out stories: {loss:.4f} nats a character, perplexity {math.exp(loss):.2f} of "
    f"{len(set(train))} characters, **{bits_per_byte(loss, len(held), held):.3f} bits per byte**."
)

# %% [markdown]
# ## The zero problem
#
# A bigram gets by. Longer contexts don't: the number of possible groups is $V^n$, and the text soon has too few
# places to show them.

# %%
for n in (1, 2, 3, 4, 6, 8):
    counts = count(train, n)
    groups = [(tuple(held[t - n + 1 : t]), held[t]) for t in range(n - 1, len(held))]
    unseen = sum(w not in counts.get(h, ()) for h, w in groups)
    print(f"order {n}: {sum(map(len, counts.values())):6,} of {len(set(train)) ** n:19,} groups seen;", end=" ")
    print(f"of the held-out ones {unseen / len(groups):.2%} never; the loss is {'infinite' if unseen else 'finite'}")

# %% [markdown]
# What wasn't seen must get some chance, and what was seen must give it up. This is called **smoothing**. The simplest
# is **add-k**: pretend that everything was seen $k$ times more often (Laplace took $k = 1$).
#
# $$P(w \mid h) = \frac{c(h\,w) + k}{c(h) + k V}$$
#
# It repairs the zeros, and treats all unseen words alike, and it may cost a lot: if $h$ was seen 10 times and $V$ is 50, then
# $k = 1$ gives the ten real sightings a sixth of the chance.


# %% tags=["ngram"]
def add_k(counts, word, context, k, vocab_size):
    """k = 0 is the formula itself; where it is 0/0, at a context never seen, nothing is known: 1 / vocab_size."""
    followers = counts.get(context, {})
    size = sum(followers.values()) + k * vocab_size
    return (followers.get(word, 0) + k) / size if size else 1 / vocab_size


# %%
counts, V = count(words, 2), len(set(words))
for k in (0, 0.1, 1):
    row = [add_k(counts, word, ("the",), k, V) for word in sorted(set(words))]
    shown = ", ".join(f"{w} {p:.3f}" for w, p in zip(sorted(set(words)), row, strict=True))
    print(f"k = {k:3}: after the: {shown}; sum {sum(row):.3f}")

# %% [markdown]
# ### Asking a shorter context
#
# If *a sleepy otter* was never seen, what followed *sleepy* is a better guess than "anything". Two ways to ask the shorter
# context $h'$ (that is $h$ without its first word):
#
# - **Interpolation** always mixes both, $P(w \mid h) = (1 - \lambda_h)\,c(h\,w)/c(h) + \lambda_h\,P(w \mid h')$;
# - **back-off** asks $h'$ only about words never seen after $h$, and scales what it says by $\alpha_h$ so that the sum is 1.
#
# How large is $\lambda_h$? A neat way: take a **discount** $d$, between 0 and 1, off each count that isn't 0. If $r$ different words followed
# $h$, that frees $d \cdot r$ counts, and they are given out as the shorter context says:
#
# $$P(w \mid h) = \frac{\max(c(h\,w) - d,\ 0) + d\,r\,P(w \mid h')}{c(h)}.$$
#
# So a context that many different words follow trusts itself less. Below the unigram stands the uniform $1/V$. For $d$ one uses
# an estimate from the groups seen once and twice, $d = n_1 / (n_1 + 2 n_2)$ (Ney, Essen and Kneser 1994).


# %% tags=["ngram"]
def discount(counts):
    times = Counter(c for followers in counts.values() for c in followers.values())
    return times[1] / (times[1] + 2 * times[2]) if times[1] and times[2] else 0.5


def interpolated(levels, vocab_size):
    """P(word, context) from counts of order 1, 2, ..., each mixed with the order below."""
    orders = [(counts, discount(counts), {h: f.total() for h, f in counts.items()}) for counts in levels]

    def p(word, context):
        chance = 1 / vocab_size
        for n, (counts, d, totals) in enumerate(orders[: len(context) + 1]):
            h = context[len(context) - n :]
            if h in totals:
                followers = counts[h]
                chance = (max(followers[word] - d, 0) + d * len(followers) * chance) / totals[h]
        return chance

    return p


# %% [markdown]
# ### Kneser and Ney's idea
#
# When is the shorter context asked? Above all when $h\,w$ is *new*. So it shouldn't say how often $w$ occurs, but how ready $w$ is
# to come after something new. *Francisco* is a frequent word, but it follows *San* only. Hence: below the highest order, don't count
# occurrences, count the **different words that came before**.


# %% tags=["ngram"]
def kneser_ney_levels(tokens, order):
    """Counts of order 1 to `order`; below the highest, the number of different tokens that a group came after."""
    seen = [count(tokens, n) for n in range(1, order + 1)]
    levels = []
    for above in seen[1:]:
        fresh = defaultdict(Counter)
        for context, followers in above.items():
            for word in followers:
                fresh[context[1:]][word] += 1
        levels.append(fresh)
    return [*levels, seen[-1]]


# %%
trip = ("San Francisco " * 6 + "my tea his tea her tea cold tea San Francisco hot").split()
V = len(set(trip))
plain = [count(trip, 1), count(trip, 2)]
fresh = kneser_ney_levels(trip, 2)
for word in ("Francisco", "tea"):
    print(f"{word}: seen {plain[0][()][word]} times, after {fresh[0][()][word]} different words;", end=" ")
    print(f"after the new context hot: {interpolated(plain, V)(word, ('hot',)):.3f} by occurrences,", end=" ")
    print(f"{interpolated(fresh, V)(word, ('hot',)):.3f} by Kneser-Ney")

# %% [markdown]
# The better guess after *hot* is *tea*, and only the second way of counting says so.

# %% [markdown]
# ## The same thing in minillm
#
# [NGram](../minillm/models/ngram.py) keeps the same counts in sorted arrays, so that millions of groups fit, and
# [smoothing.py](../minillm/models/smoothing.py) has the formulas. It takes ids; ours here is a character's place in the alphabet.

# %%
alphabet = {character: i for i, character in enumerate(sorted(set(train)))}


def ids_of(tokens, vocabulary=alphabet):
    return np.array([vocabulary[token] for token in tokens])


V, part, piece = len(alphabet), train[:60_000], held[:3000]
for n in range(1, 6):
    p = interpolated(kneser_ney_levels(part, n), V)
    ours = [p(piece[t], tuple(piece[max(0, t - n + 1) : t])) for t in range(len(piece))]
    model = NGram.train(ids_of(part), V, order=n)  # Kneser-Ney, if nothing else is said
    np.testing.assert_allclose(model.probabilities(ids_of(piece)), ours, rtol=1e-10)
    loss = model.evaluate(ids_of(piece))
    assert math.isclose(loss, np.mean([nats(chance) for chance in ours[1:]]))
    print(
        f"Kneser-Ney, order {n}: {len(ours)} chances equal; loss {loss:.4f} nats, {loss / math.log(2):.4f} bits a byte"
    )

# %%
for k in (0, 0.5):
    counts = count(part, 3)
    ours = [add_k(counts, piece[t], tuple(piece[t - 2 : t]), k, V) for t in range(2, len(piece))]
    model = NGram.train(ids_of(part), V, order=3, smoothing="add-k", k=k)
    np.testing.assert_allclose(model.probabilities(ids_of(piece))[2:], ours, rtol=1e-12)
    print(f"add-k with k = {k}: {len(ours)} chances equal")

place = {word: i for i, word in enumerate(sorted(set(words)))}
model = NGram.train(ids_of(words, place), len(place), order=2, smoothing="backoff")
after_saw = model.distribution([place["saw"]])
print("back-off, after saw:", ", ".join(f"{word} {after_saw[i]:.4f}" for word, i in place.items()))

# %% [markdown]
# The last line by hand: *saw* was followed by *the* twice and by nothing else. The discount is taken from that count, and given to
# the five other words in proportion to their unigram chances:

# %%
d = discount(count(words, 2))
lower = model.distribution([])
p_the = (2 - d) / 2
rest = 1 - lower[place["the"]]
alpha = (1 - p_the) / rest
by_hand = [p_the if word == "the" else alpha * lower[i] for word, i in place.items()]
print(f"d = {d:.4f}, P(the | saw) = (2 − d)/2 = {p_the:.4f}, α = {1 - p_the:.4f}/{rest:.4f} = {alpha:.4f}")
print(f"P(cat | saw) = α · {lower[place['cat']]:.4f} = {by_hand[place['cat']]:.4f}")
np.testing.assert_allclose(by_hand, after_saw, rtol=1e-12)

# %% [markdown]
# ## Picture: the ladder
#
# From knowing nothing to a 5-gram with Kneser-Ney, in bits per byte. The models of words are cut from the same text, and only
# because we divide by bytes can they stand on the same axis. For the stories the floor is drawn, computed from their grammar.

# %%
floor = stories.entropy_bits_per_byte()
vocabulary = {word: i for i, word in enumerate(sorted(set(words_of(train))))}
in_bytes = [np.frombuffer(text.encode(), np.uint8) for text in (docs_train, docs_held)]


def ladder(counted, judged, vocab_size, text):
    """Bits per byte of the uniform model and of order 1 to 5."""
    models = [NGram.uniform(vocab_size), *(NGram.train(counted, vocab_size, n) for n in range(1, 6))]
    return [bits_per_byte(model.evaluate(judged), len(judged), text) for model in models]


rungs = {
    "python-docs, bytes": ladder(*in_bytes, 256, docs_held),
    "stories, characters": ladder(ids_of(train), ids_of(held), V, held),
    "stories, words": ladder(*(ids_of(words_of(text), vocabulary) for text in (train, held)), len(vocabulary), held),
}
names = ["uniform", "unigram", "bigram", "trigram", "4-gram", "5-gram"]
figure, axes = plt.subplots(figsize=(8, 4))
for place, (name, bits) in enumerate(rungs.items()):
    bars = axes.bar(np.arange(6) + 0.28 * (place - 1), bits, width=0.27, label=name)
    axes.bar_label(bars, fmt="%.2f", fontsize=7)
axes.axhline(floor, color="black", linestyle="--", linewidth=1, label="entropy of the stories")
axes.set(xlabel="order, with Kneser-Ney smoothing", ylabel="held-out loss, bits per byte")
axes.set_xticks(range(6), names)
axes.legend()
show(figure, "Every step of context lowers the loss; the floor of the stories is still far below the last.")

# %%
exact = sum(stories.GRAMMAR.bits(next(stories.GRAMMAR.derivations(text))) for text in documents[200:])
say(
    f"The stories have {floor:.4f} bits per byte of entropy; whoever knew their grammar would pay {exact / len(held.encode()):.4f} "
    f"on the held-out ones. The best model above, the 5-gram of words, pays **{rungs['stories, words'][-1]:.3f}**: "
    f"{rungs['stories, words'][-1] / floor:.1f} times the floor."
)

# %% [markdown]
# ## Picture: loss against order
#
# Why stop at five? The document says that n-grams have limits with long text. Here they are. More context can only help a model
# that knows all chances; a model that has to *count* them sees ever fewer examples of each. The curves show three ways to deal with
# that, on the documentation of Python by bytes, and dashed what the model says of the text it counted.

# %%
orders = [1, 2, 3, 4, 5, 6, 8, 12]
counted, judged = in_bytes
levels = NGram.train(counted, 256, orders[-1], "add-k").levels  # its first n are those of order n
curves = {
    "add 1": [NGram(256, levels[:n], "add-k", 1).evaluate(judged) for n in orders],
    "add 0.000001: nearly no smoothing": [NGram(256, levels[:n], "add-k", 1e-6).evaluate(judged) for n in orders],
    "Kneser-Ney": [NGram.train(counted, 256, n).evaluate(judged) for n in orders],
    "no smoothing, on the text it counted": [NGram(256, levels[:n], "add-k", 0).evaluate(counted) for n in orders],
}
curves = {name: np.array(losses) / math.log(2) for name, losses in curves.items()}
figure, axes = plt.subplots(figsize=(7.5, 4))
for name, bits in curves.items():
    axes.plot(orders, bits, "--" if "counted" in name else "-", marker="o", markersize=4, label=name)
axes.set(xlabel="order: bytes in a group", ylabel="loss, bits per byte", ylim=(0, 8.2))
axes.legend(loc="upper left", fontsize=8)
show(figure, "Loss against order: with add-k it turns up, be k large or tiny; with Kneser-Ney it flattens.")

# %%
rough, kneser_ney = curves["add 0.000001: nearly no smoothing"], curves["Kneser-Ney"]
say(
    f"Nearly without smoothing the loss is least at order {orders[rough.argmin()]}, {rough.min():.2f} bits, and then **turns "
    f"up**, to {rough[-1]:.2f} at order 12, where knowing nothing costs 8. With none at all it would be infinite. With "
    f"Kneser-Ney order 12 is {kneser_ney[-1] - kneser_ney.min():.3f} bits above the best order, and from 6 on no two differ by more than "
    f"{np.ptp(kneser_ney[5:]):.3f}: a context as long as that has hardly ever been seen, so that the shorter one is asked. On the text that it "
    f"counted, the model of order 12 pays {curves['no smoothing, on the text it counted'][-1]:.2f} bits: it knows it by heart."
)

# %% [markdown]
# ### What no order reaches
#
# And some things are out of reach altogether. In each story a child is named at the beginning and comes back later, often dozens
# of words on. Whoever remembers the name knows it. What does a 5-gram of words know? In 300 stories more, at each place where a
# name stands, we ask for the chance of the right name, as a share of that of all names.

# %%
model = NGram.train(ids_of(words_of(train), vocabulary), len(vocabulary), order=5)
spellings = {entry[0]: [] for entry in stories.WORDS["child"].entries}  # with and without a space before it
for word, i in vocabulary.items():
    if word.strip() in spellings:
        spellings[word.strip()].append(i)
shares, any_name = {"first": [], "later": []}, []
for text in stories.documents(520)[220:]:
    tokens, kind = words_of(text), "first"
    for t, token in enumerate(tokens):
        if (name := token.strip()) in spellings:
            before = [vocabulary[word] for word in tokens[max(0, t - 4) : t] if word in vocabulary]
            chances = model.distribution(np.array(before, int))
            any_name.append(sum(chances[ids].sum() for ids in spellings.values()))
            shares[kind].append(chances[spellings[name]].sum() / any_name[-1])
            kind = "later"
print(f"that a name comes: mean chance {np.mean(any_name):.3f}")
for kind, values in shares.items():
    print(f"which one, {kind} in the story: mean chance {np.mean(values):.3f}, of {len(values):,} places")
print(f"guessing among {len(spellings)} names gives {1 / len(spellings):.3f}")

# %% [markdown]
# The model often knows *that* a name must come. *Which* name it can only guess, the tenth time no better than the first: four
# words back the name isn't there. To reach it would take an order of a hundred, and counts of groups of a hundred words, each of which occurs once. A model that carries
# something along from the beginning, or can look back at it, is what the rest of this book is about.

# %% [markdown]
# ## Chinese: characters as words
#
# Chinese is written without spaces, so it isn't even clear where a word ends. A model of characters doesn't ask. An old
# tongue-twister (mother rides a horse, the horse is slow, mother scolds the horse) as the text:

# %%
twister = "妈妈骑马，马慢，妈妈骂马。"
after = count(twister, 2)
for (character,), followers in after.items():
    total = followers.total()
    print(f"c({character}·) = {total}:", ", ".join(f"P({b}|{character}) = {c}/{total}" for b, c in followers.items()))

# %% [markdown]
# For a text long enough to judge, a small grammar, whose entropy is known again. In UTF-8 each of these characters takes three
# bytes, so bits per character and bits per byte are different numbers:

# %%
from minillm.data.grammar import Grammar, WordList

grammar = Grammar(
    {
        "story": ["[when]，{who=animal}[where][does]。{who}很[feels]。\n"],
        "when": ["早上", "中午", "晚上", "下雨天"],
        "where": ["在河边", "在山上", "在树下", "在门口"],
        "does": ["喝水", "吃草", "睡觉", "唱歌", "等朋友"],
        "feels": {"高兴": 2, "累": 1},
    },
    {"animal": WordList(("name",), (("小猫",), ("小狗",), ("老牛",), ("白马",), ("山羊",)))},
)
rng = random.Random(5)
chinese = [grammar.sample(rng)[0] for _ in range(600)]
zh_train, zh_held = "".join(chinese[:500]), "".join(chinese[500:])
print(chinese[0], end="")
floor_zh = grammar.entropy_bits() / grammar.expected_bytes()
characters = {c: i for i, c in enumerate(sorted(set(zh_train)))}
zh = [ids_of(text, characters) for text in (zh_train, zh_held)]
raw = [np.frombuffer(text.encode(), np.uint8) for text in (zh_train, zh_held)]
for n in (1, 2, 3, 5, 9):
    loss = NGram.train(zh[0], len(characters), n).evaluate(zh[1])
    per_byte = bits_per_byte(NGram.train(raw[0], 256, n).evaluate(raw[1]), len(raw[1]), zh_held)
    print(f"order {n}: {loss / math.log(2):.3f} bits a character =", end=" ")
    print(f"{bits_per_byte(loss, len(zh[1]), zh_held):.4f} a byte; a model of bytes: {per_byte:.4f} a byte")
print(f"the floor: {floor_zh:.4f} bits a byte")

# %% [markdown]
# A context of two bytes isn't even one character, so at the same order the model of bytes is far behind. And who did it is named
# at the beginning and again at the end, eight or so characters later: only the long contexts find the way back, and here,
# with five animals and short sentences, there is text enough to count them.

# %% [markdown]
# ## What breaks if
#
# **... there is no smoothing.** One group in the held-out text that the training text lacks, and the loss is infinite: not large,
# infinite, whatever the model says elsewhere.

# %%
model = NGram.train(ids_of(train), V, order=5, smoothing="add-k", k=0)
chances = model.probabilities(ids_of(held))
zeros = np.flatnonzero(chances == 0)
t = int(zeros[0])
say(
    f"Order 5 without smoothing: loss {model.evaluate(ids_of(held))}. Of {len(held):,} characters {len(zeros)} have chance 0, "
    f"the first of them {held[t]!r} after {held[t - 4 : t]!r}. Kneser-Ney's loss is "
    f"{NGram.train(ids_of(train), V, order=5).evaluate(ids_of(held)):.3f} nats."
)

# %% [markdown]
# **... the training text is scored.** A model of high order has learnt its text by heart. On that text it looks wonderful:
# better than the entropy allows, which is how one can tell that something is wrong.

# %%
counted, judged = (ids_of(words_of(text), vocabulary) for text in (train, held))
levels = NGram.train(counted, len(vocabulary), 20, "add-k").levels
for n in (2, 3, 5, 10, 20):
    by_heart = NGram(len(vocabulary), levels[:n], "add-k", 0).evaluate(counted)
    seen = bits_per_byte(by_heart, len(counted), train)
    honest = bits_per_byte(NGram.train(counted, len(vocabulary), n).evaluate(judged), len(judged), held)
    print(
        f"words, order {n:2}: on the text counted {seen:.4f} bits per byte, with Kneser-Ney held out {honest:.4f}",
        end="",
    )
    print("; below the floor" if seen < floor else "")
print(f"the floor is {floor:.4f}")

# %% [markdown]
# **... groups are counted across document borders.** The end of one document says nothing about the beginning of the next. Take
# words as documents, each a sequence of letters, and count letter pairs within words only, or in all words joined:

# %%
spelled = sorted(set(re.findall(r"[a-z]+", docs)))
random.Random(0).shuffle(spelled)
cut = len(spelled) * 9 // 10
within, across = defaultdict(Counter), count("".join(spelled[:cut]), 2)
for word in spelled[:cut]:
    for a, b in zip(word, word[1:], strict=False):
        within[(a,)][b] += 1
places = [((a,), b) for word in spelled[cut:] for a, b in zip(word, word[1:], strict=False)]
for name, counts in {"within words": within, "across borders": across}.items():
    loss = np.mean([nats(add_k(counts, b, a, 0.1, 26)) for a, b in places])
    invented = sum(c for a, f in counts.items() for b, c in f.items() if b not in within[a])
    total = sum(f.total() for f in counts.values())
    print(f"counted {name:14}: {total:6,} pairs, {invented:3} of kinds in no word; loss {loss:.4f} nats a letter")

# %% [markdown]
# Nothing fails; the model is just worse than it need be. With a token that marks the end of a document, as later chapters have it, a model
# can even learn where documents end.

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("01.1")` gives a hint, and another when you call it again;
# `solution("01.1")` shows a solution.

# %% [markdown]
# **01.1** Bigram probabilities as a matrix. `ids` is an array of tokens in `0 ... vocab_size - 1`. Return `(vocab_size, vocab_size)`, whose row
# `a` is $P(\cdot \mid a)$, without smoothing; a row for a token that nothing follows is uniform.


# %%
def bigram_matrix(ids, vocab_size): ...


check("01.1", bigram_matrix)

# %% [markdown]
# **01.2** Drawing from counts. `counts` are integers, not all 0; `u` is a random number, $0 \le u < 1$. Return the index of the token
# drawn: lay the tokens side by side, each as wide as its share of the counts, and see in whose stretch `u` falls. A stretch
# contains its left end, not its right one.


# %%
def pick(counts, u): ...


check("01.2", pick)

# %% [markdown]
# **01.3** A text was scored in batches: `losses` are the mean losses in nats, `sizes` the number of tokens of each batch. Return the
# perplexity, and the bits per byte of `text`, as a pair.


# %%
def measures(losses, sizes, text): ...


check("01.3", measures)

# %% [markdown]
# **01.4** Add-k by documents. `documents` is a list of lists of ids. Return $P(w \mid h)$ for `context`, a tuple of any length (also `()`), with add-k
# smoothing; no group may cross a border between documents. With `k = 0` and a context that nothing follows, return `1 / vocab_size`.


# %%
def add_k_of(documents, context, word, k, vocab_size): ...


check("01.4", add_k_of)

# %% [markdown]
# **01.5** Back-off by hand. `counts` (an array of the vocabulary's size) says how often each token followed $h$; `lower` is
# $P(\cdot \mid h')$. A token seen has $(c - d)/c(h)$; one never seen has $\alpha\,P(w \mid h')$, with $\alpha$ such that the sum is 1. If no token has been seen,
# return `lower`; if all have been, there is nobody to give to, and nothing is taken.


# %%
def back_off(counts, d, lower): ...


check("01.5", back_off)
