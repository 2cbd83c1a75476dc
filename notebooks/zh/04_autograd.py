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
# # 04 自动微分：任何程序的导数
#
# 对应文档第 9.2 节（用反向传播训练），以及第 3.2.3 节所说的“梯度下降”（gradient descent）。
#
# 在 minillm 里：[tape.py](../../minillm/tape.py), [tensor.py](../../minillm/tensor.py), [registry.py](../../minillm/registry.py)；检验：[tests/test_backward.py](../../tests/test_backward.py), [tests/test_testing.py](../../tests/test_testing.py), [tests/ops/test_table.py](../../tests/ops/test_table.py)。
#
# 文档没有说明导数是怎样求出来的。本章就来造一个求导的引擎，而且造两遍：先对单个的数，再对数组。后面各章接着用的是第二个。
#
# 预备知识：第 01 至 03 章中的术语，以及数学课上学过的链式法则（chain rule）。

# %%
import numpy as np

import minillm as ml
from minillm.book import say, show
from minillm.exercises import check, hint, solution

# %% [markdown]
# ## 思路
#
# 训练模型，就是对它的每一个数发问：如果它增大一点点，损失（loss）会上升还是下降，变化有多快？这个变化率就是损失对这个数的导数。模型有上亿个数，不可能逐个去试。**反向模式微分**（reverse-mode differentiation）一次求出所有的变化率，所花的时间大约只相当于把损失计算两遍。
#
# 它依据的事实只有一条。设 $L$ 依赖于 $z$，而 $z$ 依赖于 $x$ 和 $y$，那么
#
# $$\frac{\partial L}{\partial x} = \frac{\partial L}{\partial z}\,\frac{\partial z}{\partial x},$$
#
# 如果 $x$ 经过几条路径到达 $L$，各条路径的贡献就相加。所以我们先向前计算，记住什么由什么算出，再从 $L$ 往回走：每到一步，$\partial L/\partial z$ 都已经知道，只要把它传给这一步的各个输入。

# %% [markdown]
# ## 算一个例子
#
# 取 $L = (a\,b + c)^2$，其中 $a = 2$，$b = -3$，$c = 10$。先向前，一步一步地算：

# %%
a, b, c = 2.0, -3.0, 10.0
p = a * b
s = p + c
L = s**2
print(f"p = a b   = {p}")
print(f"s = p + c = {s}")
print(f"L = s²    = {L}")

# %% [markdown]
# 再往回，从 $L$ 走向它的来源。每一行都用到前面的结果：

# %%
dL_ds = 2 * s  # s² 的导数
dL_dp = dL_ds * 1  # s = p + c：加法把变化率原样传下去……
dL_dc = dL_ds * 1  # ……两个加数各得一份
dL_da = dL_dp * b  # p = a b：每个因数得到变化率乘以另一个因数
dL_db = dL_dp * a
for name, value in {"s": dL_ds, "p": dL_dp, "c": dL_dc, "a": dL_da, "b": dL_db}.items():
    print(f"∂L/∂{name} = {value:6.1f}")

# %% [markdown]
# 算得对吗？导数总可以用试验来验证：把这个数向两侧各移动一点，看 $L$ 移动多少。
#
# $$\frac{\partial L}{\partial a} \approx \frac{L(a + \varepsilon) - L(a - \varepsilon)}{2\varepsilon}$$
#
# 这就是**有限差分**（finite difference）。本书中的每一个导数，库里的每一个算子（op），都由它来评判。

# %%
eps = 1e-6


def loss(a, b, c):
    return (a * b + c) ** 2


print(f"用有限差分求 ∂L/∂a：{(loss(a + eps, b, c) - loss(a - eps, b, c)) / (2 * eps):.6f}")
print(f"用有限差分求 ∂L/∂b：{(loss(a, b + eps, c) - loss(a, b - eps, c)) / (2 * eps):.6f}")
print(f"用有限差分求 ∂L/∂c：{(loss(a, b, c + eps) - loss(a, b, c - eps)) / (2 * eps):.6f}")

# %% [markdown]
# ## 标量引擎
#
# 现在让机器来走这条路。`Value` 是一个数，它记得自己由哪些值算出，也记得对每个值的局部变化率，即 $\partial z/\partial x$ 这个数。


# %% tags=["scalar-engine"]
class Value:
    """一个数，记得自己由什么算出。"""

    def __init__(self, number, inputs=()):
        self.number = number
        self.inputs = inputs  # 若干对（值，局部变化率：这个数随那个值变化得有多快）
        self.rate = 0.0  # ∂L/∂(这个数)，由 backward 填入

    def __add__(self, other):
        return Value(self.number + other.number, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Value(self.number * other.number, [(self, other.number), (other, self.number)])

    def __pow__(self, power):
        return Value(self.number**power, [(self, power * self.number ** (power - 1))])

    def backward(self):
        """为这个值所依赖的每个值填入变化率。"""
        self.rate = 1.0
        for value in reversed(values_in_order(self)):
            for source, local in value.inputs:
                source.rate += value.rate * local


def values_in_order(last):
    """`last` 所依赖的全部值，每个都排在算出它的那些值之后。"""
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
# 次序很要紧：一个值要等所有用到它的值都把变化率传给它之后，才能继续往下传。`values_in_order` 给计算图（computation graph）排好次序（拓扑序，topological order），保证了这一点；`+=` 则把几条路径传来的变化率加起来。

# %%
a, b, c = Value(2.0), Value(-3.0), Value(10.0)
L = (a * b + c) ** 2
L.backward()
print(f"L = {L.number}, ∂L/∂a = {a.rate}, ∂L/∂b = {b.rate}, ∂L/∂c = {c.rate}")
assert (a.rate, b.rate, c.rate) == (dL_da, dL_db, dL_dc)

# %% [markdown]
# 与手算的结果相同。一个值如果用了两次，两份贡献都会得到，$x \cdot x$ 就是例子，它在 5 处的导数是 $2 \cdot 5$：

# %%
x = Value(5.0)
(x * x).backward()
print(f"x = 5 处的 d(x·x)/dx = {x.rate}")

# %% [markdown]
# ## 从数到数组
#
# 两个 1,000 × 1,000 的矩阵相乘，要做二十亿步标量运算，不可能一步一步都记录下来。张量（tensor）引擎记录的是整个运算，而每个运算是**一对函数**：
#
# - *前向*（forward）：由若干数组得到一个数组，外加反向时要用到的东西（`saved`）；
# - *反向*（backward）：由 $\partial L/\partial(\text{结果})$，即一个与结果形状相同的数组，得到每个输入的梯度（gradient），形状与该输入相同。
#
# 矩阵乘法的局部变化率本该是一个有四个轴的数组，但它从不真正构造出来：反向函数直接计算它*与传来的梯度的乘积*。这叫做向量与雅可比矩阵之积（vector-Jacobian product），反向模式需要的仅此而已。
#
# 对 $C = A B$，记 $G = \partial L/\partial C$，则
#
# $$\frac{\partial L}{\partial A} = G B^\top, \qquad \frac{\partial L}{\partial B} = A^\top G.$$
#
# 推导如下：$C_{ij} = \sum_k A_{ik} B_{kj}$，所以 $\partial L/\partial A_{ik} = \sum_j G_{ij} B_{kj}$，也就是 $G$ 的第 $i$ 行与 $B$ 的第 $k$ 行的内积。

# %% tags=["engine"]
import numpy as np


class Tensor:
    """一个数组，记得自己是怎样算出的。"""

    def __init__(self, array, inputs=(), pull_back=None):
        self.array = np.asarray(array, dtype=float)
        self.inputs = inputs  # 算出它的那些张量
        self.pull_back = pull_back  # 自己的梯度 -> 每个输入的梯度
        self.grad = None

    def backward(self):
        """这个张量是单个的数；为它所依赖的每个张量填入 `grad`。"""
        gradients = {id(self): np.ones_like(self.array)}
        for tensor in reversed(in_order(self)):
            tensor.grad = gradients[id(tensor)]
            if tensor.pull_back:
                for source, g in zip(tensor.inputs, tensor.pull_back(tensor.grad), strict=True):
                    gradients[id(source)] = gradients.get(id(source), 0) + g


def in_order(last):
    """`last` 所依赖的全部张量，每个都排在算出它的那些张量之后。"""
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
# 算子就由这样一对函数做成。包装好的函数接受张量（或普通数组），对其中的数组执行前向，并留下往回走的办法：


# %% tags=["engine"]
def op(forward, backward):
    """由一对数组函数做成一个张量函数。

    forward(*arrays, **options) -> (结果, saved)；backward(gradient, saved) -> 每个数组的梯度。
    """

    def run(*inputs, **options):
        tensors = [x if isinstance(x, Tensor) else Tensor(x) for x in inputs]
        result, saved = forward(*(t.array for t in tensors), **options)
        return Tensor(result, tensors, lambda gradient: backward(gradient, saved))

    run.__name__ = forward.__name__
    return run


# %% [markdown]
# 下面是第一批算子。矩阵加上一个行向量，是把这个行向量加到矩阵的*每一行*上（NumPy 称之为广播，broadcasting），所以行向量的梯度是它所加到的各行的梯度之和。凡是有两个操作数的算子，都由 `unbroadcast` 来做这件事。


# %% tags=["engine"]
def unbroadcast(gradient, shape):
    """沿着形状为 `shape` 的操作数重复过的轴，对梯度求和。"""
    gradient = gradient.sum(tuple(range(gradient.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(repeated, keepdims=True)


def add_forward(a, b):
    return a + b, (a.shape, b.shape)


def add_backward(g, saved):
    """∂(a + b)/∂a = 1：每个加数都得到全部的梯度。"""
    return tuple(unbroadcast(g, shape) for shape in saved)


def mul_forward(a, b):
    return a * b, (a, b)


def mul_backward(g, saved):
    """每个因数得到梯度乘以另一个因数。"""
    a, b = saved
    return unbroadcast(g * b, a.shape), unbroadcast(g * a, b.shape)


def matmul_forward(a, b):
    return a @ b, (a, b)


def matmul_backward(g, saved):
    """dA = G Bᵀ，dB = Aᵀ G"""
    a, b = saved
    return unbroadcast(g @ b.swapaxes(-1, -2), a.shape), unbroadcast(a.swapaxes(-1, -2) @ g, b.shape)


# %% tags=["engine"]
def relu_forward(x):
    return np.maximum(x, 0), x > 0


def relu_backward(g, positive):
    """x 为正的地方，梯度通过。"""
    return (g * positive,)


def sum_forward(x, axis=None, keepdims=False):
    return x.sum(axis, keepdims=keepdims), (x.shape, axis, keepdims)


def sum_backward(g, saved):
    """每个元素都在和中出现一次，所以都得到和的梯度。"""
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
Tensor.__array_ufunc__ = None  # array @ tensor 由我们处理，而不是由 NumPy 处理
Tensor.__rmatmul__ = lambda a, b: matmul(b, a)
Tensor.sum = sum_of
Tensor.shape = property(lambda self: self.array.shape)

# %% [markdown]
# ## 梯度检查
#
# 还是有限差分，这次对每个输入的每个元素都做：


# %% tags=["engine"]
def gradient_check(fn, *arrays, eps=1e-6):
    """反向求得的梯度与有限差分之间的最大差别。"""
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
    ("按行求和", lambda a: a.sum(axis=1) * a.sum(axis=1), [A]),
]:
    print(f"{name}：最大误差 {gradient_check(fn, *inputs):.1e}")

# %% [markdown]
# 误差都很小，已经到了有限差分所能分辨的极限。

# %% [markdown]
# ## minillm 里的同一件事
#
# 库里的引擎就是这一个，只是多了一个库应有的周全：往回走时随走随释放内存，拒绝使用事后被改动过的值，决不会栈溢出，并为同一个公式选用更快的计算核（kernel）。那里的算子也是同样的一对函数，只是第一个参数是 `xp`（NumPy 或 CuPy）。请阅读 [tape.py](../../minillm/tape.py)，往回走的过程就在其中；再读 [registry.py](../../minillm/registry.py)，那就是 `op`。

# %%
ours = [Tensor(x) for x in (A, B, row)]
relu(ours[0] @ ours[1] + ours[2]).sum().backward()

theirs = [ml.Tensor(x, requires_grad=True) for x in (A, B, row)]
ml.ops.relu(theirs[0] @ theirs[1] + theirs[2]).sum().backward()

for name, mine, library in zip(["A", "B", "row"], ours, theirs, strict=True):
    np.testing.assert_allclose(mine.grad, library.grad, rtol=1e-12)
    print(f"∂L/∂{name}：形状 {mine.grad.shape}，相等")

# %% [markdown]
# ## 图：逐步展示计算图
#
# 这是前面那个例子的计算图，根据库自己的记录画出。请一步一步地看：先向前，再是梯度往回传。（节点只显示记录里还留着的值：输入的值，以及为反向而保存了结果的运算的值。）

# %%
from minillm import views

a, b, c = (ml.Tensor(np.array(x), requires_grad=True) for x in (2.0, -3.0, 10.0))
views.graph((a * b + c) ** 2, names={"a": a, "b": b, "c": c})

# %% [markdown]
# ## 图：用它来学习
#
# 引擎是为下降准备的。平面上有四个点，分属两类，没有一条直线能把两类分开（异或，exclusive or）。用一个两层的网络，沿负梯度方向走 400 步：

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

say(f"损失从 {losses[0]:.3f} 降到了 {losses[-1]:.1e}。")

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
show(
    figure,
    "左：400 步中的损失（横轴：步数；纵轴：损失，对数刻度）。右：训练好的网络对平面上每一点的回答（横轴、纵轴：第一个和第二个输入；颜色：ŷ），两类点已经分开。",
)

# %% [markdown]
# ## 如果弄坏它
#
# **……不把梯度加起来。** 假设 `backward` 在该相加的地方用新值覆盖了旧值。程序照样运行，只有用了不止一次的值，梯度才会出错，而且多数网络甚至还能学到点东西。正因为如此，梯度才需要检查。


# %%
class Forgetful(Value):
    """backward 把 `+=` 写成了 `=` 的 Value。"""

    def backward(self):
        self.rate = 1.0
        for value in reversed(values_in_order(self)):
            for source, local in value.inputs:
                source.rate = value.rate * local


x = Value(5.0)
product = x * x
Forgetful(product.number, product.inputs).backward()
say(f"x = 5 处的 d(x·x)/dx 算成了 {x.rate}，只有正确值的一半。")

# %% [markdown]
# **……数组在前向与反向之间被改动。** `mul` 为反向保存了它的两个因数。我们的引擎发现不了改动，库却能发现：

# %%
a = Tensor([1.0, 2.0])
product = (a * a).sum()
a.array *= 10
product.backward()
print(f"我们的引擎：Σ a² 在 (1, 2) 处的梯度是 {a.grad}，应当是 [2. 4.]")

a = ml.Tensor(np.array([1.0, 2.0]), requires_grad=True)
product = (a * a).sum()
a.mutable()[...] *= 10
try:
    product.backward()
except ml.errors.GraphError as error:
    print(f"minillm：{error}")

# %% [markdown]
# ## 练习
#
# 把 `...` 换成自己的代码，然后运行单元格。`hint("04.1")` 给出一条提示，再次调用会给出下一条；`solution("04.1")` 显示参考答案。

# %% [markdown]
# **04.1** $\tanh x$ 的导数是 $1 - \tanh^2 x$。写出它的反向函数：`g` 是结果的梯度，`saved` 是前向保存的东西，即结果本身。只有一个输入时，直接返回它的梯度，不要放进元组。


# %%
def tanh_backward(g, saved): ...


check("04.1", tanh_backward)

# %% [markdown]
# **04.2** 写出除法 $a / b$ 的反向函数（两个数组形状相同）：给出 `a` 的梯度和 `b` 的梯度。


# %%
def divide_backward(g, a, b): ...


check("04.2", divide_backward)

# %% [markdown]
# **04.3** `largest(x)` 是形状为 `(rows, columns)` 的矩阵各行的最大元素。已知结果的梯度，形状为 `(rows,)`，写出 `x` 的梯度。如果一行中有几个元素同为最大，梯度全部归其中的第一个。


# %%
def largest_backward(g, x): ...


check("04.3", largest_backward)

# %% [markdown]
# **04.4** 不用递归写出 `in_order`：给定一个字典，说明每个名称由哪些名称算出，返回 `last` 所依赖的全部名称（包括它自己），每个都排在算出它所用的名称之后。计算图有 100,000 步时，也不能栈溢出。


# %%
def order_of(inputs, last): ...


check("04.4", order_of)
