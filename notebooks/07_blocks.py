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
# # 07 Layer norm, residuals, feed-forward, positions
#
# Covers section 4.1.1 of the document (the Transformer).
#
# In minillm: [ops/norm.py](../minillm/ops/norm.py), [nn/blocks.py](../minillm/nn/blocks.py), [nn/position.py](../minillm/nn/position.py); checked in [tests/ops/test_table.py](../tests/ops/test_table.py), [tests/nn/test_gradients.py](../tests/nn/test_gradients.py), [tests/nn/test_position.py](../tests/nn/test_position.py).
#
# The document writes a layer as "MultiHeadAttention + Feedforward Network". It leaves out the residual connection and the
# layer norm, says nothing of positions, and its "+" should be "then". Here the missing pieces are built, and a block is made of
# them and of chapter 06's attention. Chapter 08 puts such pieces together into the document's encoder and decoder layers.
#
# You need: chapters 04 (its engine is used throughout), 05 (its loss, near the end) and 06 (its attention).

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
# Attention lets tokens exchange what they know. Around it stand four plain pieces, each the answer to a question:
#
# - **Feed-forward**: attention only mixes values. What computes with what was gathered? A small network, at each position.
# - **Residual connection**: a model has dozens of layers. How does a gradient get through all of them? By a way around each,
#   $y = x + f(x)$.
# - **Layer norm**: such sums grow with depth. What keeps numbers of one size? Each vector is brought to mean 0 and variance 1.
# - **Positions**: to attention a text is a bag of words. How does it know what stands where? Each place gets a mark of its own.

# %% [markdown]
# ## A worked example
#
# Layer norm of one row, $x = (1, 2, 3, 6)$, without weights and with $\varepsilon = 0$. Forwards:

# %%
x = np.array([1.0, 2.0, 3.0, 6.0])
mean = x.mean()
centred = x - mean
variance = (centred**2).mean()
r = 1 / np.sqrt(variance)
x_hat = centred * r
print(f"mean μ                {mean}")
print(f"centred c = x − μ     {centred}")
print(f"variance σ² = mean c² {variance}")
print(f"r = 1 / σ             {r:.5f}")
print(f"x̂ = c r               {x_hat.round(5)}, of mean {x_hat.mean():.1f} and variance {(x_hat**2).mean():.1f}")

# %% [markdown]
# Backwards: let the loss $L$ be the first result itself. We write $dx$ for $\partial L/\partial x$, so $d\hat x = (1, 0, 0, 0)$. We go
# back through the lines above, from the last to the first. $c$ went into two of them, and so did $x$.

# %%
dx_hat = np.array([1.0, 0.0, 0.0, 0.0])
dr = (dx_hat * centred).sum()  # x̂ = c r
dvariance = dr * -0.5 * r**3  # r = (σ²)^(−1/2)
dc = dx_hat * r + dvariance * 2 * centred / 4  # from x̂ = c r, and from σ² = mean c²
dx = dc - dc.mean()  # c = x − mean x
for name, value in {"dr": dr, "dσ²": dvariance, "dc": dc, "dx": dx}.items():
    print(f"{name:4} {np.round(value, 5)}")

# %%
eps = 1e-6


def first_result(x):
    return ((x - x.mean()) / x.std())[0]


numeric = [(first_result(x + step) - first_result(x - step)) / (2 * eps) for step in eps * np.eye(4)]
print("by finite differences:", np.round(numeric, 5))
np.testing.assert_allclose(dx, numeric, atol=1e-8)
print(f"dx · (1, 1, 1, 1) = {abs(dx.sum()):.1f}, dx · x̂ = {abs(dx @ x_hat):.1f}")

# %% [markdown]
# The last line is a check to remember. Adding a number to all of $x$ changes nothing in $\hat x$, and neither does stretching
# $x$ about its mean. So no part of the gradient may point along $(1, 1, 1, 1)$ or along $\hat x$.

# %% [markdown]
# ## Layer norm, derived
#
# With a trained weight $w$ and bias $b$, and a small $\varepsilon$ (see "What breaks if"), over the $d$ features of a token:
#
# $$\mu = \tfrac{1}{d}\sum_i x_i, \quad c = x - \mu, \quad \sigma^2 = \tfrac{1}{d}\sum_i c_i^2, \quad
# r = (\sigma^2 + \varepsilon)^{-1/2}, \quad \hat x = r\,c, \quad y = w \circ \hat x + b.$$
#
# Backwards, given $dy$:
#
# 1. $y = w \circ \hat x + b$, elementwise: $d\hat x = w \circ dy$. All tokens share $w$ and $b$, so $dw = \sum dy \circ \hat x$ and
#    $db = \sum dy$, over the tokens.
# 2. $\hat x = r\,c$, where $r$ is one number for all features: $dr = \sum_i d\hat x_i\,c_i$.
# 3. $r = (\sigma^2 + \varepsilon)^{-1/2}$ has the derivative $-\tfrac{1}{2}(\sigma^2 + \varepsilon)^{-3/2} = -\tfrac{1}{2} r^3$, so
#    $d\sigma^2 = -\tfrac{1}{2} r^3\,dr$.
# 4. $c$ went into $\hat x$ and into $\sigma^2$, whose derivative by $c_i$ is $2c_i/d$. Both contributions, with $r\,c = \hat x$ put in:
#
# $$dc_i = r\,d\hat x_i + d\sigma^2\,\frac{2 c_i}{d} = r\,d\hat x_i - r^3 c_i\,\frac{1}{d}\sum_j d\hat x_j\,c_j
# = r\,\big(d\hat x_i - \hat x_i\,\mathrm{mean}(d\hat x \circ \hat x)\big).$$
#
# 5. $c = x - \mu$, where $x_i$ moves its own $c_i$ and, through the mean, all of them: $dx = dc - \mathrm{mean}(dc)$. As
#    $\mathrm{mean}(\hat x) = 0$, the second term of $dc$ has mean 0, and only $r\,\mathrm{mean}(d\hat x)$ is to be taken off:
#
# $$dx = r\,\big(d\hat x - \mathrm{mean}(d\hat x) - \hat x\,\mathrm{mean}(d\hat x \circ \hat x)\big).$$
#
# In words: the gradient loses its part along $(1, \dots, 1)$ and along $\hat x$, and is divided by $\sigma$.

# %% tags=["blocks"]
import numpy as np

from minillm.book import module
from minillm.ops.activation import erf

engine, attention = module("04", "engine"), module("06", "attention")


def layer_norm_forward(x, weight, bias, eps=1e-5):
    """y = w ∘ x̂ + b,  x̂ = (x − μ) / √(σ² + ε);  x: (..., d)"""
    centred = x - x.mean(-1, keepdims=True)
    r = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    x_hat = centred * r
    return weight * x_hat + bias, (x_hat, r, weight)


def layer_norm_backward(dy, saved):
    """dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ∘ x̂)),  dx̂ = w ∘ dy"""
    x_hat, r, weight = saved
    dx_hat = weight * dy
    along = (dx_hat * x_hat).mean(-1, keepdims=True)
    dx = r * (dx_hat - dx_hat.mean(-1, keepdims=True) - x_hat * along)
    tokens = tuple(range(dy.ndim - 1))
    return dx, (dy * x_hat).sum(tokens), dy.sum(tokens)


layer_norm = engine.op(layer_norm_forward, layer_norm_backward)


class LayerNorm:
    """Layer norm with a weight of ones and a bias of zeros to start with."""

    def __init__(self, d_model):
        self.weights = [engine.Tensor(np.ones(d_model)), engine.Tensor(np.zeros(d_model))]

    def __call__(self, x):
        return layer_norm(x, *self.weights)


# %%
_, saved = layer_norm_forward(x, np.ones(4), np.zeros(4), eps=0)
np.testing.assert_allclose(layer_norm_backward(dx_hat, saved)[0], dx, rtol=1e-12)
print("the formula in one line:", layer_norm_backward(dx_hat, saved)[0].round(5))

# %% [markdown]
# ## RMSNorm, its cheaper cousin
#
# Is the mean worth taking off? **RMSNorm** divides by the root mean square and leaves it at that, with no bias:
# $\hat x = x / \sqrt{\mathrm{mean}(x^2) + \varepsilon}$. Its backward is what we have without step 5, with $x$ in the place of $c$. It
# takes one mean of each row in place of two, and half of the parameters.


# %% tags=["blocks"]
def rms_norm_forward(x, weight, eps=1e-5):
    """y = w ∘ x̂,  x̂ = x / √(mean(x²) + ε)"""
    r = 1 / np.sqrt((x**2).mean(-1, keepdims=True) + eps)
    return weight * x * r, (x * r, r, weight)


def rms_norm_backward(dy, saved):
    """dx = r (dx̂ − x̂ mean(dx̂ ∘ x̂))"""
    x_hat, r, weight = saved
    dx_hat = weight * dy
    dx = r * (dx_hat - x_hat * (dx_hat * x_hat).mean(-1, keepdims=True))
    return dx, (dy * x_hat).sum(tuple(range(dy.ndim - 1)))


rms_norm = engine.op(rms_norm_forward, rms_norm_backward)

# %%
print("layer norm of x:      ", layer_norm_forward(x, np.ones(4), np.zeros(4))[0].round(4))
print("RMSNorm of x:         ", rms_norm_forward(x, np.ones(4))[0].round(4))
print("RMSNorm of x − mean x:", rms_norm_forward(centred, np.ones(4))[0].round(4))
np.testing.assert_allclose(rms_norm_forward(centred, np.ones(4))[0], layer_norm_forward(x, np.ones(4), np.zeros(4))[0])

# %% [markdown]
# The first and the third are equal: layer norm is RMSNorm of the centred row. Neither looks at other tokens, or at other rows of
# the batch; that makes them fit for texts of any length.

# %% [markdown]
# ## Feed-forward
#
# $$\mathrm{FFN}(x) = \phi(x W_1 + b_1)\,W_2 + b_2.$$
#
# $W_1$ widens a token's vector, usually four times, $\phi$ bends, $W_2$ narrows it again. Without $\phi$ the two matrices would be
# one. ReLU, $\phi(x) = \max(x, 0)$, multiplies $x$ by a gate that is open where $x > 0$. **GELU** makes the gate soft: it is open
# with the probability $\Phi(x) = P(Z < x)$ of a standard normal $Z$, and on average passes
#
# $$\mathrm{GELU}(x) = x\,\Phi(x), \qquad \Phi(x) = \tfrac{1}{2}\big(1 + \mathrm{erf}(x/\sqrt 2)\big).$$
#
# By the product rule, and as the derivative of $\Phi$ is the density $\varphi(x) = e^{-x^2/2}/\sqrt{2\pi}$:
#
# $$\mathrm{GELU}'(x) = \Phi(x) + x\,\varphi(x).$$


# %% tags=["blocks"]
def gelu_forward(x):
    """x Φ(x)"""
    phi = 0.5 * (1 + erf(np, x / np.sqrt(2)))
    return x * phi, (x, phi)


def gelu_backward(g, saved):
    """dx = g (Φ(x) + x φ(x))"""
    x, phi = saved
    return (g * (phi + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)),)


gelu = engine.op(gelu_forward, gelu_backward)


def matrix(rng, d_in, d_out):
    """Entries of variance 1 / d_in: a product with it keeps the size of its input's entries."""
    return engine.Tensor(rng.normal(size=(d_in, d_out)) / np.sqrt(d_in))


class FeedForward:
    """FFN(x) = φ(x W_1 + b_1) W_2 + b_2"""

    def __init__(self, rng, d_model, d_ff, activation=gelu):
        biases = [engine.Tensor(np.zeros(d)) for d in (d_ff, d_model)]
        self.weights = [matrix(rng, d_model, d_ff), biases[0], matrix(rng, d_ff, d_model), biases[1]]
        self.activation = activation

    def __call__(self, x):
        w_1, b_1, w_2, b_2 = self.weights
        return self.activation(x @ w_1 + b_1) @ w_2 + b_2


# %%
grid = np.linspace(-4, 4, 161)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for name, activation, style in (("ReLU", engine.relu, "--"), ("GELU", gelu, "-")):
    points = engine.Tensor(grid)
    values = activation(points)
    values.sum().backward()
    left.plot(grid, values.array, style, label=name)
    right.plot(grid, points.grad, style, label=name)
    at = engine.Tensor(np.array([-3.0, -1, -0.1, 0.1, 1, 3]))
    activation(at).sum().backward()
    print(f"{name} has the derivatives {at.grad.round(4)} at {at.array}")
left.set(xlabel="x", ylabel="φ(x)", title="the function")
right.set(xlabel="x", ylabel="φ′(x)", title="its derivative")
left.legend()
show(figure, "ReLU and GELU, and their derivatives: below 0 the first has no gradient, the second has some.")

# %% [markdown]
# A neuron of ReLU that is below 0 for every token gets no gradient and stays so. GELU lets a little through. **SwiGLU**
# goes further and lets the network learn its gate: one product is the gate, bent by $\mathrm{silu}(a) = a\,\sigma(a)$ with the
# sigmoid $\sigma(a) = 1/(1 + e^{-a})$; another is what passes: $(\mathrm{silu}(x W_g) \circ x W_1)\,W_2$. Its three matrices are
# usually made a third narrower, so that they cost what two would.


# %% tags=["blocks"]
def silu_forward(x):
    """x σ(x),  σ(x) = 1 / (1 + e⁻ˣ) = ½ (1 + tanh(x/2))"""
    s = 0.5 * (1 + np.tanh(x / 2))
    return x * s, (x, s)


def silu_backward(g, saved):
    """dx = g (σ + x σ (1 − σ))"""
    x, s = saved
    return (g * (s + x * s * (1 - s)),)


silu = engine.op(silu_forward, silu_backward)


class SwiGLU:
    """(silu(x W_g) ∘ x W_1) W_2"""

    def __init__(self, rng, d_model, d_ff):
        self.weights = [matrix(rng, d_model, d_ff), matrix(rng, d_model, d_ff), matrix(rng, d_ff, d_model)]

    def __call__(self, x):
        w_g, w_1, w_2 = self.weights
        return (silu(x @ w_g) * (x @ w_1)) @ w_2


# %% [markdown]
# ## Residual connections
#
# Stack $L$ layers, $x_l = f_l(x_{l-1})$, with the Jacobians $F_l = \partial f_l/\partial x_{l-1}$. By the chain rule the
# gradient of the first input is that of the last output times a product of all of them. With a way around each layer,
# $x_l = x_{l-1} + f_l(x_{l-1})$, every factor gains the identity:
#
# $$F_L \cdots F_2 F_1 \qquad\text{becomes}\qquad (I + F_L) \cdots (I + F_2)(I + F_1) = I + \sum_l F_l + \sum_{l > m} F_l F_m + \dots$$
#
# Multiplied out that is $2^L$ products, one for each way of going through some layers and around the others. The
# product without residuals, on the left, is just the longest of them. If each $F$ shrinks a gradient to a half, twelve of them leave
# $2^{-12}$ of it. The sum still has its $I$, the gradient as it came.
#
# Measured, on twelve feed-forward layers: `jacobian` puts $d$ copies of $x$ into a batch and asks
# for the gradient of another output in each.


# %%
def jacobian(f, x):
    """∂f_i/∂x_j, (d, d), of a function of rows."""
    copies = engine.Tensor(np.tile(x, (len(x), 1)))
    (f(copies) * np.eye(len(x))).sum().backward()
    return copies.grad


d = 16
rng = np.random.default_rng(0)
layers = [FeedForward(rng, d, 4 * d) for _ in range(12)]
start = rng.normal(size=d)
products = {}
print("layers   largest and smallest singular value of the product")
for name, around in (("without", 0), ("with", 1)):
    x, product = start, np.eye(d)
    for depth, f in enumerate(layers, 1):
        product = (around * np.eye(d) + jacobian(f, x)) @ product
        x = around * x + f(x).array
        if depth in (1, 4, 12):
            values = np.linalg.svd(product, compute_uv=False)
            print(f"{depth:6}   {name:7} {values[0]:9.1e} {values[-1]:9.1e}")
    products[name] = product


def with_residuals(x):
    for f in layers:
        x = x + f(x)
    return x


np.testing.assert_allclose(products["with"], jacobian(with_residuals, start), rtol=1e-8, atol=1e-8)
F_1, F_2 = jacobian(layers[0], start), jacobian(layers[1], start + layers[0](start).array)
np.testing.assert_allclose((np.eye(d) + F_2) @ (np.eye(d) + F_1), np.eye(d) + F_1 + F_2 + F_2 @ F_1, atol=1e-12)
print("the product is the Jacobian of all twelve; two layers multiply out to I + F₁ + F₂ + F₂F₁")

# %%
arrives = {name: np.linalg.norm(np.ones(d) @ product) / np.sqrt(d) for name, product in products.items()}
say(
    f"Send the gradient $(1, \\dots, 1)$ in from above: without the way around **{arrives['without']:.1e}** of its length arrives "
    f"twelve layers below, with it **{arrives['with']:.1f}** times its length. The entries of $x$ have grown as well, "
    f"{np.linalg.norm(with_residuals(start).array) / np.linalg.norm(start):.0f}-fold in length; keeping sizes in hand is the job of "
    "the norm."
)

# %% [markdown]
# ## Positions: why attention alone sees a bag of words
#
# Let $\Pi$ be a permutation matrix, so $\Pi x$ has the same tokens in another order. Queries, keys and values are computed token by
# token, so they become $\Pi Q$, $\Pi K$ and $\Pi V$; the scores become $\Pi Q K^\top \Pi^\top$. Softmax works row by row and
# does not care about the order inside a row, so the shares $P$ become $\Pi P \Pi^\top$, and the output is
#
# $$\Pi P\,\Pi^\top \Pi\,V = \Pi\,(P V).$$
#
# Each token gets the same output wherever it stands: attention is **permutation equivariant**. Norm, feed-forward and
# residual work on each token alone, so a whole stack of layers is, too.

# %%
rng = np.random.default_rng(0)
heads = attention.MultiHead(rng, n_head=2, d_in=8, width=8, d_out=8)
x, order = rng.normal(size=(1, 6, 8)), rng.permutation(6)
difference = np.abs(heads(x[:, order]).array - heads(x).array[:, order]).max()
say(f"Attention of permuted tokens and permuted attention differ by at most **{difference:.0e}**.")
assert difference < 1e-12

# %% [markdown]
# A causal mask breaks this, since it says what is earlier. But one masked layer tells the last token only *what* came before it, and
# not in which order; only a second layer can learn of the order, from earlier tokens that have seen different pasts:

# %%
mask, swapped = attention.causal_mask(6), [2, 0, 1, 4, 3, 5]  # the last token stays the last
one_layer = [heads(inputs, mask=mask) for inputs in (x, x[:, swapped])]
two_layers = [heads(output, mask=mask) for output in one_layer]
for name, (a, b) in {"one masked layer": one_layer, "two masked layers": two_layers}.items():
    print(f"{name:18} the last token's output changes by {np.abs(a.array[0, -1] - b.array[0, -1]).max():.0e}")

# %% [markdown]
# ## Sinusoidal positions
#
# Each place $t$ gets a vector that is added to the token's. The first Transformer took waves of $d/2$ frequencies, fast to slow:
#
# $$PE(t)_{2i} = \sin(\omega_i t), \quad PE(t)_{2i+1} = \cos(\omega_i t), \quad \omega_i = 10000^{-2i/d}.$$
#
# Why sine and cosine? A pair of them is a hand of a clock, and going on by $k$ places turns it by the angle $\omega_i k$, wherever
# it stood. By the addition theorems, $\sin(a + b) = \sin a \cos b + \cos a \sin b$ and $\cos(a + b) = \cos a \cos b - \sin a \sin b$:
#
# $$\begin{pmatrix} \sin \omega_i(t + k) \\ \cos \omega_i(t + k) \end{pmatrix} =
# \begin{pmatrix} \cos \omega_i k & \sin \omega_i k \\ -\sin \omega_i k & \cos \omega_i k \end{pmatrix}
# \begin{pmatrix} \sin \omega_i t \\ \cos \omega_i t \end{pmatrix}.$$
#
# So $PE(t + k) = R_k\,PE(t)$, with one matrix $R_k$ for all $t$. "Three places back" is a linear map that $W_Q$ or $W_K$ can learn.


# %% tags=["blocks"]
def angles(time, d, start=0):
    """ω_i t for places from `start` on, (time, d/2);  ω_i = 10000^(−2i/d)"""
    return (start + np.arange(time))[:, None] / 10000 ** (np.arange(0, d, 2) / d)


def sinusoidal(time, d):
    """PE, (time, d)"""
    angle = angles(time, d)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(time, d)


# %%
table, k = sinusoidal(64, 16), 5
R = np.zeros((16, 16))
for i, turn_by in enumerate(angles(1, 16, start=k)[0]):
    c, s = np.cos(turn_by), np.sin(turn_by)
    R[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[c, s], [-s, c]]
difference = np.abs(table[k:] - table[:-k] @ R.T).max()
print(f"R₅ PE(t) and PE(t + 5) differ by at most {difference:.0e}, for all t up to {63 - k}")
assert difference < 1e-12

# %% [markdown]
# A rotation keeps lengths and products, so $PE(t) \cdot PE(t + k) = \sum_i \cos \omega_i k$ depends on the distance only. It
# is largest at 0, where every cosine is 1, and changes smoothly, so places side by side look alike:

# %%
waves = sinusoidal(96, 64)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
picture = left.imshow(waves, cmap="RdBu_r", aspect="auto", vmin=-1, vmax=1)
left.set(xlabel="feature", ylabel="place t", title="PE(t), 64 features")
figure.colorbar(picture, ax=left, label="value")
for t in (20, 48, 75):
    right.plot(np.arange(96) - t, waves @ waves[t], label=f"t = {t}")
right.set(xlabel="distance k, in places", ylabel="PE(t) · PE(t + k)", title="similarity of places")
right.legend()
show(figure, "Sinusoidal positions, fast waves at the left; their products lie on one curve, for every place t.")

# %% [markdown]
# **Learned positions** (GPT-2, BERT) are simpler: a table of vectors, trained like the words' own. It has to be learnt that
# place 8 follows place 7, and beyond the last row there is nothing:

# %%
learned = ml.nn.LearnedPositions(context_length=8, d_model=4)
try:
    learned(ml.Tensor(np.zeros((1, 9, 4), np.float32)))
except ml.errors.ShapeError as error:
    print(f"nine tokens: {error}")

# %% [markdown]
# ## Rotary positions
#
# If what matters is the distance, why add positions to the words, to be mixed up with them? **Rotary** positions turn queries and
# keys instead, each pair of features by its angle $\omega_i t$, right before the scores are taken. Now $R_m$ turns each pair by
# $+\omega_i m$ (above, with the sine first, the signs were the other way round). It has the inverse $R_m^\top = R_{-m}$, and two turns
# add up, so the score of a query at $m$ and a key at $n$ is
#
# $$(R_m q) \cdot (R_n k) = q^\top R_m^\top R_n\,k = q^\top R_{n - m}\,k.$$
#
# Only $n - m$ is left. Values aren't turned: they say what, and not where. Backward turns the gradient back.


# %% tags=["blocks"]
def turn(x, angle):
    """Each pair (x_2i, x_2i+1) turned by its angle; x: (..., time, d), angle: (time, d/2)"""
    even, odd = x[..., 0::2], x[..., 1::2]
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([even * c - odd * s, even * s + odd * c], axis=-1).reshape(x.shape)


def rotary_forward(x, start=0):
    angle = angles(*x.shape[-2:], start)
    return turn(x, angle), angle


def rotary_backward(g, angle):
    return (turn(g, -angle),)


rotary = engine.op(rotary_forward, rotary_backward)


class RotaryMultiHead(attention.MultiHead):
    """Chapter 06's heads with queries and keys turned; for self-attention only, as a memory's places are others."""

    def heads(self, x, memory=None):
        assert memory is None, "rotary positions are for self-attention"
        q, k, v = super().heads(x)
        return rotary(q), rotary(k), v


# %% [markdown]
# The score of one query and one key, put at several pairs of places. For comparison, with sinusoidal positions added to them:

# %%
rng = np.random.default_rng(0)
query, key = rng.normal(size=(2, 1, 16))
waves = sinusoidal(1004, 16)
print("  query at   key at   distance   rotary score      added waves")
rotary_scores = {}
for m, n in [(3, 0), (10, 7), (1003, 1000), (5, 0), (505, 500)]:
    score = (rotary_forward(query, start=m)[0] @ rotary_forward(key, start=n)[0].T).item()
    rotary_scores.setdefault(m - n, []).append(score)
    added = ((query[0] + waves[m]) @ (key[0] + waves[n])).item()
    print(f"{m:10} {n:8} {m - n:10} {score:14.10f} {added:16.10f}")
for distance, scores in rotary_scores.items():
    np.testing.assert_allclose(scores, scores[0], rtol=1e-10)
    print(f"at distance {distance} all rotary scores are equal")

# %% [markdown]
# ## The block
#
# All pieces are there. One question is left: where does the norm go? **Post-norm**, as in the first Transformer, puts it behind the
# sum, so it stands in the way of every gradient; **pre-norm**, as in GPT-2 and after, puts it on the side road and leaves the
# identity free:
#
# $$\text{post: } y = \mathrm{Norm}(x + f(x)) \qquad\qquad \text{pre: } y = x + f(\mathrm{Norm}(x))$$
#
# A block does this twice, with $f$ the attention and then with $f$ the feed-forward network.


# %% tags=["blocks"]
def residual(x, f, norm, order="pre"):
    """A sublayer f with the way around it, and the norm before or after."""
    return x + f(norm(x)) if order == "pre" else norm(x + f(x))


class Block:
    """Self-attention, then feed-forward: x is (batch, time, d_model), and so is the result."""

    def __init__(self, rng, n_head, d_model, d_ff, order="pre"):
        self.attention = attention.MultiHead(rng, n_head, d_model, d_model, d_model)
        self.feed_forward = FeedForward(rng, d_model, d_ff)
        self.norms = LayerNorm(d_model), LayerNorm(d_model)
        self.order = order

    def __call__(self, x, mask=None):
        x = residual(x, lambda z: self.attention(z, mask=mask), self.norms[0], self.order)
        return residual(x, self.feed_forward, self.norms[1], self.order)

    @property
    def weights(self):
        return [w for part in (self.attention, self.feed_forward, *self.norms) for w in part.weights]


# %% [markdown]
# ### The document's "+", in numbers
#
# Taken at its word, $\mathrm{Attention}(x) + \mathrm{FFN}(x)$ runs both side by side on the same input. Then the feed-forward network never sees
# what attention has gathered. To see it, change the *second* token, and look at what the feed-forward network says of the first:

# %%
rng = np.random.default_rng(0)
block = Block(rng, n_head=2, d_model=8, d_ff=32)
x = rng.normal(size=(1, 3, 8))
other = x.copy()
other[0, 1] = rng.normal(size=8)
att, ffn = block.attention, block.feed_forward
readings = {
    "Attention(x) + FFN(x), as written": (lambda x: ffn(x), lambda x: att(x) + ffn(x)),
    "FFN(Attention(x)), composed": (lambda x: ffn(att(x)), lambda x: ffn(att(x))),
    "with residuals and norms": (lambda x: ffn(block.norms[1](x + att(block.norms[0](x)))), block),
}
print(f"{'':36}first token: FFN moves by   its output")
for name, (ffn_part, whole) in readings.items():
    moved = np.abs(ffn_part(other).array - ffn_part(x).array)[0, 0].max()
    print(f"{name:36}{moved:25.4f}   {whole(x).array[0, 0, :3].round(3)} ...")

# %% [markdown]
# As written, what one token learns of another is never computed with in the same layer. Composed, it is; the last line is what
# Transformers do.

# %% [markdown]
# ## The gradient check
#
# Finite differences against backward. A row of $\hat x$ sums to 0 whatever $x$ is, so results are weighted first; otherwise the
# right gradient would be 0, and mistakes could hide.

# %%
rng = np.random.default_rng(0)
x, w, b, weigh = rng.normal(size=(2, 3, 8)), rng.normal(size=8), rng.normal(size=8), rng.normal(size=(2, 3, 8))
pre, post = (Block(rng, n_head=2, d_model=8, d_ff=12, order=order) for order in ("pre", "post"))
turning, swiglu = RotaryMultiHead(rng, n_head=2, d_in=8, width=8, d_out=8), SwiGLU(rng, 8, 6)
for name, fn, inputs in [
    ("layer norm", lambda x, w, b: layer_norm(x, w, b) * weigh, [x, w, b]),
    ("RMSNorm", lambda x, w: rms_norm(x, w) * weigh, [x, w]),
    ("GELU", lambda x: gelu(x) * weigh, [x]),
    ("silu", lambda x: silu(x) * weigh, [x]),
    ("feed-forward", lambda x: pre.feed_forward(x) * weigh, [x]),
    ("SwiGLU", lambda x: swiglu(x) * weigh, [x]),
    ("rotary positions", lambda x: rotary(x, start=7) * weigh, [x]),
    ("rotary attention", lambda x: turning(x) * weigh, [x]),
    ("pre-norm block", lambda x: pre(x, attention.causal_mask(3)) * weigh, [x]),
    ("post-norm block", lambda x: post(x, attention.causal_mask(3)) * weigh, [x]),
]:
    error = engine.gradient_check(fn, *inputs)
    print(f"{name:18} largest error {error:.1e}")
    assert error < 1e-7

# %% [markdown]
# ## The same thing in minillm
#
# Our pairs on the cases that the library's ops are tested with. Its norms can leave out weight and bias, and take a residual to add
# first, which ours can't; those cases are compared with the missing parts put in.

# %%
for name, forward, backward in (("gelu", gelu_forward, gelu_backward), ("silu", silu_forward, silu_backward)):
    op = getattr(ml.ops, name)
    passed = ml.testing.check(
        op, forward=lambda xp, x, f=forward: f(x), backward=lambda xp, g, saved, f=backward: f(g, saved)
    )
    print(f"{name:10} {passed} cases, forward and backward")

norms = {
    "layer_norm": (layer_norm_forward, layer_norm_backward, (np.ones, np.zeros)),
    "rms_norm": (rms_norm_forward, rms_norm_backward, (np.ones,)),
}
for name, (forward, backward, defaults) in norms.items():
    op, compared, largest = getattr(ml.ops, name), 0, 0.0
    for case in op.cases(np.random.default_rng(0)):
        x, *given = case.args[: 1 + len(defaults)]
        if len(case.args) > 1 + len(defaults):
            x = x + case.args[-1]  # the residual
        given += [make(x.shape[-1]) for make in defaults[len(given) :]]
        ours, saved = forward(x, *given, **case.kwargs)
        theirs, their_saved = op.reference.forward(np, x, *given, **case.kwargs)
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
        g = np.cos(np.arange(ours.size)).reshape(ours.shape)
        for mine, library in zip(backward(g, saved), op.reference.backward(np, g, their_saved), strict=False):
            np.testing.assert_allclose(mine, library, atol=1e-10)
        compared += 1
        if ours.size:
            largest = max(largest, ml.testing.gradcheck(op, [x, *given]).largest_error)
    print(f"{name:10} {compared} cases, equal; the library's gradients within {largest:.0e} of finite differences")

# %% [markdown]
# The layers: with our weights in them (the library keeps each matrix transposed) `EncoderLayer` gives our outputs and our
# gradients, pre-norm and post-norm. Read them in [ops/norm.py](../minillm/ops/norm.py),
# [nn/feed_forward.py](../minillm/nn/feed_forward.py), [nn/position.py](../minillm/nn/position.py) and [nn/blocks.py](../minillm/nn/blocks.py).


# %%
def library_attention(ours, rotary=None):
    """The library's causal attention with our weights."""
    d, options = ours.weights[0].shape[0], {"causal": True, "bias": False, "dtype": "float64"}
    made = ml.nn.MultiHeadAttention(d, ours.n_head, rotary=rotary, **options)
    for linear, weight in zip((made.query, made.key, made.value, made.output), ours.weights, strict=True):
        linear.weight.mutable()[...] = weight.array.T
    return made


def library_feed_forward(ours, activation):
    """The library's feed-forward network with our weights, of either kind."""
    d, d_ff = ours.weights[0].shape
    made = ml.nn.FeedForward(d, d_ff, activation, bias=activation != "swiglu", dtype="float64")
    parts = {"swiglu": ("gate", "up", "down")}.get(activation, ("up", "up", "down", "down"))
    for part, weight in zip(parts, ours.weights, strict=True):
        linear = getattr(made, part)
        (linear.weight if weight.array.ndim == 2 else linear.bias).mutable()[...] = weight.array.T
    return made


x = rng.normal(size=(2, 5, 8))
for name, ours, theirs in [
    ("SwiGLU", swiglu(x), library_feed_forward(swiglu, "swiglu")),
    (
        "rotary attention",
        turning(x, mask=attention.causal_mask(5)),
        library_attention(turning, ml.nn.RotaryPositions(5, 4, "float64")),
    ),
    ("sinusoidal positions", engine.Tensor(x + sinusoidal(5, 8)), ml.nn.SinusoidalPositions(5, 8, "float64")),
]:
    np.testing.assert_allclose(ours.array, theirs(ml.Tensor(x)).numpy(), rtol=1e-10, atol=1e-12)
    print(f"{name}: outputs of shape {ours.shape}, equal")

# %%
for block in (pre, post):
    library = ml.nn.EncoderLayer(
        library_attention(block.attention),
        library_feed_forward(block.feed_forward, "gelu"),
        lambda: ml.nn.LayerNorm(8, dtype="float64"),
        norm=block.order,
    )
    ours, theirs = block(x, attention.causal_mask(5)), library(ml.Tensor(x))
    np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-10, atol=1e-12)
    (ours * np.cos(ours.array)).sum().backward()
    (theirs * np.cos(ours.array)).sum().backward()
    inner, norm = library.feed_forward.sublayer, library.attention.norm
    for mine, its in [
        (block.attention.weights[0].grad, library.attention.sublayer.query.weight.grad.T),
        (block.feed_forward.weights[0].grad, inner.up.weight.grad.T),
        (block.norms[0].weights[0].grad, norm.weight.grad),
        (block.norms[0].weights[1].grad, norm.bias.grad),
    ]:
        np.testing.assert_allclose(mine, its, rtol=1e-8, atol=1e-10)
    print(f"{block.order}-norm: output, and gradients of W_Q, W_1 and the first norm's w and b, equal")

# %% [markdown]
# ## Picture: pre-norm and post-norm, by depth
#
# Twelve blocks at the start of training, a loss on top, and one pass backwards. The y-axis shows the norm of the gradient of each
# block's $W_2$, its last matrix. (A pre-norm model has one more norm at its end, since nothing else bounds its sum.)

# %%
losses = module("05", "losses")
D, DEPTH, TIME = 32, 12, 10


def start_of_training(layer, last_norm, seed=0):
    """The inputs of every layer, then the output, after backward from the loss of random targets; and the blocks."""
    rng = np.random.default_rng(seed)
    blocks = [Block(rng, n_head=2, d_model=D, d_ff=2 * D) for _ in range(DEPTH)]
    states = [engine.Tensor(rng.normal(size=(4, TIME, D)))]
    for block in blocks:
        states.append(layer(block, states[-1]))
    top = LayerNorm(D)(states[-1]) if last_norm else states[-1]
    losses.cross_entropy(top @ matrix(rng, D, 50), targets=rng.integers(50, size=(4, TIME))).backward()
    return states, blocks


def as_a(order):
    def layer(block, x):
        block.order = order
        return block(x)

    return layer


by_order = {}
for order in ("pre", "post"):
    _, blocks = start_of_training(as_a(order), last_norm=order == "pre")
    by_order[f"{order}-norm"] = [np.linalg.norm(block.feed_forward.weights[2].grad) for block in blocks]
names = [str(n) for n in range(1, DEPTH + 1)]
views.gradient_norms(names, by_order)

# %%
ratio = by_order["post-norm"][-1] / by_order["pre-norm"][-1]
larger = sum(post > pre for pre, post in zip(*by_order.values(), strict=True))
say(
    f"Post-norm's gradient is the larger one in {larger} of {DEPTH} blocks; at the last it is **{ratio:.1f} times** "
    "pre-norm's. The reason is size: a pre-norm sum grows with depth, and the norm at the end divides the gradient by it; post-norm "
    "brings every block's result back to size 1. Xiong et al. (2020) "
    "trace post-norm's need for small first steps to large gradients near the output. The next section tries it out."
)

# %% [markdown]
# ## What breaks if
#
# **... there is no residual, in twelve layers.** The gradient of each block's *input*, in three stacks: as it should be; without
# the way around but with norms, $f(\mathrm{Norm}(x))$; and with neither.


# %%
def bare(block, x):
    return block.feed_forward(block.attention(x))


def norms_only(block, x):
    return block.feed_forward(block.norms[1](block.attention(block.norms[0](x))))


stacks = {
    "residuals and norms": (as_a("pre"), True),
    "norms, no residual": (norms_only, True),
    "neither": (bare, False),
}
by_stack, by_query, alike = {}, {}, {}
for name, (layer, last_norm) in stacks.items():
    states, blocks = start_of_training(layer, last_norm)
    by_stack[name] = [np.linalg.norm(state.grad) for state in states]
    by_query[name] = np.linalg.norm(blocks[-1].attention.weights[0].grad)
    unit = states[-1].array / np.linalg.norm(states[-1].array, axis=-1, keepdims=True)
    alike[name] = (unit @ unit.swapaxes(-1, -2))[:, ~np.eye(TIME, dtype=bool)].mean()
views.gradient_norms([*names, "out"], by_stack)

# %%
print(f"{'':22}gradient at the input / at the output   ∂L/∂W_Q, last block   tokens alike")
for name, sizes in by_stack.items():
    print(f"{name:22}{sizes[0] / sizes[-1]:38.1e} {by_query[name]:22.1e} {alike[name]:14.4f}")

# %%
none, normed = by_stack["neither"], by_stack["norms, no residual"]
say(
    f"With neither, **{none[0] / none[-1]:.0e}** of the gradient is left when it reaches the first layer. With norms alone it is "
    f"{normed[0] / normed[-1]:.1f} times what it was, but look at the last column, the mean cosine between two tokens of one text: it is "
    f"**{alike['norms, no residual']:.4f}**. Every attention averages, and without the way around nothing keeps what a token was. Where "
    f"all tokens are alike it doesn't matter where one looks, so $W_Q$ of the last block has a gradient of "
    f"{by_query['norms, no residual']:.0e}."
)

# %% [markdown]
# **... post-norm is trained without warm-up.** Twelve of the library's layers, which we showed to be equal to ours, learn four lines of
# Tang poems by heart, character by character, with the Adam optimizer (chapter 09). Adam's first steps are as long as the learning
# rate says, whatever the gradient. Warm-up raises the rate from 0, here over 30 steps.

# %%
LINES = ["床前明月光疑是地上霜", "春眠不觉晓处处闻啼鸟", "白日依山尽黄河入海流", "红豆生南国春来发几枝"]
characters = sorted(set("".join(LINES)))
ids = np.array([[characters.index(c) for c in line] for line in LINES])


class Poet(ml.nn.Module):
    """Characters and places, twelve layers, and scores for the next character."""

    def __init__(self, order):
        self.characters, self.places = ml.nn.Embedding(len(characters), D), ml.nn.LearnedPositions(TIME, D)
        self.layers = [self.layer(order) for _ in range(DEPTH)]
        self.last_norm = ml.nn.LayerNorm(D) if order == "pre" else None
        self.head = ml.nn.Linear(D, len(characters))

    def layer(self, order):
        causal, ffn = ml.nn.MultiHeadAttention(D, 2, causal=True), ml.nn.FeedForward(D, 2 * D, "gelu")
        return ml.nn.EncoderLayer(causal, ffn, lambda: ml.nn.LayerNorm(D), norm=order)

    def forward(self, ids):
        x = self.places(self.characters(ids))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.last_norm(x) if self.last_norm else x)

    def loss(self):
        return ml.ops.cross_entropy(self(ids[:, :-1]), ids[:, 1:])


# %%
LEARNING_RATE = 5e-3


def train(order, warmup, steps=48):
    """The losses of all steps, and the weights as one long vector at the first eight."""
    ml.seed(0)
    poet = Poet(order)
    optimiser, history, points = ml.optim.Adam(poet.parameters(), LEARNING_RATE, betas=(0.9, 0.99)), [], []
    for step in range(1, steps + 1):
        if step <= 8:
            points.append(np.concatenate([p.numpy().ravel().astype(float) for p in poet.parameters()]))
        optimiser.lr = LEARNING_RATE * min(1, step / max(warmup, 1))
        optimiser.zero_grad()
        loss = poet.loss()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    return history, np.array(points)


runs = {name: train(*how) for name, how in {
    "pre-norm, no warm-up": ("pre", 0),
    "post-norm, no warm-up": ("post", 0),
    "post-norm, warm-up": ("post", 30),
}.items()}  # fmt: skip
counts = np.bincount(ids[:, 1:].ravel())
shares = counts[counts > 0] / counts.sum()
blind = -(shares * np.log(shares)).sum()
last = {name: np.mean(history[-5:]) for name, (history, _) in runs.items()}
say(
    f"Loss of the last five steps, in nats a character: {'; '.join(f'{name} **{loss:.3f}**' for name, loss in last.items())}. Whoever knows how "
    f"often each character comes, and nothing of what stands before it, reaches {blind:.2f}."
)

# %%
figure, axis = plt.subplots(figsize=(6.5, 3.4))
for (name, (history, _)), style in zip(runs.items(), ("-", "--", ":"), strict=True):
    axis.plot(history, style, label=name)
axis.axhline(blind, color="grey", linewidth=0.8, label="knows frequencies only")
axis.set(xlabel="step", ylabel="loss (nats a character)", ylim=(0, None))
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
show(figure, "Three runs of twelve layers: they differ only in where the norm stands, and in how fast they start.")

# %% [markdown]
# What ground did post-norm's first steps cross? The picture is of the plane through its start, spanned by its first step and by the
# whole way of the first seven. The view steps along the path:

# %%
from functools import partial


def loss_of(poet, vector):
    place = 0
    for p in poet.parameters():
        p.mutable()[...] = vector[place : place + p.size].reshape(p.shape)
        place += p.size
    with ml.no_grad():
        return poet.loss().item()


def plane(order):
    """The losses of the first steps, the path, and the plane's two directions."""
    history, path = runs[f"{order}-norm, no warm-up"]
    return history, path, np.array([path[1] - path[0], path[-1] - path[0]])


history, path, directions = plane("post")
say(
    f"The first full step took the loss from {history[0]:.2f} to {history[1]:.2f} nats a character, seven of them to {history[7]:.2f}."
)
views.landscape(
    partial(loss_of, Poet("post")),
    path[0],
    directions,
    radius=1.5,
    size=9,
    path=path,
    names=("first step", "way of seven steps"),
    unit="nats a character",
)

# %% [markdown]
# Pre-norm's first steps, from the same seed, on the plane that *they* span; post-norm's beside it, in the same colours:

# %%
ticks = np.linspace(-1.5, 1.5, 9)
grids, told = {}, []
for order in ("post", "pre"):
    history, path, directions = plane(order)
    poet = Poet(order)
    grids[order] = np.array([[loss_of(poet, path[0] + np.array([a, b]) @ directions) for a in ticks] for b in ticks])
    step, way = np.linalg.norm(directions, axis=1)
    told.append(
        f"{order.capitalize()}-norm's first step, {step:.2f} long, took the loss from {history[0]:.2f} to {history[1]:.2f} nats a character, and "
        f"seven, {way:.2f} from the start, to **{history[7]:.2f}**; the lowest of the {grids[order].size} places drawn is {grids[order].min():.2f}."
    )
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharey=True, layout="constrained")
scale = {"vmin": min(map(np.min, grids.values())), "vmax": max(map(np.max, grids.values()))}
for axis, (order, grid) in zip(axes, grids.items(), strict=True):
    _, path, directions = plane(order)
    image = axis.pcolormesh(ticks, ticks, grid, cmap="Greens", **scale)
    axis.plot(*np.linalg.lstsq(directions.T, (path - path[0]).T)[0], "k.-")
    axis.set(title=f"{order}-norm", xlabel="first step", xlim=(-1.69, 1.69), ylim=(-1.69, 1.69))
axes[0].set_ylabel("way of seven steps")
figure.colorbar(image, ax=axes, label="loss (nats a character)")
caption = "The ground of the first steps, in one scale of colours: the stronger, the higher the loss. Dots: the path, on the plane."
show(figure, caption)
say(" ".join(told))

# %% [markdown]
# **... there is no epsilon.** A row whose entries are all equal, as a padding token's zeros are, has variance 0, and $0 \cdot
# 1/0$ is no number. One such row among many is enough: the gradient of $w$ is a sum over all rows, and one nan makes all of it nan.

# %%
rows = np.random.default_rng(0).normal(size=(100, 4))
rows[17] = 0
for eps in (0, 1e-5):
    with np.errstate(divide="ignore", invalid="ignore"):
        y, saved = layer_norm_forward(rows, np.ones(4), np.zeros(4), eps)
        dx, dw, _ = layer_norm_backward(np.ones((100, 4)) * [1.0, 0, 0, 2], saved)
    print(f"ε = {eps}: that row becomes {y[17]}, its gradient {dx[17].round(1)}; dw = {dw.round(2)}")

# %% [markdown]
# With $\varepsilon$ the row is mapped to the bias. Its gradient is large, up to $1/\sqrt\varepsilon$ times what came in, but finite.
#
# **... there are no positions.** 狗咬人, "dog bites man", is no news; 人咬狗, "man bites dog", is. The same three words, in two orders,
# through a block; the mean of its outputs is what a classifier sees. If both orders get one answer, with probability $p$ for "news",
# the mean loss is $-\tfrac{1}{2}(\ln p + \ln(1 - p))$, which is never below $\ln 2$.

# %%
words = {"狗": 0, "咬": 1, "人": 2}
sentences, is_news = ["狗咬人", "人咬狗"], np.array([0, 1])
one_hot = np.eye(3)[[[words[word] for word in sentence] for sentence in sentences]]


def learn_news(places, steps=100):
    """The answers before training, and the loss after, with `places` added to the words' vectors."""
    rng = np.random.default_rng(0)
    embedding, block, head = matrix(rng, 3, 8), Block(rng, n_head=2, d_model=8, d_ff=16), matrix(rng, 8, 2)
    answers = []
    for _ in range(steps):
        logits = (block(one_hot @ embedding + places).sum(axis=1) / 3) @ head
        answers.append(logits.array)
        loss = losses.cross_entropy(logits, targets=is_news)
        loss.backward()
        for weight in (embedding, head, *block.weights):
            weight.array = weight.array - 0.2 * weight.grad
    return answers[0], float(loss.array)


for name, places in {"no positions": np.zeros((3, 8)), "with positions": sinusoidal(3, 8)}.items():
    logits, loss = learn_news(places)
    apart = np.abs(logits[0] - logits[1]).max()
    print(f"{name:15} the two answers differ by {apart:.0e} at first; after training the loss is {loss:.4f}")
print(f"ln 2 = {np.log(2):.4f}")

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("07.1")` gives a hint, and another when you call it again;
# `solution("07.1")` shows a solution.

# %% [markdown]
# **07.1** A layer norm is followed by a matrix product: $(w \circ \hat x + b)\,W + c$, with `w` and `b` of shape `(d,)`, `W` of `(d, n)`
# and `c` of `(n,)`. Once training is over, the norm's weight and bias can be folded into the product. Return a matrix and a
# bias so that $\hat x W' + c'$ is the same for every $\hat x$.


# %%
def fold(w, b, W, c): ...


check("07.1", fold)

# %% [markdown]
# **07.2** Some models bring queries and keys to length 1 before they are multiplied: $y = x/\lVert x \rVert$ over the last axis.
# Given `g`, the gradient of $y$, return that of `x`, both of shape `(..., d)`.


# %%
def unit_backward(g, x): ...


check("07.2", unit_backward)

# %% [markdown]
# **07.3** The middle of SwiGLU is $h = \mathrm{silu}(a) \circ b$. Given `g`, the gradient of $h$, return those of `a` and of `b`. Entries of
# `a` may be in the thousands, of either sign.


# %%
def gate_backward(g, a, b): ...


check("07.3", gate_backward)

# %% [markdown]
# **07.4** Find the distance in a table of sinusoidal positions. `later` and `earlier` are two rows of such a table, of even
# size `d`; return by how many places `later` stands after `earlier`, a whole number from 0 to 1,000. You aren't told where either
# stands.


# %%
def places_between(later, earlier): ...


check("07.4", places_between)

# %% [markdown]
# **07.5** Llama's rotary positions pair feature $i$ with feature $i + d/2$, where ours pairs $2i$ with $2i + 1$. Write theirs: `x` is
# `(..., time, d)`, its first token stands at place `start`, and pair $i$ turns by $\omega_i t$, $\omega_i = 10000^{-2i/d}$, as before.


# %%
def rotary_halves(x, start): ...


check("07.5", rotary_halves)
