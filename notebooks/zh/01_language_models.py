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
# # 01 语言模型与 n 元语法
#
# 对应文档第 2.1 节（什么是语言模型）。
#
# 公式：[2.1-ngram]
#
# 文档说：语言模型估计一个词在上下文中出现的概率；早期的 n 元语法（n-gram）模型靠统计相邻词的出现次数来做这件事；而计数的办法遇到长文本就力不从心。这一章就来搭一个这样的模型，量一量它有多好，再用数字说清它的局限在哪里。后面各章造出的模型，都得胜过本章末尾的这一个。
#
# 预备知识：Python 的字典、对数，以及导数是什么。

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
# ## 思路
#
# **语言模型**（language model）根据前面的词，给每个可能的下一个词 $w_t$ 一个概率：$P(w_t \mid w_1 \ldots w_{t-1})$。有了它，就能算出整段文本的概率。由**概率的链式法则**（chain rule of probability），
#
# $$P(w_1 \ldots w_T) = P(w_1)\,P(w_2 \mid w_1)\,P(w_3 \mid w_1 w_2) \cdots P(w_T \mid w_1 \ldots w_{T-1}),$$
#
# 这一步不需要任何假设：$P(A, B) = P(A)\,P(B \mid A)$ 本来就是条件概率的定义，这里不过是用了 $T - 1$ 次。而且，知道下一个词各种可能的概率，就能写作：按概率抽一个词，接到文本后面，如此继续。
#
# 难处在于条件太长。二十个词的一段话，一辈子几乎只会遇到一次，它后面跟什么自然无从统计。所以 **n 元模型**只看最近的 $n - 1$ 个词，当作更早的词不起作用：
#
# $$P(w_t \mid w_1 \ldots w_{t-1}) \approx P(w_t \mid w_{t-n+1} \ldots w_{t-1})
#   = \frac{c(w_{t-n+1} \ldots w_t)}{c(w_{t-n+1} \ldots w_{t-1})}.$$
#
# *这里*才有假设。$c$ 是一组词在训练文本中出现的次数，$n$ 是这组词的长度，称为**阶**（order）：1 阶叫一元（unigram），2 阶叫二元（bigram），3 阶叫三元（trigram）。至于“词”，文本切成什么就是什么：可以是词，可以是字符，也可以是字节。统称**词元**（token）；全部词元构成**词表**（vocabulary），词表大小记作 $V$。

# %% [markdown]
# ## 算一个例子
#
# 一段十四个词的文本，以及它的全部二元组：

# %%
text = "the dog saw the cat and the cat saw the dog and the bird"
words = text.split(" ")
pairs = {}
for before, word in zip(words, words[1:], strict=False):
    followers = pairs.setdefault(before, {})
    followers[word] = followers.get(word, 0) + 1

for before, followers in pairs.items():
    print(f"c({before} ·) = {sum(followers.values())}, 其中 {followers}")

# %% [markdown]
# 最后一个词 *bird* 后面什么也没有：它是一个二元组的结尾，却不是任何二元组的开头。所以分母 $c(w_{t-1})$ 只统计一个词*作为上文*的次数。每一行除以该行的总和，就得到了整个模型：

# %%
for before, followers in pairs.items():
    for word, c in followers.items():
        total = sum(followers.values())
        print(f"P({word:4} | {before:3}) = {c}/{total} = {c / total:.4f}")

# %% [markdown]
# 已知第一个词，*the cat saw the dog* 的概率是多少？把各步的概率相乘即可。文本一长，乘积很快就会小到浮点数无法表示，所以实际上是把对数相加；$-\ln P$ 称为**惊异度**（surprise，也叫自信息），单位是奈特（nat）。

# %%
product, surprise = 1.0, 0.0
sentence = ["the", "cat", "saw", "the", "dog"]
for before, word in zip(sentence, sentence[1:], strict=False):
    chance = pairs[before][word] / sum(pairs[before].values())
    product *= chance
    surprise -= math.log(chance)
    print(f"P({word} | {before}) = {chance:.4f}   乘积 {product:.4f}   累计惊异度 {surprise:.4f} 奈特")
assert math.isclose(product, math.exp(-surprise))

# %% [markdown]
# 这句话并不在文本里，模型却给了它一个概率：模型会把旧片段拼成新句子。但 *the bird saw the cat* 的概率是 0，因为文本里恰好没有哪只鸟看见过什么。只要有一个计数为 0，整段文本就成了不可能。这个问题后面还要谈：n 元语法的功夫，几乎全花在它上面。

# %% [markdown]
# ## 从零写代码
#
# 不论几阶，一个字典就够了：键是上文（由 $n-1$ 个词元组成的元组），值是一个计数器，记录后面跟过什么。一元模型的上文是空元组。

# %% tags=["ngram"]
import math
from collections import Counter, defaultdict


def count(tokens, n):
    """全部 n 元组：{上文，即 n - 1 个词元的元组：它后面各词元的 Counter}。"""
    counts = defaultdict(Counter)
    for t in range(n - 1, len(tokens)):
        counts[tuple(tokens[t - n + 1 : t])][tokens[t]] += 1
    return counts


def nats(chance):
    """概率为 chance 的事情带来的惊异度。"""
    return -math.log(chance) if chance else math.inf


# %%
print(f"the 之后：{dict(count(words, 2)[('the',)])}")
print(f"saw the 之后：{dict(count(words, 3)[('saw', 'the')])}")

# %% [markdown]
# ### 为什么计数就是最好的估计
#
# 用计数相除，看上去很自然。其实不止自然：任何别的一组概率都不会使训练文本更可能出现，这就是**最大似然估计**（maximum likelihood）。取定一个上文 $h$，它后面的词 $w$ 各出现 $c_w$ 次，共 $N = \sum_w c_w = c(h)$ 次。设各词的概率为 $p_w$，这些位置的对数似然是
#
# $$\ell(p) = \sum_w c_w \ln p_w \qquad\text{约束条件为}\qquad \sum_w p_w = 1.$$
#
# 若没有约束，$\ell$ 可以无限增大。**拉格朗日乘子** $\lambda$ 给违反约束定了一个价：
#
# $$\mathcal{L}(p, \lambda) = \sum_w c_w \ln p_w - \lambda \Big(\sum_w p_w - 1\Big).$$
#
# 在最优的 $p$ 处，所有偏导数都是 0。由 $(\ln p)' = 1/p$，对某个 $p_w$ 求导得
#
# $$\frac{\partial \mathcal{L}}{\partial p_w} = \frac{c_w}{p_w} - \lambda = 0 \quad\Longrightarrow\quad p_w = \frac{c_w}{\lambda}.$$
#
# 概率之和为 1，所以 $\sum_w c_w / \lambda = N / \lambda = 1$，即 $\lambda = N$，于是
#
# $$p_w = \frac{c_w}{N} = \frac{c(h\,w)}{c(h)}.$$
#
# 这是最大值而不是最小值：$\partial^2 \ell / \partial p_w^2 = -c_w / p_w^2$ 处处不为正，$\ell$ 是凹函数，只有一个顶点。（$c_w = 0$ 的词对 $\ell$ 没有贡献，分给它的概率只是白白从别的词那里拿走的。）

# %% [markdown]
# ## 梯度检查
#
# 果真如此吗？*the* 后面出现过 *dog*、*cat*、*bird*，分别是 2、2、1 次。在最优点，三个词的导数 $c_w / p_w$ 应当相等，都等于 $\lambda = N$；否则从一个词挪一点概率给另一个词就还有好处。下面就沿着这种“挪动”的方向求有限差分，挪动时总和保持为 1：

# %%
c = np.array([2.0, 2.0, 1.0])
N = c.sum()


def log_likelihood(p):
    return (c * np.log(p)).sum()


eps = 1e-5
for name, p in {"按计数，p = c / N": c / N, "均匀分布": np.full(3, 1 / 3)}.items():
    print(f"{name}：ℓ = {log_likelihood(p):.4f}, c/p = {c / p}")
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        step = eps * (np.eye(3)[a] - np.eye(3)[b])
        slope = (log_likelihood(p + step) - log_likelihood(p - step)) / (2 * eps)
        bend = (log_likelihood(p + step) - 2 * log_likelihood(p) + log_likelihood(p - step)) / eps**2
        print(f"  从词 {b} 挪概率给词 {a}：斜率 {abs(slope):.4f}，二阶导数 {bend:7.2f}")

# %% [markdown]
# 在计数给出的点上，每个方向的斜率都是零，而且向下弯；换一个点就不是这样。
#
# 后面的模型不直接存概率，而是存**对数几率**（logits），也就是不受约束的实数 $z_w$，由 $p_w = e^{z_w} / \sum_v e^{z_v}$ 得到概率：总和自动为 1，不再需要乘子。这时 $\partial \ell / \partial z_w = c_w - N p_w$，在同一个点上为 0。程序库里的交叉熵（cross-entropy）是 $-\ln p$ 的平均值，所以它的梯度应当是 $p - c/N$；沿着它往下走，终点应当就是计数。

# %%
targets = np.repeat(np.arange(3), c.astype(int))  # the 之后的五个词：0 0 1 1 2


def mean_surprise(z):
    return ml.ops.cross_entropy(z + np.zeros((len(targets), 3)), targets)


report = ml.testing.gradcheck(mean_surprise, [np.array([0.3, -1.0, 0.5])])
print(f"梯度与有限差分比较：{report.compared} 个数，最大误差 {report.largest_error:.1e}")

at_counts = ml.Tensor(np.log(c / N), requires_grad=True)
mean_surprise(at_counts).backward()
print(f"在计数处的梯度：{np.abs(at_counts.grad).max():.1e}")

z = np.zeros(3)
for _ in range(400):
    p = np.exp(z) / np.exp(z).sum()
    z -= p - c / N
print(f"从均匀分布往下走 400 步：p = {p.round(6)}, c/N = {c / N}")
np.testing.assert_allclose(p, c / N, atol=1e-9)

# %% [markdown]
# 可见，计数就是训练，只不过答案事先就知道。对二元模型，最优的参数可以直接从文本里读出来；Transformer 做不到，但它沿着往下走的，是同一个损失。

# %% [markdown]
# ## 真实文本：字符与词
#
# 两份每台机器上都有的语料。`stories` 由一套文法随机生成，因此它的**信息熵**（entropy）是已知的，那是任何模型所能达到的最小损失。`python-docs` 是运行本书的这个 Python 自带的文档：人写的英文，没有人知道它的熵。两份语料的末尾都**留出**（held out）一部分：不参与计数，只用来评判。

# %%
documents = stories.documents(220)
train, held = "".join(documents[:200]), "".join(documents[200:])
docs = "".join(corpora.load("python-docs").documents())[:120_000]
docs_train, docs_held = docs[:108_000], docs[108_000:]
say(f"stories：{len(train):,} 个字符用来计数，{len(held):,} 个留出。其中一篇的开头：*{documents[0][:118]} …*")

# %%
after = count(train, 2)
for letter in "qhz":
    total = after[(letter,)].total()
    print(f"{letter!r} 之后：", "  ".join(f"{b!r} {n / total:.3f}" for b, n in after[(letter,)].most_common(5)))


def words_of(text):
    """带着前面空格的词，以及单个符号；连起来就是原来的文本。"""
    return re.findall(r" ?\w+|[^\w]", text)


after = count(words_of(train), 2)
for word in [" was", " the", " whose"]:
    total = after[(word,)].total()
    print(f"{word!r} 之后：", "  ".join(f"{b!r} {n / total:.3f}" for b, n in after[(word,)].most_common(5)))

# %% [markdown]
# 字符的二元模型小得可以整个画成一幅图。每一行是一个上文，一行之和为 1（没有画出的字符也算在内）：

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
show(figure, "python-docs 的字符二元模型：颜色越深，这个字符越是几乎必然跟在后面。横轴是下一个字符，纵轴是前一个字符。")

# %% [markdown]
# ## 用一到五阶写作
#
# 按计数抽一个字符，接在文本后面，再看最后 $n-1$ 个字符，如此反复。上文每长一个字符，写出来的东西就离噪声远一点，离英文近一点：


# %%
def write(counts, start, length, seed):
    """从 `start`（与上文等长的元组）开始逐个抽取往下写；上文后面从没跟过字符时提前结束。"""
    rng, text = random.Random(seed), list(start)
    while len(text) < length:
        followers = counts.get(tuple(text[len(text) - len(start) :]))
        if not followers:
            break
        text += rng.choices(list(followers), followers.values())
    return "".join(text)


for n in range(1, 6):
    start = tuple("The set "[:n][: n - 1])
    print(f"{n} 阶：{write(count(docs_train, n), start, 150, seed=1)!r}\n")

# %% [markdown]
# ## 它有多好？
#
# 只看样例，很容易上当。真正的尺度是模型对没见过的文本有多意外：在留出的词元上求 $-\ln P(w_t \mid \ldots)$ 的平均，这就是**损失**（loss），单位是奈特每词元。同一个量还有两种说法：
#
# - **困惑度**（perplexity）是 $e^{\text{loss}}$：模型的犹豫程度，相当于在这么多个等可能的词元里挑一个。均匀模型的困惑度是 $V$，因为 $-\ln(1/V) = \ln V$。
# - **每字节比特数**（bits per byte）是整段文本的惊异度（以比特计）除以它的 UTF-8 字节数：$\text{loss} \cdot \text{tokens} / (\ln 2 \cdot \text{bytes})$。它与文本怎么切无关，所以要比较字符模型和词模型，就用它。用这个模型写一个压缩程序，每字节大约就要这么多比特。
#
# 损失有一个下限。设文本由概率 $q$ 产生，模型给出的是 $p$，那么平均损失是 $-\sum q \ln p = -\sum q \ln q + \sum q \ln (q / p)$。第一项是文本的信息熵；第二项是 KL 散度（Kullback-Leibler divergence），它不会是负数（因为 $\ln x \le x - 1$，所以 $\sum q \ln (p/q) \le \sum p - \sum q = 0$），只有 $p = q$ 时才为 0。


# %% tags=["ngram"]
def bits_per_byte(loss, tokens, text):
    """由平均损失（奈特）计算，`text` 共有 `tokens` 个词元。"""
    return loss * tokens / (math.log(2) * len(text.encode()))


# %%
by_length = count(train, 2)
losses = [nats(by_length[(a,)][b] / by_length[(a,)].total()) for a, b in zip(held, held[1:], strict=False)]
loss = sum(losses) / len(losses)
say(
    f"字符二元模型在留出的故事上：每字符 {loss:.4f} 奈特，困惑度 {math.exp(loss):.2f}（共有 {len(set(train))} 种字符），"
    f"每字节 **{bits_per_byte(loss, len(held), held):.3f}** 比特。"
)

# %% [markdown]
# ## 零概率问题
#
# 二元模型还过得去，上文再长就不行了：可能的 n 元组有 $V^n$ 种，而文本只有那么长，很快就见不全了。

# %%
for n in (1, 2, 3, 4, 6, 8):
    counts = count(train, n)
    groups = [(tuple(held[t - n + 1 : t]), held[t]) for t in range(n - 1, len(held))]
    unseen = sum(w not in counts.get(h, ()) for h, w in groups)
    print(f"{n} 阶：{len(set(train)) ** n:19,} 种 n 元组，见过 {sum(map(len, counts.values())):6,} 种；", end="")
    print(f"留出文本中 {unseen / len(groups):.2%} 从没见过；损失{'无穷大' if unseen else '有限'}")

# %% [markdown]
# 没见过的总要分到一些概率，见过的就得让出一些，这叫做**平滑**（smoothing）。最简单的是**加 k 平滑**（add-k）：假装每种情况都多见了 $k$ 次（拉普拉斯取 $k = 1$）。
#
# $$P(w \mid h) = \frac{c(h\,w) + k}{c(h) + k V}$$
#
# 它补上了零，但对没见过的词一视同仁，代价也可能很大：如果 $h$ 见过 10 次而 $V$ 是 50，那么取 $k = 1$ 时，真正见过的那十次只占全部概率的六分之一。


# %% tags=["ngram"]
def add_k(counts, word, context, k, vocab_size):
    """k = 0 就是公式本身；上文从没见过时它是 0/0，等于一无所知：1 / vocab_size。"""
    followers = counts.get(context, {})
    size = sum(followers.values()) + k * vocab_size
    return (followers.get(word, 0) + k) / size if size else 1 / vocab_size


# %%
counts, V = count(words, 2), len(set(words))
for k in (0, 0.1, 1):
    row = [add_k(counts, word, ("the",), k, V) for word in sorted(set(words))]
    shown = ", ".join(f"{w} {p:.3f}" for w, p in zip(sorted(set(words)), row, strict=True))
    print(f"k = {k:3}：the 之后：{shown}；总和 {sum(row):.3f}")

# %% [markdown]
# ### 退一步，看短一些的上文
#
# *a sleepy otter* 从没见过时，看看 *sleepy* 后面跟过什么，总好过“什么都有可能”。记 $h'$ 为 $h$ 去掉第一个词后的较短上文，有两种用法：
#
# - **插值**（interpolation）始终把两者混合：$P(w \mid h) = (1 - \lambda_h)\,c(h\,w)/c(h) + \lambda_h\,P(w \mid h')$；
# - **回退**（back-off）只对 $h$ 之后没见过的词才去问 $h'$，并乘上系数 $\alpha_h$，使总和为 1。
#
# $\lambda_h$ 该取多大？有个巧妙的办法：从每个不为 0 的计数里扣去一个 0 到 1 之间的**折扣**（discount）$d$。若 $h$ 后面跟过 $r$ 种不同的词，就腾出了 $d \cdot r$ 次计数，再按短上文的意见分出去：
#
# $$P(w \mid h) = \frac{\max(c(h\,w) - d,\ 0) + d\,r\,P(w \mid h')}{c(h)}.$$
#
# 这样，后面跟过的词越杂，这个上文就越少相信自己。一元模型之下垫的是均匀分布 $1/V$。$d$ 可以由只见过一次的和见过两次的 n 元组的个数来估计：$d = n_1 / (n_1 + 2 n_2)$（Ney、Essen、Kneser，1994）。


# %% tags=["ngram"]
def discount(counts):
    times = Counter(c for followers in counts.values() for c in followers.values())
    return times[1] / (times[1] + 2 * times[2]) if times[1] and times[2] else 0.5


def interpolated(levels, vocab_size):
    """由 1、2……阶的计数得到 P(word, context)，每一阶都与低一阶混合。"""
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
# ### Kneser 和 Ney 的想法
#
# 什么时候才去问短上文？主要是 $h\,w$ *没见过*的时候。所以短上文要回答的，不该是 $w$ 出现得多不多，而是 $w$ 有多容易跟在新的词后面。*Francisco* 很常见，却只跟在 *San* 后面。因此，在最高阶以下不数出现次数，改数**前面出现过多少种不同的词**。这就是 Kneser-Ney 平滑。


# %% tags=["ngram"]
def kneser_ney_levels(tokens, order):
    """1 到 `order` 阶的计数；最高阶以下，数的是前面出现过多少种不同的词元。"""
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
    print(f"{word}：见过 {plain[0][()][word]} 次，前面有 {fresh[0][()][word]} 种不同的词；", end="")
    print(f"在新上文 hot 之后：按出现次数 {interpolated(plain, V)(word, ('hot',)):.3f}，", end="")
    print(f"按 Kneser-Ney {interpolated(fresh, V)(word, ('hot',)):.3f}")

# %% [markdown]
# *hot* 后面更合理的猜测是 *tea*，只有第二种数法看出了这一点。

# %% [markdown]
# ## minillm 里的同一件事
#
# [NGram](../../minillm/models/ngram.py) 把同样的计数存在排好序的数组里，几百万个 n 元组也放得下；公式在 [smoothing.py](../../minillm/models/smoothing.py) 里。它接受的是编号；我们这里的编号就是字符在字母表中的位置。

# %%
alphabet = {character: i for i, character in enumerate(sorted(set(train)))}


def ids_of(tokens, vocabulary=alphabet):
    return np.array([vocabulary[token] for token in tokens])


V, part, piece = len(alphabet), train[:60_000], held[:3000]
for n in range(1, 6):
    p = interpolated(kneser_ney_levels(part, n), V)
    ours = [p(piece[t], tuple(piece[max(0, t - n + 1) : t])) for t in range(len(piece))]
    model = NGram.train(ids_of(part), V, order=n)  # 不另说明时就是 Kneser-Ney
    np.testing.assert_allclose(model.probabilities(ids_of(piece)), ours, rtol=1e-10)
    loss = model.evaluate(ids_of(piece))
    assert math.isclose(loss, np.mean([nats(chance) for chance in ours[1:]]))
    print(f"Kneser-Ney，{n} 阶：{len(ours)} 个概率相等；损失 {loss:.4f} 奈特，每字节 {loss / math.log(2):.4f} 比特")

# %%
for k in (0, 0.5):
    counts = count(part, 3)
    ours = [add_k(counts, piece[t], tuple(piece[t - 2 : t]), k, V) for t in range(2, len(piece))]
    model = NGram.train(ids_of(part), V, order=3, smoothing="add-k", k=k)
    np.testing.assert_allclose(model.probabilities(ids_of(piece))[2:], ours, rtol=1e-12)
    print(f"加 k 平滑，k = {k}：{len(ours)} 个概率相等")

place = {word: i for i, word in enumerate(sorted(set(words)))}
model = NGram.train(ids_of(words, place), len(place), order=2, smoothing="backoff")
after_saw = model.distribution([place["saw"]])
print("回退，saw 之后：", ", ".join(f"{word} {after_saw[i]:.4f}" for word, i in place.items()))

# %% [markdown]
# 最后一行可以手算验证。*saw* 后面出现过两次 *the*，没有别的词。从这个计数里扣去折扣，再按一元概率的比例分给另外五个词：

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
# ## 图：一级一级往上走
#
# 从一无所知到 Kneser-Ney 平滑的五元模型，都用每字节比特数来量。词模型切的是同样的文本；正因为除以的是字节数，它们才能和字符模型画在同一根轴上。对 `stories`，图中还画出了由文法算得的下限。

# %%
floor = stories.entropy_bits_per_byte()
vocabulary = {word: i for i, word in enumerate(sorted(set(words_of(train))))}
in_bytes = [np.frombuffer(text.encode(), np.uint8) for text in (docs_train, docs_held)]


def ladder(counted, judged, vocab_size, text):
    """均匀模型和 1 到 5 阶模型的每字节比特数。"""
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
show(figure, "上文每长一级，损失就降一级；stories 的下限（虚线）仍远在最后一级之下。纵轴：留出文本的损失，比特每字节。")

# %%
exact = sum(stories.GRAMMAR.bits(next(stories.GRAMMAR.derivations(text))) for text in documents[200:])
say(
    f"stories 的信息熵是每字节 {floor:.4f} 比特；知道文法的人，在留出的故事上要付 {exact / len(held.encode()):.4f} 比特。"
    f"上面最好的模型是词的五元模型，付 **{rungs['stories, words'][-1]:.3f}** 比特，"
    f"是下限的 {rungs['stories, words'][-1] / floor:.1f} 倍。"
)

# %% [markdown]
# ## 图：损失随阶数的变化
#
# 为什么到五阶就停？文档说 n 元语法处理长文本有局限，局限就在这里。如果概率全都知道，上文越长只会越好；可是概率要靠*数*出来，上文越长，每种情况的例子就越少。下图画出应对的三种办法，用的是 Python 文档的字节；虚线是模型对它自己数过的文本给出的损失。

# %%
orders = [1, 2, 3, 4, 5, 6, 8, 12]
counted, judged = in_bytes
levels = NGram.train(counted, 256, orders[-1], "add-k").levels  # 前 n 项就是 n 阶模型的计数
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
show(
    figure,
    "损失随阶数的变化：加 k 平滑无论 k 大小都会回升，Kneser-Ney 则趋于平缓。虚线是不做平滑的模型对自己数过的文本的损失。",
)

# %%
rough, kneser_ney = curves["add 0.000001: nearly no smoothing"], curves["Kneser-Ney"]
say(
    f"几乎不平滑时，{orders[rough.argmin()]} 阶的损失最小，为 {rough.min():.2f} 比特，之后**回升**，到 12 阶是 {rough[-1]:.2f}，"
    "而一无所知也不过 8 比特。如果完全不平滑，损失就是无穷大。用 Kneser-Ney，12 阶只比最好的阶高 "
    f"{kneser_ney[-1] - kneser_ney.min():.3f} 比特，6 阶以后任两阶相差不超过 {np.ptp(kneser_ney[5:]):.3f} 比特：那么长的上文几乎从没见过，只好去问短一些的。"
    f"而对自己数过的文本，12 阶模型只付 {curves['no smoothing, on the text it counted'][-1]:.2f} 比特："
    "它已经背下来了。"
)

# %% [markdown]
# ### 再高的阶也够不着的东西
#
# 还有些信息，无论如何也够不着。每个故事开头都给一个孩子取了名字，后文再提到时，往往已经隔了几十个词。记得名字的人自然知道是谁。词的五元模型知道什么？另取 300 个故事，在每个出现名字的地方，看正确名字的概率在所有名字的概率之和中占多少。

# %%
model = NGram.train(ids_of(words_of(train), vocabulary), len(vocabulary), order=5)
spellings = {entry[0]: [] for entry in stories.WORDS["child"].entries}  # 前面有空格的和没有空格的
for word, i in vocabulary.items():
    if word.strip() in spellings:
        spellings[word.strip()].append(i)
shares, any_name = {"首次出现": [], "再次出现": []}, []
for text in stories.documents(520)[220:]:
    tokens, kind = words_of(text), "首次出现"
    for t, token in enumerate(tokens):
        if (name := token.strip()) in spellings:
            before = [vocabulary[word] for word in tokens[max(0, t - 4) : t] if word in vocabulary]
            chances = model.distribution(np.array(before, int))
            any_name.append(sum(chances[ids].sum() for ids in spellings.values()))
            shares[kind].append(chances[spellings[name]].sum() / any_name[-1])
            kind = "再次出现"
print(f"此处是名字：平均概率 {np.mean(any_name):.3f}")
for kind, values in shares.items():
    print(f"是哪个名字，{kind}：平均概率 {np.mean(values):.3f}，共 {len(values):,} 处")
print(f"在 {len(spellings)} 个名字里随便猜：{1 / len(spellings):.3f}")

# %% [markdown]
# 模型往往知道此处*该有*一个名字，至于*是哪一个*，就只能猜了，猜第十次也不比第一次强：往回数四个词，名字并不在那里。要够得着它，阶数得上百，而上百个词的 n 元组每一种都只出现一次。能把开头的信息一路带下来，或者能回头去看的模型，就是本书余下部分要讲的。

# %% [markdown]
# ## 中文：一个字当一个词
#
# 中文不用空格分词，一个词到哪里为止，本身就不好说。字符模型不必管这个问题。拿一段老绕口令当文本：

# %%
twister = "妈妈骑马，马慢，妈妈骂马。"
after = count(twister, 2)
for (character,), followers in after.items():
    total = followers.total()
    print(f"c({character}·) = {total}:", ", ".join(f"P({b}|{character}) = {c}/{total}" for b, c in followers.items()))

# %% [markdown]
# 要评判模型，得有足够长的文本，于是再写一套小文法，它的信息熵同样是已知的。这里的每个字在 UTF-8 中占三个字节，所以“每字符比特数”和“每字节比特数”是两个不同的数：

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
    print(f"{n} 阶：每字符 {loss / math.log(2):.3f} 比特，", end="")
    print(f"即每字节 {bits_per_byte(loss, len(zh[1]), zh_held):.4f}；字节模型：每字节 {per_byte:.4f}")
print(f"下限：每字节 {floor_zh:.4f} 比特")

# %% [markdown]
# 两个字节的上文连一个汉字都装不下，所以同样的阶数，字节模型落后很多。而且“谁做的”在句首说一遍，隔了八个字左右，在句尾又说一遍：只有长上文才能看回去。这里只有五种动物，句子又短，文本才够把这些长上文数全。

# %% [markdown]
# ## 如果弄坏它
#
# **……不做平滑。** 只要留出文本里有一个 n 元组是训练文本中没有的，损失就是无穷大：不是很大，是无穷大，不管模型在别处说得多好。

# %%
model = NGram.train(ids_of(train), V, order=5, smoothing="add-k", k=0)
chances = model.probabilities(ids_of(held))
zeros = np.flatnonzero(chances == 0)
t = int(zeros[0])
say(
    f"五阶、不平滑：损失为 {model.evaluate(ids_of(held))}。{len(held):,} 个字符里有 {len(zeros)} 个概率为 0，"
    f"头一个是 {held[t - 4 : t]!r} 之后的 {held[t]!r}。Kneser-Ney 的损失是 "
    f"{NGram.train(ids_of(train), V, order=5).evaluate(ids_of(held)):.3f} 奈特。"
)

# %% [markdown]
# **……用训练文本打分。** 高阶模型把训练文本背了下来。在这段文本上，它好得出奇：比信息熵允许的还要好，凭这一点就能看出哪里出了错。

# %%
counted, judged = (ids_of(words_of(text), vocabulary) for text in (train, held))
levels = NGram.train(counted, len(vocabulary), 20, "add-k").levels
for n in (2, 3, 5, 10, 20):
    by_heart = NGram(len(vocabulary), levels[:n], "add-k", 0).evaluate(counted)
    seen = bits_per_byte(by_heart, len(counted), train)
    honest = bits_per_byte(NGram.train(counted, len(vocabulary), n).evaluate(judged), len(judged), held)
    print(
        f"词，{n:2} 阶：在数过的文本上每字节 {seen:.4f} 比特，Kneser-Ney 在留出文本上 {honest:.4f}",
        end="",
    )
    print("；低于下限" if seen < floor else "")
print(f"下限是 {floor:.4f}")

# %% [markdown]
# **……n 元组跨过了文本的边界。** 一篇文本的结尾，与下一篇的开头毫无关系。把每个单词当作一篇文本，里面是一串字母；一种办法只在单词内部数字母对，另一种办法把所有单词连起来数：

# %%
spelled = sorted(set(re.findall(r"[a-z]+", docs)))
random.Random(0).shuffle(spelled)
cut = len(spelled) * 9 // 10
within, across = defaultdict(Counter), count("".join(spelled[:cut]), 2)
for word in spelled[:cut]:
    for a, b in zip(word, word[1:], strict=False):
        within[(a,)][b] += 1
places = [((a,), b) for word in spelled[cut:] for a, b in zip(word, word[1:], strict=False)]
for name, counts in {"在词内部": within, "跨过边界": across}.items():
    loss = np.mean([nats(add_k(counts, b, a, 0.1, 26)) for a, b in places])
    invented = sum(c for a, f in counts.items() for b, c in f.items() if b not in within[a])
    total = sum(f.total() for f in counts.values())
    print(f"{name}计数：{total:6,} 对，其中 {invented:3} 对是任何词里都没有的；损失每字母 {loss:.4f} 奈特")

# %% [markdown]
# 程序不会出错，模型只是白白差了一些。如果像后面几章那样，用一个词元标出文本的结束，模型甚至能学会一篇文本在哪里收尾。

# %% [markdown]
# ## 练习
#
# 把 `...` 换成自己写的代码，运行单元格。`hint("01.1")` 给一条提示，再调用一次给下一条；`solution("01.1")` 显示一种解答。

# %% [markdown]
# **01.1** 写成矩阵的二元概率。`ids` 是词元编号的数组，取值 `0 ... vocab_size - 1`。返回 `(vocab_size, vocab_size)` 的矩阵，第 `a` 行是 $P(\cdot \mid a)$，不做平滑；如果某个词元后面从没跟过任何词元，它那一行取均匀分布。


# %%
def bigram_matrix(ids, vocab_size): ...


check("01.1", bigram_matrix)

# %% [markdown]
# **01.2** 按计数抽取。`counts` 是整数，不全为 0；`u` 是随机数，$0 \le u < 1$。返回抽中的词元的下标：把各个词元并排放好，每个的宽度是它占计数的比例，看 `u` 落在谁的区间里。区间包含左端点，不包含右端点。


# %%
def pick(counts, u): ...


check("01.2", pick)

# %% [markdown]
# **01.3** 一段文本是分批打分的：`losses` 是各批的平均损失（奈特），`sizes` 是各批的词元数。返回一个二元组：困惑度，以及 `text` 的每字节比特数。


# %%
def measures(losses, sizes, text): ...


check("01.3", measures)

# %% [markdown]
# **01.4** 分篇的加 k 平滑。`documents` 是若干个编号列表的列表，每个列表是一篇文本。`context` 是任意长度的元组（也可以是 `()`），返回加 k 平滑的 $P(w \mid h)$；n 元组不得跨过两篇之间的边界。当 `k = 0` 且上文后面从没跟过任何词元时，返回 `1 / vocab_size`。


# %%
def add_k_of(documents, context, word, k, vocab_size): ...


check("01.4", add_k_of)

# %% [markdown]
# **01.5** 手写回退。`counts`（长度为词表大小的数组）是各词元跟在 $h$ 之后的次数；`lower` 是 $P(\cdot \mid h')$。见过的词元概率为 $(c - d)/c(h)$，没见过的为 $\alpha\,P(w \mid h')$，其中 $\alpha$ 使总和为 1。如果一个词元都没见过，返回 `lower`；如果全都见过，就没有可分的对象，也就什么都不扣。


# %%
def back_off(counts, d, lower): ...


check("01.5", back_off)
