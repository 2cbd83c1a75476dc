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
# # 04 Autograd: the derivative of any program
#
# Covers section 9.2 of the document (training by backpropagation) and the "gradient descent" of its section 3.2.3.
# Nothing there says how a derivative is found; here it is built, twice: for single numbers, then for arrays.
# The second engine is what the later chapters go on with.
#
# In minillm: [tape.py](../minillm/tape.py), [tensor.py](../minillm/tensor.py), [registry.py](../minillm/registry.py); checked in [tests/test_backward.py](../tests/test_backward.py), [tests/test_testing.py](../tests/test_testing.py), [tests/ops/test_table.py](../tests/ops/test_table.py).
#
# You need: chapters 01 to 03 for the words, the chain rule from school for the mathematics.

# %%
import numpy as np

import minillm as ml
from minillm.book import say, show
from minillm.exercises import check, hint, solution

# %% [markdown]
# ## The idea
#
# A model is trained by asking of each of its numbers: if it were a little larger, would the loss rise or fall, and how
# fast? That rate is the derivative of the loss with respect to the number. With a hundred million numbers there is no
# time to try each of them. **Reverse-mode differentiation** finds all of the rates at once, in about the time that it
# takes to compute the loss twice.
#
# It rests on one fact. If $L$ depends on $z$, and $z$ depends on $x$ and $y$, then
#
# $$\frac{\partial L}{\partial x} = \frac{\partial L}{\partial z}\,\frac{\partial z}{\partial x},$$
#
# and if $x$ reaches $L$ by several ways, their contributions add up. So we compute forwards, remember what came from
# what, and then walk back from $L$: each step knows $\partial L/\partial z$ already and passes it on to its inputs.

# %% [markdown]
# ## A worked example
#
# Take $L = (a\,b + c)^2$ with $a = 2$, $b = -3$, $c = 10$. Forwards, one step at a time:

# %%
a, b, c = 2.0, -3.0, 10.0
p = a * b
s = p + c
L = s**2
print(f"p = a b   = {p}")
print(f"s = p + c = {s}")
print(f"L = s²    = {L}")

# %% [markdown]
# Backwards, from $L$ to what it came from. Each line uses the one above it:

# %%
dL_ds = 2 * s  # the derivative of s²
dL_dp = dL_ds * 1  # s = p + c: a sum passes its rate on unchanged ...
dL_dc = dL_ds * 1  # ... to both of its terms
dL_da = dL_dp * b  # p = a b: each factor gets the rate times the other factor
dL_db = dL_dp * a
for name, value in {"s": dL_ds, "p": dL_dp, "c": dL_dc, "a": dL_da, "b": dL_db}.items():
    print(f"∂L/∂{name} = {value:6.1f}")

# %% [markdown]
# Is that right? A derivative can always be tried out: move the number a little to either side, and see how $L$ moves.
#
# $$\frac{\partial L}{\partial a} \approx \frac{L(a + \varepsilon) - L(a - \varepsilon)}{2\varepsilon}$$
#
# These **finite differences** are the judge of every derivative in this book, and of every op in the library.

# %%
eps = 1e-6


def loss(a, b, c):
    return (a * b + c) ** 2


print(f"∂L/∂a by finite differences: {(loss(a + eps, b, c) - loss(a - eps, b, c)) / (2 * eps):.6f}")
print(f"∂L/∂b by finite differences: {(loss(a, b + eps, c) - loss(a, b - eps, c)) / (2 * eps):.6f}")
print(f"∂L/∂c by finite differences: {(loss(a, b, c + eps) - loss(a, b, c - eps)) / (2 * eps):.6f}")

# %% [markdown]
# ## A scalar engine
#
# Now let the machine do the walking. A `Value` is a number that remembers which values it was made of, and the local
# rate of each: $\partial z/\partial x$ as a number.


# %% tags=["scalar-engine"]
class Value:
    """A number that remembers what it was computed from."""

    def __init__(self, number, inputs=()):
        self.number = number
        self.inputs = inputs  # pairs of (value, local rate: how fast this number moves with that one)
        self.rate = 0.0  # ∂L/∂(this), filled in by backward

    def __add__(self, other):
        return Value(self.number + other.number, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Value(self.number * other.number, [(self, other.number), (other, self.number)])

    def __pow__(self, power):
        return Value(self.number**power, [(self, power * self.number ** (power - 1))])

    def backward(self):
        """Fill in the rate of every value that this one depends on."""
        self.rate = 1.0
        for value in reversed(values_in_order(self)):
            for source, local in value.inputs:
                source.rate += value.rate * local


def values_in_order(last):
    """All values that `last` depends on, each after those it was made of."""
    order, seen = [], set()

    def visit(value):
        if id(value) not in seen:
            seen.add(id(value))
            for source, _ in value.inputs:
                visit(source)
            order.append(value)

    visit(last)
    return order


# %% [markdown]
# The order matters: a value may pass its rate on only when all that use it have passed theirs to it. `values_in_order` sorts the
# graph so that this holds (a topological order), and `+=` adds up what comes by several ways.

# %%
a, b, c = Value(2.0), Value(-3.0), Value(10.0)
L = (a * b + c) ** 2
L.backward()
print(f"L = {L.number}, ∂L/∂a = {a.rate}, ∂L/∂b = {b.rate}, ∂L/∂c = {c.rate}")
assert (a.rate, b.rate, c.rate) == (dL_da, dL_db, dL_dc)

# %% [markdown]
# The same numbers as by hand. And a value used twice gets both contributions, as $x \cdot x$ shows, whose derivative at
# 5 is $2 \cdot 5$:

# %%
x = Value(5.0)
(x * x).backward()
print(f"d(x·x)/dx at 5 = {x.rate}")

# %% [markdown]
# ## From numbers to arrays
#
# A matrix product of two 1,000 × 1,000 matrices is two thousand million scalar steps. Nobody records each of them. A
# tensor engine records whole operations instead, and an operation is a **pair**:
#
# - *forward*: from arrays to an array, and whatever backward will want to know (`saved`);
# - *backward*: from $\partial L/\partial(\text{result})$, an array of the result's shape, to one gradient for each input, of
#   that input's shape.
#
# The local rate of a matrix product would be an array of four axes. It is never made: backward computes its *product with
# the incoming gradient* at once. This is called the vector-Jacobian product, and it is all that reverse mode needs.
#
# For $C = A B$, with $G = \partial L/\partial C$:
#
# $$\frac{\partial L}{\partial A} = G B^\top, \qquad \frac{\partial L}{\partial B} = A^\top G.$$
#
# To see it: $C_{ij} = \sum_k A_{ik} B_{kj}$, so $\partial L/\partial A_{ik} = \sum_j G_{ij} B_{kj}$, which is row $i$ of $G$
# times row $k$ of $B$.

# %% tags=["engine"]
import numpy as np


class Tensor:
    """An array that remembers how it was computed."""

    def __init__(self, array, inputs=(), pull_back=None):
        self.array = np.asarray(array, dtype=float)
        self.inputs = inputs  # the tensors it was computed from
        self.pull_back = pull_back  # the gradient of this one -> a gradient for each input
        self.grad = None

    def backward(self):
        """Fill in `grad` of every tensor that this one, a single number, depends on."""
        gradients = {id(self): np.ones_like(self.array)}
        for tensor in reversed(in_order(self)):
            tensor.grad = gradients[id(tensor)]
            if tensor.pull_back:
                for source, g in zip(tensor.inputs, tensor.pull_back(tensor.grad), strict=True):
                    gradients[id(source)] = gradients.get(id(source), 0) + g


def in_order(last):
    """All tensors that `last` depends on, each after those it was computed from."""
    order, seen = [], set()

    def visit(tensor):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            for source in tensor.inputs:
                visit(source)
            order.append(tensor)

    visit(last)
    return order


# %% [markdown]
# An op is made of its pair. The decorated function takes tensors (or plain arrays), runs forward on the arrays, and leaves
# behind how to get back:


# %% tags=["engine"]
def op(forward, backward):
    """A function of tensors from a pair of functions of arrays.

    forward(*arrays, **options) -> (result, saved);  backward(gradient, saved) -> a gradient for each array.
    """

    def run(*inputs, **options):
        tensors = [x if isinstance(x, Tensor) else Tensor(x) for x in inputs]
        result, saved = forward(*(t.array for t in tensors), **options)
        return Tensor(result, tensors, lambda gradient: backward(gradient, saved))

    run.__name__ = forward.__name__
    return run


# %% [markdown]
# The first ops. A sum of a matrix and a row adds the row to *each* row of the matrix (NumPy calls this broadcasting), so the
# row's gradient is the sum over all the rows it was added to. `unbroadcast` does that for every op of two operands.


# %% tags=["engine"]
def unbroadcast(gradient, shape):
    """Sum a gradient over the axes along which an operand of `shape` was repeated."""
    gradient = gradient.sum(tuple(range(gradient.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(repeated, keepdims=True)


def add_forward(a, b):
    return a + b, (a.shape, b.shape)


def add_backward(g, saved):
    """∂(a + b)/∂a = 1: each term gets the whole gradient."""
    return tuple(unbroadcast(g, shape) for shape in saved)


def mul_forward(a, b):
    return a * b, (a, b)


def mul_backward(g, saved):
    """Each factor gets the gradient times the other."""
    a, b = saved
    return unbroadcast(g * b, a.shape), unbroadcast(g * a, b.shape)


def matmul_forward(a, b):
    return a @ b, (a, b)


def matmul_backward(g, saved):
    """dA = G Bᵀ, dB = Aᵀ G"""
    a, b = saved
    return unbroadcast(g @ b.swapaxes(-1, -2), a.shape), unbroadcast(a.swapaxes(-1, -2) @ g, b.shape)


# %% tags=["engine"]
def relu_forward(x):
    return np.maximum(x, 0), x > 0


def relu_backward(g, positive):
    """The gradient passes where x was positive."""
    return (g * positive,)


def sum_forward(x, axis=None, keepdims=False):
    return x.sum(axis, keepdims=keepdims), (x.shape, axis, keepdims)


def sum_backward(g, saved):
    """Every element went into the sum once: each gets the sum's gradient."""
    shape, axis, keepdims = saved
    if axis is not None and not keepdims:
        g = np.expand_dims(g, axis)
    return (np.broadcast_to(g, shape),)


def move_axes_forward(x, axes):
    return x.transpose(axes), axes


def move_axes_backward(g, axes):
    return (g.transpose(np.argsort(axes)),)


def reshape_forward(x, shape):
    return x.reshape(shape), x.shape


def reshape_backward(g, shape):
    return (g.reshape(shape),)


# %% tags=["engine"]
add, mul, matmul = op(add_forward, add_backward), op(mul_forward, mul_backward), op(matmul_forward, matmul_backward)
relu, sum_of = op(relu_forward, relu_backward), op(sum_forward, sum_backward)
move_axes, reshape = op(move_axes_forward, move_axes_backward), op(reshape_forward, reshape_backward)

Tensor.__add__ = Tensor.__radd__ = add
Tensor.__mul__ = Tensor.__rmul__ = mul
Tensor.__matmul__ = matmul
Tensor.__sub__ = lambda a, b: a + b * -1.0
Tensor.__truediv__ = lambda a, number: a * (1 / number)
Tensor.__array_ufunc__ = None  # array @ tensor comes to us instead of to NumPy
Tensor.__rmatmul__ = lambda a, b: matmul(b, a)
Tensor.sum = sum_of
Tensor.shape = property(lambda self: self.array.shape)

# %% [markdown]
# ## The gradient check
#
# Finite differences again, now for every element of every input:


# %% tags=["engine"]
def gradient_check(fn, *arrays, eps=1e-6):
    """The largest difference between the gradients that backward finds and finite differences."""
    arrays = [np.array(a, dtype=float) for a in arrays]
    inputs = [Tensor(a) for a in arrays]
    sum_of(fn(*inputs)).backward()
    worst = 0.0
    for array, tensor in zip(arrays, inputs, strict=True):
        for index in np.ndindex(array.shape):
            sides = []
            for step in (eps, -eps):
                before = array[index]
                array[index] = before + step
                sides.append(fn(*map(Tensor, arrays)).array.sum())
                array[index] = before
            worst = max(worst, abs((sides[0] - sides[1]) / (2 * eps) - tensor.grad[index]))
    return worst


# %%
rng = np.random.default_rng(0)
A, B, row = rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), rng.normal(size=2)
for name, fn, inputs in [
    ("A + A", lambda a: a + a, [A]),
    ("A B", lambda a, b: a @ b, [A, B]),
    ("A B + row", lambda a, b, r: a @ b + r, [A, B, row]),
    ("relu(A B) · relu(A B)", lambda a, b: relu(a @ b) * relu(a @ b), [A, B]),
    ("sum over rows", lambda a: a.sum(axis=1) * a.sum(axis=1), [A]),
]:
    print(f"{name:24} largest error {gradient_check(fn, *inputs):.1e}")

# %% [markdown]
# All are as small as finite differences can be told from the truth.

# %% [markdown]
# ## The same thing in minillm
#
# The library's engine is this one with the care that a library needs: it frees memory as it walks back, refuses to use
# values that were changed since, never overflows the stack, and picks faster kernels for the same formula. An op there is
# the same pair of functions, with `xp` (NumPy or CuPy) as its first argument. Read
# [tape.py](../minillm/tape.py), which is the walk, and [registry.py](../minillm/registry.py), which is `op`.

# %%
ours = [Tensor(x) for x in (A, B, row)]
relu(ours[0] @ ours[1] + ours[2]).sum().backward()

theirs = [ml.Tensor(x, requires_grad=True) for x in (A, B, row)]
ml.ops.relu(theirs[0] @ theirs[1] + theirs[2]).sum().backward()

for name, mine, library in zip(["A", "B", "row"], ours, theirs, strict=True):
    np.testing.assert_allclose(mine.grad, library.grad, rtol=1e-12)
    print(f"∂L/∂{name}: shape {mine.grad.shape}, equal")

# %% [markdown]
# ## Picture: the graph, step by step
#
# The graph behind the worked example, drawn from the library's own tape. Step through it: first forwards, then the gradients
# back. (A node shows its value where the tape still has it: at the inputs, and where an op saved its result for backward.)

# %%
from minillm import views

a, b, c = (ml.Tensor(np.array(x), requires_grad=True) for x in (2.0, -3.0, 10.0))
views.graph((a * b + c) ** 2, names={"a": a, "b": b, "c": c})

# %% [markdown]
# ## Picture: learning with it
#
# An engine is for descending. Four points on two sides that no straight line divides (exclusive or), a network of two layers,
# and 400 steps against the gradient:

# %%
points = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
wanted = np.array([[0.0], [1.0], [1.0], [0.0]])
rng = np.random.default_rng(3)
W1, b1, W2, b2 = (Tensor(rng.normal(size=shape)) for shape in [(2, 8), (8,), (8, 1), (1,)])


def predict(x):
    return relu(x @ W1 + b1) @ W2 + b2


losses = []
for _ in range(400):
    error = predict(points) - Tensor(wanted)
    loss = (error * error).sum() / 2
    loss.backward()
    losses.append(loss.array)
    for weight in (W1, b1, W2, b2):
        weight.array -= 0.05 * weight.grad

say(f"The loss fell from {losses[0]:.3f} to {losses[-1]:.1e}.")

# %%
import matplotlib.pyplot as plt

grid = np.linspace(-0.5, 1.5, 81)
x, y = np.meshgrid(grid, grid)
surface = predict(np.stack([x.ravel(), y.ravel()], axis=1)).array.reshape(x.shape)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
left.semilogy(losses)
left.set(xlabel="step", ylabel="loss, ½ Σ (ŷ − y)²", title="the loss")
picture = right.contourf(x, y, surface, levels=np.linspace(-0.5, 1.5, 9), cmap="RdBu_r", extend="both")
right.scatter(*points.T, c=wanted[:, 0], cmap="RdBu_r", edgecolors="black", s=80)
right.set(xlabel="first input", ylabel="second input", title="what the network says")
figure.colorbar(picture, ax=right, label="ŷ")
show(figure, "The loss over 400 steps, and what the trained network says of every point: the two sides are told apart.")

# %% [markdown]
# ## What breaks if
#
# **... gradients aren't added up.** Say `backward` overwrote a gradient where it should add. Everything still runs; only
# values used twice get a wrong gradient, and most networks would even learn something. This is why gradients are checked.


# %%
class Forgetful(Value):
    """A Value whose backward writes `=` for `+=`."""

    def backward(self):
        self.rate = 1.0
        for value in reversed(values_in_order(self)):
            for source, local in value.inputs:
                source.rate = value.rate * local


x = Value(5.0)
product = x * x
Forgetful(product.number, product.inputs).backward()
say(f"d(x·x)/dx at 5 comes out as {x.rate}, half of the truth.")

# %% [markdown]
# **... an array is changed between forward and backward.** `mul` has saved its factors for the way back. Our engine doesn't
# notice; the library does:

# %%
a = Tensor([1.0, 2.0])
product = (a * a).sum()
a.array *= 10
product.backward()
print(f"ours: the gradient of Σ a² at (1, 2) is {a.grad}, and should be [2. 4.]")

a = ml.Tensor(np.array([1.0, 2.0]), requires_grad=True)
product = (a * a).sum()
a.mutable()[...] *= 10
try:
    product.backward()
except ml.errors.GraphError as error:
    print(f"minillm: {error}")

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("04.1")` gives a hint, and another when you call it again;
# `solution("04.1")` shows a solution.

# %% [markdown]
# **04.1** The derivative of $\tanh x$ is $1 - \tanh^2 x$. Write its backward: `g` is the gradient of the result, `saved` is
# what forward saved, the result itself. With one input, return its gradient as it is, not in a tuple.


# %%
def tanh_backward(g, saved): ...


check("04.1", tanh_backward)

# %% [markdown]
# **04.2** Write the backward of a division $a / b$ (of arrays of one shape): a gradient for `a` and one for `b`.


# %%
def divide_backward(g, a, b): ...


check("04.2", divide_backward)

# %% [markdown]
# **04.3** `largest(x)` is the largest element of each row of a matrix `(rows, columns)`. Write the gradient of `x`, given that
# of the result, `(rows,)`. If several elements are largest, let the first of them have it all.


# %%
def largest_backward(g, x): ...


check("04.3", largest_backward)

# %% [markdown]
# **04.4** Write `in_order` without recursion: given a dict that says what each name is computed from, all names that `last`
# depends on, each after those it is computed from. A graph of 100,000 steps mustn't overflow the stack.


# %%
def order_of(inputs, last): ...


check("04.4", order_of)
