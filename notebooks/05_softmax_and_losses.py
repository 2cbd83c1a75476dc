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
# # 05 Softmax, cross-entropy and squared error
#
# Covers section 4.1.2 of the document (two losses) and its worked example in section 4.3.4.
#
# Formulas: [4.1.2-ce] [4.1.2-mse]
#
# The document gives the two losses as formulas, says of $y_i$ that it is the label of sample $i$, and computes one loss
# by hand. The softmax that makes the probabilities, and the gradients, which are what training uses, are not in it.
# Here they are, and the hand computation is done again.
#
# You need: chapter 04, whose tensor engine does the walking back.

# %%
import numpy as np

import minillm as ml
from minillm.book import module, say, show
from minillm.exercises import check, hint, solution
from minillm.formula import formula

# %%
formula("4.1.2-ce")

# %%
formula("4.1.2-mse")

# %% [markdown]
# ## The idea
#
# A language model reads some words and gives every word of its vocabulary a **score**, any number at all. Two steps make a
# loss of these scores:
#
# 1. **Softmax** turns them into probabilities: positive, and 1 in sum. The higher the score, the higher the probability.
# 2. **Cross-entropy** looks up the probability $p$ of the word that really came, and charges $-\ln p$. Had the model been
#    certain of the word, it pays nothing. The less it expected the word, the more it pays: the loss is its *surprise*.
#
# Each step has a derivative of its own. Put together, the two have one of the simplest in all of the field:
# what the model said minus what it should have said, $p - y$.
#
# **Squared error** is the other loss of the document: half the squared distance between a prediction and the truth. It is the
# one to use where the truth is a quantity. For choosing one word among many it fails, and we shall see how.

# %% [markdown]
# ## A worked example
#
# After "the cat sat on the", a model with three words in its vocabulary has these scores. The next word is "sofa".

# %%
words = ["mat", "sofa", "moon"]
x = np.array([2.0, 1.0, -1.0])
y = np.array([0.0, 1.0, 0.0])  # one-hot: 1 at the word that came

e = np.exp(x)
total = e.sum()
p = e / total
print(f"Σ eˣ = {total:.5f}")
for word, score, exponential, probability in zip(words, x, e, p, strict=True):
    print(f"{word:5} x = {score:4.1f}   eˣ = {exponential:.5f}   p = {probability:.5f}")
print(f"Σ p  = {p.sum():.5f}")

# %% [markdown]
# The loss by the document's formula: a sum over the *vocabulary*, of which only one term isn't 0.

# %%
terms = -y * np.log(p)
L = terms.sum()
for word, term in zip(words, terms, strict=True):
    print(f"−y ln p of {word:5} = {abs(term):.5f}")
print(f"L = {L:.5f} nats")

# %% [markdown]
# And the gradient, $p - y$ (the proof comes below), beside finite differences:


# %%
def loss(x):
    return -np.log(np.exp(x) / np.exp(x).sum())[1]


eps = 1e-6
for i, word in enumerate(words):
    step = eps * np.eye(3)[i]
    numeric = (loss(x + step) - loss(x - step)) / (2 * eps)
    print(
        f"∂L/∂x of {word:5} = p − y = {p[i]:.5f} − {y[i]:.0f} = {p[i] - y[i]:8.5f}   finite differences {numeric:8.5f}"
    )
print(f"after the step x − (p − y), L is {loss(x - (p - y)):.5f}")

# %% [markdown]
# The score of the right word is to rise, those of the others are to fall, each by as much probability as it wrongly had. What
# goes up is as much as what goes down: the gradient's sum is 0.

# %% [markdown]
# ## From scores to probabilities
#
# $$p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# The exponential makes every score positive, and the division makes them sum to 1. What counts are only differences:
# $p_i / p_j = e^{x_i - x_j}$. A word that is one point ahead of another is $e$ times as likely, wherever the two stand.
#
# So the same number may be taken from all scores. With any $m$,
#
# $$\frac{e^{x_i - m}}{\sum_j e^{x_j - m}} = \frac{e^{-m}\,e^{x_i}}{e^{-m}\sum_j e^{x_j}} = p_i,$$
#
# as $e^{-m}$ stands above and below. On paper that changes nothing. In a computer it saves the day, since $e^{1000}$ is
# beyond every floating-point number. Take $m = \max_j x_j$: then the largest exponent is 0, the sum lies
# between 1 and the number of words, and nothing can overflow. What is far below the largest becomes 0, as it should.

# %% tags=["losses"]
import numpy as np

from minillm.book import module

engine = module("04", "engine")


def softmax_forward(x, axis=-1):
    """p_i = exp(x_i − m) / Σ_j exp(x_j − m),  m = max x (`initial` gives one to an empty row, too)"""
    e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
    p = e / e.sum(axis, keepdims=True)
    return p, (p, axis)


# %%
np.testing.assert_allclose(softmax_forward(x)[0], p, rtol=1e-15)
print("the worked example again:", softmax_forward(x)[0].round(5))
print("all scores + 1000:       ", softmax_forward(x + 1000)[0].round(5))

# %% [markdown]
# ## The derivative of softmax
#
# Every probability depends on every score, because of the sum below the line. Write $S = \sum_k e^{x_k}$, whose derivative by
# $x_j$ is $e^{x_j}$, and $\delta_{ij}$ for 1 where $i = j$, else 0. By the quotient rule
#
# $$\frac{\partial p_i}{\partial x_j} = \frac{\delta_{ij}\,e^{x_i} S - e^{x_i} e^{x_j}}{S^2}
# = \frac{e^{x_i}}{S}\left(\delta_{ij} - \frac{e^{x_j}}{S}\right) = p_i\,(\delta_{ij} - p_j).$$
#
# These are the elements of a matrix, the **Jacobian**. In the worked example:

# %%
jacobian = p[:, None] * (np.eye(3) - p)
print(jacobian.round(5))
print("sums of its rows:   ", jacobian.sum(axis=1).round(15) + 0.0)
print("sums of its columns:", jacobian.sum(axis=0).round(15) + 0.0)

# %% [markdown]
# Its columns sum to 0, because the probabilities always sum to 1: what one gains the others lose. Its rows sum to 0, because a
# number added to all scores changes nothing.
#
# A vocabulary of 50,000 words would have a Jacobian of 2,500 million numbers, for each token. As in chapter 04, it is
# never made. The backward pass gets $dp_i = \partial L/\partial p_i$ and needs only the product of the two:
#
# $$dx_j = \sum_i dp_i\,\frac{\partial p_i}{\partial x_j} = \sum_i dp_i\,p_i\,(\delta_{ij} - p_j)
# = p_j\,dp_j - p_j \sum_i dp_i\,p_i.$$
#
# The $\delta_{ij}$ picked one term of the sum; from the rest $p_j$ was taken out. For all $j$ at once:
#
# $$dx = p \circ \Big(dp - \sum_i dp_i\,p_i\Big)$$


# %% tags=["losses"]
def softmax_backward(dp, saved):
    """dx = p ∘ (dp − Σ_i dp_i p_i)"""
    p, axis = saved
    return (p * (dp - (dp * p).sum(axis, keepdims=True)),)


softmax = engine.op(softmax_forward, softmax_backward)

# %%
dp = np.array([1.0, -2.0, 0.5])
(dx,) = softmax_backward(dp, (p, -1))
print("with the Jacobian:   ", (dp @ jacobian).round(5))
print("without it:          ", dx.round(5))
np.testing.assert_allclose(dx, dp @ jacobian, rtol=1e-12)

# %% [markdown]
# ## Cross-entropy: surprise
#
# Which probabilities are good ones? Those that make what really happened likely. A model gives a text of $T$ words the probability
#
# $$P(w_1 \ldots w_T) = \prod_t p(w_t \mid w_{<t}),$$
#
# its **likelihood**. To make it as large as can be is to make its logarithm large, which is a sum and easier to work with;
# to have something to make *small*, change the sign; to compare texts of different lengths, divide by $T$:
#
# $$L = -\frac{1}{T} \ln P = \frac{1}{T} \sum_t -\ln p(w_t \mid w_{<t}).$$
#
# Each term is the surprise at one word, in **nats**. Divide by $\ln 2$ for **bits**: a fair coin is worth one bit.

# %%
print("probability   nats     bits")
for probability in (1.0, 0.9, 0.5, 0.25, 0.01, 1e-6):
    nats = abs(np.log(probability))  # −ln p, as no p is above 1
    print(f"{probability:<11g} {nats:7.4f} {nats / np.log(2):8.4f}")

# %% [markdown]
# This is the document's formula. With $y$ one-hot, $-\sum_i y_i \ln p_i$ has one term, $-\ln p$ of the word that came: $i$ runs
# over the *vocabulary*, for one token. Over the tokens one takes the mean, a second sum that the document leaves out. The
# general form, in which $y$ may be any distribution, is called the cross-entropy of $y$ and $p$. It is smallest at $p = y$.
#
# **Tokens that don't count.** Sentences of a batch differ in length, and short ones are filled up with padding. A padded
# position has no next word. Its target is set to $-100$, which is no word's id, and it counts neither in the sum *nor in the
# number* that the sum is divided by.

# %% [markdown]
# ## Softmax and cross-entropy in one op
#
# Both together are simpler than either. Let $t$ be the right word. The logarithm undoes the exponential:
#
# $$L = -\ln \frac{e^{x_t}}{\sum_j e^{x_j}} = \ln \sum_j e^{x_j} - x_t.$$
#
# The derivative of the first term is $e^{x_i} / \sum_j e^{x_j} = p_i$; that of the second is 1 for $i = t$ and else 0, which is
# $y_i$:
#
# $$\frac{\partial L}{\partial x_i} = p_i - y_i.$$
#
# The long way round comes to the same. Cross-entropy alone has $dp_i = -y_i/p_i$, and softmax makes of this
# $p_i\,(-y_i/p_i + \sum_j y_j) = p_i \sum_j y_j - y_i$. If the $y_j$ sum to 1, that is $p - y$. But on this way the program
# divides by $p$, which may have become 0; the fused op never does. Its logarithm needs the max-shift, too:
# $\ln p_i = (x_i - m) - \ln \sum_j e^{x_j - m}$.


# %% tags=["losses"]
IGNORED = -100  # the target of a position that doesn't count


def cross_entropy_forward(logits, targets, ignored=IGNORED):
    """The mean of −ln p(target) in nats; logits (..., classes), targets (...) ids."""
    rows, targets = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
    counted = np.flatnonzero(targets != ignored)
    shifted = rows - rows.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    loss = -log_p[counted, targets[counted]].sum() / max(len(counted), 1)
    return loss, (log_p, targets, counted, logits.shape)


def cross_entropy_backward(g, saved):
    """dx = g (p − y) / count; 0 in rows that don't count."""
    log_p, targets, counted, shape = saved
    dx = np.zeros_like(log_p)
    dx[counted] = np.exp(log_p[counted])
    dx[counted, targets[counted]] -= 1
    return ((g / max(len(counted), 1) * dx).reshape(shape),)


cross_entropy = engine.op(cross_entropy_forward, cross_entropy_backward)

# %% [markdown]
# The ids are no quantities to differentiate by, so they are an option of the op and not one of its inputs. The worked example
# twice, and between them a padded position:

# %%
logits = engine.Tensor([x, [0.0, 0.0, 0.0], x])
mean = cross_entropy(logits, targets=np.array([1, IGNORED, 1]))
mean.backward()
print(f"L = {mean.array:.5f}, the same as for one token")
print(logits.grad.round(5) + 0.0)

# %% [markdown]
# ## Perplexity and bits
#
# A loss in nats says little to the eye. Its exponential does: **perplexity** $= e^L$. If all of $k$ words are equally likely,
# the loss is $\ln k$ and the perplexity $k$. So a perplexity of 20 means: on average as unsure as with 20
# equally likely words to choose from. A model that knows nothing has the size of its vocabulary.

# %%
for size in (2, 20, 50_000):
    uniform = cross_entropy(np.zeros((1, size)), targets=np.array([0])).array
    say(
        f"{size:,} equally likely words: {uniform:.4f} nats, {uniform / np.log(2):.4f} bits, perplexity {np.exp(uniform):,.1f}"
    )

# %% [markdown]
# Nats *per token* can be compared only between models with the same tokens: whoever cuts a text into fewer pieces has more
# to guess at each. **Bits per byte** put the total on a scale that no tokenizer changes. Two ways to cut one
# sentence, and losses that make it exactly as likely:

# %%
from minillm.metrics.language import bits_per_byte, perplexity

text = "猫坐在垫子上"
size = len(text.encode("utf-8"))
print(f"{text}: {len(text)} characters, {size} bytes")
for tokens, nats in ((list(text), 2.0), (["猫", "坐在", "垫子", "上"], 3.0)):
    per_byte = bits_per_byte(nats, len(tokens), size)
    print(f"{len(tokens)} tokens at {nats} nats: perplexity {perplexity(nats):6.3f}, {per_byte:.4f} bits per byte")

# %% [markdown]
# ## Squared error
#
# Where the truth is a quantity, a length or a price, we want the prediction $\hat y$ to be *near* it:
#
# $$L = \tfrac{1}{2} \sum_i (y_i - \hat y_i)^2, \qquad \frac{\partial L}{\partial \hat y_i} = \hat y_i - y_i.$$
#
# The ½ is there for the gradient: the square brings a factor of 2 down, and the ½ takes it away. The minus is the inner derivative
# of $y_i - \hat y_i$ by $\hat y_i$. This is surprise as well: if $y$ has a normal distribution around $\hat y$ with variance 1, then
# $-\ln p(y) = \tfrac{1}{2}(y - \hat y)^2$ plus a constant.


# %% tags=["losses"]
def mse_forward(prediction, target, factor=0.5):
    """½ Σ (y − ŷ)², or with another factor in place of ½"""
    difference = prediction - target
    return factor * (difference * difference).sum(), (difference, factor)


def mse_backward(g, saved):
    """dŷ = g (ŷ − y),  dy = −dŷ"""
    difference, factor = saved
    dprediction = g * 2 * factor * difference
    return dprediction, -dprediction


mse = engine.op(mse_forward, mse_backward)

# %%
guess = engine.Tensor([1.5, 2.0, 1.0])
squared = mse(guess, [1.0, 2.0, 3.0])
squared.backward()
print(f"L = ½ (0.5² + 0² + 2²) = {squared.array:.3f},  ∂L/∂ŷ = {guess.grad}")

# %% [markdown]
# ### Why not for choosing words
#
# One can take the squared error of probabilities, $\tfrac{1}{2}\sum_i (p_i - y_i)^2$. It is 0 for a perfect model, like cross-entropy. But
# its gradient has to pass backwards through the softmax, and there it is multiplied by $p$. For two words, with $p$ the
# probability of the wrong one, $dp = (p, -p)$ and so
#
# $$dx_{\text{wrong}} = p\,\big(p - (p \cdot p - p\,(1 - p))\big) = 2 p^2 (1 - p).$$
#
# The gradient vanishes where the model is right, $p \to 0$, as it should. It vanishes also for $p \to 1$, where the model is
# *certain of the wrong word* and has most to learn. Cross-entropy has $dx_{\text{wrong}} = p$ there, nearly 1. By our engine:


# %%
def pulls(ahead):
    """∂L/∂(score of the wrong word) when it is `ahead` of the right one: of cross-entropy and of squared error."""
    scores = [engine.Tensor([[ahead, 0.0]]) for _ in range(2)]
    cross_entropy(scores[0], targets=np.array([1])).backward()
    mse(softmax(scores[1]), [[0.0, 1.0]]).backward()
    return [tensor.grad[0, 0] for tensor in scores]


print("ahead by   p(wrong)     cross-entropy   squared error   2p²(1 − p)")
for ahead in (-5.0, 0.0, 2.0, 5.0, 10.0, 20.0):
    wrong = softmax_forward(np.array([ahead, 0.0]))[0]
    ce, se = pulls(ahead)
    print(f"{ahead:6.0f}     {wrong[0]:.8f}   {ce:<13.6g}   {se:<13.6g}   {2 * wrong[0] ** 2 * wrong[1]:.6g}")

# %% [markdown]
# ## What the document computes
#
# Section 4.3.4 has the labels 5 and 6, and 0.4 and 0.6 for their probabilities. It writes
#
# $$L = -[5 \log 0.4 + 6 \log 0.6] = -[1.386 + 1.792] = -3.178,$$
#
# and concludes that the loss is 3.178. None of the numbers is what it stands for:

# %%
p_label, ids = np.array([0.4, 0.6]), np.array([5.0, 6.0])
literal_terms = ids * np.log(p_label)
literal = -literal_terms.sum()
print(f"{'':30}document   computed")
for name, said, value in [
    ("5 ln 0.4", 1.386, literal_terms[0]),
    ("6 ln 0.6", 1.792, literal_terms[1]),
    ("−[5 ln 0.4 + 6 ln 0.6]", -3.178, literal),
]:
    print(f"{name:30}{said:8.3f}   {value:8.5f}")
np.testing.assert_allclose([*literal_terms, literal], [-4.58145, -3.06495, 7.64641], atol=1e-5)
print(f"where they come from: ln 4 = {np.log(4):.4f}, ln 6 = {np.log(6):.4f}, ln 24 = {np.log(24):.4f}")
np.testing.assert_allclose([1.386, 1.792, 3.178], np.log([4, 6, 24]), atol=5e-4)

# %% [markdown]
# A cross-entropy can't be negative, either: no probability is above 1, so each $-\ln p$ is at least 0.
#
# The greater mistake is in the factors. 5 and 6 are *names* of words, places in the vocabulary, no amounts. In the formula
# stands $y$, one-hot: its 1 is at place 5 for the first token, at place 6 for the second. With a vocabulary of 8
# words, what the labels' probabilities leave over being shared by the other words:

# %%
labels = np.array([5, 6])
probabilities = np.repeat((1 - p_label)[:, None] / 7, 8, axis=1)
probabilities[[0, 1], labels] = p_label
one_hot = np.eye(8)[labels]
print("y =", *one_hot.astype(int), sep="\n    ")
by_token = -(one_hot * np.log(probabilities)).sum(axis=1)  # i runs over the classes …
total, mean = by_token.sum(), by_token.mean()  # … and only then come the tokens
say(
    f"−ln 0.4 = {by_token[0]:.5f} and −ln 0.6 = {by_token[1]:.5f}. Their sum is **{total:.5f}** nats, their mean **{mean:.5f}** "
    f"nats a token, the perplexity **{np.exp(mean):.5f}**. The document has 3.178."
)
np.testing.assert_allclose([total, mean, np.exp(mean)], [1.42712, 0.71356, 2.04124], atol=5e-6)
np.testing.assert_allclose(cross_entropy(np.log(probabilities), targets=labels).array, mean)

# %% [markdown]
# What would a model learn from the document's form? Its gradient is $p_i \sum_j y_j - y_i$ (see above), which is 0 at
# $p_i = y_i / \sum_j y_j$. For ids as $y$:

# %%
best = ids / ids.sum()
scan = np.linspace(0.001, 0.999, 999)
values = -(5 * np.log(scan) + 6 * np.log(1 - scan))
lowest = -(ids * np.log(best)).sum()
say(
    f"It is smallest at p = (5/11, 6/11) = ({best[0]:.5f}, {best[1]:.5f}), where it is **{lowest:.5f}**; of {len(scan)} values tried, "
    f"the best is at p = {scan[values.argmin()]:.3f} with {values.min():.5f}. It is never 0, whatever the model learns. With y one-hot a "
    "perfect model has 0."
)
np.testing.assert_allclose(lowest, 7.57910, atol=5e-6)
assert values.min() >= lowest
np.testing.assert_allclose(best * ids.sum() - ids, 0, atol=1e-12)

# %% [markdown]
# So section 4.1.2 should read: $i$ runs over the *classes*, $y$ is one-hot, and then comes the mean over the tokens. The
# sample $i$ with its label $y_i$, as it stands there, fits the squared error alone.

# %% [markdown]
# ## The gradient check
#
# One trap: `gradient_check` sums the results up, and probabilities sum to 1 whatever the scores. Even a backward that
# returns zeros would pass. So they are weighted first, each by another number.

# %%
rng = np.random.default_rng(0)
scores, weights, quantity = rng.normal(size=(4, 5)), rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
targets = np.array([2, IGNORED, 0, 4])
for name, fn, inputs in [
    ("softmax, weighted", lambda x: softmax(x) * weights, [scores]),
    ("softmax over columns", lambda x: softmax(x, axis=0) * weights, [scores]),
    ("cross-entropy", lambda x: cross_entropy(x, targets=targets), [scores]),
    ("squared error", mse, [scores, quantity]),
    ("squared error of softmax", lambda x: mse(softmax(x), np.eye(5)[:4]), [scores]),
]:
    error = engine.gradient_check(fn, *inputs)
    print(f"{name:26} largest error {error:.1e}")
    assert error < 1e-8

# %% [markdown]
# The library's own judges see the same pairs. `ml.testing.check` runs them on the cases that its ops are tested with: other axes,
# arrays with no elements, scores far apart. `gradcheck` compares each element of the Jacobian, once the
# pair is made an op of the library.


# %%
@ml.op()
def chapter_05_cross_entropy(xp, logits, targets):
    return cross_entropy_forward(logits, targets)


@chapter_05_cross_entropy.backward
def chapter_05_cross_entropy_backward(xp, g, saved):
    return cross_entropy_backward(g, saved)[0], None


passed = ml.testing.check(
    ml.ops.softmax,
    forward=lambda xp, x, axis=-1: softmax_forward(x, axis),
    backward=lambda xp, g, saved: softmax_backward(g, saved),
)
print(f"softmax: right in {passed} cases")
passed = ml.testing.check(
    ml.ops.mse_loss,
    forward=lambda xp, a, b, reduction="half_sum": mse_forward(a, b, 0.5 if reduction == "half_sum" else 1 / a.size),
    backward=lambda xp, g, saved: mse_backward(g, saved),
)
print(f"squared error: right in {passed} cases")
report = ml.testing.gradcheck(lambda x: chapter_05_cross_entropy(x, targets), [scores])
print(f"cross-entropy: {report.compared} numbers compared, largest error {report.largest_error:.1e}")

# %% [markdown]
# ## The same thing in minillm
#
# [softmax.py](../minillm/ops/softmax.py) and [loss.py](../minillm/ops/loss.py) have these formulas, and around them what a
# library needs: errors that name the wrong target and its place, weights of classes, label smoothing, and probability 0
# everywhere for a row whose scores are all $-\infty$. The kernels behind them do the same in fewer passes over memory.


# %%
def compare(name, mine, library, *arrays):
    """Result and gradients of two functions of tensors, ours and the library's."""
    ours = [engine.Tensor(a) for a in arrays]
    theirs = [ml.Tensor(a, requires_grad=True) for a in arrays]
    results = mine(*ours), library(*theirs)
    np.testing.assert_allclose(results[0].array, results[1].numpy(), rtol=1e-12)
    (results[0] * 1.0).sum().backward()
    results[1].sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-12, atol=1e-15)
    print(f"{name:14} equal: the result, shape {results[0].shape}, and the gradients of {len(arrays)} input(s)")


compare("softmax", lambda x: softmax(x) * weights, lambda x: ml.ops.softmax(x) * weights, scores)
compare(
    "cross-entropy",
    lambda x: cross_entropy(x, targets=targets),
    lambda x: ml.ops.cross_entropy(x, targets),
    scores,
)
compare("squared error", mse, ml.ops.mse_loss, scores, quantity)

# %% [markdown]
# ## Picture: surprise, and who learns from it
#
# Two words, and the wrong one is more and more ahead of the right one. Left what the two losses charge, right how
# hard they pull the wrong score down.

# %%
import matplotlib.pyplot as plt

gaps = np.linspace(-8, 12, 101)
both = np.array([pulls(gap) for gap in gaps])
wrong = np.array([softmax_forward(np.array([gap, 0.0]))[0] for gap in gaps])
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
left.plot(gaps, -np.log(wrong[:, 1]), label="cross-entropy (nats)")
left.plot(gaps, wrong[:, 0] ** 2, "--", label="squared error of p (no unit)")
left.set(xlabel="wrong score − right score (nats)", ylabel="loss", title="the loss")
right.plot(gaps, both[:, 0], label="cross-entropy")
right.plot(gaps, both[:, 1], "--", label="squared error of p")
right.set(xlabel="wrong score − right score (nats)", ylabel="∂L/∂(wrong score)", title="the gradient")
for axis in (left, right):
    axis.axvline(0, color="0.8", zorder=0)
    axis.legend()
show(figure, "The surer of the wrong word, the harder cross-entropy pulls; squared error stops pulling.")

# %% [markdown]
# ## Picture: learning from a bad start
#
# Three words; at first the model is sure of the second, while the first is right. Both losses go against their gradients with
# the same step size.


# %%
def descend(loss, steps=40, rate=1.0):
    """The scores on the way down, (steps + 1, 2); a third word's score stays 0."""
    place = np.array([-4.0, 4.0])
    path = [place]
    for _ in range(steps):
        scores = engine.Tensor([*place, 0.0])
        loss(scores).backward()
        place = place - rate * scores.grad[:2]
        path.append(place)
    return np.array(path)


def surprise(scores):
    return cross_entropy(scores, targets=np.array(0))


def distance(scores):
    return mse(softmax(scores), [1.0, 0.0, 0.0])


paths = {"cross-entropy": descend(surprise), "squared error of p": descend(distance)}
figure, axis = plt.subplots(figsize=(6, 3.2))
for (name, path), style in zip(paths.items(), ("-", "--"), strict=True):
    right_word = [softmax_forward(np.array([*place, 0.0]))[0][0] for place in path]
    axis.plot(right_word, style, label=f"{name}: {right_word[-1]:.5f} in the end")
axis.set(xlabel="step", ylabel="probability of the right word", ylim=(-0.03, 1.03))
axis.legend()
after = f"After {len(path) - 1} steps"
show(figure, f"{after} cross-entropy has learned the word; squared error has hardly moved from where it began.")

# %% [markdown]
# The same on the plane of the first two scores. The way of cross-entropy leads down a slope that is steepest where
# the model is most wrong. Squared error starts on a plateau. (Right and down is where to go.)

# %%
from minillm import views

around = {
    "directions": np.eye(2),
    "radius": 6.0,
    "names": ("score of the right word", "score of the wrong word"),
}
views.landscape(lambda s: surprise([*s, 0.0]).array, np.zeros(2), path=paths["cross-entropy"][::4], **around)

# %%
views.landscape(
    lambda s: distance([*s, 0.0]).array,
    np.zeros(2),
    path=paths["squared error of p"][::4],
    unit="p²",
    **around,
)

# %% [markdown]
# ## What breaks if
#
# **... the largest score isn't taken off first.** $e^x$ overflows, and infinity divided by infinity is not a number. In single
# precision that happens at scores that a real model can have:

# %%
with np.errstate(all="ignore"):
    for dtype in (np.float32, np.float64):
        print(f"{dtype.__name__}: eˣ overflows above x = {np.log(np.finfo(dtype).max):.2f}")
        for score in (50, 100, 1000):
            row = np.array([score, score - 1], dtype)
            bare = np.exp(row) / np.exp(row).sum()
            print(f"    scores {score:4}, {score - 1:3}: without the shift {bare}, with it {softmax_forward(row)[0]}")

# %% [markdown]
# **... softmax and logarithm are kept apart.** Here nothing overflows, but a probability becomes 0, and its logarithm is $-\infty$.
# On the way back $-1/p$ is infinite, and 0 times infinity is not a number: one such token, and every weight of the model is
# lost.

# %%
far = np.array([[0.0, 800.0]])
with np.errstate(all="ignore"):
    p_far, saved = softmax_forward(far)
    apart = -np.log(p_far[0, 0])
    (dx_apart,) = softmax_backward(np.array([[-1 / p_far[0, 0], 0.0]]), saved)
fused = engine.Tensor(far)
together = cross_entropy(fused, targets=np.array([0]))
together.backward()
print(f"apart:    loss {apart}, gradient {dx_apart[0]}")
print(f"together: loss {together.array:.1f}, gradient {fused.grad[0]}")

# %% [markdown]
# **... ids are used for y**, as in the document. Then the loss depends on how the words were numbered, and so does what the model would
# learn. One text of two tokens and one model, with three numberings of the words:

# %%
for a, b in ((5, 6), (1, 20), (0, 1)):
    value = -(a * np.log(0.4) + b * np.log(0.6))
    print(f"ids {a}, {b:2}: loss {value:8.5f}, smallest at p = ({a / (a + b):.4f}, {b / (a + b):.4f})")
print(f"one-hot:   loss {-np.log(0.4) - np.log(0.6):8.5f}, whatever the ids")

# %% [markdown]
# A word with the id 0 would not count at all.
#
# **... padding is counted.** Three sentences of 6, 2 and 1 tokens, filled up to 6, in a model whose surprise at the tokens we
# know. Padding taken as tokens without loss makes the model look better than it is; the mean of the sentences' means gives the one token
# of the shortest as much weight as the six of the longest.

# %%
lengths = np.array([6, 2, 1])
surprises = np.array([[1, 2, 3, 2, 1, 3], [4, 4, 0, 0, 0, 0], [6, 0, 0, 0, 0, 0]], float)  # nats; 0 where padded
for name, value in [
    ("over the tokens that count", surprises.sum() / lengths.sum()),
    ("over all positions", surprises.mean()),
    ("of the sentences' means", (surprises.sum(axis=1) / lengths).mean()),
]:
    print(f"mean {name:27} {value:.4f} nats, perplexity {np.exp(value):7.3f}")

row = engine.Tensor(np.zeros((6, 3)))
cross_entropy(row, targets=np.array([0] + 5 * [IGNORED])).backward()
print(f"the shortest as a batch of its own: largest gradient {abs(row.grad).max():.4f}; ", end="")
print(f"divided by all positions instead: {abs(row.grad).max() / 6:.4f}")

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("05.1")` gives a hint, and another when you call it again;
# `solution("05.1")` shows a solution.

# %% [markdown]
# **05.1** $\ln \sum_j e^{x_j}$ of each row of a matrix `(rows, columns)`, such that neither scores of 1000 nor of $-1000$ do any harm.
# A row of $-\infty$ alone has $-\infty$. (`np.logaddexp` may stay where it is.)


# %%
def log_sum_exp(x): ...


check("05.1", log_sum_exp)

# %% [markdown]
# **05.2** Softmax of the last axis with a **temperature** $T$: the scores are divided by $T$ first. With $T = 0$ give the limit that
# the probabilities approach for $T \to 0$. (Which is it if two scores are largest?)


# %%
def tempered_softmax(x, T): ...


check("05.2", tempered_softmax)

# %% [markdown]
# **05.3** A long text was evaluated in parts. Of each part you have the mean loss in nats (`losses`) and the number of tokens that
# counted (`counts`), two arrays. What is the perplexity of the whole? A part in which no token counted has `nan` for its loss.


# %%
def perplexity_of_parts(losses, counts): ...


check("05.3", perplexity_of_parts)

# %% [markdown]
# **05.4** The loss of each *sentence* of a padded batch: `logits` is `(batch, time, classes)`, `targets` `(batch, time)` with
# $-100$ where padded. Return the means over each sentence's own tokens, `(batch,)`; 0 for a sentence without any.


# %%
def sentence_losses(logits, targets): ...


check("05.4", sentence_losses)

# %% [markdown]
# **05.5** **Label smoothing** trains towards $y' = (1 - \varepsilon)\,y + \varepsilon / V$, with $y$ one-hot and $V$ the number of classes: a model that
# is never to be certain. Write the gradient of the mean loss by the `logits` `(tokens, classes)`; `targets` `(tokens,)` are ids that all count.


# %%
def smoothed_gradient(logits, targets, epsilon): ...


check("05.5", smoothed_gradient)
