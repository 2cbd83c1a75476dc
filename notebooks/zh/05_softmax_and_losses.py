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
# # 05 Softmax、交叉熵与平方误差
#
# 对应文档第 4.1.2 节（两种损失函数）和第 4.3.4 节中的算例。
#
# 公式：[4.1.2-ce] [4.1.2-mse]
#
# 文档给出了这两种损失（loss）的公式，说 $y_i$ 是第 $i$ 个样本的标签，并手算了一个损失。至于概率从何而来（softmax），以及训练真正要用的梯度（gradient），文档都没有写。本章把它们补上，并把那次手算重做一遍。
#
# 预备知识：第 04 章，反向传播（backpropagation）由那里的张量引擎完成。

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
# ## 思路
#
# 语言模型（language model）读入若干个词，然后给词表（vocabulary）中的每个词打一个**分数**，它可以是任意实数。从分数到损失分两步：
#
# 1. **softmax** 把分数变成概率：每个都是正数，总和为 1；分数越高，概率越大。
# 2. **交叉熵**（cross-entropy）找出实际出现的那个词的概率 $p$，收取 $-\ln p$ 的代价。如果模型早就确信是这个词，就不用付出代价；越没有料到，代价越大。损失就是模型的**惊异度**（surprise）。
#
# 这两步各有各的导数。合在一起，得到的却是整个领域里最简单的导数之一：模型说的减去它本该说的，即 $p - y$。
#
# **平方误差**（squared error）是文档中的另一种损失：预测与真实值之间距离的平方的一半。当真实值是一个数量时，应该用它；但要从许多词中选出一个词，它就不行了，后面会看到原因。

# %% [markdown]
# ## 算一个例子
#
# 某个模型的词表里只有三个词，读过“the cat sat on the”之后，它给出下面的分数。真正的下一个词是“sofa”。

# %%
words = ["mat", "sofa", "moon"]
x = np.array([2.0, 1.0, -1.0])
y = np.array([0.0, 1.0, 0.0])  # 独热向量：实际出现的词处为 1

e = np.exp(x)
total = e.sum()
p = e / total
print(f"Σ eˣ = {total:.5f}")
for word, score, exponential, probability in zip(words, x, e, p, strict=True):
    print(f"{word:5} x = {score:4.1f}   eˣ = {exponential:.5f}   p = {probability:.5f}")
print(f"Σ p  = {p.sum():.5f}")

# %% [markdown]
# 按文档的公式计算损失：它是对**词表**求和，其中只有一项不为 0。

# %%
terms = -y * np.log(p)
L = terms.sum()
for word, term in zip(words, terms, strict=True):
    print(f"−y ln p（{word:5}）= {abs(term):.5f}")
print(f"L = {L:.5f} 奈特")

# %% [markdown]
# 再来看梯度 $p - y$（证明在后面），与有限差分（finite difference）对照：


# %%
def loss(x):
    return -np.log(np.exp(x) / np.exp(x).sum())[1]


eps = 1e-6
for i, word in enumerate(words):
    step = eps * np.eye(3)[i]
    numeric = (loss(x + step) - loss(x - step)) / (2 * eps)
    print(f"∂L/∂x（{word:5}）= p − y = {p[i]:.5f} − {y[i]:.0f} = {p[i] - y[i]:8.5f}   有限差分 {numeric:8.5f}")
print(f"走一步到 x − (p − y) 之后，L = {loss(x - (p - y)):.5f}")

# %% [markdown]
# 正确的词分数应当上升，其余的词分数应当下降，每个词下降的幅度就是它多占的那部分概率。上升的总量等于下降的总量，因此梯度各分量之和为 0。

# %% [markdown]
# ## 从分数到概率
#
# $$p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# 指数函数使每个分数变成正数，除法使它们的和为 1。起作用的只有分数之差：$p_i / p_j = e^{x_i - x_j}$。一个词比另一个词高 1 分，它的概率就是后者的 $e$ 倍，与两者各是多少分无关。
#
# 因此可以从所有分数中减去同一个数。对任意的 $m$，
#
# $$\frac{e^{x_i - m}}{\sum_j e^{x_j - m}} = \frac{e^{-m}\,e^{x_i}}{e^{-m}\sum_j e^{x_j}} = p_i,$$
#
# 因为 $e^{-m}$ 在分子和分母中约掉了。纸面上这没有任何变化，在计算机里却至关重要，因为 $e^{1000}$ 超出了所有浮点数的范围。取 $m = \max_j x_j$，那么最大的指数是 0，分母介于 1 和词数之间，什么都不会溢出。远低于最大值的项变成 0，这也正是应有的结果。

# %% tags=["losses"]
import numpy as np

from minillm.book import module

engine = module("04", "engine")


def softmax_forward(x, axis=-1):
    """p_i = exp(x_i − m) / Σ_j exp(x_j − m),  m = max x（有了 `initial`，空的行也有最大值）"""
    e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
    p = e / e.sum(axis, keepdims=True)
    return p, (p, axis)


# %%
np.testing.assert_allclose(softmax_forward(x)[0], p, rtol=1e-15)
print("再算一遍例子：   ", softmax_forward(x)[0].round(5))
print("所有分数加 1000：", softmax_forward(x + 1000)[0].round(5))

# %% [markdown]
# ## softmax 的导数
#
# 分母是对所有分数求和，所以每个概率都依赖于每个分数。记 $S = \sum_k e^{x_k}$，它对 $x_j$ 的导数是 $e^{x_j}$；再记 $\delta_{ij}$：$i = j$ 时为 1，否则为 0。由商的求导法则，
#
# $$\frac{\partial p_i}{\partial x_j} = \frac{\delta_{ij}\,e^{x_i} S - e^{x_i} e^{x_j}}{S^2}
# = \frac{e^{x_i}}{S}\left(\delta_{ij} - \frac{e^{x_j}}{S}\right) = p_i\,(\delta_{ij} - p_j).$$
#
# 这些数构成一个矩阵，称为**雅可比矩阵**（Jacobian）。对上面的例子：

# %%
jacobian = p[:, None] * (np.eye(3) - p)
print(jacobian.round(5))
print("各行之和：", jacobian.sum(axis=1).round(15) + 0.0)
print("各列之和：", jacobian.sum(axis=0).round(15) + 0.0)

# %% [markdown]
# 各列之和为 0，因为概率的总和始终是 1：一个词增加多少，其余的词就减少多少。各行之和为 0，因为给所有分数加上同一个数，什么也不会改变。
#
# 如果词表有 50,000 个词，雅可比矩阵就有 25 亿个数，而且每个词元（token）都有一个。与第 04 章一样，我们从不真正构造它。反向传播收到 $dp_i = \partial L/\partial p_i$，只需要它与雅可比矩阵的乘积：
#
# $$dx_j = \sum_i dp_i\,\frac{\partial p_i}{\partial x_j} = \sum_i dp_i\,p_i\,(\delta_{ij} - p_j)
# = p_j\,dp_j - p_j \sum_i dp_i\,p_i.$$
#
# $\delta_{ij}$ 从和式中挑出一项，其余各项提出公因子 $p_j$。把所有的 $j$ 写在一起：
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
print("用雅可比矩阵：  ", (dp @ jacobian).round(5))
print("不用雅可比矩阵：", dx.round(5))
np.testing.assert_allclose(dx, dp @ jacobian, rtol=1e-12)

# %% [markdown]
# ## 交叉熵：惊异度
#
# 什么样的概率才算好？能使真正发生的事情显得很可能的概率就是好的。对一段有 $T$ 个词的文本，模型给出的概率是
#
# $$P(w_1 \ldots w_T) = \prod_t p(w_t \mid w_{<t}),$$
#
# 称为**似然**（likelihood）。要使它尽量大，等价于使它的对数尽量大，而对数是一个和，更容易处理；为了得到一个要**变小**的量，改变符号；为了比较长短不同的文本，再除以 $T$：
#
# $$L = -\frac{1}{T} \ln P = \frac{1}{T} \sum_t -\ln p(w_t \mid w_{<t}).$$
#
# 每一项是对一个词的惊异度，单位是**奈特**（nat）。除以 $\ln 2$ 就换算成**比特**（bit）：抛一枚均匀的硬币正好是 1 比特。

# %%
print("概率           奈特     比特")
for probability in (1.0, 0.9, 0.5, 0.25, 0.01, 1e-6):
    nats = abs(np.log(probability))  # 就是 −ln p，因为 p 不大于 1
    print(f"{probability:<11g} {nats:7.4f} {nats / np.log(2):8.4f}")

# %% [markdown]
# 这就是文档的公式。当 $y$ 是独热向量（one-hot）时，$-\sum_i y_i \ln p_i$ 只剩一项，即实际出现的词的 $-\ln p$。这里的 $i$ 遍历的是**词表**，而且只针对一个词元；对各个词元还要取平均，那是另一层求和，文档漏掉了。在一般的形式中，$y$ 可以是任意分布，这个量称为 $y$ 与 $p$ 的交叉熵，它在 $p = y$ 时最小。
#
# **不计入的词元。** 一批（batch）句子长短不一，短的要用填充（padding）补齐。填充的位置没有下一个词，我们把它的目标设为 $-100$，这不是任何词的编号；它既不计入总和，**也不计入除数**。

# %% [markdown]
# ## 把 softmax 和交叉熵合成一个算子
#
# 两者合起来比任何一个单独的都简单。设正确的词是 $t$，对数正好抵消指数：
#
# $$L = -\ln \frac{e^{x_t}}{\sum_j e^{x_j}} = \ln \sum_j e^{x_j} - x_t.$$
#
# 第一项的导数是 $e^{x_i} / \sum_j e^{x_j} = p_i$；第二项的导数在 $i = t$ 时为 1，其余为 0，也就是 $y_i$：
#
# $$\frac{\partial L}{\partial x_i} = p_i - y_i.$$
#
# 绕远路也得到同样的结果。单看交叉熵，$dp_i = -y_i/p_i$，softmax 把它变成 $p_i\,(-y_i/p_i + \sum_j y_j) = p_i \sum_j y_j - y_i$；如果各 $y_j$ 之和为 1，这就是 $p - y$。但是走这条路，程序要除以 $p$，而 $p$ 可能已经变成 0；合并后的算子不会遇到这种情况。它的对数同样需要减去最大值：$\ln p_i = (x_i - m) - \ln \sum_j e^{x_j - m}$。


# %% tags=["losses"]
IGNORED = -100  # 不计入的位置的目标


def cross_entropy_forward(logits, targets, ignored=IGNORED):
    """−ln p(目标) 的平均，以奈特计；logits 为 (..., classes)，targets 为编号 (...)。"""
    rows, targets = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
    counted = np.flatnonzero(targets != ignored)
    shifted = rows - rows.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    loss = -log_p[counted, targets[counted]].sum() / max(len(counted), 1)
    return loss, (log_p, targets, counted, logits.shape)


def cross_entropy_backward(g, saved):
    """dx = g (p − y) / 个数；不计入的行为 0。"""
    log_p, targets, counted, shape = saved
    dx = np.zeros_like(log_p)
    dx[counted] = np.exp(log_p[counted])
    dx[counted, targets[counted]] -= 1
    return ((g / max(len(counted), 1) * dx).reshape(shape),)


cross_entropy = engine.op(cross_entropy_forward, cross_entropy_backward)

# %% [markdown]
# 编号不是可以求导的量，所以它们是算子的选项，而不是输入。下面把前面的例子用两遍，中间放一个填充位置：

# %%
logits = engine.Tensor([x, [0.0, 0.0, 0.0], x])
mean = cross_entropy(logits, targets=np.array([1, IGNORED, 1]))
mean.backward()
print(f"L = {mean.array:.5f}，与只有一个词元时相同")
print(logits.grad.round(5) + 0.0)

# %% [markdown]
# ## 困惑度与比特
#
# 以奈特为单位的损失不够直观，它的指数就好懂得多：**困惑度**（perplexity）$= e^L$。如果 $k$ 个词的可能性全都相等，损失就是 $\ln k$，困惑度就是 $k$。所以困惑度为 20 的意思是：模型平均而言就像面对 20 个等可能的词那样拿不定主意。一无所知的模型，困惑度等于词表的大小。

# %%
for size in (2, 20, 50_000):
    uniform = cross_entropy(np.zeros((1, size)), targets=np.array([0])).array
    say(f"{size:,} 个等可能的词：{uniform:.4f} 奈特，{uniform / np.log(2):.4f} 比特，困惑度 {np.exp(uniform):,.1f}")

# %% [markdown]
# 只有词元相同的模型，才能比较**每个词元**的奈特数：把文本切成的段数越少，每一段就越难猜。**每字节比特数**（bits per byte）把总损失放到一个与分词器无关的尺度上。下面用两种方式切分同一个句子，所取的损失使整句话的概率完全相同：

# %%
from minillm.metrics.language import bits_per_byte, perplexity

text = "猫坐在垫子上"
size = len(text.encode("utf-8"))
print(f"{text}：{len(text)} 个字符，{size} 个字节")
for tokens, nats in ((list(text), 2.0), (["猫", "坐在", "垫子", "上"], 3.0)):
    per_byte = bits_per_byte(nats, len(tokens), size)
    print(f"{len(tokens)} 个词元，每个 {nats} 奈特：困惑度 {perplexity(nats):6.3f}，每字节 {per_byte:.4f} 比特")

# %% [markdown]
# ## 平方误差
#
# 如果真实值是一个数量，例如长度或价格，我们希望预测值 $\hat y$ 与它**接近**：
#
# $$L = \tfrac{1}{2} \sum_i (y_i - \hat y_i)^2, \qquad \frac{\partial L}{\partial \hat y_i} = \hat y_i - y_i.$$
#
# ½ 是为梯度准备的：平方求导时产生因子 2，正好被它抵消。负号来自 $y_i - \hat y_i$ 对 $\hat y_i$ 的导数。平方误差其实也是惊异度：如果 $y$ 服从以 $\hat y$ 为均值、方差为 1 的正态分布，那么 $-\ln p(y) = \tfrac{1}{2}(y - \hat y)^2$ 再加一个常数。


# %% tags=["losses"]
def mse_forward(prediction, target, factor=0.5):
    """½ Σ (y − ŷ)²，½ 也可以换成别的系数"""
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
print(f"L = ½ (0.5² + 0² + 2²) = {squared.array:.3f}，∂L/∂ŷ = {guess.grad}")

# %% [markdown]
# ### 为什么不用它来选词
#
# 当然也可以对概率取平方误差 $\tfrac{1}{2}\sum_i (p_i - y_i)^2$。与交叉熵一样，模型完美时它为 0。但它的梯度要经过 softmax 往回传，途中会乘上 $p$。设只有两个词，错误的词的概率为 $p$，则 $dp = (p, -p)$，于是
#
# $$dx_{\text{wrong}} = p\,\big(p - (p \cdot p - p\,(1 - p))\big) = 2 p^2 (1 - p).$$
#
# 这里 $x_{\text{wrong}}$ 是错误的词的分数。模型答对时，即 $p \to 0$，梯度消失，这是应该的。可是 $p \to 1$ 时梯度也消失，而此时模型**对错误的词深信不疑**，最需要学习。交叉熵在这里的梯度是 $dx_{\text{wrong}} = p$，接近 1。用我们的引擎计算：


# %%
def pulls(ahead):
    """错误词比正确词领先 `ahead` 时的 ∂L/∂(错误词的分数)：先是交叉熵的，后是平方误差的。"""
    scores = [engine.Tensor([[ahead, 0.0]]) for _ in range(2)]
    cross_entropy(scores[0], targets=np.array([1])).backward()
    mse(softmax(scores[1]), [[0.0, 1.0]]).backward()
    return [tensor.grad[0, 0] for tensor in scores]


print("领先量     p(错词)      交叉熵          平方误差        2p²(1 − p)")
for ahead in (-5.0, 0.0, 2.0, 5.0, 10.0, 20.0):
    wrong = softmax_forward(np.array([ahead, 0.0]))[0]
    ce, se = pulls(ahead)
    print(f"{ahead:6.0f}     {wrong[0]:.8f}   {ce:<13.6g}   {se:<13.6g}   {2 * wrong[0] ** 2 * wrong[1]:.6g}")

# %% [markdown]
# ## 文档算出的结果
#
# 第 4.3.4 节的标签是 5 和 6，对应的概率是 0.4 和 0.6。文档写道
#
# $$L = -[5 \log 0.4 + 6 \log 0.6] = -[1.386 + 1.792] = -3.178,$$
#
# 并得出结论：损失为 3.178。可是这些数没有一个等于它所代表的式子：

# %%
p_label, ids = np.array([0.4, 0.6]), np.array([5.0, 6.0])
literal_terms = ids * np.log(p_label)
literal = -literal_terms.sum()
print(f"{'':30}    文档       计算")
for name, said, value in [
    ("5 ln 0.4", 1.386, literal_terms[0]),
    ("6 ln 0.6", 1.792, literal_terms[1]),
    ("−[5 ln 0.4 + 6 ln 0.6]", -3.178, literal),
]:
    print(f"{name:30}{said:8.3f}   {value:8.5f}")
np.testing.assert_allclose([*literal_terms, literal], [-4.58145, -3.06495, 7.64641], atol=1e-5)
print(f"这些数的来历：ln 4 = {np.log(4):.4f}，ln 6 = {np.log(6):.4f}，ln 24 = {np.log(24):.4f}")
np.testing.assert_allclose([1.386, 1.792, 3.178], np.log([4, 6, 24]), atol=5e-4)

# %% [markdown]
# 交叉熵也不可能是负数：没有大于 1 的概率，所以每个 $-\ln p$ 都不小于 0。
#
# 更大的错误在系数上。5 和 6 是词的**名称**，即词在词表中的位置，而不是数量。公式里的 $y$ 是独热向量：对第一个词元，1 在位置 5；对第二个词元，1 在位置 6。设词表有 8 个词，标签以外的概率由其余的词平分：

# %%
labels = np.array([5, 6])
probabilities = np.repeat((1 - p_label)[:, None] / 7, 8, axis=1)
probabilities[[0, 1], labels] = p_label
one_hot = np.eye(8)[labels]
print("y =", *one_hot.astype(int), sep="\n    ")
by_token = -(one_hot * np.log(probabilities)).sum(axis=1)  # i 遍历各个类别……
total, mean = by_token.sum(), by_token.mean()  # ……然后才轮到各个词元
say(
    f"−ln 0.4 = {by_token[0]:.5f}，−ln 0.6 = {by_token[1]:.5f}，两者之和为 **{total:.5f}** 奈特，平均每个词元 **{mean:.5f}** 奈特，"
    f"困惑度为 **{np.exp(mean):.5f}**。文档给出的是 3.178。"
)
np.testing.assert_allclose([total, mean, np.exp(mean)], [1.42712, 0.71356, 2.04124], atol=5e-6)
np.testing.assert_allclose(cross_entropy(np.log(probabilities), targets=labels).array, mean)

# %% [markdown]
# 按照文档的写法，模型会学到什么？它的梯度是 $p_i \sum_j y_j - y_i$（见前文），在 $p_i = y_i / \sum_j y_j$ 处为 0。把编号当作 $y$：

# %%
best = ids / ids.sum()
scan = np.linspace(0.001, 0.999, 999)
values = -(5 * np.log(scan) + 6 * np.log(1 - scan))
lowest = -(ids * np.log(best)).sum()
say(
    f"它在 p = (5/11, 6/11) = ({best[0]:.5f}, {best[1]:.5f}) 处最小，最小值为 **{lowest:.5f}**；在试过的 {len(scan)} 个取值中，"
    f"最好的是 p = {scan[values.argmin()]:.3f}，损失为 {values.min():.5f}。无论模型学到什么，它都不会是 0；而 y 取独热向量时，"
    "完美的模型损失为 0。"
)
np.testing.assert_allclose(lowest, 7.57910, atol=5e-6)
assert values.min() >= lowest
np.testing.assert_allclose(best * ids.sum() - ids, 0, atol=1e-12)

# %% [markdown]
# 所以第 4.1.2 节应当改成：$i$ 遍历各个**类别**，$y$ 是独热向量，最后对各词元取平均。文档所说的“第 $i$ 个样本的标签 $y_i$”，只适用于平方误差。

# %% [markdown]
# ## 梯度检查
#
# 这里有一个陷阱：`gradient_check` 会把结果加起来，而无论分数是多少，概率之和总是 1，就连只返回 0 的反向函数也能通过检查。所以先给各个结果乘上不同的系数。

# %%
rng = np.random.default_rng(0)
scores, weights, quantity = rng.normal(size=(4, 5)), rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
targets = np.array([2, IGNORED, 0, 4])
for name, fn, inputs in [
    ("加权的 softmax", lambda x: softmax(x) * weights, [scores]),
    ("按列计算的 softmax", lambda x: softmax(x, axis=0) * weights, [scores]),
    ("交叉熵", lambda x: cross_entropy(x, targets=targets), [scores]),
    ("平方误差", mse, [scores, quantity]),
    ("softmax 的平方误差", lambda x: mse(softmax(x), np.eye(5)[:4]), [scores]),
]:
    error = engine.gradient_check(fn, *inputs)
    print(f"{name}：最大误差 {error:.1e}")
    assert error < 1e-8

# %% [markdown]
# 库里的检查工具也来检验同样几对函数。`ml.testing.check` 用库中算子自己的测试用例来运行它们，其中有别的轴、没有元素的数组、相差悬殊的分数。`gradcheck` 则先要把这对函数注册成库的算子，然后逐个元素地比较雅可比矩阵。


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
print(f"softmax：{passed} 个用例全部正确")
passed = ml.testing.check(
    ml.ops.mse_loss,
    forward=lambda xp, a, b, reduction="half_sum": mse_forward(a, b, 0.5 if reduction == "half_sum" else 1 / a.size),
    backward=lambda xp, g, saved: mse_backward(g, saved),
)
print(f"平方误差：{passed} 个用例全部正确")
report = ml.testing.gradcheck(lambda x: chapter_05_cross_entropy(x, targets), [scores])
print(f"交叉熵：比较了 {report.compared} 个数，最大误差 {report.largest_error:.1e}")

# %% [markdown]
# ## minillm 里的同一件事
#
# [softmax.py](../../minillm/ops/softmax.py) 和 [loss.py](../../minillm/ops/loss.py) 中就是这些公式，外加一个库应有的东西：指出错误的目标及其位置的报错信息、类别权重、标签平滑（label smoothing），以及在一行分数全为 $-\infty$ 时让概率处处为 0。背后的计算核（kernel）做的是同样的事，只是读写内存的遍数更少。


# %%
def compare(name, mine, library, *arrays):
    """比较两个张量函数（我们的和库中的）的结果与梯度。"""
    ours = [engine.Tensor(a) for a in arrays]
    theirs = [ml.Tensor(a, requires_grad=True) for a in arrays]
    results = mine(*ours), library(*theirs)
    np.testing.assert_allclose(results[0].array, results[1].numpy(), rtol=1e-12)
    (results[0] * 1.0).sum().backward()
    results[1].sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-12, atol=1e-15)
    print(f"{name}：结果（形状 {results[0].shape}）相等，{len(arrays)} 个输入的梯度也相等")


compare("softmax", lambda x: softmax(x) * weights, lambda x: ml.ops.softmax(x) * weights, scores)
compare(
    "交叉熵",
    lambda x: cross_entropy(x, targets=targets),
    lambda x: ml.ops.cross_entropy(x, targets),
    scores,
)
compare("平方误差", mse, ml.ops.mse_loss, scores, quantity)

# %% [markdown]
# ## 图：惊异度，以及谁能从中学习
#
# 有两个词，错误的词比正确的词领先得越来越多。左图是两种损失收取的代价，右图是它们把错误词的分数往下拉的力度。

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
show(
    figure,
    "对错误的词越有把握，交叉熵拉得越用力；平方误差却不再用力。（横轴：错误词与正确词的分数之差；左：损失，右：损失对错误词分数的梯度；实线：交叉熵，虚线：概率的平方误差。）",
)

# %% [markdown]
# ## 图：从糟糕的起点开始学习
#
# 有三个词；起初模型确信是第二个词，而正确的是第一个。两种损失都以同样的步长沿负梯度方向前进。


# %%
def descend(loss, steps=40, rate=1.0):
    """下降途中的分数，(steps + 1, 2)；第三个词的分数保持为 0。"""
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
after = f"{len(path) - 1} 步之后"
show(
    figure,
    f"{after}，交叉熵已经学会了这个词，平方误差几乎还停在起点。（横轴：步数；纵轴：正确词的概率；实线：交叉熵，虚线：概率的平方误差。）",
)

# %% [markdown]
# 在前两个分数构成的平面上看同一过程。交叉熵沿着斜坡下降，模型错得最厉害的地方坡度最陡；平方误差则从一片平地出发。（目标在右下方。）

# %%
from minillm import views

around = {
    "directions": np.eye(2),
    "radius": 6.0,
    "names": ("正确词的分数", "错误词的分数"),
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
# ## 如果弄坏它
#
# **……不先减去最大的分数。** $e^x$ 会溢出，无穷大除以无穷大得到 NaN（不是一个数）。在单精度下，真实的模型就可能给出足以溢出的分数：

# %%
with np.errstate(all="ignore"):
    for dtype in (np.float32, np.float64):
        print(f"{dtype.__name__}：eˣ 不溢出的最大 x = {np.log(np.finfo(dtype).max):.2f}")
        for score in (50, 100, 1000):
            row = np.array([score, score - 1], dtype)
            bare = np.exp(row) / np.exp(row).sum()
            print(f"    分数 {score:4}, {score - 1:3}：不减最大值 {bare}，减去后 {softmax_forward(row)[0]}")

# %% [markdown]
# **……把 softmax 和对数分开计算。** 这里没有溢出，但有一个概率变成了 0，它的对数是 $-\infty$。反向传播时 $-1/p$ 是无穷大，0 乘以无穷大又得到 NaN。只要有一个这样的词元，模型的全部参数就毁了。

# %%
far = np.array([[0.0, 800.0]])
with np.errstate(all="ignore"):
    p_far, saved = softmax_forward(far)
    apart = -np.log(p_far[0, 0])
    (dx_apart,) = softmax_backward(np.array([[-1 / p_far[0, 0], 0.0]]), saved)
fused = engine.Tensor(far)
together = cross_entropy(fused, targets=np.array([0]))
together.backward()
print(f"分开计算：损失 {apart}，梯度 {dx_apart[0]}")
print(f"合并计算：损失 {together.array:.1f}，梯度 {fused.grad[0]}")

# %% [markdown]
# **……把编号当作 y**，就像文档那样。这样一来，损失取决于词是怎样编号的，模型会学到什么也取决于此。下面是同一段两个词元的文本、同一个模型，只是词有三种编号方式：

# %%
for a, b in ((5, 6), (1, 20), (0, 1)):
    value = -(a * np.log(0.4) + b * np.log(0.6))
    print(f"编号 {a}, {b:2}：损失 {value:8.5f}，最小值在 p = ({a / (a + b):.4f}, {b / (a + b):.4f})")
print(f"独热向量：  损失 {-np.log(0.4) - np.log(0.6):8.5f}，与编号无关")

# %% [markdown]
# 编号为 0 的词干脆不起任何作用。
#
# **……把填充也计算在内。** 三个句子分别有 6、2、1 个词元，都补齐到 6 个，模型对每个词元的惊异度是已知的。如果把填充当作没有损失的词元，模型看上去会比实际的好；如果先求每句的平均再取平均，最短句子里唯一的词元，就与最长句子的六个词元合起来一样重要。

# %%
lengths = np.array([6, 2, 1])
surprises = np.array([[1, 2, 3, 2, 1, 3], [4, 4, 0, 0, 0, 0], [6, 0, 0, 0, 0, 0]], float)  # 奈特；填充处为 0
for name, value in [
    ("只算计入的词元", surprises.sum() / lengths.sum()),
    ("所有位置都计入", surprises.mean()),
    ("先在各句内平均", (surprises.sum(axis=1) / lengths).mean()),
]:
    print(f"平均损失（{name}）：{value:.4f} 奈特，困惑度 {np.exp(value):7.3f}")

row = engine.Tensor(np.zeros((6, 3)))
cross_entropy(row, targets=np.array([0] + 5 * [IGNORED])).backward()
print(f"最短的句子单独成批：梯度最大为 {abs(row.grad).max():.4f}；", end="")
print(f"若改为除以全部位置数：{abs(row.grad).max() / 6:.4f}")

# %% [markdown]
# ## 练习
#
# 把 `...` 换成自己的代码，然后运行单元格。`hint("05.1")` 给出一条提示，再次调用会给出下一条；`solution("05.1")` 显示参考答案。

# %% [markdown]
# **05.1** 对矩阵 `(rows, columns)` 的每一行求 $\ln \sum_j e^{x_j}$，分数为 1000 或 $-1000$ 时都不能出问题。若一行全是 $-\infty$，结果就是 $-\infty$。（请不要用 `np.logaddexp`。）


# %%
def log_sum_exp(x): ...


check("05.1", log_sum_exp)

# %% [markdown]
# **05.2** 沿最后一个轴计算带**温度**（temperature）$T$ 的 softmax：先把分数除以 $T$。$T = 0$ 时，给出 $T \to 0$ 时概率所趋近的极限。（如果有两个分数并列最大，极限是什么？）


# %%
def tempered_softmax(x, T): ...


check("05.2", tempered_softmax)

# %% [markdown]
# **05.3** 一段长文本被分成几部分来评测。已知每一部分的平均损失（以奈特计，`losses`）和计入的词元数（`counts`），两者都是数组。整段文本的困惑度是多少？如果某一部分没有任何词元计入，它的损失是 `nan`。


# %%
def perplexity_of_parts(losses, counts): ...


check("05.3", perplexity_of_parts)

# %% [markdown]
# **05.4** 求一批填充过的数据中每个**句子**的损失：`logits` 的形状是 `(batch, time, classes)`，`targets` 是 `(batch, time)`，填充处为 $-100$。返回每个句子对自己的词元所取的平均，形状为 `(batch,)`；没有任何词元的句子返回 0。


# %%
def sentence_losses(logits, targets): ...


check("05.4", sentence_losses)

# %% [markdown]
# **05.5** **标签平滑**把训练目标改为 $y' = (1 - \varepsilon)\,y + \varepsilon / V$，其中 $y$ 是独热向量，$V$ 是类别数：这样模型就不会对答案有十足的把握。写出平均损失对 `logits` `(tokens, classes)` 的梯度；`targets` `(tokens,)` 是编号，全部计入。


# %%
def smoothed_gradient(logits, targets, epsilon): ...


check("05.5", smoothed_gradient)
