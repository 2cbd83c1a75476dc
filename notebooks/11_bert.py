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
# # 11 BERT: masked language modelling
#
# Covers the first of the two ways of pre-training in section 3.2.2 of the document (masked language modelling).
#
# Formulas: [3.2.2-mlm]
#
# The document says that some words or pieces of words are hidden at random and predicted. How many, what stands in their
# place, which positions the loss counts, and what such a model can't do is left out. All of it is here, from scratch,
# with a small BERT (Devlin et al. 2019).
#
# You need: chapters 05 (cross-entropy) and 06 (attention); bigrams from chapter 01.

# %%
import numpy as np

import minillm as ml
from minillm.book import module, say, show
from minillm.exercises import check, hint, solution
from minillm.formula import formula

# %%
formula("3.2.2-mlm")

# %% [markdown]
# ## The idea
#
# A model that reads from left to right guesses each token from those before it. Chances multiply, so that
# $P(w) = \prod_t p(w_t \mid w_{<t})$ holds exactly. But half of what would help, all that follows, is never seen. To
# *understand* a text, one may look at both sides. So ask for each token given **all others**:
#
# $$\mathrm{PL}(w) = \sum_{t=1}^{T} \ln p(w_t \mid w_{\setminus t}),$$
#
# where $w_{\setminus t}$ is the text without its token $t$. This is the **log-pseudo-likelihood** (Besag 1975).
# Training on it as it stands takes a run of the model for each token, as something else is hidden each time. So hide a
# random set $M$ of tokens at once, and ask for all of them in one run:
#
# $$L = -\sum_{t \in M} \ln p(w_t \mid w_{\setminus M}).$$
#
# If each token is in $M$ with probability $r$, then on average over $M$ each token is asked for equally often:
#
# $$E_M[L] = -r \sum_{t=1}^{T} E_M\big[\ln p(w_t \mid w_{\setminus M}) \,\big|\, t \in M\big],$$
#
# because a term is there with probability $r$, and given that it is there, the others are hidden at random. That is
# $-r\,\mathrm{PL}$, but for a share $r$ of the context that is hidden, too. A small $r$ comes near the pseudo-likelihood
# and learns from few tokens; a large one learns from many, told little. BERT takes $r = 0.15$.

# %% [markdown]
# ## A worked example
#
# *the cat sat*, of which *cat* is hidden. The model sees *the [MASK] sat* and gives four scores at each position. Only the
# hidden position has a target; elsewhere stands `IGNORED`, and the row doesn't count.

# %%
words = ["the", "cat", "sat", "dog"]
logits = np.array([[2.0, 0.0, 0.5, 0.0], [0.0, 2.0, -1.0, 1.5], [0.5, 0.0, 1.0, 0.0]])
IGNORED = -100
targets = np.array([IGNORED, words.index("cat"), IGNORED])

e = np.exp(logits[1])
p = e / e.sum()
for word, score, chance in zip(words, logits[1], p, strict=True):
    print(f"{word}: score {score:4.1f}   e^score {np.exp(score):.4f}   p = {chance:.4f}")
print(f"L = −ln p(cat | the [MASK] sat) = −ln {p[1]:.4f} = {-np.log(p[1]):.4f} nats")

# %% [markdown]
# The gradient of the scores is $p - y$ in the hidden row, with $y$ 1 at the target, and 0 in the others. Chapter 05's op
# does it:

# %%
losses = module("05", "losses")
scores = losses.engine.Tensor(logits)
loss = losses.cross_entropy(scores, targets=targets)
loss.backward()
print(f"L = {loss.array:.4f} nats; its gradient:\n{scores.grad.round(4) + 0.0}")
np.testing.assert_allclose(scores.grad, [np.zeros(4), p - [0, 1, 0, 0], np.zeros(4)])

# %% [markdown]
# ## WordPiece: words and their ends
#
# BERT's tokens are words, and pieces for the words that aren't in its vocabulary. A piece that goes on within a word is
# written with `##`. A word is cut from the left: always the longest piece that fits, and the whole word is `[UNK]` if
# at some place nothing does.


# %% tags=["wordpiece"]
def pieces(word, vocabulary):
    """The longest piece first, from the left; [UNK] where nothing fits."""
    found, start = [], 0
    while start < len(word):
        candidates = ("##" * (start > 0) + word[start:stop] for stop in range(len(word), start, -1))
        piece = next((c for c in candidates if c in vocabulary), None)
        if piece is None:
            return ["[UNK]"]
        found.append(piece)
        start += len(piece) - 2 * (start > 0)
    return found


# %% [markdown]
# The text to learn is minillm's own: short stories drawn from a grammar, the last fifth of them kept for testing. For the
# vocabulary we take each character (so that no word of these stories is unknown), the most frequent words, and the
# most frequent ends of the others. (Google's list was learnt by merging pieces, much as BPE does.)

# %%
from collections import Counter

from minillm.data import stories
from minillm.tokenizers import WordPieceTokenizer
from minillm.tokenizers.basic_words import basic_words
from minillm.tokenizers.wordpiece import SPECIALS

told = stories.documents(400)
train_text, test_text = " ".join(told[:320]), " ".join(told[320:])
counts = Counter(basic_words(train_text, lowercase=True))
ends = Counter()
for word, n in counts.most_common()[240:]:
    ends.update({"##" + word[-k:]: n for k in (2, 3, 4) if k < len(word)})
letters = sorted({letter for word in counts for letter in word})
frequent = [word for word, _ in counts.most_common(240)] + [end for end, _ in ends.most_common(40)]
vocabulary = list(dict.fromkeys([*SPECIALS, *letters, *("##" + letter for letter in letters), *frequent]))
tokenizer = WordPieceTokenizer(vocabulary)

for word in ("lantern", "lanterns", "village", "unfolding", "猫"):
    ours = pieces(word, set(vocabulary))
    print(f"{word:10} {' '.join(ours)}")
    assert ours == [vocabulary[i] for i in tokenizer.encode(word)]
cut = [word for word in counts if len(pieces(word, set(vocabulary))) > 1]
say(f"{len(vocabulary)} tokens in all. Of {len(counts)} different words, {len(cut)} are cut into pieces.")

# %% [markdown]
# ## Masking: 15 %, and of these 80, 10 and 10
#
# Each token is chosen with probability 0.15. Of the chosen ones 80 % become `[MASK]`, 10 % become another token drawn at
# random, and 10 % stay as they are. **All of the chosen are predicted**, these last, too.
#
# Why not always `[MASK]`? Because nobody who uses the model afterwards writes `[MASK]`. Were it the only thing ever asked
# about, the model would owe nothing to any other position, and its vectors there would be left to chance. With 10 % changed
# and 10 % unchanged it can't know which token is in question, so it keeps a good guess for each of them.
#
# `starts`, if given, says where words begin; then words are chosen, and not pieces.


# %% tags=["masking"]
import numpy as np

IGNORED = -100  # the target of a position that doesn't count


def mask_tokens(ids, rng, mask_id, ordinary, starts=None, probability=0.15, shares=(0.8, 0.1)):
    """Inputs and targets of ids (batch, time). ordinary: the ids that may be hidden, and that stand in for others."""
    draws = rng.random(ids.shape)
    if starts is not None:  # a word's pieces share the draw of its first one
        first = np.maximum.accumulate(np.where(starts, np.arange(ids.shape[1]), 0), axis=1)
        draws = np.take_along_axis(draws, first, axis=1)
    chosen = (draws < probability) & np.isin(ids, ordinary)
    fate = rng.random(ids.shape)
    others = rng.choice(ordinary, ids.shape)
    masked, random = shares
    replaced = np.where(fate < masked, mask_id, np.where(fate < masked + random, others, ids))
    return np.where(chosen, replaced, ids), np.where(chosen, ids, IGNORED)


# %%
CLS, SEP, MASK = (tokenizer.special_tokens[name] for name in ("[CLS]", "[SEP]", "[MASK]"))
ordinary = np.setdiff1d(np.arange(len(vocabulary)), list(tokenizer.special_tokens.values()))
sentence = "The sky was the colour of lead, and a dog barked far away."
row = np.array([[CLS, *tokenizer.encode(sentence), SEP]])
for seed in range(4):
    inputs, targets = mask_tokens(row, np.random.default_rng(seed), MASK, ordinary)
    print(" ".join(vocabulary[i] for i in inputs[0]))
    asked = [(t, row[0, t], inputs[0, t]) for t in np.flatnonzero(targets[0] != IGNORED)]
    print(
        "   asked for:", ", ".join(f"{vocabulary[was]} (reads {vocabulary[now]})" for _, was, now in asked) or "nothing"
    )

# %% [markdown]
# Are the shares right? Over many draws a count has the standard deviation $\sqrt{np(1-p)}$ around $np$. The random token is,
# once in as many draws as there are tokens to draw from, the very one that stood there.

# %%
rng = np.random.default_rng(0)
many = rng.choice(ordinary, (4000, 100))
inputs, targets = mask_tokens(many, rng, MASK, ordinary)
chosen = targets != IGNORED
same = 1 / len(ordinary)
for name, count, n, share in [
    ("chosen, of all", chosen.sum(), many.size, 0.15),
    ("[MASK], of the chosen", (inputs == MASK).sum(), chosen.sum(), 0.8),
    (
        "another token, of the chosen",
        (chosen & (inputs != MASK) & (inputs != many)).sum(),
        chosen.sum(),
        0.1 * (1 - same),
    ),
    ("as it was, of the chosen", (chosen & (inputs == many)).sum(), chosen.sum(), 0.1 + 0.1 * same),
]:
    away = (count - n * share) / np.sqrt(n * share * (1 - share))
    print(f"{name:29} {count:6} of {n:6} = {count / n:.4f}; expected {share:.4f}; {away:+.1f} standard deviations")
    assert abs(away) < 4

# %% [markdown]
# **Whole words.** Hide `##s` of *lantern ##s* alone, and there is little to guess. So newer BERTs hide all pieces of a word
# or none. How often does a hidden piece of a cut word still have a part of its word beside it?


# %%
def partly_visible(targets, starts):
    """Of the hidden pieces of words of several pieces, the share that has a piece of its word in sight."""
    word = np.cumsum(starts) - 1
    hidden = targets.ravel() != IGNORED
    size, gone = np.bincount(word), np.bincount(word, hidden)
    asked = hidden & (size[word] > 1)
    return ((gone < size)[word] & asked).sum() / asked.sum()


train_ids, test_ids = (np.array(tokenizer.encode(text)) for text in (train_text, test_text))
some = train_ids[None, :40_000]
starts = np.array([not token.startswith("##") for token in vocabulary])[some]
for name, given in {"pieces": None, "whole words": starts}.items():
    _, targets = mask_tokens(some, np.random.default_rng(0), MASK, ordinary, starts=given)
    say(
        f"Choosing {name}: {(targets != IGNORED).mean():.1%} of the tokens are hidden; of those in cut words, "
        f"**{partly_visible(targets, starts):.0%}** have a piece of their word in sight."
    )

# %% [markdown]
# ## It sees both sides
#
# BERT is chapter 06's attention **without the causal mask**. Change the last token: with the mask only the last output moves;
# without it, all of them do. First our layer, then the library's GPT and BERT, with random weights:

# %%
from minillm.models import BERT, GPT, BERTConfig, GPTConfig

attention = module("06", "attention")
rng = np.random.default_rng(0)
layer, x = attention.MultiHead(rng, 2, 8, 8, 8), rng.normal(size=(1, 5, 8))
changed = np.concatenate([x[:, :4], rng.normal(size=(1, 1, 8))], axis=1)
moved = {}
for name, mask in {"causal attention": attention.causal_mask(5), "attention, no mask": None}.items():
    moved[name] = np.abs(layer(x, mask=mask).array - layer(changed, mask=mask).array).max(axis=(0, 2))

first, second = np.array([[5, 6, 7, 8, 9]]), np.array([[5, 6, 7, 8, 10]])
sizes = {"vocab_size": 20, "context_length": 8, "n_layer": 1, "n_head": 2, "d_model": 16, "dtype": "float64"}
for name, model in {"minillm's GPT": GPT(GPTConfig(**sizes)), "minillm's BERT": BERT(BERTConfig(**sizes))}.items():
    moved[name] = np.abs(model.features(first).numpy() - model.features(second).numpy()).max(axis=(0, 2))
for name, distances in moved.items():
    print(f"{name:19} outputs 0 to 4 move by at most {' '.join(f'{d:.4f}' for d in distances)}")
    assert (distances[:4] == 0).all() if name in ("causal attention", "minillm's GPT") else (distances > 0).all()

# %% [markdown]
# That is why tokens must be hidden at all. Ask such a model for the token it is looking at, and it only has to copy.
#
# ## The gradient check
#
# A whole masked model in our own engine: an embedding $E$ and positions, one layer of unmasked attention added to its input,
# and scores by the same $E$ (as BERT does). The loss counts hidden positions only. Every element of $E$, of the positions
# and of the layer's four matrices is moved to either side.

# %%
engine = losses.engine
rng = np.random.default_rng(1)
n_words, time, d_model = 6, 4, 4
layer = attention.MultiHead(rng, 2, d_model, d_model, d_model)
inputs, targets = np.array([[1, 5, 3, 2], [5, 4, 1, 0]]), np.array([[-100, 2, -100, -100], [3, -100, -100, 0]])


def masked_model(E, positions, *weights):
    x = np.eye(n_words)[inputs] @ E + positions
    layer.weights = weights
    x = x + layer(x)
    return x @ engine.move_axes(E, axes=(1, 0))


def masked_loss(*parameters):
    return losses.cross_entropy(masked_model(*parameters), targets=targets)


parameters = [rng.normal(size=shape) for shape in [(n_words, d_model), (time, d_model), *[(d_model, d_model)] * 4]]
error = engine.gradient_check(masked_loss, *parameters)
print(f"the masked loss: largest error {error:.1e}, over {sum(p.size for p in parameters)} parameters")
assert error < 1e-7

# %% [markdown]
# Positions that aren't hidden have no term in the loss, and still get gradients: what they show is what the guess is made of.
# Their *scores* get none:

# %%
scores = engine.Tensor(masked_model(*map(engine.Tensor, parameters)).array)
losses.cross_entropy(scores, targets=targets).backward()
print(f"targets\n{targets}\nnorm of ∂L/∂scores at each position\n{np.linalg.norm(scores.grad, axis=-1).round(3)}")
assert ((np.linalg.norm(scores.grad, axis=-1) > 0) == (targets != IGNORED)).all()

# %% [markdown]
# ## The same thing in minillm
#
# [data/masking.py](../minillm/data/masking.py) masks with the same draws, so that the two must agree to the last token. It
# finds out from the tokenizer which ids are ordinary and where words begin.

# %%
from minillm.data import masking

facts = masking.Maskable.of(tokenizer)
batch = train_ids[:20_000].reshape(-1, 40)
starts = facts.word_starts(batch)
for name, whole in {"pieces": False, "whole words": True}.items():
    ours = mask_tokens(batch, np.random.default_rng(7), MASK, ordinary, starts=starts if whole else None)
    theirs = masking.mask_tokens(batch, np.random.default_rng(7), facts, whole_words=whole)
    for mine, library in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, library)
    print(f"{name}: inputs and targets of {batch.size:,} tokens equal")

# %% [markdown]
# [models/bert.py](../minillm/models/bert.py) is the encoder: token, position and segment embeddings (a segment says which of two
# texts a token is in), layers of attention and feed-forward network, and a head that scores with the embedding. `loss`
# runs the head at hidden positions only, which saves most of its work. Its loss and its gradient of the scores must be ours:

# %%
ml.seed(0)
small = BERT(
    BERTConfig(vocab_size=len(vocabulary), context_length=40, n_layer=1, d_model=16, n_head=2, dtype="float64")
)
inputs, targets = masking.mask_tokens(batch[:2], np.random.default_rng(7), facts)
scores, everywhere = small(inputs, targets)
ours = losses.cross_entropy(engine.Tensor(scores.numpy()), targets=targets)
ours.backward()
np.testing.assert_allclose([small.loss(inputs, targets).item(), everywhere.item()], ours.array, rtol=1e-12)
print(f"loss of {(targets != IGNORED).sum()} hidden tokens: {ours.array:.6f} nats, ours and theirs")

leaf = ml.Tensor(scores.numpy(), requires_grad=True)
ml.ops.cross_entropy(leaf, targets).backward()
np.testing.assert_allclose(ours.inputs[0].grad, leaf.grad, atol=1e-14)
print(f"gradient of the scores, {leaf.shape}: equal")
head = ml.testing.gradcheck(
    lambda x: ml.ops.cross_entropy(small.head(x), np.array([IGNORED, 2, 0])), [rng.normal(size=(3, 16))]
)
print(f"the library's head and loss by finite differences: largest error {head.largest_error:.0e}")

# %% [markdown]
# ## A BERT that learns in seconds
#
# One layer of width 64, on pieces of 16 tokens, masked anew at each step. Three things differ from the paper, to
# learn fast at this size: the norm before each sublayer and rotary positions (chapter 07), and larger random weights (the
# paper's standard deviation of 0.02 is made for a width of 768; here it is four times that). The
# learning rate rises for 20 steps and falls over the second half.

# %%
from minillm import no_grad, optim

TIME, STEPS = 16, 220


def new_bert():
    ml.seed(0)
    config = BERTConfig(
        vocab_size=len(vocabulary),
        context_length=64,
        n_layer=1,
        n_head=4,
        d_model=64,
        d_ff=128,
        norm="pre",
        position="rotary",
    )
    model = BERT(config)
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.mutable()[...] *= 4
    return model


def train(model, masked, steps=STEPS, watch=None):
    """masked(ids, rng) -> inputs, targets. Every 20 steps, the pair (step, what watch(model) returned)."""
    rng, seen = np.random.default_rng(0), []
    optimizer = optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98))
    for step in range(steps + 1):
        if watch and step % 20 == 0:
            seen.append((step, watch(model)))
        if step == steps:
            break
        where = rng.integers(len(train_ids) - TIME, size=(64, 1)) + np.arange(TIME)
        loss = model.loss(*masked(train_ids[where], rng))
        loss.backward()
        optimizer.lr = 0.01 * min(1, (step + 1) / 20, 2 - 2 * step / STEPS)
        optimizer.step()
        optimizer.zero_grad()
    return seen


# %% [markdown]
# What is a good score? Two who see less: whoever always says the most frequent token, and a bigram that knows the true token
# to the left. (The model has it worse: some of what it sees is hidden or wrong.)

# %%
rows = test_ids[: len(test_ids) // TIME * TIME].reshape(-1, TIME)[:300]
test_inputs, test_targets = mask_tokens(rows, np.random.default_rng(1), MASK, ordinary)
test_inputs[:, 0], test_targets[:, 0] = rows[:, 0], IGNORED  # a bigram needs a token to the left
hidden = test_targets != IGNORED
unigrams = np.bincount(train_ids, minlength=len(vocabulary))
bigrams = np.zeros((len(vocabulary), len(vocabulary)))
np.add.at(bigrams, (train_ids[:-1], train_ids[1:]), 1)

said = bigrams[rows[:, :-1][hidden[:, 1:]]].argmax(axis=1)
of_frequent, of_bigram = (rows[hidden] == unigrams.argmax()).mean(), (rows[hidden] == said).mean()


def accuracies(model, inputs=test_inputs):
    """The share of right answers at hidden positions, and at all the others."""
    with no_grad():
        right = model(inputs)[0].numpy().argmax(axis=-1) == rows
    return right[hidden].mean(), right[~hidden].mean()


def all_three(model):
    """At hidden positions, at all the others, and at the hidden ones with their tokens put back."""
    return *accuracies(model), accuracies(model, rows)[0]


def as_bert(ids, rng):
    return mask_tokens(ids, rng, MASK, ordinary)


model = new_bert()
progress = train(model, as_bert, watch=all_three)
of_bert = progress[-1][1][0]
say(
    f"Of {hidden.sum()} hidden tokens of the test text, right: most frequent token **{of_frequent:.1%}**, bigram "
    f"**{of_bigram:.1%}**, BERT **{of_bert:.1%}** after {STEPS} steps. It has {model.num_parameters():,} parameters."
)

# %%
from minillm.metrics import masked_token_accuracy

library = masked_token_accuracy(model(test_inputs)[0], test_targets)
np.testing.assert_allclose(of_bert, library)
print(f"minillm's masked_token_accuracy: {library:.4f}, equal")

# %% [markdown]
# What it says of a few pieces of sentences, with its chances:

# %%
gaps = [
    "a dog barked [MASK] away.",
    "the colour of [MASK], and a dog",
    '"Thank [MASK]," said Elsa',
    "whose [MASK] was Elsa.",
]
for sentence in gaps:
    ids = np.array([tokenizer.encode(sentence, {"[MASK]"})])
    with no_grad():
        chances = ml.ops.softmax(model(ids)[0][ids == MASK]).numpy()[0]
    best = np.argsort(-chances)[:3]
    print(f"{sentence:35} {', '.join(f'{vocabulary[i]} {chances[i]:.2f}' for i in best)}")

# %% [markdown]
# [tasks/masked_lm.py](../minillm/tasks/masked_lm.py) is the same training in earnest, on the Python documentation with a byte
# pair vocabulary: `python -m minillm.finetune masked_lm --corpus python-docs`. What it learnt is then a beginning for
# other tasks.
#
# ## Picture: accuracy while it learns

# %%
import matplotlib.pyplot as plt

steps = [step for step, _ in progress]
figure, axis = plt.subplots(figsize=(6.5, 3.4))
axis.plot(steps, [100 * right for _, (right, *_) in progress], "o-", label="BERT, hidden tokens")
axis.axhline(100 * of_bigram, color="C1", ls="--", label="bigram, from the true left neighbour")
axis.axhline(100 * of_frequent, color="C2", ls=":", label="most frequent token")
axis.set(xlabel="step", ylabel="right answers, %", ylim=(0, None))
axis.legend(loc="lower right", bbox_to_anchor=(1, 0.12))
show(figure, "The share of hidden tokens found, over the steps of training, beside two who see less.")

# %% [markdown]
# ## Pseudo-perplexity
#
# Hide one token at a time, add up the surprises, take the exponential of their mean. This is
# $\exp(-\mathrm{PL}/T)$ (Salazar et al. 2020):


# %%
def pseudo_perplexity(model, ids):
    """exp(−1/T Σ_t ln p(w_t | all others)) of ids (time,)."""
    surprise = 0.0
    for t, token in enumerate(ids):
        hidden = ids.copy()
        hidden[t] = MASK
        with no_grad():
            scores = model(hidden[None])[0].numpy()[0, t].astype(float)
        surprise += np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[token]
    return np.exp(surprise / len(ids))


text = "The sky was the colour of lead, and a dog barked far away."
orders = {"as it is": np.array(tokenizer.encode(text))}
orders["its tokens shuffled"] = np.random.default_rng(0).permutation(orders["as it is"])
for name, ids in orders.items():
    ours, library = pseudo_perplexity(model, ids), ml.models.pseudo_perplexity(model, ids, MASK)
    np.testing.assert_allclose(ours, library, rtol=1e-4)
    print(f"{name:20} pseudo-perplexity {ours:9.2f}, minillm's equal")

# %% [markdown]
# It looks like a perplexity, and it **isn't** one. Take a language of two texts, *ping pong* and *pong ping*, equally likely.
# Given one token the other is certain. So each text has the pseudo-likelihood 1, and together they have 2: chances of
# all texts must sum to 1. The table is turned into both numbers here:

# %%
joint = np.array([[0.0, 0.5], [0.5, 0.0]])  # joint[first token, second token]
given_second, given_first = joint / joint.sum(axis=0), joint / joint.sum(axis=1, keepdims=True)
pseudo = given_second * given_first  # p(w₁ | w₂) p(w₂ | w₁)
print(f"true chances\n{joint}, sum {joint.sum()}\npseudo-likelihoods\n{pseudo}, sum {pseudo.sum()}")
print(f"perplexity per token        {joint[0, 1] ** (-1 / 2):.4f}")
print(f"pseudo-perplexity per token {pseudo[0, 1] ** (-1 / 2):.4f}")
assert pseudo.sum() > 1

# %% [markdown]
# So it must not be set beside the perplexity of a GPT or of an n-gram. It is told more, and may come out lower without
# knowing more. With WordPiece it is told most of the word whenever it must guess a piece of it. What it is good for: telling which
# of two texts the *same* model finds odder.

# %% [markdown]
# ## A vector for a text
#
# The encoder's outputs are a vector for each token in its context. Their mean over the real tokens (**pooling**) is one for
# the text; the cosine of two such vectors says how alike the model finds the texts. Subtracting the mean of all texts
# first takes away what they have in common.

# %%
from minillm.data.examples import pad

texts = [
    "The sky was the colour of lead.",
    "The sky was grey, and a dog barked far away.",
    '"Thank you," said Elsa.',
    '"Oh no!" whispered Elsa.',
    "Elsa searched below the window.",
]
ids, real = pad([tokenizer.encode(text) for text in texts], tokenizer.special_tokens["[PAD]"])
with no_grad():
    features = model.features(ids, real)
vectors = (features.numpy() * real[:, :, None]).sum(axis=1) / real.sum(axis=1, keepdims=True)
np.testing.assert_allclose(vectors, ml.models.pooled(features, real, "mean").numpy(), rtol=1e-5, atol=1e-6)
centred = vectors - vectors.mean(axis=0)
unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
cosines = unit @ unit.T
print(cosines.round(2) + 0.0)
for i, text in enumerate(texts):
    nearest = np.argmax(cosines[i] - 2 * np.eye(len(texts))[i])
    say(f"{text} → *{texts[nearest]}* ({cosines[i, nearest]:.2f})")

# %% [markdown]
# ## Chinese: characters or words
#
# BERT's rules set every Chinese character apart, so its tokens are characters and its own masking hides single ones. But most
# words have two or more: with 喜 in sight, 欢 is no riddle. Cui et al. (2021) cut the text into words first, and hide whole
# words. The cutting is done outside, here with a small list of words, longest first. `starts` does the rest:

# %%
lexicon = {"喜欢", "音乐", "图书馆", "学习", "今天", "天气", "非常", "我们", "一起"}
chinese = "今天天气非常好，我们一起去图书馆学习，我喜欢音乐。" * 60


def word_starts(text, lexicon):
    """Where a word of the lexicon begins, the longest first, or a character that is in none."""
    starts, at, longest = np.zeros(len(text), bool), 0, max(map(len, lexicon))
    while at < len(text):
        starts[at] = True
        at += next((n for n in range(longest, 1, -1) if text[at : at + n] in lexicon), 1)
    return starts


characters = sorted(set(chinese))
reader = WordPieceTokenizer([*SPECIALS, *characters])
ids, starts = np.array([reader.encode(chinese)]), word_starts(chinese, lexicon)[None]
assert ids.shape == starts.shape
plain, own = np.arange(len(SPECIALS), reader.vocab_size), reader.special_tokens["[MASK]"]
for name, given in {"characters": None, "whole words": starts}.items():
    inputs, targets = mask_tokens(ids, np.random.default_rng(1), own, plain, starts=given)
    shown = "".join({own: "▢"}.get(i, reader.tokens[i]) for i in inputs[0, :25])
    seen = partly_visible(targets, starts)
    say(
        f"{name}: {shown} ({(targets != IGNORED).mean():.1%} hidden; of those in longer words **{seen:.0%}** have a part "
        "of their word in sight)"
    )

# %% [markdown]
# The library's `whole_words` keeps together the pieces that a tokenizer has made of a word. It has no list of Chinese words, so
# to it each character is a word.

# %% [markdown]
# ## What breaks if
#
# **... `[MASK]` always stands for a hidden token.** Then the model is never asked about a token that it can read. Below, it is
# trained so for a while, and compared with the one above after as many steps: what do they say at the hidden places when
# the tokens are put back in plain sight, as they will be whenever the model is used?


# %%
def always(ids, rng):
    return mask_tokens(ids, rng, MASK, ordinary, shares=(1.0, 0.0))


SHORT = 60
mixed, masker = dict(progress)[SHORT], new_bert()
train(masker, always, steps=SHORT)
plain_sight = {"80/10/10": mixed[2], "always [MASK]": all_three(masker)[2]}
print(f"after {SHORT} steps   [MASK] at asked positions: in training   in use   right when the token can be read")
for (name, right), masked in zip(plain_sight.items(), (as_bert, always), strict=True):
    inputs, targets = masked(rows, np.random.default_rng(1))
    asked = targets != IGNORED
    print(f"{name:16} {(inputs[asked] == MASK).mean():35.2f} {(rows[asked] == MASK).mean():8.2f} {right:34.3f}")

# %% [markdown]
# **... the loss counts all positions.** Then most answers only have to be copied from the input, and the loss is about copying:


# %%
def all_positions(ids, rng):
    return mask_tokens(ids, rng, MASK, ordinary)[0], ids


EARLY = 40
copier, at_mask = new_bert(), test_inputs == MASK
train(copier, all_positions, steps=EARLY)
with no_grad():
    right = copier(test_inputs)[0].numpy().argmax(axis=-1) == rows
    losses_of_copier = copier.loss(test_inputs, rows).item(), copier.loss(test_inputs, test_targets).item()
say(
    f"{0.85 + 0.15 * 0.1:.1%} of the answers stand in the input. After {EARLY} steps **{right.mean():.1%}** of all answers are right: "
    f"{right[~hidden].mean():.1%} where nothing is hidden, **{right[at_mask].mean():.1%}** where `[MASK]` stands. The most frequent token "
    f"alone has {of_frequent:.1%} of the hidden ones. The loss is {losses_of_copier[0]:.2f} nats over all positions, and "
    f"{losses_of_copier[1]:.2f} over the hidden ones."
)

# %% [markdown]
# An accuracy over all *hidden* positions flatters this model, too: at one in ten of them the token was left to be copied.
# And its mean loss counts the hidden positions by their share alone: it looks good as soon as copying is learnt.
#
# **... padding isn't masked.** A short text in a batch with a long one is filled up. Without the mask its tokens attend to the
# filling, and its vectors depend on what it happens to share a batch with:

# %%
short = tokenizer.encode("Soon she met a green frog.")
padding = [tokenizer.special_tokens["[PAD]"]]
alone = model.features(np.array([short])).numpy()
print("padding   with the mask   without it   (the largest move of the text's features)")
for filled in (1, 8, 32):
    ids = np.array([short + filled * padding])
    real = np.arange(ids.shape[1])[None] < len(short)
    moves = [np.abs(model.features(ids, m).numpy()[:, : len(short)] - alone).max() for m in (real, None)]
    print(f"{filled:7}   {moves[0]:13.1e}   {moves[1]:10.3f}")
    assert moves[0] < 1e-4 < moves[1]

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("11.1")` gives a hint, and another when you call it again;
# `solution("11.1")` shows a solution.

# %% [markdown]
# **11.1** Mean pooling, backwards. Forward is the mean of `x`, `(batch, time, d)`, over the positions where `real`,
# `(batch, time)`, is true. Given `g`, the gradient of the result `(batch, d)`, return that of `x`. A text of padding only
# has the mean 0, and gets no gradient.


# %%
def pooling_backward(g, real): ...


check("11.1", pooling_backward)

# %% [markdown]
# **11.2** The log-pseudo-likelihood from a table. `joint[a, b, c, …]` is the probability of the text with token `a` first, then
# `b`, and so on, an axis for each place. Return $\sum_t \ln p(w_t \mid w_{\setminus t})$ of the text `w`, a tuple of ids
# whose probability isn't 0. A text of one token has nothing to look at: its term is $\ln P(w)$.


# %%
def log_pseudo_likelihood(joint, w): ...


check("11.2", log_pseudo_likelihood)

# %% [markdown]
# **11.3** T5 hides otherwise (Raffel et al. 2020): a whole **span** of tokens is replaced by *one* sentinel token, and the
# model writes what was there. `hidden` is a list of booleans, as long as `ids`. Each run of hidden tokens becomes one
# sentinel: the first `first_sentinel`, then one more for each run. Return the inputs, and the target: each run's sentinel
# followed by its tokens, and one last sentinel as the end. Both are lists.


# %%
def hide_spans(ids, hidden, first_sentinel): ...


check("11.3", hide_spans)

# %% [markdown]
# **11.4** What an ideal masked model would say. Texts come from a bigram: `chain[a, b]` is the probability that `b` follows `a`.
# Between the known tokens `left` and `right` there are `gap` hidden ones. Return the probabilities of each hidden token,
# `(gap, vocab)`, given *both* neighbours: row $i$ is the distribution of the $i$-th hidden token, summed over what
# the other hidden ones may be.


# %%
def fill(chain, left, right, gap): ...


check("11.4", fill)
