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
# # 09 Training: optimizers, schedules, what goes wrong
#
# Covers section 3.2.2 of the document (pre-training), the training loop of its section 5.2 (Adam, learning rate 0.001) and
# its section 9.2 (how pre-training is done).
#
# In minillm: [optim.py](../minillm/optim.py), [training/step.py](../minillm/training/step.py), [training/schedule.py](../minillm/training/schedule.py); checked in [tests/test_optim.py](../tests/test_optim.py), [tests/training/test_schedule.py](../tests/training/test_schedule.py).
#
# Section 3.2.2 says what a model is trained on, and 5.2 has a training loop. What Adam does, what 0.001 means and how
# to tell that a training goes wrong isn't there; here it is. Section 9.2 calls supervised fine-tuning a *phase of
# pre-training*, and the chart in 2.4 makes one choose between the two. Both are wrong: fine-tuning is a stage of its own *after*
# pre-training. This chapter is about how either is done; chapter 13 shows in numbers what the one gives the other.
#
# You need: chapters 04 (the engine) and 05 (cross-entropy). From chapter 08 on, a GPT is taken from the library.

# %%
import math
from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np

import minillm as ml
from minillm import views
from minillm.book import module, say, show
from minillm.exercises import check, hint, solution

# %% [markdown]
# ## The idea
#
# Let $g$ be the gradient of the loss at the weights $\theta$. Near $\theta$, Taylor's formula says what a small move
# $\delta$ does:
#
# $$L(\theta + \delta) \approx L(\theta) + g^\top\delta + \tfrac{1}{2}\,\delta^\top H\,\delta.$$
#
# Of all moves of one length, the one against $g$ makes the second term smallest. So **gradient descent** takes
# $\delta = -\eta g$, with the **learning rate** $\eta$. How long may the move be? That is decided by the third term, with the
# **curvature** $H$, the matrix of second derivatives, of which backward says nothing. All else in this chapter is about that one question: steps too
# long, steps too short, a different length for each weight, a gradient that is only an estimate, a bad place to start from.

# %% [markdown]
# ## A worked example
#
# A valley: $L = \tfrac{1}{2}(a^2 + 10\,b^2)$, so $g = (a, 10\,b)$. From $(10, 1)$, three steps with $\eta = 0.15$:

# %%
curvatures = np.array([1.0, 10.0])
theta = np.array([10.0, 1.0])
for step in range(1, 4):
    g = curvatures * theta
    moved = theta - 0.15 * g
    print(f"step {step}: L = {0.5 * curvatures @ theta**2:8.4f}   θ = {theta}   g = {g}   −η g = {-0.15 * g}")
    theta = moved
print(f"        L = {0.5 * curvatures @ theta**2:8.4f}   θ = {theta}")

# %% [markdown]
# Across the valley, $b$ jumps from one side to the other; along it, $a$ crawls. A longer step would help $a$ and harm $b$.

# %% [markdown]
# ## How far a step may go
#
# Along one axis with curvature $\lambda$ the gradient is $\lambda\theta$, so a step multiplies $\theta$ by a number that
# is always the same, and $t$ steps by its power:
#
# $$\theta_{t+1} = \theta_t - \eta\lambda\,\theta_t = (1 - \eta\lambda)\,\theta_t, \qquad \theta_t = (1 - \eta\lambda)^t\,\theta_0.$$
#
# That goes to 0 if $|1 - \eta\lambda| < 1$, which is $0 < \eta < 2/\lambda$. Any quadratic is a sum of such axes: the
# eigenvectors of its $H$ don't mix. So the steepest one decides for all of them:
#
# $$\eta < \frac{2}{\lambda_{\max}}.$$
#
# With fractions in place of floating point this can be seen exactly. A slanted valley, its two eigenvalues, and 1,000 steps
# a little below the limit, on it, and a little above:

# %%
H = [[Fraction(6), Fraction(4)], [Fraction(4), Fraction(6)]]  # eigenvalues 6 ± 4, along (1, 1) and (1, −1)
print(f"eigenvalues {np.linalg.eigvalsh(np.array(H, float)).round(12)}, so the limit is 2/10")
for rate in (Fraction(199, 1000), Fraction(200, 1000), Fraction(201, 1000)):
    theta = [Fraction(1), Fraction(1)]
    for _ in range(1000):
        theta = [x - rate * (row[0] * theta[0] + row[1] * theta[1]) for x, row in zip(theta, H, strict=True)]
    assert theta[0] == theta[1] == (1 - 10 * rate) ** 1000
    print(
        f"η = {float(rate):.3f}: factor 1 − 10 η = {float(1 - 10 * rate):5.2f}, θ after 1,000 steps {float(theta[0]):.3g}"
    )

# %% [markdown]
# The flattest axis sets the pace: its factor is $1 - \eta\lambda_{\min}$. The best compromise makes the two factors
# equal in size, $\eta = 2/(\lambda_{\min} + \lambda_{\max})$, and then both are $(\kappa - 1)/(\kappa + 1)$ with the
# **condition number** $\kappa = \lambda_{\max}/\lambda_{\min}$. The longer and narrower the valley, the nearer to 1.
#
# ## Momentum
#
# Gradients across the valley point now to one side, now to the other. Along it they all point the same way. So let the moves
# add up, with a memory $\mu$ (Polyak 1964):
#
# $$v \leftarrow \mu v + g, \qquad \theta \leftarrow \theta - \eta v.$$
#
# Along one axis this is a matrix that takes $(\theta, v)$ to the next pair:
#
# $$\begin{pmatrix} 1 - \eta\lambda & -\eta\mu \\ \lambda & \mu \end{pmatrix}, \qquad \text{determinant } (1 - \eta\lambda)\mu + \eta\lambda\mu = \mu, \quad \text{trace } 1 - \eta\lambda + \mu.$$
#
# How fast it shrinks is the size of its eigenvalues. They are complex if $(1 + \mu - \eta\lambda)^2 < 4\mu$, and then a pair
# of equal size whose product is the determinant: $\sqrt\mu$ each, **whatever** $\lambda$ is. This holds between
# $\eta\lambda = (1 - \sqrt\mu)^2$ and $(1 + \sqrt\mu)^2$. Set these ends to $\lambda_{\min}$ and $\lambda_{\max}$, divide
# one by the other, and $\sqrt\mu = (\sqrt\kappa - 1)/(\sqrt\kappa + 1)$: the same as above with $\sqrt\kappa$ for $\kappa$.


# %%
def slowest_factor(rate, mu, curvatures):
    """The largest eigenvalue in size, over all axes: what a step leaves of the distance in the end."""
    steps = [np.array([[1 - rate * c, -rate * mu], [c, mu]]) for c in curvatures]
    return max(abs(np.linalg.eigvals(step)).max() for step in steps)


print("    κ   plain: factor   steps to a millionth   momentum: μ   factor   steps to a millionth")
for kappa in (10, 100, 1000):
    axes = np.geomspace(1, kappa, 5)
    plain = slowest_factor(2 / (1 + kappa), 0, axes)
    root = (math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1)
    heavy = slowest_factor(((1 + root) ** 2) / kappa, root**2, axes)
    assert math.isclose(plain, (kappa - 1) / (kappa + 1)) and math.isclose(heavy, root, rel_tol=1e-6)
    needed = [math.log(1e-6) / math.log(factor) for factor in (plain, heavy)]
    print(f"{kappa:5} {plain:15.5f} {needed[0]:22,.0f} {root**2:13.4f} {heavy:8.5f} {needed[1]:22,.0f}")

# %% [markdown]
# ## Adam
#
# Momentum still has one rate for all weights. In a network, gradients differ by orders of magnitude: the embedding of
# a rare word gets one now and then, a bias of the last layer at every step. **Adam** (Kingma and Ba 2015) divides each
# weight's average gradient by the size that its gradients usually have:
#
# $$m_t = \beta_1 m_{t-1} + (1 - \beta_1)\,g_t, \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2)\,g_t^2, \qquad
# \theta_t = \theta_{t-1} - \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon}.$$
#
# What are the hats? Both averages begin at 0. Put the first formula into itself until nothing is left of $m$:
#
# $$m_t = (1 - \beta_1) \sum_{i=1}^{t} \beta_1^{t-i} g_i, \qquad (1 - \beta_1) \sum_{i=1}^{t} \beta_1^{t-i} = 1 - \beta_1^t.$$
#
# The weights of the past don't sum to 1 but to $1 - \beta_1^t$ (a geometric series), so $m_t$ is too small by that factor.
# The **bias correction** divides by it: $\hat m_t = m_t/(1 - \beta_1^t)$ and $\hat v_t = v_t/(1 - \beta_2^t)$.
#
# A step doesn't depend on the gradient's unit: if all $g$ are multiplied by 1,000, so are $\hat m$ and $\sqrt{\hat v}$.
# So $\eta = 0.001$, the document's, says directly how far a weight moves: about a thousandth in a step if its gradients
# agree, less if they don't. (More only after a silence: up to $(1 - \beta_1)/\sqrt{1 - \beta_2}$ times as far.)

# %% tags=["training"]
import math

import numpy as np


def adamw_step(theta, g, m, v, t, lr, betas=(0.9, 0.999), eps=1e-8, decay=0.0):
    """The t-th step, counted from 1: the new θ, m and v."""
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g**2
    m_hat = m / (1 - betas[0] ** t)
    v_hat = v / (1 - betas[1] ** t)
    return theta - lr * decay * theta - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


# %% [markdown]
# Three steps with every number, on $L = \tfrac{1}{2}(100\,a^2 + 0.01\,b^2)$ from $(1, 1)$. (`decay` is 0 here; its
# section comes next.)

# %%
names, curvatures = ["a", "b"], np.array([100.0, 0.01])
theta, m, v = np.array([1.0, 1.0]), np.zeros(2), np.zeros(2)
print("t    θ before          g         m             v            m̂           √v̂      −η m̂/(√v̂+ε)   θ after")
for t in (1, 2, 3):
    before, g = theta, curvatures * theta
    theta, m, v = adamw_step(theta, g, m, v, t, lr=0.001)
    m_hat, root = m / (1 - 0.9**t), np.sqrt(v / (1 - 0.999**t))
    for i, name in enumerate(names):
        print(
            f"{t}  {name} {before[i]:9.6f} {g[i]:10.6f} {m[i]:9.6f} {v[i]:13.6e} {m_hat[i]:13.6f} {root[i]:13.6f}"
            f" {theta[i] - before[i]:14.8f} {theta[i]:9.6f}"
        )

# %%
walked = 1 - theta
say(
    f"One gradient is {curvatures[0] / curvatures[1]:,.0f} times the other, and the ways walked, {walked[0]:.6f} and {walked[1]:.6f}, "
    f"differ by {abs(walked[1] / walked[0] - 1):.0e} of their length. Only ε makes that difference: it counts where √v̂ is small."
)

# %% [markdown]
# ## Weight decay: AdamW
#
# A pull of all weights towards 0 keeps them from growing without need. The old way adds
# $\tfrac{\lambda}{2}\|\theta\|^2$ to the loss ("L2"), so $\lambda\theta$ to the gradient. In plain gradient descent
# that is a factor $1 - \eta\lambda$ at each step. In Adam it isn't: $\lambda\theta$ gets divided by $\sqrt{\hat v}$
# like the rest, so weights with large gradients hardly decay. **AdamW** (Loshchilov and Hutter 2019) takes the pull out
# of the gradient and applies the factor itself.
#
# Two groups of weights, all 1 at first, with gradients that are only noise, of size 10 and of size 0.1:

# %%
rng, decay, rate, steps = np.random.default_rng(0), 0.1, 0.001, 1000
sizes = np.repeat([10.0, 0.1], 500)
coupled = decoupled = np.ones(1000)
moments = np.zeros((4, 1000))
for t in range(1, steps + 1):
    g = sizes * rng.normal(size=1000)
    coupled, *moments[:2] = adamw_step(coupled, g + decay * coupled, *moments[:2], t, rate)
    decoupled, *moments[2:] = adamw_step(decoupled, g, *moments[2:], t, rate, decay=decay)
print(f"(1 − ηλ)^{steps} = {(1 - rate * decay) ** steps:.3f}")
for name, values in {"L2 in Adam": coupled, "AdamW": decoupled}.items():
    print(f"{name:10}   gradients of 10: mean weight {values[:500].mean():.3f}   of 0.1: {values[500:].mean():.3f}")

# %% [markdown]
# AdamW gives both groups the same pull, and the one that was asked for. As is usual, only matrices decay, biases and
# the gains of norms don't. A class keeps the moments:


# %% tags=["training"]
class AdamW:
    """AdamW for the engine's tensors."""

    def __init__(self, tensors, decay=0.0, **options):
        self.tensors, self.decay, self.options, self.t = tensors, decay, options, 0
        self.moments = [np.zeros((2, *tensor.shape)) for tensor in tensors]

    def step(self, lr, gradients=None):
        """Move every tensor by its gradient, or by the given ones."""
        self.t += 1
        for i, (tensor, moments) in enumerate(zip(self.tensors, self.moments, strict=True)):
            g = tensor.grad if gradients is None else gradients[i]
            decay = self.decay if g.ndim >= 2 else 0.0
            # *moments[:] writes the new m and v into the array that holds the old ones
            tensor.array, *moments[:] = adamw_step(tensor.array, g, *moments, self.t, lr, decay=decay, **self.options)


# %% [markdown]
# ## Clipping
#
# Now and then a batch has a gradient a hundred times as long as usual. Only its direction is worth something. Take
# the length of *all* gradients as one long vector, and if it is above a limit, shorten them all by one factor
# (Pascanu et al. 2013). One factor keeps the direction; cutting each number at a limit by itself would turn it.


# %% tags=["training"]
def clip(gradients, longest):
    """The gradients, shortened to a global norm of at most `longest`; and the norm they had."""
    norm = math.sqrt(sum((g**2).sum() for g in gradients))
    factor = longest / norm if norm > longest else 1.0
    return [g * factor for g in gradients], norm


# %%
pair = [np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([12.0])]
shorter, norm = clip(pair, 1.0)
print(f"√(3² + 4² + 12²) = {norm}; times 1/13: {shorter[0].round(4).tolist()}, {shorter[1].round(4).tolist()}")
turned = np.concatenate([np.clip(g, -1, 1).ravel() for g in pair])
flat = np.concatenate([g.ravel() for g in pair])
cosine = turned @ flat / np.linalg.norm(turned) / np.linalg.norm(flat)
print(f"each number cut at ±1 by itself: {turned}, turned by {math.degrees(math.acos(cosine)):.1f}°")

# %% [markdown]
# ## Warm-up and cosine
#
# Adam's first steps are of full length for every weight, whether its gradient says much or little: after one step $\hat
# m/\sqrt{\hat v}$ is $\pm 1$. So the rate rises from near 0 over some steps (**warm-up**), until the averages mean
# something. Towards the end it falls, so that the noise of batches dies away: half a **cosine**, from 1 down to the
# least rate.


# %% tags=["training"]
def schedule(step, steps, warmup, highest, lowest):
    """The learning rate of the update after `step` finished ones."""
    if step < warmup:
        return highest * (step + 1) / warmup
    progress = (step - warmup) / max(steps - 1 - warmup, 1)
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * progress)) / 2


# %%
figure, axis = plt.subplots(figsize=(6, 2.8))
for warmup, style in ((0, "--"), (100, "-")):
    axis.plot(
        [schedule(step, 1000, warmup, 1e-3, 1e-4) for step in range(1000)], style, label=f"{warmup} steps of warm-up"
    )
axis.set(xlabel="step", ylabel="learning rate")
axis.legend()
show(figure, "The learning rate of 1,000 steps: a straight rise, if any, then half a cosine down to a tenth.")

# %% [markdown]
# ## Batches: the gradient is an estimate
#
# The loss of a text is a mean over its tokens, so a mean over some tokens drawn at random estimates it, and so does its
# gradient. The variance of a mean of $B$ independent values is $1/B$ of the variance of one: **four times the batch, half
# the noise**. A small network to measure it on: three characters of a story in, scores of the next character out.

# %%
from minillm.data import stories

losses = module("05", "losses")
engine = losses.engine  # chapter 04's

text = "\n".join(stories.documents(60)).lower()  # 60 stories; small letters keep the vocabulary small
characters = sorted(set(text))
V, CONTEXT = len(characters), 3
ids = np.array([characters.index(c) for c in text])
places = np.arange(CONTEXT, len(ids))
contexts = np.stack([ids[places - back] for back in (3, 2, 1)], axis=1)


def fresh(hidden=32):
    """W1, b1, W2, b2 of a network 3V → hidden → V."""
    rng = np.random.default_rng(0)
    W1 = rng.normal(size=(CONTEXT * V, hidden)) / math.sqrt(CONTEXT)
    W2 = rng.normal(size=(hidden, V)) / math.sqrt(hidden)
    return [engine.Tensor(array) for array in (W1, np.zeros(hidden), W2, np.zeros(V))]


def loss_of(weights, rows, targets=None):
    """Mean loss of the network at these rows of the text; targets: other than the characters that follow."""
    W1, b1, W2, b2 = weights
    x = np.eye(V)[contexts[rows]].reshape(len(rows), -1)
    logits = engine.relu(engine.Tensor(x) @ W1 + b1) @ W2 + b2
    return losses.cross_entropy(logits, targets=ids[places[rows]] if targets is None else targets)


def gradients_of(weights, rows, targets=None):
    """The loss, and the gradient of every weight."""
    loss = loss_of(weights, rows, targets)
    loss.backward()
    return float(loss.array), [w.grad for w in weights]


# %%
rng, weights = np.random.default_rng(0), fresh()
whole = np.concatenate([g.ravel() for g in gradients_of(weights, np.arange(8192))[1]])
print(f"{len(whole):,} weights; the gradient over 8,192 places has length {np.linalg.norm(whole):.3f}")
for size in (4, 16, 64, 256):
    distances = []
    for _ in range(20):
        estimate = np.concatenate([g.ravel() for g in gradients_of(weights, rng.integers(8192, size=size))[1]])
        distances.append(((estimate - whole) ** 2).sum())
    noise = math.sqrt(np.mean(distances))
    print(f"batch of {size:3}: distance from it {noise:.3f}, times √{size} {noise * math.sqrt(size):6.3f}")

# %% [markdown]
# ## A batch in parts
#
# A batch that doesn't fit in memory is cut up: backward for each part, the gradients added (**accumulation**). But each
# part's loss is a mean over *its* tokens that count (padding has the target $-100$). The mean of the means isn't the
# mean, unless all parts count alike; each has to be weighted by its share $n_k/n$:
#
# $$\frac{1}{n} \sum_{i=1}^{n} L_i = \sum_k \frac{n_k}{n} \cdot \frac{1}{n_k} \sum_{i \in k} L_i.$$

# %%
rows = np.arange(48)
targets = ids[places[rows]].copy()
targets[10:16], targets[20:32], targets[33:48] = losses.IGNORED, losses.IGNORED, losses.IGNORED
parts = np.split(rows, 3)
counts = [int((targets[part] != losses.IGNORED).sum()) for part in parts]
loss, whole = gradients_of(weights, rows, targets)
by_part = [gradients_of(weights, part, targets[part]) for part in parts]
for name, shares in {"mean of means": [1 / 3] * 3, "weighted": [n / sum(counts) for n in counts]}.items():
    total = sum(share * part for share, (part, _) in zip(shares, by_part, strict=True))
    added = [sum(s * part[1][i] for s, part in zip(shares, by_part, strict=True)) for i in range(4)]
    error = max(abs(a - b).max() for a, b in zip(added, whole, strict=True))
    print(
        f"parts that count {counts}: {name:13} loss {total:.6f}, whole batch {loss:.6f}; gradients differ by {error:.0e}"
    )
assert error < 1e-12

# %% [markdown]
# **What the document's loop prints.** Section 5.2 adds up `loss.item()` of all batches and divides by `len(train_data)
# // 64`. That goes wrong twice. The division rounds down: the last, incomplete batch is in the sum, but not in the
# number divided by. And batch means are averaged, though batches differ in tokens; `BucketIterator` even sorts by
# length. Take 200 texts of 3 to 40 tokens, sorted, with a loss of $2 + 6/k$ nats at the $k$-th token, as early tokens
# are harder:

# %%
rng = np.random.default_rng(0)
lengths = np.sort(rng.integers(3, 41, size=200))
texts = [2 + 6 / np.arange(1, n + 1) for n in lengths]
batch_means = [np.concatenate(texts[i : i + 64]).mean() for i in range(0, 200, 64)]
right = np.concatenate(texts).mean()
of_means, printed = np.mean(batch_means), sum(batch_means) / (200 // 64)
print("means of the batches of 64, 64, 64 and 8 texts:", np.round(batch_means, 4))
print(f"mean over all tokens    {right:.4f}")
print(f"mean of the batch means {of_means:.4f}, off by {of_means / right - 1:+.1%}")
print(f"what the loop prints    {printed:.4f}, off by {printed / right - 1:+.1%}")
print(f"with 63 texts it divides by {63 // 64}")

# %% [markdown]
# ## The first loss
#
# Before training a model knows nothing. If all its scores are equal, each of $V$ words has $p = 1/V$, and the loss is
# $\ln V$. If scores are random with variance $\sigma^2$, the target's is 0 on average, while the mean of $e^x$ is
# $e^{\sigma^2/2}$ (normal distribution), so about
#
# $$L_0 = E\Big[\ln \sum_j e^{x_j} - x_t\Big] \approx \ln\big(V e^{\sigma^2/2}\big) = \ln V + \frac{\sigma^2}{2}.$$

# %%
rng = np.random.default_rng(0)
print(f"ln {V} = {math.log(V):.4f}\n  σ    measured    ln V + σ²/2")
for sigma in (0.0, 0.1, 0.5, 1.0, 1.5):
    scores = sigma * rng.normal(size=(4000, V))
    measured = losses.cross_entropy(scores, targets=rng.integers(V, size=4000)).array
    print(f"{sigma:3} {measured:11.4f} {math.log(V) + sigma**2 / 2:14.4f}")

# %% [markdown]
# The formula takes the logarithm of a mean for the mean of logarithms, and so comes out somewhat high for large $\sigma$.
#
# A first loss far from $\ln V$ is thus a first sign of trouble: above it, the start is too loud; below it, the model
# has seen the answers.
#
# **How large, then, should weights begin?** A layer sums $d$ products, so its output's variance is $d\,\sigma_w^2$
# times the mean square of its input, and ReLU leaves half of that. With $\sigma_w = \sqrt{2/d}$ each layer keeps the
# size (He et al. 2015). Twice or half as much is a factor of 2 *for each layer*, forwards and backwards. Eight layers
# of width 64:


# %%
def norms_by_layer(sigma, depth=8, width=64):
    """Norms of the gradients of a deep network's matrices, first layer first."""
    rng = np.random.default_rng(0)
    matrices = [engine.Tensor(sigma * rng.normal(size=(width, width))) for _ in range(depth)]
    h = engine.Tensor(rng.normal(size=(32, width)))
    for matrix in matrices:
        h = engine.relu(h @ matrix)
    (h @ rng.normal(size=(width, 1)) / 32).sum().backward()
    return [np.linalg.norm(matrix.grad) for matrix in matrices]


kept = math.sqrt(2 / 64)
runs = {f"{name} √(2/d)": norms_by_layer(factor * kept) for name, factor in {"1 ×": 1, "2 ×": 2, "½ ×": 0.5}.items()}
views.gradient_norms([f"layer {i}" for i in range(1, 9)], runs)

# %% [markdown]
# Each matrix's gradient gets a factor of 2, or of ½, from each of the seven others: from those before it on the way forwards,
# from those after it on the way back.

# %%
for name, norms in runs.items():
    first, last = np.array([norms[0], norms[-1]]) / np.array(runs["1 × √(2/d)"])[[0, -1]]
    print(f"{name}: first layer's gradient {first:.6f} times as long, the last one's {last:.6f}")
print(f"2⁷ = {2**7}, ½⁷ = {0.5**7:.6f}")

# %% [markdown]
# In a Transformer, residual connections and norms do much of this work (chapter 07), and GPT-2's start is simply
# $\sigma_w = 0.02$.

# %% [markdown]
# ## The gradient check
#
# First the whole loss of a tiny GPT, in every one of its weights. `gradcheck` hands us the tensors to compute with; we
# put each in the place of the parameter it stands for (the embedding stands in two). The weights are drawn large: at
# GPT-2's start many gradients are so small that a wrong one would pass.

# %%
from minillm.models import GPT, GPTConfig

ml.seed(0)
shape = {"vocab_size": 5, "context_length": 3, "n_layer": 1, "n_head": 2, "d_model": 4, "d_ff": 6}
tiny = GPT(GPTConfig(**shape, dtype="float64"))
rng = np.random.default_rng(0)
starts = [rng.normal(size=p.shape) for p in tiny.parameters()]
slots = [
    [(owner, name) for owner in tiny.modules() for name, value in vars(owner).items() if value is p]
    for p in tiny.parameters()
]
few_ids, few_targets = np.array([[1, 4, 2], [0, 3, 3]]), np.array([[4, 2, 0], [3, 3, -100]])


def whole_loss(*tensors):
    for tensor, where in zip(tensors, slots, strict=True):
        for owner, name in where:
            setattr(owner, name, tensor)
    return tiny.loss(few_ids, few_targets)


report = ml.testing.gradcheck(whole_loss, starts)
print(f"{report.compared} derivatives of {len(starts)} arrays; largest error {report.largest_error:.1e}")

# %% [markdown]
# And the small network, with four hidden units, by our own checker:

# %%
start = [w.array for w in fresh(hidden=4)]
error = engine.gradient_check(lambda *weights: loss_of(weights, np.arange(8)), *start)
print(f"{sum(array.size for array in start)} derivatives; largest error {error:.1e}")
assert error < 1e-7

# %% [markdown]
# An optimizer has no gradient to check, but it has a closed form. If $g$ stays the same, $\hat m_t = g$ and
# $\hat v_t = g^2$ at *every* $t$: that is what the correction is for. Each step is then
# $\theta \leftarrow (1 - \eta\lambda)\theta - \eta u$ with $u = g/(|g| + \varepsilon)$, and a geometric series gives
#
# $$\theta_t = (1 - \eta\lambda)^t\,\theta_0 - u\,\frac{1 - (1 - \eta\lambda)^t}{\lambda}.$$

# %%
theta = start = np.array([1.0, -2.0, 0.5])
g, m, v = np.array([3.0, -1e-4, 1e4]), np.zeros(3), np.zeros(3)
for t in range(1, 101):
    theta, m, v = adamw_step(theta, g, m, v, t, lr=0.01, decay=0.1)
kept, u = (1 - 0.01 * 0.1) ** 100, g / (abs(g) + 1e-8)
closed = kept * start - u * (1 - kept) / 0.1
print(f"after 100 steps {theta}\nclosed form     {closed}\nlargest difference {abs(theta - closed).max():.0e}")
np.testing.assert_allclose(theta, closed, rtol=1e-12)

# %% [markdown]
# ## The same thing in minillm
#
# Our network, and its twin of the library's tensors: 40 steps with the schedule, clipping and decay. Read
# [optim.py](../minillm/optim.py) and [training/schedule.py](../minillm/training/schedule.py);
# [training/step.py](../minillm/training/step.py) is one update with all of it.

# %%
from minillm import optim
from minillm.configs.config import TrainingConfig
from minillm.training.schedule import learning_rate

plan = TrainingConfig(steps=40, warmup_steps=10, learning_rate=0.01, min_learning_rate=0.001)
ours = fresh()
theirs = [ml.nn.Parameter(w.array.copy()) for w in ours]
our_adamw = AdamW(ours, decay=0.1)
their_adamw = optim.AdamW(theirs, weight_decay=0.1)
clipped = 0
for step in range(plan.steps):
    rows = np.arange(step * 32, step * 32 + 32)
    gradients, norm = clip(gradients_of(ours, rows)[1], 0.7)
    clipped += norm > 0.7
    our_adamw.step(schedule(step, 40, 10, 0.01, 0.001), gradients)

    W1, b1, W2, b2 = theirs
    x = ml.Tensor(np.eye(V)[contexts[rows]].reshape(32, -1))
    their_adamw.zero_grad()
    ml.ops.cross_entropy(ml.ops.relu(x @ W1 + b1) @ W2 + b2, ids[places[rows]]).backward()
    np.testing.assert_allclose(optim.clip_grad_norm(theirs, 0.7), norm, rtol=1e-9)
    their_adamw.lr = learning_rate(step, plan)
    their_adamw.step()
for name, mine, library in zip(["W1", "b1", "W2", "b2"], ours, theirs, strict=True):
    np.testing.assert_allclose(mine.array, library.numpy(), rtol=1e-7, atol=1e-10)
    print(f"{name} {mine.shape} after {plan.steps} steps: equal, within {abs(mine.array - library.numpy()).max():.0e}")
print(f"{clipped} of the steps were clipped; norms before clipping are equal, too")

# %% [markdown]
# Accumulation: `accumulate_gradients` cuts a batch into parts and weighs them. The tiny GPT in three parts of
# uneven counts, against the whole batch:

# %%
from minillm.training.step import accumulate_gradients

ml.seed(0)
tiny = GPT(GPTConfig(**shape, dtype="float64"))
rng = np.random.default_rng(0)
batch = {"ids": rng.integers(5, size=(6, 3)), "targets": rng.integers(5, size=(6, 3))}
batch["targets"][[0, 0, 1, 2, 3, 5], [1, 2, 2, 0, 1, 0]] = -100
found = {}
for parts in (1, 3):
    tiny.zero_grad()
    found[parts] = accumulate_gradients(tiny, batch, parts), [p.grad.copy() for p in tiny.parameters()]
pairs = list(zip(found[1][1], found[3][1], strict=True))
print(f"loss {found[1][0]:.12f} whole, {found[3][0]:.12f} in parts")
print(f"largest difference of {sum(a.size for a, _ in pairs)} gradients {max(abs(a - b).max() for a, b in pairs):.0e}")
assert all(np.allclose(a, b, rtol=0, atol=1e-12) for a, b in pairs)

# %% [markdown]
# ## Overfit one batch first
#
# Before any long training, one test: can the loop learn a *single* batch by heart? If it can't, something is broken, and
# no amount of data will help. The batch: four lines of Li Bai, each after a start token. The floor is known
# exactly: which line comes can't be known, so the first character costs $\ln 4$ nats, and all others nothing, as each
# beginning has one continuation only. As the mean over five characters: $\ln 4/5$.

# %%
lines = ["床前明月光", "疑是地上霜", "举头望明月", "低头思故乡"]
signs = ["<start>", *sorted(set("".join(lines)))]
poem = np.array([[0, *map(signs.index, line)] for line in lines])
plan = TrainingConfig(steps=80, learning_rate=0.01, min_learning_rate=0.001, warmup_steps=8)


def overfit(batch_of):
    """A small GPT trained on what batch_of(step) gives; the losses."""
    ml.seed(1)
    model = GPT(GPTConfig(vocab_size=len(signs), context_length=5, n_layer=1, n_head=2, d_model=32))
    adamw = optim.AdamW(model.parameters(), weight_decay=0)
    seen = []
    for step in range(plan.steps):
        adamw.lr = learning_rate(step, plan)
        adamw.zero_grad()
        loss = model.loss(*batch_of(step))
        loss.backward()
        adamw.step()
        seen.append(loss.item())
    return seen


shuffle = np.random.default_rng(0)
good = overfit(lambda step: (poem[:, :-1], poem[:, 1:]))
broken = overfit(lambda step: (shuffle.permutation(poem)[:, :-1], poem[:, 1:]))
say(
    f"ln {len(signs)} = {math.log(len(signs)):.3f}; the first loss is {good[0]:.3f}. After {plan.steps} steps it is "
    f"**{good[-1]:.4f}**, and the floor {math.log(4) / 5:.4f}. With a bug that shuffles the inputs and forgets to shuffle the targets "
    f"along: **{broken[-1]:.3f}**."
)

# %% [markdown]
# ## A training, and when to stop it
#
# The library's loop, [training/loop.py](../minillm/training/loop.py), on a tiny GPT. It has only 600 characters to
# learn from, so that it can soon know them by heart: its own loss then goes on falling, while that on other stories
# rises. The **validation** text decides. After two evaluations without a better one (`patience`) it stops, and the best
# checkpoint is the model.

# %%
import contextlib
import io
import tempfile
from functools import partial
from pathlib import Path

from minillm.configs.config import Config
from minillm.data.batches import batch as batch_at
from minillm.tokenizers import CharTokenizer
from minillm.training.data import Data
from minillm.training.language_modelling import LanguageModelling
from minillm.training.loop import Trainer
from minillm.training.run import RunFolder
from minillm.training.signals import StopRequest

config = Config(
    model=GPTConfig(vocab_size=V, context_length=16, n_layer=2, n_head=2, d_model=48),
    training=TrainingConfig(
        steps=300,
        learning_rate=5e-3,
        min_learning_rate=5e-4,
        warmup_steps=10,
        eval_interval=25,
        patience=2,
        sample_tokens=0,
    ),
)
learnt, other = ids[:600], ids[-1200:]
batch_of = partial(batch_at, learnt, seed=1337, batch_size=12, context_length=16)
data = Data(lambda step: batch_of(step=step), other, len(text[-1200:].encode()), CharTokenizer(characters), {})
quiet = contextlib.redirect_stderr(io.StringIO())  # the progress lines, which say how fast this machine is
with tempfile.TemporaryDirectory() as folder, quiet, StopRequest() as stop:
    trainer = Trainer(config.training, RunFolder(Path(folder)), LanguageModelling(config, data), stop)
    trainer.train()

# %%
events = trainer.metrics.events
steps_made = [event for event in events if event["event"] == "train"]
evaluations = [event for event in events if event["event"] == "eval"]
state = trainer.state
say(
    f"{trainer.model.num_parameters():,} weights. It stopped after **{state.step}** of {config.training.steps} steps. The best "
    f"validation loss, **{state.best_loss:.3f}** nats, was at step {state.best_step}; at the end it is {state.val_loss:.3f}, with a "
    f"training loss of {steps_made[-1]['train_loss']:.3f}."
)

# %% [markdown]
# ## Picture: reading a loss curve
#
# Landmarks tell how far a model has come. $\ln V$ is what knowing nothing costs; the entropy of single characters is
# what knowing only how frequent each is costs; that of a character given the one before it, what pairs give. Where the
# two curves part, learning by heart begins.


# %%
def entropy(counts):
    """Of a table of counts, in nats: the mean of −ln of the shares in each row."""
    shares = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    return -(counts * np.log(np.where(counts > 0, shares, 1))).sum() / counts.sum()


table = np.zeros((V, V))
np.add.at(table, (ids[:-1], ids[1:]), 1)
marks = {"ln V": math.log(V), "single characters": entropy(table.sum(axis=0)), "pairs of characters": entropy(table)}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
left.plot([e["step"] for e in steps_made], [e["train_loss"] for e in steps_made], color="#7aa6d6", label="training")
left.plot(
    [e["step"] for e in evaluations], [e["val_loss"] for e in evaluations], "o-", color="#c2410c", label="validation"
)
left.axvline(state.best_step, color="black", linewidth=0.8, linestyle=":", label="best")
for (name, value), style in zip(marks.items(), ("-", "--", "-."), strict=True):
    left.axhline(value, color="gray", linewidth=0.8, linestyle=style, label=name)
left.set(xlabel="step", ylabel="loss, nats per character")
left.legend(fontsize=7)
right.semilogy([e["step"] for e in steps_made], [e["grad_norm"] for e in steps_made], color="#3f7d4e")
right.axhline(config.training.gradient_clip, color="gray", linestyle="--", linewidth=0.8)
right.set(xlabel="step", ylabel="norm of the gradient before clipping", title="dashed: the limit of clipping")
show(figure, "Losses with their landmarks, and the gradient's length: learning by heart begins where the curves part.")

# %%
first = steps_made[0]["train_loss"]
passed = {name: next((e["step"] for e in steps_made if e["train_loss"] < value), None) for name, value in marks.items()}
print(f"first loss {first:.3f}, ln V = {marks['ln V']:.3f}")
for name, step in passed.items():
    print(f"the training loss is first below {name!r} ({marks[name]:.3f} nats) at step {step}")
gap = evaluations[-1]["val_loss"] - steps_made[-1]["train_loss"]
print(f"at the end validation is {gap:.3f} nats above training")

# %% [markdown]
# ## Picture: the way down a valley
#
# Gradient descent in the valley of the worked example, with $\eta = 0.19$, just below the limit of $2/10$; then three
# optimizers in a longer valley, $\kappa = 50$.

# %%
valley = np.array([1.0, 10.0])
way = [np.array([-3.0, 2.0])]
for _ in range(12):
    way.append(way[-1] - 0.19 * valley * way[-1])


def depth(point):
    return 0.5 * valley @ point**2


views.landscape(depth, np.zeros(2), np.eye(2), radius=3.2, path=np.array(way), names=("a", "b"), unit="units")

# %%
valley, start = np.array([1.0, 50.0]), np.array([-10.0, 2.0])
ways = {"plain, η = 0.035": [start], "momentum 0.8, η = 0.02": [start], "Adam, η = 0.3": [start]}
velocity, m, v = np.zeros(2), np.zeros(2), np.zeros(2)
for t in range(1, 41):
    plain, heavy, adam = (way[-1] for way in ways.values())
    velocity = 0.8 * velocity + valley * heavy
    moved, m, v = adamw_step(adam, valley * adam, m, v, t, lr=0.3)
    for way, point in zip(ways.values(), (plain - 0.035 * valley * plain, heavy - 0.02 * velocity, moved), strict=True):
        way.append(point)
a, b = np.meshgrid(np.linspace(-11, 4, 61), np.linspace(-2.6, 2.6, 61))
figure, all_axes = plt.subplots(1, 3, figsize=(11, 3), sharey=True, layout="constrained")
for axis, (name, way) in zip(all_axes, ways.items(), strict=True):
    axis.contour(
        a, b, 0.5 * (valley[0] * a**2 + valley[1] * b**2), levels=np.geomspace(0.5, 150, 8), colors="lightgray"
    )
    axis.plot(*np.array(way).T, ".-", markersize=4, linewidth=0.8)
    axis.set(
        xlabel="a", ylabel="b", title=f"{name}: L = {0.5 * valley @ way[-1] ** 2:.1e}", xlim=(-11, 4), ylim=(-2.6, 2.6)
    )
show(figure, "Forty steps in a valley 50 times as steep across as along; the loss at the end is in the titles.")

# %% [markdown]
# ## What breaks if
#
# Each is tried on the small network of three characters, with batches of 64.


# %%
def descend(steps, rate, optimizer=None, longest=math.inf, spoiled=None):
    """The losses of a training. The gradient of batch number `spoiled` comes 1,000 times too long."""
    weights, rng, seen = fresh(), np.random.default_rng(0), []
    optimizer = (optimizer or AdamW)(weights)
    for step in range(steps):
        loss, gradients = gradients_of(weights, rng.integers(8192, size=64))
        if step == spoiled:
            gradients = [1000 * g for g in gradients]
        optimizer.step(rate, clip(gradients, longest)[0])
        seen.append(loss)
    return seen


class GradientDescent:
    def __init__(self, weights):
        self.weights = weights

    def step(self, rate, gradients):
        for weight, g in zip(self.weights, gradients, strict=True):
            weight.array = weight.array - rate * g


# %% [markdown]
# **... there is no bias correction.** The step is then too long by a factor of $(1 - \beta_1^t)/\sqrt{1 - \beta_2^t}$, since
# $v$ fills up much more slowly than $m$. A rate that was too low may even gain by that; one that was right becomes too
# high. (With $t = \infty$ the class divides by 1.)

# %%
ratio = {t: (1 - 0.9**t) / math.sqrt(1 - 0.999**t) for t in range(1, 5001)}
most = max(ratio, key=ratio.get)
print("steps are longer by a factor of", ", ".join(f"{ratio[t]:.2f} at t = {t}" for t in (1, 2, most, 100, 1000, 5000)))


class Uncorrected(AdamW):
    def step(self, lr, gradients=None):
        self.t = math.inf
        super().step(lr, gradients)


for rate in (0.01, 0.03, 0.1):
    with_it, without = descend(30, rate), descend(30, rate, Uncorrected)
    say(
        f"η = {rate}: the largest loss in 30 steps is **{max(with_it):.2f}** with the correction and **{max(without):.2f}** without; "
        f"the mean of the last five is {np.mean(with_it[-5:]):.2f} and {np.mean(without[-5:]):.2f}."
    )

# %% [markdown]
# **... the learning rate is too high**, or too low. Adam keeps the length of its steps in any case, so a rate that is
# too high shows as a loss that stays bad rather than as infinity. The mean loss of the last 10 of 60 steps:

# %%
rates = np.geomspace(1e-5, 3, 9)
ends = [np.mean(descend(60, rate)[-10:]) for rate in rates]
figure, axis = plt.subplots(figsize=(6, 3))
axis.semilogx(rates, ends, "o-")
axis.axhline(math.log(V), color="gray", linestyle="--", linewidth=0.8, label="ln V")
axis.set(xlabel="learning rate of Adam", ylabel="loss after 60 steps, nats")
axis.legend()
show(figure, "The loss after 60 steps at nine learning rates, with what knowing nothing costs.")
say(
    f"Best of these is η = **{rates[np.argmin(ends)]:.2g}**, with {min(ends):.2f} nats; η = {rates[-1]:g} ends at {ends[-1]:.1f}."
)

# %% [markdown]
# **... gradients aren't zeroed.** Our engine's backward sets `grad`; minillm's *adds* to it, so that parts of a batch
# can be accumulated, and `zero_grad` empties it. Whoever forgets it moves by the sum of all gradients so far: momentum with
# $\mu = 1$. The determinant above is then 1, so nothing dies down. On the valley, exactly, and in the library:

# %%
print(f"valley: size of the eigenvalues {slowest_factor(0.1, 1, [1.0, 10.0]):.12f}")
for zeroed in (True, False):
    point = ml.nn.Parameter(np.array([10.0, 1.0]))
    sgd, seen = optim.SGD([point], lr=0.1), []
    for _ in range(200):
        if zeroed:
            sgd.zero_grad()
        loss = (point * point * ml.Tensor(np.array([0.5, 5.0]))).sum()
        loss.backward()
        sgd.step()
        seen.append(loss.item())
    print(
        f"{'zeroed' if zeroed else 'not zeroed':10}: loss {seen[0]:.1f} at first, largest of the last 50 steps {max(seen[-50:]):.2g}"
    )

# %% [markdown]
# **... one bad batch isn't clipped.** In step 40 of 100 the gradient comes a thousand times too long. Gradient descent
# throws the weights away. Adam's step stays short, but its $v$ remembers the square of that gradient for about $1/(1 -
# \beta_2)$ steps, and for so long it divides by it:

# %%
for name, optimizer, rate in (("gradient descent", GradientDescent, 0.3), ("Adam", AdamW, 0.01)):
    for longest in (math.inf, 1.0):
        seen = descend(100, rate, optimizer, longest, spoiled=40)
        end, after = np.mean(seen[-20:]), np.mean(seen[41:51])
        limit = "not clipped" if longest == math.inf else "clipped at 1"
        print(
            f"{name:17} {limit:13} loss before {np.mean(seen[30:40]):.2f}, just after {after:6.2f}, at the end {end:6.2f}"
        )
    print(f"{'':17} {'no bad batch':13} {'':32} at the end {np.mean(descend(100, rate, optimizer, 1.0)[-20:]):6.2f}")

# %% [markdown]
# **... labels aren't shifted.** Let the target of each position be the token that *stands there* instead of the next
# one. A loss that falls towards 0 on a text that can't be known is no triumph, but a leak:


# %%
def train_gpt(targets_of):
    """A small GPT after 60 steps; its last loss."""
    ml.seed(0)
    model = GPT(GPTConfig(vocab_size=V, context_length=32, n_layer=1, n_head=2, d_model=32))
    adamw = optim.AdamW(model.parameters(), lr=0.01)
    for step in range(60):
        inputs, following = batch_at(ids, seed=0, step=step, batch_size=8, context_length=32)
        adamw.zero_grad()
        loss = model.loss(inputs, targets_of(inputs, following))
        loss.backward()
        adamw.step()
    return model, loss.item()


unseen = batch_at(ids[-4000:], seed=1, step=0, batch_size=8, context_length=32)
prompt = [characters.index(c) for c in "the "]
for name, targets_of in {"shifted": lambda x, y: y, "not shifted": lambda x, y: x}.items():
    model, loss = train_gpt(targets_of)
    written = "".join(characters[i] for i in model.generate(prompt, 20, temperature=0))
    print(
        f"{name:11}: training says {loss:.4f}; the next character costs {model.loss(*unseen).item():6.3f} nats; it writes 'the {written}'"
    )

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("09.1")` gives a hint, and another when you call it again;
# `solution("09.1")` shows a solution.

# %% [markdown]
# **09.1** Another schedule: warm up, stay, go down. Over the first `warmup` updates the rate rises evenly, from
# `highest/warmup` to `highest`; over the last `down` updates it falls evenly, from `highest` to `highest/down`; between
# them it stays. Where the two overlap, the smaller counts. `warmup` or `down` may be 0. Return the rate of the update
# after `step` finished ones, of `steps` in all.


# %%
def stay_then_down(step, steps, warmup, down, highest): ...


check("09.1", stay_then_down)

# %% [markdown]
# **09.2** Each worker of several has the gradient of the mean loss over its own tokens: `gradients` is `(workers, n)`,
# `counts` how many tokens counted for each. Return the gradient `(n,)` of the mean loss over all tokens. A worker with
# no such token has NaN, from 0/0. If nobody has one, return zeros.


# %%
def combine(gradients, counts): ...


check("09.2", combine)

# %% [markdown]
# **09.3** Early stopping. `losses` are validation losses, one an evaluation; training stops at the evaluation by which
# there have been `patience` in a row that weren't better than the best one before. An evaluation may be NaN, which is
# never better than anything; any number is better than having none. Return `(stopped, best)`: the index of the last
# evaluation made, and of the best one (the first, of equals; `None` if all were NaN). If nothing stops it, the last
# evaluation is the end of the list.


# %%
def stop_early(losses, patience): ...


check("09.3", stop_early)

# %% [markdown]
# **09.4** Linear regression by gradient descent: $L(w) = \frac{1}{2n}\|Xw - y\|^2$ with `x` of shape `(n, d)`. Below which
# learning rate does it converge, for every start and every `y`? (Directions in which $L$ is flat don't move and
# don't count. There is at least one that isn't.) Return that number.


# %%
def highest_rate(x): ...


check("09.4", highest_rate)

# %% [markdown]
# **09.5** An optimizer with half of Adam's memory, Lion (Chen et al. 2023). It keeps one average $m$, 0 at first. Each
# step moves by the *sign* of a mixture of $m$ and the gradient with $\beta_1$, and only then updates $m$, with
# $\beta_2$:
#
# $$u = \mathrm{sign}(\beta_1 m + (1 - \beta_1)\,g), \qquad \theta \leftarrow \theta - \eta\,(u + \lambda\theta), \qquad
# m \leftarrow \beta_2 m + (1 - \beta_2)\,g.$$
#
# Return $\theta$ after all of the `gradients`, `(steps, n)`, with `betas` $= (\beta_1, \beta_2)$.


# %%
def lion(theta, gradients, lr, betas, decay): ...


check("09.5", lion)
