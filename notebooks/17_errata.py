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
# # 17 What the article got wrong
#
# Covers the whole document, from section 2 to section 9.
#
# In minillm: [tasks/document.py](../minillm/tasks/document.py); checked in [tests/test_errata.py](../tests/test_errata.py), [tests/book/test_errata.py](../tests/book/test_errata.py).
#
# The document is an overview, and as an overview it serves: its four formulas of attention and loss are the right ones.
# Its worked numbers aren't, its sample program doesn't run, and some claims don't hold. Earlier chapters show a fault
# where its subject comes up. Here all of them stand together, each in a few lines: what is printed there, and what comes
# out.
#
# You need: chapters 05 to 08 for the formulas. Everything else is said again.

# %% tags=["errata"]
import numpy as np

import minillm as ml
from minillm.book import module, say, show
from minillm.exercises import check, hint, solution

# %% [markdown]
# ## The idea
#
# How does one read an article critically? Not by knowing better, but by **recomputing**. Four questions find nearly all
# that is in this chapter:
#
# 1. *Can it be?* Shares sum to 1, a cross-entropy isn't negative, a perplexity isn't below 1, 1,000 words have 1,000 ids.
# 2. *Does the line follow from the one above?* Put the numbers in, and see.
# 3. *Does anything depend on the names?* If words were numbered otherwise, would the result change? It mustn't.
# 4. *Is everything that is made also used?* An argument that nothing reads, a data set that nothing asks for.
#
# Each fault found is noted under a key that begins with its section. `values` keeps the right numbers, unrounded.

# %% tags=["errata"]
FAULTS = {}


def fault(key, says, right, *values):
    """Note a fault of the document: what it says, and what is right."""
    FAULTS[key] = (says, right, values)
    say(f"**{key.split()[0]}**&ensp;The document: {says}. Right: {right}.")


def numbers(array, digits=5):
    return ", ".join(f"{x:.{digits}f}" for x in array)


# %% [markdown]
# ## A worked example
#
# Section 4.3.4 wants the cross-entropy of two tokens. The labels are the words 5 and 6, their probabilities 0.4 and 0.6:
#
# $$L = -[5 \log 0.4 + 6 \log 0.6] = -[1.386 + 1.792] = -3.178.$$
#
# Question 2: does each line follow from the one above?

# %% tags=["errata"]
p, ids = np.array([0.4, 0.6]), np.array([5, 6])
terms = ids * np.log(p)
literal = -terms.sum()
print(f"5 ln 0.4 = {terms[0]:.5f}, printed  1.386")
print(f"6 ln 0.6 = {terms[1]:.5f}, printed  1.792")
print(f"L        =  {literal:.5f}, printed −3.178")
sources = np.log([4, 6, 24])
print(f"ln 4 = {sources[0]:.5f}, ln 6 = {sources[1]:.5f}, ln 24 = {sources[2]:.5f}: that is where they come from")
fault(
    "4.3.4 the literal sum",
    "−[5 ln 0.4 + 6 ln 0.6] = −[1.386 + 1.792] = −3.178",
    f"{literal:.5f}, of the terms {terms[0]:.5f} and {terms[1]:.5f}; its numbers are ln 4, ln 6 and ln 24",
    *terms,
    literal,
    *sources,
)

# %% [markdown]
# Question 1: can it be? $-\ln p$ of a probability is 0 or more, so a loss below 0 can't. The sentence after it drops the
# sign, and says 3.178.
#
# Question 3: does it depend on names? It does, 5 and 6 are ids. In the formula stands $y$, **one-hot**: 1 at the word
# that came, 0 elsewhere. So of each token's sum one term is left, $-\ln p$ of its label:

# %% tags=["errata"]
surprises = -np.log(p)
total, mean = surprises.sum(), surprises.mean()
print(f"−ln 0.4 = {surprises[0]:.5f}, −ln 0.6 = {surprises[1]:.5f}")
fault(
    "4.3.4 ids for y",
    "the token ids 5 and 6 stand for y",
    f"y is one-hot: the sum is {total:.5f} nats, the mean {mean:.5f} nats a token, the perplexity {np.exp(mean):.5f}",
    total,
    mean,
    np.exp(mean),
)
best = ids / ids.sum()
lowest = -(ids * np.log(best)).sum()
fault(
    "4.3.4 the smallest loss",
    "this is what training makes small",
    f"the literal form is smallest at p = ({numbers(best)}), 5/11 and 6/11, where it is {lowest:.5f}, and never 0; "
    "with y one-hot a model that is sure of the right words has 0",
    lowest,
    *best,
)

# %% [markdown]
# ## The numbers of section 4.3
#
# **4.3.1** lists the ids of a sentence "of 1000 words". Count them:

# %% tags=["errata"]
listed = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]  # fmt: skip
fault(
    "4.3.1 the sentence", "a sentence of 1000 words, each with its id", f"the list has {len(listed)} ids", len(listed)
)

# %% [markdown]
# **4.3.2** has 8 heads of 64, 20 encoder layers and 2 decoder layers, and doesn't say how large that is. Four matrices
# with biases for an attention, $4d^2 + 4d$; $2df + f + d$ for a feed-forward network of width $f$, which it leaves out,
# too (4d is usual); $2d$ for a norm:

# %% tags=["errata"]
d = 8 * 64
f = 4 * d
att, network, norm = 4 * d**2 + 4 * d, 2 * d * f + f + d, 2 * d
in_encoder, in_decoder = att + network + 2 * norm, 2 * att + network + 3 * norm
whole = 20 * in_encoder + 2 * in_decoder
fault(
    "4.3.2 the size",
    "8 heads of 64, 20 encoder and 2 decoder layers, and no more",
    f"$d_{{model}}$ = {d}; with a feed-forward width of {f:,} an encoder layer has {in_encoder:,} "
    "parameters, a decoder layer "
    f"{in_decoder:,}, all together {whole:,} without embeddings",
    d,
    in_encoder,
    in_decoder,
    whole,
)

# %% [markdown]
# **4.3.3** takes the ids 3, 4, 5 as vectors of size 1, as queries, keys and values alike, and divides scores by
# $\sqrt{64}$. Each of its three lines is a softmax of *one* number:


# %% tags=["errata"]
def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attend(query, keys, d_k):
    """Shares and output of attention, ids taken as vectors of size 1."""
    keys = np.array(keys, float)
    shares = softmax(query * keys / np.sqrt(d_k))
    return shares, shares @ keys


alone = [softmax(np.array([query * 3 / 8]))[0] for query in (3, 4, 5)]
by_line = [share * value for share, value in zip(alone, (3, 4, 5), strict=True)]
fault(
    "4.3.3 softmax of one number",
    "softmax(3·3/√64) = 0.5, softmax(4·3/√64) = 0.2, softmax(5·3/√64) = 0.3",
    f"{numbers(alone, 0)}: a softmax of one number is $e^s/e^s$, so its lines, each times a value, come to "
    f"{numbers(by_line, 0)}",
    *alone,
    *by_line,
)
rows = {query: attend(query, [3, 4, 5], 64) for query in (3, 4, 5)}
for query, (shares, output) in rows.items():
    print(f"q = {query}: shares {numbers(shares)}; output {output:.5f}")
fault(
    "4.3.3 self-attention",
    "one share for each word: 0.5, 0.2, 0.3",
    f"a row of three for each query, such as {numbers(rows[3][0])} for the word 3, with the output {rows[3][1]:.5f}",
    *[x for shares, output in rows.values() for x in (*shares, output)],
)

# %% [markdown]
# "Word 3 is the most important", it concludes. A score is query times key, so of positive ids the largest key wins; and
# as key 4 stands halfway between 3 and 5, its score is never the lowest. Is there *any* scale at which the shares are .5,
# .2, .3?

# %% tags=["errata"]
scales = np.geomspace(1e-6, 10, 2000)
signed = np.concatenate([-scales, scales])
tried = softmax(signed[:, None] * 3 * np.array([3.0, 4, 5]))
nearest = np.abs(tried - [0.5, 0.2, 0.3]).max(axis=1).min()
winners = {3 + int(shares.argmax()) for shares in tried[len(scales) :]} | {
    3 + int(row[0].argmax()) for row in rows.values()
}
fault(
    "4.3.3 word 3",
    "word 3 matters most in the sequence",
    f"the largest share is that of token {', '.join(map(str, winners))} in every row and at every positive "
    "scale tried; no scale, of either "
    f"sign, comes nearer to .5, .2, .3 than {nearest:.3f}",
    *winners,
    nearest,
)
shares, output = attend(3, [3, 4, 5], d_k=1)
fault(
    "4.3.3 √64",
    "vectors of size 1 with $d_k$ = 64",
    f"their $d_k$ is 1, which gives q = 3 the shares {numbers(shares)} and the output {output:.5f}",
    *shares,
    output,
)

# %% [markdown]
# Its cross-attention has the query 10 and two shares for three keys:

# %% tags=["errata"]
three, mixed = attend(10, [3, 4, 5], 64)
two, _ = attend(10, [3, 4], 64)
scores = 10 * np.array([3, 4, 5]) / 8
fault(
    "4.3.3 cross-attention",
    "0.4 for key 3, 0.6 for key 4, and nothing about key 5",
    f"the scores {numbers(scores, 2)} give {numbers(three)} and the output {mixed:.5f}; keys 3 and 4 alone "
    f"would have {numbers(two)}",
    *scores,
    *three,
    mixed,
    *two,
)
head = np.random.default_rng(0).normal(size=8)  # of a vocabulary of 8 words: what picks, were it learnt
word_chances = softmax(mixed * head)
fault(
    "4.3.3 picking a word",
    "so the decoder will rather pick word 4",
    f"attention mixes values, here to {mixed:.5f}, which is no word; a softmax over the vocabulary picks "
    "(one of random scores, for 8 "
    f"words, has {numbers(word_chances, 2)})",
    mixed,
    word_chances.sum(),
)

# %% [markdown]
# ## Formulas and claims
#
# **4.1.1** writes a layer as attention "+" feed-forward network. The network comes *after* attention, and reads what it
# gathered; around each stand a residual connection and a layer normalisation. Three readings, on the same three tokens:

# %% tags=["errata"]
ml.seeding.seed(17)
multi_head, ffn = ml.nn.MultiHeadAttention(8, 2), ml.nn.FeedForward(8, 32, "relu")
layer = ml.nn.EncoderLayer(multi_head, ffn, lambda: ml.nn.LayerNorm(8))
x = ml.Tensor(np.random.default_rng(0).normal(size=(1, 3, 8)).astype(np.float32))
normed = layer.attention.norm
h = x + multi_head(normed(x))
right = h + ffn(layer.feed_forward.norm(h))
gap = np.abs(layer(x).numpy() - right.numpy()).max()
for name, y in {"attention + network": multi_head(x) + ffn(x), "composed": ffn(multi_head(x)), "right": right}.items():
    print(f"{name:20} first token {y.numpy()[0, 0, :4].round(3)} …")
plus_off = np.abs((multi_head(x) + ffn(x) - right).numpy()).max()
composed_off = np.abs((ffn(multi_head(x)) - right).numpy()).max()
fault(
    "4.1.1 residuals and norms",
    "a layer is attention and feed-forward network",
    f"h = x + MultiHead(LN(x)), then h + FFN(LN(h)), as minillm's layer has it (difference {gap:.0e}); "
    "without residuals and norms results are off "
    f"by up to {composed_off:.2f}",
    gap,
)
fault(
    "4.1.1 the plus",
    "attention + feed-forward network",
    f"composition; the sum is off by up to {plus_off:.2f}",
    plus_off > 0.1,
)

# %% [markdown]
# Its decoder layer is "masked attention (cross-attention)". These are two sublayers, and only the first has the mask.
# Change the last token, or the last place of the memory, and see what the *first* token notices:

# %% tags=["errata"]
own, cross = ml.nn.MultiHeadAttention(8, 2, causal=True), ml.nn.MultiHeadAttention(8, 2)
decoder_layer = ml.nn.DecoderLayer(own, cross, ml.nn.FeedForward(8, 32, "relu"), lambda: ml.nn.LayerNorm(8))
memory = x.numpy()[:, ::-1].copy()


def first_token(x, memory):
    return decoder_layer(ml.Tensor(x), ml.Tensor(memory)).numpy()[0, 0]


last = np.array([[[0.0], [0.0], [1.0]]], np.float32)
before = first_token(x.numpy(), memory)
of_token = np.abs(first_token(x.numpy() + last, memory) - before).max()
of_memory = np.abs(first_token(x.numpy(), memory * (1 + last)) - before).max()
sublayers = [part for part in vars(decoder_layer).values() if isinstance(part, ml.nn.Residual)]
fault(
    "4.1.1 the decoder layer",
    "MaskedMultiHeadAttention(Cross-Attention) + Feedforward Network",
    f"{len(sublayers)} sublayers: causal self-attention (the first token notices {of_token:.4f} of a change "
    "of the last), cross-attention "
    f"without a mask ({of_memory:.4f} of a change at the memory's end), feed-forward network",
    len(sublayers),
    of_token,
)

# %% [markdown]
# **4.1.2** lets $i$ run over samples, with $y_i$ "the label of sample $i$". It runs over the classes, for one token; the
# mean over the tokens comes afterwards. Ids in place of one-hot rows would make the loss depend on the numbering:

# %% tags=["errata"]
rng = np.random.default_rng(0)
chances, targets = softmax(rng.normal(size=(4, 5))), np.array([0, 4, 2, 2])
by_classes = -(np.eye(5)[targets] * np.log(chances)).sum(axis=1)
renamed = (targets + 1) % 5
of_ids = [-(names * np.log(chances[np.arange(4), targets])).sum() for names in (targets, renamed)]
library = ml.ops.cross_entropy(np.log(chances), targets).item()
np.testing.assert_allclose(by_classes.mean(), library)
fault(
    "4.1.2 the sum and the mean",
    "−Σ y_i ln p_i over the samples i, y_i the label",
    f"i runs over the classes, y is one-hot, then comes the mean over tokens: {by_classes.mean():.5f} for 4 "
    "tokens of 5 classes, as in minillm. Labels as "
    f"y give {of_ids[0]:.5f}, and {of_ids[1]:.5f} once the same words are numbered otherwise",
    by_classes.mean(),
)

# %% [markdown]
# **4.2** is called a derivation and has none. What it leaves out is all that can be learnt. Take it at its word, with the
# tokens' vectors as $Q$, $K$ and $V$: no parameter is left, and the scores are symmetric, so *a* finds *b* exactly as
# much as *b* finds *a*. The matrices make the difference:

# %% tags=["errata"]
tokens = rng.normal(size=(4, 6))
w_q, w_k = rng.normal(size=(2, 6, 6))
plain, learnt = tokens @ tokens.T, (tokens @ w_q) @ (tokens @ w_k).T
asymmetry = [np.abs(scores - scores.T).max() for scores in (plain, learnt)]
missing = ml.nn.MultiHeadAttention(512, 8).num_parameters()
fault(
    "4.2 the derivation",
    "the formula, under the title “derivation”",
    "the derivation is in chapter 06. $W_Q$, $W_K$, $W_V$, $W_O$ and the concatenation of heads are "
    f"missing: {missing:,} parameters for each attention of its model. "
    f"Without them scores are symmetric (largest difference {asymmetry[0]:.1f}; with two random matrices "
    f"{asymmetry[1]:.1f})",
    missing,
    asymmetry[0],
)
some = rng.normal(size=(100, 50)) * 10
in_range = 1 / (1 + np.exp(-some))
fault(
    "4.2 rows of the softmax",
    "softmax brings the weights into [0, 1]",
    "that isn't all: each row sums to 1 (largest error of 100 rows "
    f"{np.abs(softmax(some).sum(axis=1) - 1).max():.0e}). The logistic function is in "
    f"[0, 1], too, and its rows of 50 sum to {in_range.sum(axis=1).min():.1f} and more",
    *softmax(some).sum(axis=1),
)

# %% [markdown]
# Why $\sqrt{d_k}$? With independent entries of mean 0 and variance 1, each product $q_c k_c$ has mean 0 and variance
# $E[q_c^2]\,E[k_c^2] = 1$, and variances of independent terms add up: $\mathrm{Var}(q \cdot k) = \sum_{c=1}^{d_k} 1 =
# d_k$, hence $\mathrm{Var}(q \cdot k/\sqrt{d_k}) = 1$. Measured:

# %% tags=["errata"]
q, k = np.random.default_rng(64).normal(size=(2, 20_000, 64))
dots = (q * k).sum(axis=1)
fault(
    "4.2 √d_k",
    "nothing on why scores are divided by $\\sqrt{d_k}$",
    f"their variance is $d_k$: {dots.var():.1f} at $d_k$ = 64, and {(dots / 8).var():.3f} after the division",
    dots.var(),
    (dots / 8).var(),
)

# %% [markdown]
# **3.3.1** calls the Transformer efficient on long text. Every token scores every token. What the formula keeps for
# backward, measured in the library's NumPy reference:

# %% tags=["errata"]
from minillm.backend import arrays_in, use_backend


def score_bytes(n, n_head=8):
    q = ml.Tensor(np.ones((1, n_head, n, 2), np.float32), requires_grad=True)
    with use_backend("numpy"):
        kept = arrays_in(ml.ops.attention(q, q, q).node.saved)
    return sum(array.nbytes for array in kept if array.shape == (1, n_head, n, n))


lengths = [250, 500, 1000]
kept = [score_bytes(n) for n in lengths]
fault(
    "3.3.1 long text",
    "efficient on long text",
    f"scores take O(n²): {kept[-1] / 1e6:.0f} MB of float32 a layer at n = 1000 with 8 heads, "
    f"{20 * kept[-1] / 1e6:.0f} MB over 20 layers. Twice the "
    f"length takes {kept[-1] / kept[-2]:.0f} times as much; a fused kernel keeps them out of memory, but "
    "computes as many",
    kept[-1],
    20 * kept[-1],
    kept[-1] / kept[-2],
)

# %% [markdown]
# **2.2, 2.4 and 9.2** call fine-tuning a stage *of* pre-training, and the flow chart makes the two alternatives: with
# labels this way, without labels that way. Walk the chart's arrows:

# %% tags=["errata"]
chart = {"data": ["pre-train"], "pre-train": ["labels?"], "labels?": ["unsupervised", "fine-tune"]}
chart |= {"unsupervised": ["Transformer"], "fine-tune": ["Transformer"], "Transformer": ["text"], "text": ["output"]}
stages = {"data": ["unsupervised"], "unsupervised": ["fine-tune"], "fine-tune": ["text"], "text": ["output"]}


def reachable(graph, start):
    found, waiting = set(), [start]
    while waiting:
        for name in graph.get(waiting.pop(), []):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


chart_leads, stages_lead = ("fine-tune" in reachable(graph, "unsupervised") for graph in (chart, stages))
fault(
    "2.4 the flow chart",
    "a decision, “labelled or not”, leads to pre-training or to fine-tuning",
    "one leads to the other. From unsupervised pre-training to fine-tuning there is a way in its chart: "
    f"{chart_leads}; with the stages in order: "
    f"{stages_lead}",
    chart_leads,
    stages_lead,
)

# %% [markdown]
# What does each stage give? A table of scores for the next letter is trained on stories, then on the first letters of a
# poem, and judged on the rest of it (each at the best of 40 steps on the poem):

# %% tags=["errata"]
from minillm.data import stories

POEM = """the river bends below the hill and carries every fallen leaf , and all the stones lie round and still ; the rain
is long , the summer brief . a boat goes by , a bird goes over , the evening settles on the land , and in the field among
the clover the old dog sleeps beside the hand that led him here when both were younger and ran as far as one can see ."""
letters = {letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz ")}


def ids_of(text):
    return np.array([letters[c] for c in text.lower().replace("\n", " ") if c in letters])


def pair_shares(text):
    """How often each letter follows each, as shares of all pairs."""
    ids = ids_of(text)
    counts = np.zeros((27, 27))
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    return counts / counts.sum()


def trained(text, steps, table):
    """A table of scores after each step of gradient descent."""
    seen_pairs, tables = pair_shares(text), []
    for _ in range(steps):
        table = table - 10 * (seen_pairs.sum(axis=1, keepdims=True) * softmax(table) - seen_pairs)
        tables.append(table)
    return tables


def best_loss(text, tables):
    return min(-(pair_shares(text) * np.log(softmax(table))).sum() for table in tables)


# %% tags=["errata"]
nothing = np.zeros((27, 27))
broad = trained("".join(stories.documents(40)), 300, nothing)[-1]
both = best_loss(POEM[120:], trained(POEM[:120], 40, broad))
tuned, untuned = best_loss(POEM[120:], trained(POEM[:120], 40, nothing)), best_loss(POEM[120:], [broad])
for key in ("2.2 the two stages", "9.2 the two stages"):
    fault(
        key,
        "pre-training consists of unsupervised pre-training and supervised fine-tuning",
        f"fine-tuning is a stage after pre-training: {both:.3f} nats a letter with both, {tuned:.3f} with "
        f"the second alone, {untuned:.3f} with the "
        "first alone",
        both,
        tuned,
        untuned,
    )

# %% [markdown]
# **6.4.2** hopes for zero-shot learning from pre-training "and distillation". Distillation trains a student to say what a
# teacher says. Its gradient is $p_{student} - p_{teacher}$: where the student agrees, it has nothing left to learn, right
# or wrong. Here the teacher has seen two classes of three:

# %% tags=["errata"]
centres = np.array([[4.0, 0], [0, 4], [4, 4]])
labels = np.arange(300) % 3
points = np.c_[centres[labels] + np.random.default_rng(3).normal(size=(300, 2)), np.ones(300)]


def fitted(points, wanted, steps=400):
    weights = np.zeros((3, 3))
    for _ in range(steps):
        weights -= 0.3 * points.T @ (softmax(points @ weights) - wanted) / len(points)
    return weights


seen = labels < 2
teacher = fitted(points[seen], np.eye(3)[labels[seen]])
student = fitted(points, softmax(points @ teacher))
accuracy = [((points @ w).argmax(axis=1) == labels)[~seen].mean() for w in (teacher, student)]
known = ((points @ student).argmax(axis=1) == labels)[seen].mean()
fault(
    "6.4.2 distillation",
    "pre-training and knowledge distillation will make zero-shot learning possible",
    "distillation copies what a teacher can do. Of the class neither was told of, the teacher finds "
    f"{accuracy[0]:.0%} and the student, shown those very "
    f"points, {accuracy[1]:.0%} (of the others {known:.0%}). What answers without examples is pre-training: "
    "labels are scored as text",
    *accuracy,
)

# %% [markdown]
# **9.4** says that compressing a model makes it easier to interpret. Smaller isn't clearer. A rule "word $i$ is followed
# by word $\pi(i)$" as a matrix of zeros and ones can be read off. The same rule as a product of two narrow matrices is
# much smaller, and its numbers mean nothing by themselves: any rotation of them does the same.

# %% tags=["errata"]
n = 16
follower = np.random.default_rng(5).permutation(n)
table = np.eye(n)[follower]  # a row for each word, a 1 at the one that follows
angles = 2 * np.pi * np.arange(n) / n
places = np.c_[np.cos(angles), np.sin(angles)]
left, right_side = places[follower], places
turn = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
same = [((a @ b.T).argmax(axis=1) == follower).all() for a, b in ((left, right_side), (left @ turn, right_side @ turn))]
print("a row of the table   ", table[0].astype(int))
print("the same, compressed ", left[0].round(3), "or, rotated,", (left @ turn)[0].round(3))
fault(
    "9.4 smaller models",
    "compression lowers a model's complexity and so makes it easier to interpret",
    f"not by itself: {table.size} numbers that can be read were compressed to {left.size + right_side.size} "
    "that can't; the answers are the same: "
    f"{same[0]}, and after a rotation of all numbers: {same[1]}",
    *same,
)

# %% [markdown]
# **9.5** lists four measures. F1 "balances" precision and recall, but how? And perplexity, BLEU and ROUGE, the ones by
# which language models, translations and summaries are judged, are missing. Accuracy can't stand in for them, as one
# added word shows:

# %% tags=["errata"]
from collections import Counter

from minillm.metrics import f1_score, perplexity

precision, recall = 0.8, 0.5
f1 = 2 / (1 / precision + 1 / recall)
fault(
    "9.5 F1",
    "F1 is a balance of precision and recall",
    f"it is their harmonic mean: P = .8 and R = .5 have F1 = {f1:.4f}, their arithmetic mean is "
    f"{(precision + recall) / 2:.4f}",
    f1,
)
reference = ["the", "cat", "sat", "on", "the", "mat"]
written = ["well", *reference]
same_place = np.mean([a == b for a, b in zip(written, reference, strict=False)])
overlap = (Counter(written) & Counter(reference)).total()
of_written, of_reference = overlap / len(written), overlap / len(reference)
fault(
    "9.5 missing measures",
    "accuracy, length and variety, fluency, F1",
    f"perplexity (e^L, {perplexity(mean):.5f} for the loss above), BLEU (precision of word groups; of single "
    f"words {of_written:.3f} here) and ROUGE "
    f"(recall, precision and F1 of them; here {of_reference:.3f}, {of_written:.3f} and "
    f"{f1_score(of_written, of_reference):.3f}) are missing; accuracy place by "
    f"place would be {same_place:.0%}",
    perplexity(mean),
    of_written,
    of_reference,
)

# %% [markdown]
# **7.3** gives a title to Brown et al. 2020 that isn't its title. A reference can be tested, too: look it up by its
# authors and year.

# %% tags=["errata"]
said, title = "Generative Pre-trained Transformers", "Language Models are Few-Shot Learners"
common = {word.lower() for word in said.split()} & {word.lower() for word in title.split()}
fault(
    "7.3 the title",
    f"“{said}” (Brown et al. 2020)",
    f"“{title}” ({len(common)} words in common); it is the paper on GPT-3, in which examples in the prompt "
    "take the place of fine-tuning",
    len(common),
)

# %% [markdown]
# ## The sample program
#
# Section 5.2 has a program in PyTorch, from the data to generated text. Its corrected twin is
# [tasks/document.py](../minillm/tasks/document.py), where each correction is marked by a number in brackets. `program`
# shows a line of the document's, what goes wrong, and the line that bears the number.

# %% tags=["errata"]
import re
from pathlib import Path

from minillm.tasks import document

TWIN = Path(document.__file__).read_text(encoding="utf-8").split("\n")


def put_right(number):
    """The line of the twin that is marked with a number, and where it stands."""
    marked = re.compile(rf'(# |"""|\) )\({number}\)')
    (line,) = [i for i, text in enumerate(TWIN) if marked.search(text)]
    text = TWIN[line].strip()
    if text.startswith('"""'):  # of a function's docstring, its first clause
        text = re.split("[.;]", text.strip('"'))[0]
    return text, line + 1


def program(number, line, wrong, *values):
    """Note a fault of the sample program."""
    right, place = put_right(number)
    FAULTS[f"5.2 ({number})"] = (f"`{line}`", f"{wrong}; `{right}`", values)
    say(
        f"**5.2 ({number})**&ensp;`{line}`\n\n{wrong[0].upper()}{wrong[1:]}.\n\nHere: `{right}` "
        f"([document.py](../minillm/tasks/document.py), line {place})"
    )


def failing(call):
    """What a call raises, as text."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("it should have failed")


# %% [markdown]
# ### Its data
#
# **(1)** The first line that matters can't be imported. torchtext moved `Field` and `BucketIterator` aside in version
# 0.9, the one that belongs to PyTorch 1.8, which section 5.1 asks for; version 0.12 dropped them.

# %% tags=["errata"]
import importlib


def can_import(package, name):
    try:
        return hasattr(importlib.import_module(package), name)
    except ImportError:
        return False


program(
    1,
    "from torchtext.data import Field, TabularDataset, BucketIterator",
    f"can it be imported here: {can_import('torchtext.data', 'Field')}; can `read_texts`: "
    f"{can_import('minillm.tasks.document', 'read_texts')}",
    can_import("minillm.tasks.document", "read_texts"),
)

# %% [markdown]
# **(2), (19)** A batch has an attribute for each field. There is one field, `text`. And a file read as CSV is cut at its
# commas:

# %% tags=["errata"]
import csv
import tempfile

TEXTS = ["the cat sat on the mat", "when it rains, the river rises, and the dog stays in", "我 喜欢 猫 ， 也 喜欢 狗"]


class Batch:
    """One attribute for each field."""

    text = np.zeros((6, 2), int)


half = document.halved(TEXTS[0])
program(
    2,
    "output = model(batch.src, batch.tgt)",
    f"{failing(lambda: Batch().src)}. The halves of a text will do as source and target: "
    f"“{half.source.strip()}”, “{half.target.strip()}”",
    len(half.source.split()),
)
columns = [row[0] for row in csv.reader(TEXTS)]
lost = 1 - sum(len(text.split()) for text in columns) / sum(len(text.split()) for text in TEXTS)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "train.txt"
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    whole_texts = document.read_texts(path) == TEXTS
program(
    19,
    "format='csv', fields=[('text', TEXT)]",
    f"of “{TEXTS[1]}” the only field is “{columns[1]}”; {lost:.0%} of the words of three lines are lost. "
    f"Whole texts, by `read_texts`: {whole_texts}",
    lost,
    whole_texts,
)

# %% [markdown]
# **(15)** `stoi` of the old torchtext is a dictionary with a default, so a word that it hasn't becomes the unknown word,
# without a sound:

# %% tags=["errata"]
from collections import defaultdict

from minillm.tokenizers import WordTokenizer

stoi = defaultdict(int, {word: i for i, word in enumerate(["<unk>", "<pad>", *sorted(set(" ".join(TEXTS).split()))])})
unknown = stoi["<start>"]
tokenizer = WordTokenizer.train(TEXTS, special_tokens=document.SPECIAL_TOKENS)
start = tokenizer.special_tokens["<start>"]
program(
    15,
    'input_seq = TEXT.vocab.stoi["<start>"]',
    f"the id is {unknown}, that of `<unk>`; no text has `<start>`, and nobody added it. In minillm's "
    f"vocabulary it is {start}, of {tokenizer.vocab_size} ids",
    unknown,
    start,
)

# %% [markdown]
# **(12)** GloVe is downloaded into `TEXT.vocab.vectors`, and the embedding is drawn at random all the same. How many rows
# are a word's vector, before and after `fill_embedding`?

# %% tags=["errata"]
from minillm.data.word_vectors import WordVectors, fill_embedding

known_words = ["cat", "dog", "mat", "river", "猫"]
vectors = WordVectors(known_words, np.random.default_rng(6).normal(size=(5, 100)))
embedding = ml.nn.Embedding(tokenizer.vocab_size, 100)


def rows_filled():
    weight = embedding.weight.numpy()
    return sum(bool((weight == vectors[word]).all(axis=1).any()) for word in known_words)


drawn, coverage, filled = rows_filled(), fill_embedding(embedding, tokenizer, vectors), rows_filled()
program(
    12,
    'TEXT.build_vocab(train_data, max_size=25000, vectors="glove.6B.100d")',
    f"of {len(known_words)} words with a vector, {drawn} have it in an `nn.Embedding` as it is made, and "
    f"{filled} once they are put there",
    drawn,
    filled,
)

# %% [markdown]
# ### Made and never used
#
# Question 4 can be left to the machine. The lines concerned, and a search for names that are bound and then never read:

# %% tags=["errata"]
import ast

PROGRAM = """
train_iterator, valid_iterator, test_iterator = BucketIterator.splits(
    train_data, valid_data, test_data, batch_size=BATCH_SIZE)

class TransformerModel(nn.Module):
    def __init__(self, vocab_size, embedding_dim, hidden_dim, n_layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.enc_layer = nn.TransformerEncoderLayer(d_model=embedding_dim, nhead=4, dropout=dropout)
        self.dec_layer = nn.TransformerDecoderLayer(d_model=embedding_dim, nhead=4, dropout=dropout)
        self.encoder = nn.TransformerEncoder(self.enc_layer, n_layers)
        self.decoder = nn.TransformerDecoder(self.dec_layer, n_layers)
        self.out = nn.Linear(embedding_dim, vocab_size)

    def forward(self, src, tgt):
        src, tgt = self.embedding(src), self.embedding(tgt)
        output = self.decoder(self.encoder(src), memory_key_padding_mask=src.ne(1))
        output = self.out(output)
        return output

for batch in train_iterator:
    output = model(batch.src, batch.tgt)
"""


def never_read(node):
    """Names that are bound under a node and not read on any later line."""
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    bound = [(n.arg, n.lineno) for n in ast.walk(node) if isinstance(n, ast.arg)]
    bound += [(n.id, n.lineno) for n in names if isinstance(n.ctx, ast.Store)]
    last_read = {n.id: n.lineno for n in sorted(names, key=lambda n: n.lineno) if isinstance(n.ctx, ast.Load)}
    return sorted({name for name, line in bound if last_read.get(name, 0) <= line})


# %% tags=["errata"]
tree = ast.parse(PROGRAM)
functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
unread = {name: never_read(node) for name, node in functions.items()}
module_names = {n.id for n in ast.walk(tree.body[0]) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
later = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
never_iterated = sorted(module_names - later)
print(unread, never_iterated)
program(
    3,
    "src, tgt = self.embedding(src), self.embedding(tgt)",
    f"of what `forward` has, nothing reads: {', '.join(unread['forward'])}. The decoder never learns what it "
    "is to continue",
    "tgt" in unread["forward"],
)
wide, narrow = (ml.nn.FeedForward(100, width).num_parameters() for width in (2048, 256))
program(
    11,
    "def __init__(self, vocab_size, embedding_dim, hidden_dim, n_layers, dropout)",
    f"nothing reads {', '.join(unread['__init__'])}, so PyTorch's default of 2,048 is taken: {wide:,} "
    f"parameters a feed-forward network instead of {narrow:,}",
    "hidden_dim" in unread["__init__"],
    wide,
    narrow,
)

# %% [markdown]
# **(13)** Nothing reads the validation texts either. Why one should: the larger a model, the better it knows its training
# text. Groups of 1 to 8 letters, counted in 30 stories, with one thousandth added to each count:

# %% tags=["errata"]
counted, held = (ids_of("".join(part)) for part in (stories.documents(40)[:30], stories.documents(40)[30:]))
models = {order: ml.models.NGram.train(counted, 27, order, smoothing="add-k", k=1e-3) for order in range(1, 9)}
on_train = {order: model.evaluate(counted) for order, model in models.items()}
on_held = {order: model.evaluate(held) for order, model in models.items()}
by_train, by_held = min(on_train, key=on_train.get), min(on_held, key=on_held.get)
program(
    13,
    "train_iterator, valid_iterator, test_iterator = BucketIterator.splits(…)",
    f"never used: {', '.join(never_iterated)}. By the training loss one would take groups of {by_train} "
    f"letters ({on_train[by_train]:.3f} nats there, "
    f"{on_held[by_train]:.3f} on other stories); by held-out text groups of {by_held} "
    f"({on_held[by_held]:.3f} on other stories)",
    "valid_iterator" in never_iterated,
)

# %% [markdown]
# ### Its model
#
# **(4)** The decoder gets the encoder's output in the place of its own input, and no memory. Layers here and there say
# the same to that:

# %% tags=["errata"]
program(
    4,
    "output = self.decoder(self.encoder(src), …)",
    f"{failing(lambda: decoder_layer(x))}. With the memory, a change at its end moves the first token's "
    f"output by {of_memory:.4f}",
    of_memory > 0,
)

# %% [markdown]
# **(5), (6)** The padding mask is computed from `src` *after* the embedding, so it compares features with 1. And were it
# made of ids, it would still be the wrong way round: true means "hide". Three words and three paddings (id 1), with
# chapter 06's attention:

# %% tags=["errata"]
attention = module("06", "attention")
source = np.array([[5, 9, 7, 1, 1, 1]])
vectors_of = np.random.default_rng(1).normal(size=(30, 100))
features = vectors_of[source]
program(
    5,
    "memory_key_padding_mask=src.ne(1)",
    f"its shape is {features.shape} where (batch, time), {source.shape}, is asked for, and "
    f"{(features != 1).mean():.0%} of it is true, padding included",
    (features != 1).mean(),
)


def share_of_words(visible):
    _, saved = attention.attention_forward(features[0], features[0], features[0], mask=visible)
    return saved[3][:, :3].sum(axis=1).mean()


hidden = source != 1  # .ne(1), on the ids
inverted, unmasked, right_way = (share_of_words(mask) for mask in (~hidden, np.ones((1, 6), bool), hidden))
program(
    6,
    "src.ne(1), on ids",
    f"queries give words {inverted:.0%} of their attention, and padding the rest. The right way round words "
    f"have {right_way:.0%}. The encoder gets no mask at "
    f"all, which leaves them {unmasked:.0%}",
    inverted,
    right_way,
)

# %% [markdown]
# **(7), (8)** Without a causal mask the decoder sees the word that it is to predict. Without the shift it is asked for
# the very word that it was given, and an echo is perfect:

# %% tags=["errata"]
moved = {}
for causal in (False, True):
    ml.seeding.seed(0)
    heads = ml.nn.MultiHeadAttention(8, 2, causal=causal)
    moved[causal] = np.abs((heads(x) - heads(ml.Tensor(x.numpy() + last))).numpy()[0, 0]).max()
program(
    7,
    "self.decoder(…), with no tgt_mask",
    f"a change of the last of three tokens moves the first one's output by {moved[False]:.4f}; with the mask "
    f"by {moved[True]:.4f}",
    moved[True],
    moved[False] > 0,
)
story = "".join(stories.documents(40)).split()
echo_same = np.mean([a == b for a, b in zip(story, story, strict=True)])
echo_next = np.mean([a == b for a, b in zip(story[:-1], story[1:], strict=True)])
program(
    8,
    "loss = criterion(output.view(…), batch.tgt.view(-1))",
    f"a model that repeats its input is right at {echo_same:.0%} of the words of 40 stories. Asked for the "
    f"next word, it is right at {echo_next:.1%}",
    echo_same,
    echo_next < 0.1,
)

# %% [markdown]
# **(9)** Attention doesn't know where a token stands. Two sentences of the same words; what is the vector of *bites*?

# %% tags=["errata"]
ml.seeding.seed(0)
encoder = ml.nn.EncoderLayer(ml.nn.MultiHeadAttention(8, 2), ml.nn.FeedForward(8, 32), lambda: ml.nn.LayerNorm(8))
word, sinusoidal = ml.nn.Embedding(3, 8), ml.nn.SinusoidalPositions(16, 8)
dog_bites_man, man_bites_dog = np.array([[0, 1, 2]]), np.array([[2, 1, 0]])
differences = []
for positions in (lambda v: v, sinusoidal):
    a, b = (encoder(positions(word(ids))).numpy()[0, 1] for ids in (dog_bites_man, man_bites_dog))
    differences.append(np.abs(a - b).max())
program(
    9,
    "self.encoder(self.embedding(src))",
    f"“dog bites man” and “man bites dog” differ by {differences[0]:.0e} in the vector of “bites”; with "
    f"positions by {differences[1]:.3f}",
    differences[0] < 1e-5,
    differences[1] > 0.01,
)

# %% [markdown]
# ### Its loss
#
# **(10)** `CrossEntropyLoss()` without `ignore_index` counts padding as words. Sentences of 20, 7, 3 and 2 words in one
# batch, a model that pays 4 nats a word, and next to nothing for padding:

# %% tags=["errata"]
sizes = np.array([20, 7, 3, 2])
is_word = np.arange(20) < sizes[:, None]
nats = np.where(is_word, 4.0, 0.01)
program(
    10,
    "criterion = nn.CrossEntropyLoss()",
    f"{(~is_word).mean():.0%} of the targets are padding: always to say “padding” is right that often, and "
    f"the loss reads {nats.mean():.3f} where it is "
    f"{nats[is_word].mean():.3f} a word",
    (~is_word).mean(),
    nats.mean(),
    nats[is_word].mean(),
)

# %% [markdown]
# **(14)** The epoch's loss is divided by `len(train_data) // 64`. One might think that the last, incomplete batch is
# dropped from the mean. It's the other way about: the division rounds down, but the loop adds *every* batch. The last one
# is in the sum and missing from the count. Suppose that every batch has a loss of exactly 4:


# %% tags=["errata"]
def printed(n, batch_size=64, loss=4.0):
    """What the program prints for n texts, all batches having the same loss."""
    batches = -(-n // batch_size)
    return batches * loss / (n // batch_size)


for n in (128, 129, 191, 6400, 6401):
    print(f"{n:5} texts: {-(-n // 64):3} batches, divided by {n // 64:3}: prints {printed(n):.4f}")
program(
    14,
    'print(f"Loss: {epoch_loss/ITER_PER_EPOCH:.4f}")',
    f"with 127 texts and a loss of 4 it prints {printed(127):.4f}; dropped from the mean, the last batch "
    f"would leave 4. With 63 texts: {failing(lambda: printed(63))}. "
    "Batches differ in their words, too, so even the mean of all isn't the loss a word",
    printed(127),
    printed(129),
)

# %% [markdown]
# ### Its generation
#
# **(16), (17)** There is no end token, and `.item()` wants a single number. The likeliest next word of a tiny text,
# greedily:

# %% tags=["errata"]
likeliest = {"<start>": "the", "the": "cat", "cat": "sat", "sat": "down", "down": "the"}
with_end = likeliest | {"down": "<end>"}


def greedily(most, likeliest):
    words, word = [], "<start>"
    while len(words) < most and (word := likeliest[word]) != "<end>":
        words.append(word)
    return words


endless, ended = greedily(20, likeliest), greedily(20, with_end)
program(
    16,
    "for _ in range(19)",
    f"always as many words as there are rounds: {len(endless)}, of which {len(set(endless))} are different. "
    f"With an end token, learnt and obeyed: “{' '.join(ended)}”",
    len(endless),
    len(ended),
)
output = np.random.default_rng(0).normal(size=(1, 2, 10))  # (batch, time, vocabulary), at the second word
one = output[:, :1].argmax(axis=2).item()
program(
    17,
    "input_seq = torch.argmax(output, dim=2).item()",
    f"at the first word a single number, {one}; at the second {output.argmax(axis=2).shape} of them: "
    f"{failing(lambda: output.argmax(axis=2).item())}. The last "
    f"place alone: {output[0, -1].argmax()}",
    output.argmax(axis=2).size,
)

# %% [markdown]
# **(18)** In training, time is the first axis, as torchtext and PyTorch's layers had it. `unsqueeze(0)` makes the batch
# the first. So in generation the layers take a text of $n$ words for $n$ texts of one word:

# %% tags=["errata"]
ml.seeding.seed(0)
heads = ml.nn.MultiHeadAttention(8, 2)
changed = x.numpy() + last * np.arange(8, dtype=np.float32)
as_texts = np.abs(
    (heads(ml.Tensor(x.numpy().swapaxes(0, 1))) - heads(ml.Tensor(changed.swapaxes(0, 1)))).numpy()[0]
).max()
as_words = np.abs((heads(x) - heads(ml.Tensor(changed))).numpy()[0, 0]).max()
program(
    18,
    "model(torch.tensor(output_seq).unsqueeze(0))",
    f"with another third word the first word's output moves by {as_texts:.4f}, since no word sees another; "
    f"with the axes in order by {as_words:.4f}",
    as_texts,
    as_words > 0,
)

# %% [markdown]
# Three more that no number in minillm marks, as it has nothing like them:

# %% tags=["errata"]


class BucketIterator:
    """With the signature that torchtext's had: the data sets in one tuple."""

    @classmethod
    def splits(cls, datasets, batch_sizes=None, **options): ...


def forward(src, tgt): ...


fault(
    "5.2 splits",
    "`BucketIterator.splits(train_data, valid_data, test_data, batch_size=BATCH_SIZE)`",
    "`splits((train_data, valid_data, test_data), …)`; as it stands: "
    f"{failing(lambda: BucketIterator.splits([], [], [], batch_size=64))}",
)
fault(
    "5.2 one argument",
    "`output = model(torch.tensor(output_seq).unsqueeze(0))`",
    f"`forward` wants a target, too: {failing(lambda: forward([]))}",
)
idle_encoder = ml.nn.EncoderLayer(
    ml.nn.MultiHeadAttention(100, 4), ml.nn.FeedForward(100, 2048), lambda: ml.nn.LayerNorm(100)
)
idle_decoder = ml.nn.DecoderLayer(
    ml.nn.MultiHeadAttention(100, 4),
    ml.nn.MultiHeadAttention(100, 4),
    ml.nn.FeedForward(100, 2048),
    lambda: ml.nn.LayerNorm(100),
)
idle = idle_encoder.num_parameters() + idle_decoder.num_parameters()
fault(
    "5.2 idle layers",
    "`self.enc_layer = …`, `self.dec_layer = …`",
    f"local names: the stacks copy the layers, and the originals remain in the model, {idle:,} parameters "
    "that no gradient ever reaches",
    idle,
)

# %% [markdown]
# ## The gradient check
#
# Back to the worked example: where is $L(p) = -[5 \ln p + 6 \ln(1 - p)]$ smallest? Its derivative is
#
# $$L'(p) = -\frac{5}{p} + \frac{6}{1 - p}, \qquad L'(p) = 0 \iff 5(1 - p) = 6p \iff p = \frac{5}{11}.$$
#
# The second derivative, $5/p^2 + 6/(1-p)^2$, is positive, so that is the only minimum. As a pair, for the engine of
# chapter 04:

# %%
from minillm.book import module

engine = module("04", "engine")


def literal_forward(p):
    return -(5 * np.log(p) + 6 * np.log(1 - p)), p


def literal_backward(g, p):
    return (g * (-5 / p + 6 / (1 - p)),)


literal_loss = engine.op(literal_forward, literal_backward)
error = engine.gradient_check(literal_loss, np.array([0.1, 0.4, 5 / 11, 0.9]))
print(f"against finite differences at four places: largest error {error:.0e}")
assert error < 1e-6
there = engine.Tensor(5 / 11)
lowest_loss = literal_loss(there)
lowest_loss.backward()
say(f"At p = 5/11 the derivative is {there.grad:.1e} and the loss **{lowest_loss.array:.5f}**.")
np.testing.assert_allclose(there.grad, 0, atol=1e-12)
assert lowest_loss.array < literal_loss(engine.Tensor(np.linspace(0.001, 0.999, 998))).array.min()

# %% [markdown]
# ## The same thing in minillm
#
# The library's ops, with the document's numbers. First the gradient and the losses, then attention:

# %%
report = ml.testing.gradcheck(
    lambda p: -(5.0 * ml.ops.log(p) + 6.0 * ml.ops.log(1.0 - p)), [np.array([0.1, 5 / 11, 0.9])]
)
print(f"gradcheck of the literal form: largest error {report.largest_error:.0e}")

logits, labels_of_two = np.log([[0.4, 0.6], [0.4, 0.6]]), np.array([0, 1])
np.testing.assert_allclose(ml.ops.cross_entropy(logits, labels_of_two).item(), mean)
print(f"ops.cross_entropy: {mean:.5f}, equal")

keys = np.array([3.0, 4, 5]).reshape(1, 1, 3, 1)
for query, expected in {3: rows[3][1], 4: rows[4][1], 5: rows[5][1], 10: mixed}.items():
    q = np.array(float(query)).reshape(1, 1, 1, 1)
    np.testing.assert_allclose(ml.ops.attention(q, keys, keys, scale=1 / 8).item(), expected)
    print(f"ops.attention, q = {query:2}: {expected:.5f}, equal")

# %% [markdown]
# And the program. Its twin in minillm, made small, on pairs of words and their translations. `python -m
# minillm.document --data FOLDER` runs it as the document meant it, with $d_{model}$ 100, 4 heads, a hidden width of 256,
# 2 layers, dropout 0.1, Adam at 0.001, batches of 64.

# %%
from dataclasses import replace
from itertools import product

from minillm.optim import Adam
from minillm.tasks.task import FinetuneConfig
from minillm.training.step import update

TRANSLATIONS = {"one": "eins", "two": "zwei", "cat": "Katze", "dog": "Hund", "猫": "狗"}
lines = [f"{a} {b} {TRANSLATIONS[a]} {TRANSLATIONS[b]}" for a, b in product(TRANSLATIONS, repeat=2)]
small = replace(document.Document.model, d_model=32, d_ff=64, n_encoder_layer=1, n_decoder_layer=1, dropout=0.0)
with tempfile.TemporaryDirectory() as folder:
    for name in ("train.txt", "valid.txt", "test.txt"):
        (Path(folder) / name).write_text("\n".join(lines), encoding="utf-8")
    settings = document.DocumentSettings(data=folder)
    prepared = document.Document.prepare(FinetuneConfig(settings, small, document.Document.training))
task = document.Document(
    FinetuneConfig(settings, prepared.model, prepared.training), prepared.tokenizer, prepared.examples
)
ml.seeding.seed(0)
model = task.build()
optimizer = Adam(model.parameters(), lr=1e-2)
steps = [update(model, optimizer, task.batch(step), clip=0, parts=1).loss for step in range(40)]
say(f"The loss fell from {steps[0]:.3f} to **{steps[-1]:.3f}** nats a word in {len(steps)} steps.")
for text in ("one cat", "猫 two"):
    print(f"{text} → {task.answer(model, [text])[0].strip()}")

# %% [markdown]
# ## All of it
#
# Every fault, by section. The [documentation of the twin](../minillm/tasks/document.py) has those of the program in a
# table of its own.

# %%


def in_order(key):
    section, _, rest = key.partition(" ")
    number = re.search(r"\d+", rest) if section == "5.2" else None
    return [int(part) for part in section.split(".")], int(number[0]) if number else 99


def cell(text):
    return text.replace("|", "\\|")


table_rows = [
    f"| {key} | {cell(says)} | {cell(right)} |"
    for key, (says, right, _) in sorted(FAULTS.items(), key=lambda item: in_order(item[0]))
]
say("\n".join([f"**{len(FAULTS)} faults**\n", "| where | the document | right |", "|---|---|---|", *table_rows]))

# %% [markdown]
# ## Pictures
#
# The literal loss and the right one, for a model that gives two words the probabilities $p$ and $1 - p$. The right one is
# that of a text in which the first word came; it goes to 0 as the model learns it.

# %%
import matplotlib.pyplot as plt

grid = np.linspace(0.005, 0.995, 400)
figure, axes = plt.subplots(figsize=(7, 3.4))
axes.plot(grid, literal_forward(grid)[0], label="−[5 ln p + 6 ln(1 − p)], with ids")
axes.plot(grid, -np.log(grid), label="−ln p, y one-hot")
axes.plot(best[0], lowest, "o", color="C0")
axes.axhline(-3.178, color="C3", linestyle=":", label="−3.178, as printed")
axes.set(xlabel="probability p of the first word", ylabel="loss (nats)", ylim=(-5, 20))
axes.legend()
caption = "With ids for y the loss is smallest at p = 5/11, far above 0; with y one-hot it falls to 0. Neither is ever negative."
show(figure, caption)

# %% [markdown]
# And what the program's division does, for a loss of exactly 4 nats in every batch:

# %%
sizes_of_data = np.arange(64, 1300)
figure, axes = plt.subplots(figsize=(7, 3.2))
axes.plot(sizes_of_data, [printed(n) for n in sizes_of_data], linewidth=1, label="printed")
axes.axhline(4.0, color="C2", linestyle="--", label="true")
axes.set(xlabel="training texts", ylabel="loss of an epoch (nats)")
axes.legend()
caption = f"The printed loss is right at multiples of 64 and too large elsewhere, at 127 texts {printed(127) / 4.0:g} times the truth."
show(figure, caption)

# %% [markdown]
# ## What breaks if
#
# **... one believes the number.** A loss of $-3.178$ nats means a probability of $e^{3.178}$. And suppose that a program
# reports 3.178: is that good? A model that knows nothing of a vocabulary of 24 words has the same.

# %%
say(
    f"exp(3.178) = **{np.exp(3.178):.2f}**, for a probability. ln 24 = {np.log(24):.3f} nats is what "
    "guessing among 24 words costs."
)

# %% [markdown]
# **... one mixes values by the document's shares.** Its 0.5, 0.2 and 0.3 do sum to 1 over the three *queries*; but shares
# must sum to 1 over the *keys* of each. With one key each, the output shrinks to that share of the value:

# %%
for query, share in {3: 0.5, 4: 0.2, 5: 0.3}.items():
    print(
        f"q = {query}: {share} × {query} = {share * query:.2f}, below every value; with a softmax over the "
        f"keys {rows[query][1]:.5f}, between 3 and 5"
    )
    assert share * query < 3 < rows[query][1] < 5

# %% [markdown]
# **... padding is counted as words**, as in (10). Then the same model seems better, the more padding there is. Sentences
# of 5 words, one of them longer and longer:

# %%
print("longest   the loss as counted   a word")
for longest in (5, 10, 20, 40):
    sizes = np.array([5, 5, 5, longest])
    is_word = np.arange(longest) < sizes[:, None]
    nats = np.where(is_word, 4.0, 0.01)
    print(f"{longest:7}   {nats.mean():19.3f}   {nats[is_word].mean():6.3f}")

# %% [markdown]
# ## Exercises
#
# Five claims of the kind that articles make. Write what finds the fault. `hint("17.1")` gives a hint, and another when
# you call it again; `solution("17.1")` shows a solution.

# %% [markdown]
# **17.1** A report gives precision, recall and an F1. Which mean did its author take? Return `"harmonic"`, `"geometric"`,
# `"arithmetic"` or `"none"`: the first of these, in this order, that agrees with `claimed`, which was rounded to 4 digits
# (so by at most 0.00005, and a hair). The harmonic mean of numbers of which one is 0 is 0.


# %%
def which_mean(precision, recall, claimed): ...


check("17.1", which_mean)

# %% [markdown]
# **17.2** Shares are printed, rounded to `digits` decimals. Can they have been a softmax? They can if there are numbers
# from 0 to 1 which sum to 1 and round to these. Return True or False. (A share of 0 is allowed: an exponential may be too
# small for its float.)


# %%
def may_be_softmax(printed, digits): ...


check("17.2", may_be_softmax)

# %% [markdown]
# **17.3** A table has a loss in nats, the same in bits, and a perplexity. Two numbers agree if the losses they stand for,
# in nats, differ by at most 0.01. Return the name of the one that disagrees with both others while those agree: `"nats"`,
# `"bits"` or `"perplexity"`; `"none"` if no pair disagrees, `"unclear"` in all other cases. A number that can't be (a
# loss below 0, a perplexity below 1) agrees with nothing.


# %%
def odd_one_out(nats, bits, perplexity): ...


check("17.3", odd_one_out)

# %% [markdown]
# **17.4** A paper counts the parameters of its encoder-decoder, and is wrong. What did it leave out? Return `"nothing"`,
# `"biases"` (of all linear layers), `"norms"` (weights and biases of all), `"cross-attention"` (with its biases and its
# norm) or `"something else"`. No embeddings; norms stand around sublayers only, as in 4.3.2 above.


# %%
def left_out(d_model, d_ff, n_encoder, n_decoder, claimed): ...


check("17.4", left_out)

# %% [markdown]
# **17.5** Which scale gave these shares? `shares` are claimed to be softmax(s · query · keys) with numbers for query and
# keys. Return $s$, or None if no $s > 0$ gives them (each to 1e-6). Keys may repeat; if all scores are equal and so are
# the shares, return 1.0. The query may be 0.


# %%
def scale_of(shares, query, keys): ...


check("17.5", scale_of)
