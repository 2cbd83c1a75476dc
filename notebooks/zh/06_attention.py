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
# # 06 推导注意力
#
# 对应文档第 4.2.1 节和第 4.3.3 节（自注意力，以及它的数值案例）。
#
# 公式：[4.2.1]
#
# 文档在“公式推导过程”的标题下只写出了公式，并没有推导：查询、键和值从哪里来，为什么要除以 $\sqrt{d_k}$，多个头又是怎么回事，都没有讲；案例中的数字也不是由公式算出来的。本章把这一切推导一遍，也算一遍。
#
# 预备知识：第 04 章（全章都用它的引擎）、softmax 是什么、矩阵乘法。

# %%
import numpy as np

import minillm as ml
from minillm.book import say, show
from minillm.exercises import check, hint, solution
from minillm.formula import formula

# %%
formula("4.2.1")

# %% [markdown]
# ## 思路
#
# 字典按“相等”查找：查询要么恰好是其中一个键，于是得到那个键的值；要么不是，于是什么也得不到。两者之间没有中间状态，也就没有可以求导的东西。**注意力**（attention）**按相似度查找**：让查询与**每一个**键比较，把比较的结果变成总和为 1 的权重，再按这些权重把所有的值混合起来。
#
# 相似度用内积（dot product）衡量：两个向量方向越一致，内积越大。softmax 把内积变成权重。给查询乘上一个越来越大的数，混合就逐渐变成我们熟悉的字典查找：

# %%
keys = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
values = np.array([10.0, 20.0, 30.0])
query = np.array([0.2, 1.0])  # 与第二个键最像

for sharpness in (0, 1, 4, 100):
    e = np.exp(sharpness * (keys @ query))
    shares = e / e.sum()
    print(f"倍数 {sharpness:3}：权重 {shares.round(3)}，结果 {shares @ values:.3f}")

# %% [markdown]
# 倍数为 0 时，所有的值同等重要；倍数为 100 时，它就是一部字典。在两者之间，结果随查询、随每个键、随每个值平滑地变化，所以这三者都可以学习。
#
# 在**自注意力**（self-attention）中，序列在自身之中查找。每个词元（token）的向量 $x_t$ 经过三个可学习的矩阵，变成另外三个向量，即查询（query）、键（key）和值（value）：
#
# $$q_t = x_t W_Q \quad\text{（它要找什么）}, \qquad k_t = x_t W_K \quad\text{（它提供什么）}, \qquad v_t = x_t W_V \quad\text{（它交出什么）}.$$
#
# 之所以是三个，是因为这是三个不同的问题。在“the cat sat”中，*sat* 可以去找一个主语，可以作为动词让别的词来找，也可以交出“坐”这个意思。如果三处都直接用 $x_t$，那么每个词元找到的多半是它自己。

# %% [markdown]
# ## 算一个例子
#
# 三个词元，向量长度为 4，查询、键和值的长度为 $d_k = 2$。首先是三个投影：

# %%
x = np.array([[1.0, 0, 1, 0], [0, 2, 0, 1], [1, 1, 0, 0]])
W_Q = np.array([[1.0, 0], [0, 1], [1, 0], [0, 1]])
W_K = np.array([[0.0, 1], [1, 0], [1, 1], [0, 0]])
W_V = np.array([[1.0, 0], [0, 2], [0, 1], [3, 0]])
Q, K, V = x @ W_Q, x @ W_K, x @ W_V
for name, value in {"Q = x W_Q": Q, "K = x W_K": K, "V = x W_V": V}.items():
    print(f"{name}\n{value}")

# %% [markdown]
# 每个查询都与每个键相乘：$S = QK^\top$ 的第 $i$ 行是查询 $i$ 的各个分数。然后除以 $\sqrt{d_k}$，原因见后文。

# %%
S = Q @ K.T
scaled = S / np.sqrt(2)
print(f"S = Q Kᵀ\n{S}\nS / √2\n{scaled.round(4)}")

# %% [markdown]
# softmax 逐行进行：每一行先取指数，再除以本行之和。

# %%
exponentials = np.exp(scaled)
totals = exponentials.sum(axis=1, keepdims=True)
P = exponentials / totals
print(f"exp(S / √2)\n{exponentials.round(4)}\n各行之和\n{totals.round(4)}\nP\n{P.round(4)}")
print(f"P 的各行之和：{P.sum(axis=1)}")

# %% [markdown]
# 最后把值混合起来：输出的第 $i$ 行是 $\sum_j P_{ij} v_j$。

# %%
mixed = P @ V
terms = " + ".join(f"{p:.4f}·{v}" for p, v in zip(P[0], V, strict=True))
print(f"第一行：{terms} = {mixed[0].round(4)}")
print(f"O = P V\n{mixed.round(4)}")

# %% [markdown]
# ## 为什么用 softmax
#
# 能把分数变成权重的函数有很多。如果同时提出两个要求，得到的就是 softmax：一是平均分数 $\sum_i p_i s_i$ 要大；二是不要把一切都押在一个键上，这一点用熵 $-\sum_i p_i \ln p_i$ 来衡量。给约束 $\sum_i p_i = 1$ 配上乘子 $\lambda$，则在最好的权重处，对 $p_i$ 的导数必须为 0：
#
# $$s_i - \ln p_i - 1 - \lambda = 0 \quad\Longrightarrow\quad p_i = e^{s_i}\,e^{-1-\lambda} = \frac{e^{s_i}}{\sum_j e^{s_j}}.$$
#
# 因子 $e^{-1-\lambda}$ 对所有的 $i$ 都相同，所以它只能是使总和为 1 的那个数。有没有别的权重能达到更大的值？

# %%
scores = scaled[0]
others = np.random.default_rng(0).dirichlet([1, 1, 1], size=100_000)


def mean_score_and_entropy(p):
    return p @ scores - (p * np.log(p)).sum(axis=-1)


print(f"softmax 达到               {mean_score_and_entropy(P[0]):.6f}")
print(f"ln Σ exp(s)，即最大值      {np.log(np.exp(scores).sum()):.6f}")
print(f"其他 100,000 组中最好的    {mean_score_and_entropy(others).max():.6f}")
assert mean_score_and_entropy(others).max() < mean_score_and_entropy(P[0])

# %% [markdown]
# ## 为什么除以 $\sqrt{d_k}$
#
# 一个分数是 $d_k$ 个乘积之和，$q \cdot k = \sum_{c=1}^{d_k} q_c k_c$。设所有分量相互独立，均值为 0，方差为 1。那么每个乘积的均值为 0，方差为 $E[q_c^2 k_c^2] = E[q_c^2]\,E[k_c^2] = 1$；独立的各项，方差可以相加：
#
# $$\mathrm{Var}(q \cdot k) = d_k, \qquad \mathrm{Var}\!\left(\frac{q \cdot k}{\sqrt{d_k}}\right) = \frac{d_k}{(\sqrt{d_k})^2} = 1.$$
#
# 所以如果不除，头越宽，分数就相差越远，而分数相差悬殊时，softmax 的结果非 0 即 1。除过之后，无论 $d_k$ 是多少，分数的大小都差不多。实测如下：

# %%
rng = np.random.default_rng(64)
print("  d_k   Var(q·k)   Var(q·k / √d_k)")
for d_k in (1, 4, 16, 64, 256):
    q, k = rng.normal(size=(2, 10_000, d_k))
    dots = (q * k).sum(axis=1)
    print(f"{d_k:5} {dots.var():10.2f} {(dots / np.sqrt(d_k)).var():17.3f}")

# %% [markdown]
# ## 代码
#
# 先写 softmax。有两处细节是为特殊情形准备的：减去最大的分数，这不改变结果（会约掉），却能防止 `exp` 溢出；如果一行里没有任何可见的键，即全是 $-\infty$，那么本该出现 $0/0$ 的地方都给 0。
#
# 写反向函数需要知道 $p_i$ 怎样随 $s_j$ 变化。记 $Z = \sum_m e^{s_m}$，由商的求导法则，
#
# $$\frac{\partial p_i}{\partial s_j} = \frac{[i{=}j]\,e^{s_i}}{Z} - \frac{e^{s_i}e^{s_j}}{Z^2} = p_i\,([i{=}j] - p_j),$$
#
# 一个分数 $s_j$ 会影响所有的 $p_i$，所以要把传来的梯度 $dP$ 对 $i$ 求和：
#
# $$dS_j = \sum_i dP_i\,p_i\,([i{=}j] - p_j) = p_j\Big(dP_j - \sum_i dP_i\,p_i\Big).$$
#
# 用一句话说：如果某个键的权重比平均的权重更有价值，它的分数就该升高。

# %% tags=["attention"]
import numpy as np

from minillm.book import module

engine = module("04", "engine")


def softmax_forward(s, axis=-1):
    largest = s.max(axis, keepdims=True, initial=-np.inf)
    e = np.exp(s - np.where(np.isfinite(largest), largest, 0))
    total = e.sum(axis, keepdims=True)
    p = e / np.where(total == 0, 1, total)
    return p, (p, axis)


def softmax_backward(dp, saved):
    """dS = P ∘ (dP − Σ dP P)"""
    p, axis = saved
    return (p * (dp - (dp * p).sum(axis, keepdims=True)),)


# %% [markdown]
# ## 写成一对函数的注意力
#
# 前向只有三步：$S = QK^\top/\sqrt{d_k}$，$P = \mathrm{softmax}(S)$，$O = PV$。反向已知 $dO$，从最后一步倒着走回来：
#
# 1. $O = PV$ 是矩阵乘法。由第 04 章的法则（$dA = G B^\top$，$dB = A^\top G$）：$dP = dO\,V^\top$，$dV = P^\top dO$。
# 2. $P = \mathrm{softmax}(S)$ 逐行进行：$dS = P \circ (dP - \sum_j dP_j P_j)$，上面已经推导过。
# 3. $S = QK^\top/\sqrt{d_k}$ 是与 $K^\top$ 的矩阵乘法，再乘一个数：$dQ = dS\,K/\sqrt{d_k}$，$dK = dS^\top Q/\sqrt{d_k}$。
#
# `mask` 是掩码（mask），在查询可以看的地方为真；其余地方的分数变成 $-\infty$，权重变成 0。反向函数完全不必提到它：$P = 0$ 的地方，$dS = 0$。


# %% tags=["attention"]
def attention_forward(q, k, v, mask=None):
    """softmax(Q Kᵀ / √d_k) V  [4.2.1]

    q: (..., queries, d_k), k: (..., keys, d_k), v: (..., keys, d_v) -> (..., queries, d_v)
    """
    scale = 1 / np.sqrt(q.shape[-1])
    s = q @ k.swapaxes(-1, -2) * scale
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    p, _ = softmax_forward(s)
    return p @ v, (q, k, v, p, scale)


def attention_backward(do, saved):
    q, k, v, p, scale = saved
    dv = p.swapaxes(-1, -2) @ do
    dp = do @ v.swapaxes(-1, -2)
    (ds,) = softmax_backward(dp, (p, -1))
    dq = ds @ k * scale
    dk = ds.swapaxes(-1, -2) @ q * scale
    return dq, dk, dv


softmax = engine.op(softmax_forward, softmax_backward)
attention = engine.op(attention_forward, attention_backward)

# %% [markdown]
# 再算一遍前面的例子，这次也走反向。设损失随输出的变化率就是 `dO`：

# %%
dO = np.array([[1.0, 0], [0, 1], [1, 1]])
output, saved = attention_forward(Q, K, V)
np.testing.assert_allclose(output, mixed, rtol=1e-12)

dP = dO @ V.T
dS = P * (dP - (dP * P).sum(axis=1, keepdims=True))
dQ, dK, dV = attention_backward(dO, saved)
for name, value in {"dP = dO Vᵀ": dP, "dS": dS, "dQ": dQ, "dK": dK, "dV = Pᵀ dO": dV}.items():
    print(f"{name}\n{value.round(4)}")
np.testing.assert_allclose(dS.sum(axis=1), 0, atol=1e-12)
print("dS 的每一行之和为 0：所有分数升高同样多时，权重都不变")

# %% [markdown]
# ## 因果掩码
#
# 预测下一个词元的模型不能偷看它。查询 $i$ 可以看到键 $j \le i$，所以因果掩码（causal mask）是一个由 1 组成的下三角。有了它，模型可以同时从文本的所有位置学习，就好像文本在每个位置都恰好结束一样。


# %% tags=["attention"]
def causal_mask(time):
    """(time, time)，查询 i 可以看到键 j（j ≤ i）的地方为真。"""
    return np.tril(np.ones((time, time), bool))


# %%
masked_O, (_, _, _, masked_P, _) = attention_forward(Q, K, V, mask=causal_mask(3))
print(f"加掩码后的 P\n{masked_P.round(4)}\n加掩码后的 O\n{masked_O.round(4)}")

# %% [markdown]
# 第一个词元只能看到自己，所以它的输出就是它自己的值。最后一个词元能看到全部，与不加掩码时一样。
#
# ## 注意力头
#
# 一个 softmax 只有一组权重：一个词元如果既要找主语又要找宾语，得到的是两者的混合。因此让 $h$ 个注意力并列进行，各用较窄的向量，$d_{head} = d_{model}/h$，称为**注意力头**（head）；再把各个头的结果拼接起来，用第四个矩阵混合：
#
# $$\mathrm{head}_i = \mathrm{Attention}(x W_Q^i,\; m W_K^i,\; m W_V^i), \qquad \mathrm{MultiHead}(x, m) = \mathrm{Concat}(\mathrm{head}_1, \dots, \mathrm{head}_h)\,W_O.$$
#
# $m = x$ 就是自注意力；如果以另一个序列作为记忆 $m$，就是交叉注意力（cross-attention，第 08 章）。写代码时，各个头的矩阵合成一个：`x @ w_q` 为每个词元一次算出 $h$ 个查询，首尾相接。**拆分**（split）是把最后一个轴切开，并把头的轴移到前面，使矩阵乘法面对的是 (time, d_head)；**合并**（merge）则是它的逆过程。


# %% tags=["attention"]
def split(x, n_head):
    """(batch, time, n_head · d_head) -> (batch, n_head, time, d_head)"""
    batch, time, width = x.shape
    return engine.move_axes(engine.reshape(x, shape=(batch, time, n_head, width // n_head)), axes=(0, 2, 1, 3))


def merge(x):
    """(batch, n_head, time, d_head) -> (batch, time, n_head · d_head)"""
    batch, n_head, time, d_head = x.shape
    return engine.reshape(engine.move_axes(x, axes=(0, 2, 1, 3)), shape=(batch, time, n_head * d_head))


class MultiHead:
    """MultiHead(x, m) = Concat(head_1, …, head_h) W_O"""

    def __init__(self, rng, n_head, d_in, width, d_out):
        self.n_head = n_head
        shapes = [(d_in, width), (d_in, width), (d_in, width), (width, d_out)]
        self.weights = [engine.Tensor(rng.normal(size=shape) / np.sqrt(shape[0])) for shape in shapes]

    def __call__(self, x, memory=None, mask=None):
        q, k, v = self.heads(x, memory)
        return merge(attention(q, k, v, mask=mask)) @ self.weights[3]

    def heads(self, x, memory=None):
        """查询、键和值，形状都是 (batch, n_head, time, d_head)。"""
        memory = x if memory is None else memory
        w_q, w_k, w_v, _ = self.weights
        return split(x @ w_q, self.n_head), split(memory @ w_k, self.n_head), split(memory @ w_v, self.n_head)


# %% [markdown]
# 四个矩阵都是 $d_{model} \times d_{model}$ 的，与由多少个头来分无关。文档中的模型（第 4.3.2 节）有 8 个宽度为 64 的头：

# %%
for n_head in (1, 8, 64):
    layer = MultiHead(np.random.default_rng(0), n_head, d_in=512, width=512, d_out=512)
    print(f"{n_head:2} 个头，各宽 {512 // n_head:3}：{sum(w.array.size for w in layer.weights):,} 个参数")
with_biases = ml.nn.MultiHeadAttention(512, 8).num_parameters()
print(f"minillm 的层在每个矩阵之后还有偏置：{with_biases:,} = 4 · 512² + 4 · 512")
assert with_biases == 4 * 512**2 + 4 * 512

# %% [markdown]
# ## 重新计算文档中的数字
#
# 第 4.3.3 节直接把编号 3、4、5 当作长度为 1 的向量，同时充当查询、键和值，再除以 $\sqrt{64}$。它的三行算式，每一行都只对一个数取“softmax”。可是对任意的 $s$，$e^s/e^s = 1$：

# %%
for query, says in {3: 0.5, 4: 0.2, 5: 0.3}.items():
    score = query * 3 / np.sqrt(64)
    print(
        f"softmax({query} × 3 / √64 = {score:.3f})：文档为 {says}，正确的是 {softmax_forward(np.array([score]))[0][0]}"
    )

# %% [markdown]
# 按照公式，softmax 应当包括全部三个键：


# %%
def attend(query, keys, d_k):
    """把编号当作长度为 1 的向量，分数除以 √d_k，返回权重和输出。"""
    keys = np.array(keys, float)
    shares, _ = softmax_forward(query * keys / np.sqrt(d_k))
    return shares, shares @ keys


for d_k in (64, 1):
    for query in (3, 4, 5):
        shares, output = attend(query, [3, 4, 5], d_k)
        print(f"√{d_k:<2} q = {query}：权重 {', '.join(f'{share:.5f}' for share in shares)}；输出 {output:.5f}")

# %% [markdown]
# 第二组才是公式对长度为 1 的向量给出的结果：这时的 $d_k$ 是 1，而不是 64。
#
# 文档说“词3在序列中的重要性最高”。只要查询大于 0、系数大于 0，分数就随键的增大而升高，所以每一行都是 5 的权重最大。而 0.5、0.2、0.3 这组权重根本不可能出现：4 的分数在 3 和 5 的分数的正中间，它的权重绝不会是三者中最小的。正负系数都试一遍：

# %%
scales = np.concatenate([-np.geomspace(1e-6, 10, 500), np.geomspace(1e-6, 10, 500)])
rows = np.array([softmax_forward(scale * 3 * np.array([3.0, 4, 5]))[0] for scale in scales])
print(f"正系数中，5 的权重最大的占 {(rows[500:].argmax(axis=1) == 2).mean():.0%}")
print(f"正负系数中，4 的权重最小的占 {(rows.argmin(axis=1) == 1).mean():.0%}")
assert (rows[500:].argmax(axis=1) == 2).all() and not (rows.argmin(axis=1) == 1).any()

# %% [markdown]
# 再看文档的交叉注意力：解码器（decoder）的查询是 10，编码器（encoder）的键和值是 3、4、5。文档给出两个权重 0.4 和 0.6，漏掉了键 5：

# %%
print(f"分数 10 · 键 / √64：{10 * np.array([3, 4, 5]) / np.sqrt(64)}")
for keys in ([3, 4, 5], [3, 4]):
    shares, output = attend(10, keys, 64)
    print(f"q = 10，键 {keys}：权重 {', '.join(f'{share:.5f}' for share in shares)}；输出 {output:.5f}")

# %% [markdown]
# 文档接着说，解码器“更可能选择词4”。并非如此：输出是介于各个值之间的一个数，根本不是词。注意力只负责混合；选词的是另一个 softmax，它在模型的末端，对整个词表（vocabulary）计算。

# %% [markdown]
# ## 梯度检查
#
# 用有限差分（finite difference）逐个元素地检验反向函数。无论分数是多少，softmax 的每一行之和都是 1，所以要先给结果乘上不同的系数；否则正确的梯度就是 0，任何使它保持为 0 的错误都能蒙混过关。

# %%
rng = np.random.default_rng(0)
q, k, v = rng.normal(size=(3, 2, 4, 3))  # 两个头，四个词元，d_k = 3
s, w = rng.normal(size=(2, 4, 4))
x, memory = rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 5, 6))
layer = MultiHead(rng, n_head=2, d_in=6, width=6, d_out=6)
nothing_to_see = causal_mask(4) & (np.arange(4) > 0)[:, None]  # 第一个查询看不到任何键
for name, fn, inputs in [
    ("softmax", lambda s: softmax(s) * w, [s]),
    ("注意力", attention, [q, k, v]),
    ("因果注意力", lambda q, k, v: attention(q, k, v, mask=causal_mask(4)), [q, k, v]),
    ("什么都看不到的一行", lambda q, k, v: attention(q, k, v, mask=nothing_to_see), [q, k, v]),
    ("两个头，看自身", lambda x: layer(x, mask=causal_mask(4)), [x]),
    ("两个头，看记忆", layer, [x, memory]),
]:
    error = engine.gradient_check(fn, *inputs)
    print(f"{name}：最大误差 {error:.1e}")
    assert error < 1e-7

# %% [markdown]
# ## minillm 里的同一件事
#
# `ml.testing.check` 用库中算子自己的测试用例来检验你写的一对函数。softmax 全部通过：

# %%
passed = ml.testing.check(
    ml.ops.softmax,
    forward=lambda xp, s, axis=-1: softmax_forward(s, axis),
    backward=lambda xp, dp, saved: softmax_backward(dp, saved),
)
print(f"softmax：{passed} 个用例，前向和反向都正确")

# %% [markdown]
# 库里的注意力还支持随机失活（dropout），也支持几个头共用键，我们的版本没有这些，所以跳过相应的用例。其余的用例逐个比较，库自己的梯度则用有限差分检验：

# %%
op = ml.ops.attention
for case in op.cases(np.random.default_rng(0)):
    (q, k, v, *mask), options = case.args, case.kwargs
    if q.shape[1] != k.shape[1] or not options.keys() <= {"causal"}:
        continue
    mask = mask[0] if mask else None
    if options.get("causal"):
        past = np.tril(np.ones((q.shape[2], k.shape[2]), bool), k.shape[2] - q.shape[2])
        mask = past if mask is None else mask & past
    ours, saved = attention_forward(q, k, v, mask=mask)
    theirs, their_saved = op.reference.forward(np, *case.args, **options)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    gradient = np.cos(np.arange(ours.size)).reshape(ours.shape)
    pairs = zip(attention_backward(gradient, saved), op.reference.backward(np, gradient, their_saved), strict=False)
    for mine, library in pairs:
        np.testing.assert_allclose(mine, library, atol=1e-12)
    report = ml.testing.gradcheck(lambda q, k, v, m=mask: op(q, k, v, m), [q, k, v])
    print(f"{case.note:42} 相等；与有限差分相差不超过 {report.largest_error:.0e}")

# %% [markdown]
# 最后是层：把我们的参数放进 `ml.nn.MultiHeadAttention`（它保存的是每个矩阵的转置），得到的输出和梯度都与我们的相同。请阅读 [ops/attention.py](../../minillm/ops/attention.py) 和 [nn/attention.py](../../minillm/nn/attention.py)。

# %%
library = ml.nn.MultiHeadAttention(6, 2, causal=True, bias=False, dtype="float64")
linears = [library.query, library.key, library.value, library.output]
for linear, weight in zip(linears, layer.weights, strict=True):
    linear.weight.mutable()[...] = weight.array.T

ours = layer(x, mask=causal_mask(4))
theirs = library(ml.Tensor(x))
np.testing.assert_allclose(ours.array, theirs.numpy(), rtol=1e-10)
print(f"形状为 {ours.shape} 的输出：相等")

(ours * ours).sum().backward()
(theirs * theirs).sum().backward()
for name, linear, weight in zip(["W_Q", "W_K", "W_V", "W_O"], linears, layer.weights, strict=True):
    np.testing.assert_allclose(weight.grad, linear.weight.grad.T, rtol=1e-10, atol=1e-12)
    print(f"∂L/∂{name}，形状 {weight.shape}：相等")

# %% [markdown]
# ## 需要两次查找的任务
#
# 现在让注意力来学习。序列由八个随机的词组成；在每个位置，这一层要说出**前面第一个**词和**前面第二个**词。它的输入是每个词和它的位置，词和位置各用一个 1 表示；应当按位置来查找，这一点要由它自己发现。
#
# 损失是交叉熵（cross-entropy），也写成一对函数；目标全为 0 的行（第一个词之前没有词）不计入。

# %%
WORDS = ["the", "cat", "sat", "on", "mat", "我", "喜欢", "猫", "和", "狗"]
TIME = 8


def vectors(ids):
    """(batch, time) -> (batch, time, 10 个词 + 8 个位置)：词用一个 1 表示，位置也用一个 1 表示。"""
    places = np.broadcast_to(np.eye(TIME)[: ids.shape[1]], (*ids.shape, TIME))
    return np.concatenate([np.eye(len(WORDS))[ids], places], axis=-1)


def back_targets(ids):
    """(batch, time, 2, words)：前面第一个词和第二个词各是什么。"""
    wanted = np.zeros((*ids.shape, 2, len(WORDS)))
    wanted[:, 1:, 0] = np.eye(len(WORDS))[ids[:, :-1]]
    wanted[:, 2:, 1] = np.eye(len(WORDS))[ids[:, :-2]]
    return wanted


def cross_entropy_forward(logits, wanted):
    p, _ = softmax_forward(logits)
    return -(wanted * np.log(np.maximum(p, 1e-300))).sum() / wanted.sum(), (p, wanted)


def cross_entropy_backward(g, saved):
    """softmax 与对数合在一起：对计入的行是 p − y"""
    p, wanted = saved
    return g * (p * wanted.sum(-1, keepdims=True) - wanted) / wanted.sum(), np.zeros_like(wanted)


cross_entropy = engine.op(cross_entropy_forward, cross_entropy_backward)

# %% [markdown]
# 训练时沿负梯度方向走，并带有动量（momentum）：每一步都保留上一步的十分之九，使路线更平滑（后面有专讲训练的章节）。


# %%
def loss_of(layer, ids, targets, mask):
    wanted = targets(ids)
    logits = engine.reshape(layer(vectors(ids), mask=mask), shape=wanted.shape)
    return cross_entropy(logits, wanted)


def train(n_head, targets, mask, steps=250, step_size=0.5):
    """用随机序列训练一个宽度为 16 的层；返回这个层和每一步的损失。"""
    rng = np.random.default_rng(0)
    n_out = targets(np.zeros((1, TIME), int)).shape[2] * len(WORDS)
    layer = MultiHead(rng, n_head, len(WORDS) + TIME, 16, n_out)
    moves, losses = [0.0] * 4, []
    for _ in range(steps):
        loss = loss_of(layer, rng.integers(len(WORDS), size=(16, TIME)), targets, mask)
        loss.backward()
        losses.append(float(loss.array))
        moves = [0.9 * move + weight.grad for move, weight in zip(moves, layer.weights, strict=True)]
        for weight, move in zip(layer.weights, moves, strict=True):
            weight.array = weight.array - step_size * move
    return layer, losses


one, losses_of_one = train(1, back_targets, causal_mask(TIME))
two, losses_of_two = train(2, back_targets, causal_mask(TIME))
say(
    f"{len(losses_of_two)} 步之后，用一个宽 16 的头，损失为 **{np.mean(losses_of_one[-20:]):.3f}** 奈特；用两个宽 8 的头，"
    f"损失为 **{np.mean(losses_of_two[-20:]):.3f}** 奈特，而开始时是 {losses_of_two[0]:.3f}。两者都有 "
    f"{sum(w.array.size for w in two.weights):,} 个参数。"
)

# %% [markdown]
# 一个头对每个词元只有一组权重。两个词它都能找到，但交出来的是两者的混合，谁在前、谁在后的信息丢失了：猜一次硬币的正反面，代价是 $\ln 2$ 奈特。多取一个词、少取另一个词，对一个答案有利，对另一个答案就有害。两个头则各找一个词。

# %% [markdown]
# ## 图：各个头学到了什么
#
# 下面是一个句子的权重 $P$。两个层的训练数据只是随机序列，并没有专门放进这个句子。

# %%
import matplotlib.pyplot as plt


def shares_of(layer, ids):
    """(n_head, time, time)：一个句子的 softmax 各行。"""
    q, k, v = (t.array for t in layer.heads(vectors(ids[None])))
    return attention_forward(q, k, v, mask=causal_mask(len(ids)))[1][3][0]


# 句子可以换成你自己的：至多八个 WORDS 里的词，然后把下面的单元格也运行一遍
sentence = ["the", "cat", "sat", "on", "the", "mat"]
ids = np.array([WORDS.index(word) for word in sentence])
pictures = {"one head, of 16": shares_of(one, ids)[0]}
pictures |= {f"two heads, the {name}": p for name, p in zip(["first", "second"], shares_of(two, ids), strict=True)}

figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
for axis, (title, p) in zip(axes, pictures.items(), strict=True):
    picture = axis.imshow(p, vmin=0, vmax=1, cmap="Blues")
    axis.set(title=title, xlabel="key: the token looked at", ylabel="query: the token that looks")
    axis.set_xticks(range(len(sentence)), sentence, rotation=45)
    axis.set_yticks(range(len(sentence)), sentence)
figure.colorbar(picture, ax=axes, label="share")
show(
    figure,
    "学到的权重：一个头分散在前面两个词元上；两个头则各看其中一个。（左：一个宽 16 的头；中、右：两个头中的第一个和第二个。横轴：键，即被看的词元；纵轴：查询，即在看的词元。）",
)

# %%
offsets = [int(np.median(np.arange(2, len(ids)) - p[2:].argmax(axis=1))) for p in shares_of(two, ids)]
for i, offset in enumerate(offsets):
    p = shares_of(two, ids)[i]
    mean = np.mean([p[t, t - offset] for t in range(2, len(ids))])
    say(f"第{['一', '二'][i]}个头看**往前 {offset} 个位置**的词，权重平均为 {mean:.2f}。")

# %% [markdown]
# ## 图：逐步展示公式
#
# 取往前看一个位置的那个头，用在这个句子上：查询和键、分数、缩放、掩码、逐行 softmax、输出。两个 *the* 是同一个词，靠位置来区分。

# %%
from minillm import views

head = offsets.index(1)
q, k, v = (t.array[0, head] for t in two.heads(vectors(ids[None])))
views.attention(sentence, q, k, v, causal=True)

# %% [markdown]
# 它学到的是位置，而不是词，所以换成它词表里另一种语言的词，它也照样工作：

# %%
chinese = ["我", "喜欢", "猫", "和", "狗"]
chinese_ids = np.array([WORDS.index(word) for word in chinese])
q, k, v = (t.array[0, head] for t in two.heads(vectors(chinese_ids[None])))
print(views.attention(chinese, q, k, v, causal=True))

# %% [markdown]
# **你自己的句子。** 什么都没有学过的时候，任何词都可以：每个词得到一个随机向量，不论在哪里出现都一样，三个矩阵也是随机的。所以这里看到的只是公式本身，没有意义，也没有位置。不含空格的句子按字切分，含空格的按词切分，例如 the old dog sleeps。（`views.attention(...).save("mine.html")` 把它存成一个独立的网页。）

# %%
import zlib

mine = "白日依山尽，黄河入海流"
tokens = mine.split() if " " in mine else list(mine)
x = np.stack([np.random.default_rng(zlib.crc32(token.encode())).normal(size=8) for token in tokens])
W_q, W_k, W_v = np.random.default_rng(0).normal(size=(3, 8, 4)) / np.sqrt(8)
views.attention(tokens, x @ W_q, x @ W_k, x @ W_v, causal=True)

# %% [markdown]
# ## 如果弄坏它
#
# **……分数不除以 $\sqrt{d_k}$。** 这时权重会集中到一个键上，而权重为 0 或 1 的地方，softmax 是平的：两种情况下 $p_j(dP_j - \sum dP\,p)$ 都是 0。没有梯度，就学不到东西。取随机的查询和 32 个随机的键，再给权重一个随机的梯度，下面是对各查询取的中位数（undivided 表示不除，divided by √d_k 表示除过）：

# %%
widths, rng = [4, 16, 64, 256, 1024], np.random.default_rng(0)
norms = {"undivided": [], "divided by √d_k": []}
print(" d_k               分数        最大权重    dS 的范数")
for d_k in widths:
    q, k = rng.normal(size=(512, d_k)), rng.normal(size=(32, d_k))
    dp = rng.normal(size=(512, 32))
    for name, divisor in zip(norms, (1, np.sqrt(d_k)), strict=True):
        p, saved = softmax_forward(q @ k.T / divisor)
        (ds,) = softmax_backward(dp, saved)
        norms[name].append(np.median(np.linalg.norm(ds, axis=1)))
        print(f"{d_k:4}  {name:>17}  {np.median(p.max(axis=1)):14.4f}   {norms[name][-1]:10.1e}")

# %%
figure, axis = plt.subplots(figsize=(6, 3.4))
for (name, values), style in zip(norms.items(), ("o--", "s-"), strict=True):
    axis.loglog(widths, values, style, label=name)
axis.set(xlabel="d_k, the width of queries and keys", ylabel="‖∂L/∂s‖, median over queries")
axis.set_xticks(widths, widths)
axis.minorticks_off()
axis.legend()
show(figure, "分数的梯度随头的宽度 d_k 的变化：不除时逐渐消失（虚线），除以 √d_k 后保持不变（实线）。")

# %% [markdown]
# **……没有因果掩码。** 设任务是预测下一个词。词是随机的，所以谁也不可能做得比 $\ln 10$ 奈特更好。可是没有掩码时，训练给出的数字却不是这样：


# %%
def next_targets(ids):
    wanted = np.zeros((*ids.shape, 1, len(WORDS)))
    wanted[:, :-1, 0] = np.eye(len(WORDS))[ids[:, 1:]]
    return wanted


honest, honest_losses = train(1, next_targets, causal_mask(TIME), steps=150)
peeking, peeking_losses = train(1, next_targets, None, steps=150)
test = np.random.default_rng(1).integers(len(WORDS), size=(256, TIME))
used = loss_of(peeking, test, next_targets, causal_mask(TIME)).array
say(
    f"理论上最好的损失是 ln 10 = {np.log(10):.3f} 奈特。加掩码：**{np.mean(honest_losses[-20:]):.3f}**。不加掩码："
    f"**{np.mean(peeking_losses[-20:]):.1e}**，因为答案就在后面一个位置，这一层看的正是那里。真正使用时，"
    f"下一个词还没有出现，这时它的损失是 **{used:.1f}** 奈特，还不如瞎猜。"
)

# %% [markdown]
# **……被遮住的分数取 $-10^9$，而不是 $-\infty$。** 只要至少有一个键可见，两者就没有区别。但是设想一个什么都不能看的查询，例如填充（padding）词元的查询：在 float32 中，加上 $-10^9$ 会把分数本身淹没，于是所有分数都相等，这个查询得到的是它不该看的各个值的平均。若用 $-\infty$ 而 softmax 写得不小心，$-\infty - (-\infty)$ 就会得到 NaN。至于 float16，根本没有 $-10^9$ 这个数。


# %%
def careless_softmax(s):
    e = np.exp(s - s.max())
    return e / e.sum()


scores, secrets = np.array([2.0, -1.0, 0.5], np.float32), np.array([[7.0], [8.0], [9.0]])
with np.errstate(invalid="ignore", over="ignore"):
    shares = {
        "−1e9，粗心的写法": careless_softmax(scores + np.float32(-1e9)),
        "−∞，粗心的写法": careless_softmax(scores + np.float32(-np.inf)),
        "−1e9，用 float16": careless_softmax(scores.astype(np.float16) + np.float32(-1e9).astype(np.float16)),
        "−∞，本章的写法": softmax_forward(np.full(3, -np.inf))[0],
        "−∞，minillm": ml.ops.softmax(np.full(3, -np.inf)).numpy(),
    }
for name, p in shares.items():
    print(f"{name}：权重 {p.round(4)}，输出 {p @ secrets}")

# %% [markdown]
# ## 练习
#
# 把 `...` 换成自己的代码，然后运行单元格。`hint("06.1")` 给出一条提示，再次调用会给出下一条；`solution("06.1")` 显示参考答案。

# %% [markdown]
# **06.1** 带掩码的分数。`q` 的形状是 `(queries, d_k)`，`k` 的形状是 `(keys, d_k)`；`lengths` 给出每个查询可以看前多少个键。返回缩放后的分数 `(queries, keys)`，查询不能看的地方为 $-\infty$。


# %%
def masked_scores(q, k, lengths): ...


check("06.1", masked_scores)

# %% [markdown]
# **06.2** 手算注意力的一行：`query` 是 `(d_k,)`，`keys` 是 `(n, d_k)`，`values` 是 `(n, d_v)`。用循环**一次处理一个**键，除了几个数和一个长度为 `d_v` 的向量，什么也不保存：到目前为止的最大值、指数之和以及混合结果。（长文本的注意力就是这样放进又小又快的存储器的。）返回输出 `(d_v,)`。分数可能上千。检查程序只看结果，不看过程；过程由你自己把关。


# %%
def one_row(query, keys, values): ...


check("06.2", one_row)

# %% [markdown]
# **06.3** 设 $S = QK^\top/\sqrt{d_k}$，其中 `q` 的形状是 `(..., queries, d_k)`，`k` 的形状是 `(..., keys, d_k)`。给定 $S$ 的梯度 `g`，返回 `q` 和 `k` 的梯度。


# %%
def scores_backward(g, q, k): ...


check("06.3", scores_backward)

# %% [markdown]
# **06.4** GPT-2 把 $W_Q$、$W_K$ 和 $W_V$ 存成一个矩阵，所以一次乘法就得到 `qkv`，形状是 `(batch, time, 3 · d_model)`：先是查询，再是键，再是值，每一部分中各个头依次排列。把它拆开，调用 `attend(q, k, v)`（输入和输出的形状都是 `(batch, n_head, time, d_head)`），再把返回的结果合并成 `(batch, time, d_model)`。


# %%
def multi_head(qkv, n_head, attend): ...


check("06.4", multi_head)

# %% [markdown]
# **06.5** 模型写文本时，词元一个一个地到来，以往的键和值都保留着。给定保留下来的 `past_k` 和 `past_v`，形状是 `(past, d)`，以及新词元的查询、键和值，形状都是 `(new, d)`，返回新词元的输出 `(new, d)`：它们必须与对整个序列做因果注意力所得的最后几行相同。写文本时 `new` 为 1；分段读入提示（prompt）时 `new` 大于 1；`past` 可以是 0。


# %%
def go_on(past_k, past_v, q, k, v): ...


check("06.5", go_on)
