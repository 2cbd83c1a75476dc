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
# # 02 数据与清洗
#
# 对应文档第 3.2.1 节（数据的采集、清洗与编码），以及第 4.3.1 节里的那串编号。
#
# 在 minillm 里：[data/cleaning](../../minillm/data/cleaning), [data/splits.py](../../minillm/data/splits.py), [data/batches.py](../../minillm/data/batches.py)；检验：[tests/data/test_cleaning.py](../../tests/data/test_cleaning.py), [tests/data/test_batches.py](../../tests/data/test_batches.py)。
#
# 文档谈清洗只用了一句话：去除 HTML 标签、特殊字符等噪声。什么算噪声，去除时会出什么错，文本又怎样变成模型训练所用的数字，它都没有说。这一章把每一步都做出来，并用比特来衡量它值多少。
#
# 预备知识：第 01 章（n 元语法、以每字节比特数计的损失），Python 的 `bytes` 和 `str`，一点概率论。

# %%
import hashlib
import itertools
import math
import random
import unicodedata
from collections import Counter

import numpy as np

import minillm as ml
from minillm.book import say, show
from minillm.data import batch, clean, stories, windows
from minillm.exercises import check, hint, solution
from minillm.models import NGram

# %% [markdown]
# ## 思路
#
# 训练使训练文本变得可能，仅此而已。一个网页上哪些部分是给人读的，模型并不知道：凡是反复出现的东西，不管是菜单、Cookie 提示还是解码出错的字母，都会占去它很大一份概率。所以，挑选和清洗文本的人，决定了模型学到什么。
#
# 从网页到批，文本要走过下面几步，每步一节：
#
# 1. **从字节到字符**：用对编码表，并让同一个字只有一种写法；
# 2. **从网页到文本**：去掉标签、字符实体，以及每页都有的东西；
# 3. **去重复**，完全相同的和近似的都去；不要不合用的文本；
# 4. **划分**：一部分用来学，一部分用来评判，两边不得有同样的内容；
# 5. **成批的编号**，以下一个编号为目标。

# %% [markdown]
# ## 算一个例子
#
# 从网络上收到的一小段网页。它是字节，也就是 0 到 255 的数，此外什么也不是：

# %%
raw = b"<p>Cafe\xcc\x81 &amp; \xe8\x8c\xb6\xef\xbc\x9a\xe5\xa5\xbd</p>"
print(f"{len(raw)} 个字节：{list(raw)}")
text = raw.decode("utf-8")
print(f"{len(text)} 个字符：{text}")
text = text.removeprefix("<p>").removesuffix("</p>")
print(f"{len(text)} 个，去掉标签后：{text}")
text = text.replace("&amp;", "&")
print(f"{len(text)} 个，解码实体后：{text}")
text = unicodedata.normalize("NFC", text)
print(f"{len(text)} 个，规范化后：{text}")

# %% [markdown]
# 剩下的文本，逐个字符列出：它在 Unicode 中的编号，即**码点**（code point），它的 UTF-8 字节，它的名称。

# %%
for character in text:
    numbers = " ".join(f"{byte:02x}" for byte in character.encode())
    print(f"{character!r:6} U+{ord(character):04X}  {numbers:9} {unicodedata.name(character)}")

# %% [markdown]
# 最简单的**词元**（token）就是字节本身，像第 01 章那样（更大的词元见第 03 章）。模型读入 `inputs`，在每个位置上应当说出 `target`：还是那串数，往后错一位。

# %%
ids = list(text.encode())
inputs, targets = ids[:-1], ids[1:]
print(f"编号 {ids}\n输入 {inputs}\n目标 {targets}")
print(f"{len(ids)} 个编号给出 {len(targets)} 个目标：第一个不是谁的目标，最后一个不作输入")

# %% [markdown]
# ### 文档里一千个词的句子
#
# 第 4.3.1 节说有一个 1000 个词的句子，每个词有一个唯一的编号，并列出了这些编号：

# %%
listed = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
words = ["the", "cat", "and", "the", "dog"]
say(
    f"文档说是 1000 个。其实是 **{len(listed)}** 个编号，因此有 {len(listed[1:])} 个目标；1000 个词的句子应有 {1000 - 1} 个目标。"
    f"而且编号属于一*种*词，不属于一个位置：在 *{' '.join(words)}* 中，{len(words)} 个词只用到 "
    f"{len(set(words))} 个编号。"
)

# %% [markdown]
# ## 字节与码点
#
# Unicode 给字符编号，**编码**（encoding）规定编号怎样写成字节。**UTF-8** 用一到四个字节。第一个字节的开头，有几个字节就有几个 1（只有一个字节时则是一个 0），其余每个字节都以 `10` 开头；剩下的空位依次填上码点的各个二进制位。拿“你”字手算一遍：

# %%
code = ord("你")
bits = f"{code:016b}"
print(f"U+{code:04X} = {bits[:4]} {bits[4:10]} {bits[10:]}")
print(f"字节：1110{bits[:4]} 10{bits[4:10]} 10{bits[10:]} = {'你'.encode().hex(' ')}")


# %%
def utf8(code):
    """一个码点的字节。"""
    n = 1 + (code >= 0x80) + (code >= 0x800) + (code >= 0x10000)
    if n == 1:
        return bytes([code])
    ones = 0xF00 >> n & 0xFF  # n 个 1，然后是 0
    return bytes([ones | code >> 6 * (n - 1), *(0x80 | code >> 6 * i & 0x3F for i in reversed(range(n - 1)))])


borders = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF]
codes = [*borders, *(c for c in range(0, 0x110000, 97) if not 0xD800 <= c < 0xE000)]
assert all(utf8(c) == chr(c).encode() for c in codes)
for name, line in {"英文": "Good tea, good day.", "德文": "Schöne Grüße!", "中文": "好茶，好天气。"}.items():
    print(f"{name} {len(line):3} 个字符，UTF-8 {len(line.encode()):3} 个字节")
print(f"在 {len(codes):,} 个码点上与 Python 的结果相同")

# %% [markdown]
# ## 乱码
#
# 字节不会告诉你它是按哪张编码表写的。用另一张表来读，就成了**乱码**（mojibake，日语“文字化け”）。模型若用这样的文本训练，学到的就是没有人写过的词：

# %%
for line in ("schön", "你好"):
    print(f"{line}：UTF-8 字节按 Windows-1252 来读：{line.encode().decode('cp1252', errors='replace')}")
    print(f"{line}：UTF-8 字节按 GBK 来读：{line.encode().decode('gbk', errors='replace')}")
try:
    "你好".encode("gbk").decode("utf-8")
except UnicodeDecodeError as error:
    print(f"你好：GBK 字节按 UTF-8 来读：{error.reason}")
print(f"替换字符再按 GBK 来读，一个：{'�'.encode().decode('gbk', errors='replace')!r}，", end="")
print(f"两个：{'��'.encode().decode('gbk')!r}")

# %% [markdown]
# UTF-8 很严格，这正是它的好处：不是 UTF-8 的文本，很少会碰巧像 UTF-8。任取两个大于 127 的字节，有多少是合法的 UTF-8？（下面按各种情形等可能来数。）所以，如果一段文本能用另一张表写成字节，*而且*这些字节恰是合法的 UTF-8，那它多半是当初解码解错了；文本越长，就越有把握。


# %%
def repair(text):
    """把误按 Windows-1252 读的 UTF-8 还原；还原不了就原样返回。"""
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return text


valid = sum(
    bytes(pair) == bytes(pair).decode(errors="ignore").encode() for pair in itertools.product(range(128, 256), repeat=2)
)
say(
    f"合法的 UTF-8：{128**2:,} 对里有 {valid:,} 对，占 {valid / 128**2:.1%}；连续三对都合法的约占 {(valid / 128**2) ** 3:.2%}。"
)

# %% [markdown]
# minillm 用的是 `ftfy` 包，它认识更多的编码表，也懂得处理在某张表里没有对应字符的字节、只错了一部分的行，以及看着像乱码其实不是的词。已经变成 � 的，谁也修不回来。

# %%
from minillm.data.cleaning.characters import repair_mojibake

for line in ["schÃ¶n", "schön", "你好，世界", "ä½\xa0å¥½，ä¸–ç•Œ", "sch�n"]:
    ours, theirs = repair(line), repair_mojibake(line).text
    print(f"{line!r:22} 我们的 {ours!r:22} minillm 的 {theirs!r:9} {'相同' if ours == theirs else '不同'}")

# %% [markdown]
# ## 同一个字，只用一种写法
#
# 在 Unicode 里，é 可以写成一个字符，也可以写成 e 加一个组合用的重音符。看上去一样，编号却不同。**NFC** 把它们合成一个。**NFKC** 还会替换“兼容”字符：全角字母、连字、上标。它管得比乍看上去宽得多：

# %%
for line in ["cafe\u0301", "你好，世界！（ＡＢＣ）", "ﬁne", "2³ = 8", "①②③"]:
    forms = {form: unicodedata.normalize(form, line) for form in ("NFC", "NFKC")}
    print(f"{line!r:18} " + "   ".join(f"{form} {new!r}, {len(new)}" for form, new in forms.items()))

# %% [markdown]
# 在中文里，“，”*就是*逗号，占三个字节、一个汉字的宽度；用了 NFKC，模型就会用英文逗号写中文。而且 $2^3$ 会变成 23。所以 minillm 的预设用的是 NFC；NFKC 要指名才用，它适合检索，不适合用来学写作。

# %% [markdown]
# ## 从网页到文本
#
# 网页是一棵树：有些元素没有人读（脚本、样式），有些自成一行，有些不留任何间隔。Python 的解析器每遇到一个标签就调用我们一次；设了 `convert_charrefs`，它会把字符实体解码，只解一次，而且只在正文里解。

# %%
from html.parser import HTMLParser

UNREAD = {"script", "style", "head", "template"}
BLOCKS = {"p", "div", "h1", "h2", "li", "ul", "nav", "footer", "table", "tr", "body"}


class Reader(HTMLParser):
    """收集读者在网页上会看到的文字。"""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.pieces, self.unread = [], 0

    def handle_starttag(self, tag, attrs):
        self.unread += tag in UNREAD
        self.pieces.append("\n" if tag in BLOCKS or tag == "br" else "")

    def handle_endtag(self, tag):
        self.unread -= tag in UNREAD
        self.pieces.append("\n" if tag in BLOCKS else "")

    def handle_data(self, data):
        self.pieces.append("" if self.unread else data)


def lines_of(text):
    return [line.strip() for line in text.split("\n") if line.strip()]


def page_lines(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    return lines_of("".join(reader.pieces))


# %%
MENU = "<nav><ul><li><a href='/'>Home</a></li><li><a href='/new'>New stories of the week</a></li></ul></nav>"
FOOT = "<footer><p>We use cookies &amp; similar techniques. <a href='/ok'>Accept all cookies</a></p></footer>"


def page_of(title, body):
    head = f"<head><title>{title}</title><script>track('{title}', 1 < 2);</script></head>"
    return f"<html>{head}<body>{MENU}<h1>{title}</h1><p>{body}</p>{FOOT}</body></html>\n"


poem = page_of("静夜思", "床前明月光，<br>疑是地上霜。&#x4e3e;头望<b>明</b>月，a &lt;b&gt; c")
for line in page_lines(poem):
    print(line)
theirs, _ = clean(poem, ["tags", "entities"])
assert page_lines(poem) == lines_of(theirs)
print("\n与 minillm 得到的各行相同")

# %% [markdown]
# ## 每页都有的东西
#
# 菜单和 Cookie 提示每一页都有。没有哪个标签能可靠地指出它们，数一数却可以：许多*不同*的网页都有的一行，不会是其中任何一页要讲的内容。这种内容叫做样板文字（boilerplate）。

# %%
documents = stories.documents(400)
pages = [page_of(f"Story {i}", story.strip()) for i, story in enumerate(documents[:300])]
read = [page_lines(page) for page in pages]
on_pages = Counter(line for lines in read for line in dict.fromkeys(lines))
for line, number in on_pages.most_common(4):
    print(f"{number:3} 个网页上有：{line[:60]}")
boilerplate = {line for line, number in on_pages.items() if number > len(pages) / 10}
texts = ["\n".join(line for line in lines if line not in boilerplate) + "\n\n" for lines in read]
sizes = [sum(len(text.encode()) for text in version) for version in (pages, map("\n".join, read), texts)]
say(f"网页 {sizes[0]:,} 字节，取出的各行 {sizes[1]:,} 字节，去掉样板文字后 {sizes[2]:,} 字节。")

# %% [markdown]
# 这样做值多少？给模型一定字节数的训练文本，一次是原始网页，一次是干净文本，再用它没见过的*故事*来评判。花在菜单上的字节，就不能再花在故事上了。


# %%
def ids_of(texts):
    return np.frombuffer("".join(texts).encode(), np.uint8)


def bits(model, texts):
    """字节模型的每字节比特数。"""
    return model.evaluate(ids_of(texts)) / math.log(2)


budgets = [5_000, 20_000, 60_000, 180_000]
held = documents[300:330]
spent = {
    name: [bits(NGram.train(ids_of(version)[:budget], 256, 6), held) for budget in budgets]
    for name, version in {"raw pages": pages, "clean text": texts}.items()
}
for i, budget in enumerate(budgets):
    print(f"{budget:7,} 字节：", "，".join(f"{name} 每字节 {losses[i]:.3f} 比特" for name, losses in spent.items()))

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 3.4))
for (name, losses), style in zip(spent.items(), ("o--", "s-"), strict=True):
    axes.semilogx(budgets, losses, style, label=name)
axes.set(xlabel="training text, bytes", ylabel="loss on held-out stories, bits per byte")
axes.legend()
show(figure, "训练字节数相同，一为原始网页（raw pages），一为干净文本（clean text）：两线之差就是清洗省下的。")

# %% [markdown]
# 用原始网页训练的模型，自己会写出什么来？

# %%
start = np.frombuffer(b"\n<html>", np.uint8)
written = NGram.train(ids_of(pages[:100]), 256, 8).generate(start, 500, seed=1)
print(bytes(written.astype(np.uint8)).decode(errors="replace"))

# %% [markdown]
# ## 重复：完全相同与近似
#
# 完全相同的文本用**哈希**（hash）来找：由文本算出一个 64 位的数，这样要存的就是一堆数，而不是一堆文本。$n$ 篇文本里，两篇不同的文本撞上同一个数极为罕见：对 $n(n-1)/2$ 对中的每一对，概率至多是 $2^{64}$ 分之一。


# %% tags=["duplicates"]
import hashlib

import numpy as np


def exact_hash(text):
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


# %%
fox = "The quick brown fox jumps over the lazy dog near the old stone bridge."
print(f"{exact_hash(fox).hex()}\n{exact_hash(fox.replace('lazy', 'sleepy')).hex()}")
say(f"一百万篇文本时，至多 {10**6 * (10**6 - 1) / 2 / 2**64:.1e}。")

# %% [markdown]
# 改了一个词，哈希值就面目全非。要找近似的重复，需要的是一种*相似度*。把每篇文本切成长 $n$ 个字符的片段，像瓦片一样彼此重叠（英文叫 **shingle**，即屋瓦），放进集合，再用 **Jaccard 相似度**比较两个集合，也就是共有的占全部的多少：
#
# $$J(A, B) = \frac{|A \cap B|}{|A \cup B|}.$$


# %% tags=["duplicates"]
SHINGLE = 5


def shingles(text, n=SHINGLE):
    """长 n 个字符的片段的集合；文本不足 n 个字符时，就是补上空格的文本本身。"""
    text = text.ljust(n)
    return {text[i : i + n] for i in range(len(text) - n + 1)}


def jaccard(a, b):
    return len(a & b) / len(a | b)


# %%
training = "大规模预训练是一种基于深度学习的自然语言处理技术，它在大型语料库上训练模型。"
pairs = {
    "改了一个词": (fox, fox.replace("lazy", "sleepy")),
    "中文改两字": (training, training.replace("技术", "方法")),
    "另一个话题": (fox, "Forty ships came into the harbour, and every one had a cargo of salt."),
}
for name, (first, second) in pairs.items():
    a, b = shingles(first), shingles(second)
    print(f"{name} |A| {len(a)}，|B| {len(b)}，共有 {len(a & b)}，合计 {len(a | b)}，J = {jaccard(a, b):.4f}")

# %% [markdown]
# ## MinHash
#
# 十亿篇文本有 $5 \cdot 10^{17}$ 对，每个集合又和文本一样大。**MinHash**（Broder，1997）为每篇文本做一个短短的*签名*（signature），由签名就能估计 $J$。把所有可能的片段随机排个次序，每篇文本只留下排在最前面的那个片段，即它的最小者 $m$。那么
#
# $$P\big(m(A) = m(B)\big) = J(A, B).$$
#
# *为什么*：看 $A \cup B$ 中排在最前面的那个片段。$|A \cup B|$ 个片段各有同样的机会排在最前。如果它同属两个集合，就同是两者的最小者，两边一致；如果它只属于其中一个，就是那一个的最小者，另一个的最小者则是别的片段，两边不一致。所以，两边一致，当且仅当排在最前的片段落在 $A \cap B$ 里。
#
# 再取 $k$ 个独立的次序。第 $i$ 个最小者一致时记 $X_i = 1$，否则记 $X_i = 0$，并令 $\hat J = \frac1k \sum_i X_i$。期望可以相加，所以这个估计是**无偏**的；独立项的方差也可以相加，而 $X_i^2 = X_i$，所以 $\mathrm{Var}(X_i) = E[X_i^2] - E[X_i]^2 = J - J^2$：
#
# $$E[\hat J] = J, \qquad \mathrm{Var}(\hat J) = \frac{1}{k^2} \sum_{i=1}^k J(1 - J) = \frac{J (1-J)}{k}.$$
#
# 所有片段的次序谁也存不下，但哈希函数可以给出一个：按哈希值排序。这里先把片段变成一个数：各个字符的码点，分别乘上所在位置的随机奇数（`places`），再加起来。然后乘上这个次序的随机奇数，对 $2^{64}$ 取模，再取高半部分。


# %% tags=["duplicates"]
def random_multipliers(k, key):
    """k 个奇数用于各个次序，另有片段的每个字符一个。取奇数，则不同的数乘积也不同。"""
    rng = np.random.Generator(np.random.Philox(key=key))
    return [rng.integers(2**63, size=size, dtype=np.uint64) * 2 + 1 for size in (k, SHINGLE)]


def minhash(text, k=32, key=0):
    """文本各片段在 k 个次序下的最小哈希值，形状 (k,)，uint64。"""
    orders, places = random_multipliers(k, key)
    pieces = np.array([[ord(c) for c in piece] for piece in shingles(text)], np.uint64)
    hashes = (pieces * places).sum(axis=1, dtype=np.uint64)
    return (hashes[:, None] * orders >> np.uint64(32)).min(axis=0)


# %%
for name, (first, second) in pairs.items():
    agree = minhash(first) == minhash(second)
    error = math.sqrt((j := jaccard(shingles(first), shingles(second))) * (1 - j) / 32)
    print(f"{name} 32 个最小者中 {agree.sum():2} 个一致：{agree.mean():.4f}；J = {j:.4f} ± {error:.4f}")

# %% [markdown]
# ### 分段
#
# 签名虽短，文本的对数还是那么多。于是把一个签名切成 $b$ **段**（band），每段 $r$ 个最小者，像编索引一样，把文本记在它的每一段之下；只有共有某一段的文本才去比较（局部敏感哈希，locality-sensitive hashing）。一段一致的概率是 $J^r$，不一致的概率是 $1 - J^r$，$b$ 段全不一致的概率是 $(1 - J^r)^b$，所以一对文本被找到的概率是
#
# $$P(\text{找到}) = 1 - (1 - J^r)^b.$$


# %% tags=["duplicates"]
def chance_found(j, bands, rows):
    return 1 - (1 - j**rows) ** bands


# %%
for j in (0.2, 0.5, 0.8, 0.9):
    print(
        f"J = {j}：8 段、每段 4 个，找到的概率是 {chance_found(j, 8, 4):.4f}；2 段、每段 16 个，则是 {chance_found(j, 2, 16):.4f}"
    )

# %% [markdown]
# ## 梯度检查
#
# 这一章没有什么梯度。能检查的是前面的断言：无偏，且方差为 $J(1-J)/k$。先精确地验证：取两个集合，各有 3 个和 4 个字母，把所涉及的 5 个字母的*全部*排列都试一遍。

# %%
A, B = set("abc"), set("bcde")
agree = [min(A, key=order.index) == min(B, key=order.index) for order in itertools.permutations("abcde")]
print(f"{len(agree)} 个次序中 {sum(agree)} 个一致：{np.mean(agree)}；J = {len(A & B)}/{len(A | B)} = {jaccard(A, B)}")
assert sum(agree) / len(agree) == jaccard(A, B)

# %% [markdown]
# 再用抽样来验证：2,000 个随机种子，每个取 $k = 32$。2,000 个估计的平均值，标准误差是 $\sqrt{J(1-J)/(32 \cdot 2000)}$；它们的方差，相对标准误差约为 $\sqrt{2/2000}$。两者的偏差都应小于四个标准误差。`hashed` 是我们的 `minhash`，一次算许多个密钥；`shuffled` 用真正随机的次序。

# %%
SEEDS, K = 2000, 32


def odd_numbers(shape, seed):
    return np.random.default_rng(seed).integers(2**63, size=shape, dtype=np.uint64) * 2 + 1


def sums(text, seeds=SEEDS):
    """排次序之前各片段的哈希值，每个种子用不同的乘数：(seeds, pieces, 1)。"""
    pieces = np.array([[ord(c) for c in piece] for piece in sorted(shingles(text))], np.uint64)
    return (pieces * odd_numbers((seeds, 1, SHINGLE), 1)).sum(axis=2, dtype=np.uint64)[..., None]


def hashed(first, second):
    a, b = ((sums(text) * odd_numbers((SEEDS, 1, K), 2) >> np.uint64(32)).min(axis=1) for text in (first, second))
    return (a == b).mean(axis=1)


def shuffled(first, second):
    a, b = shingles(first), shingles(second)
    every = sorted(a | b)
    ranks = np.random.default_rng(3).random((SEEDS * K, len(every)), np.float32)
    in_a, in_b = (np.where([piece in s for piece in every], ranks, 2).min(axis=1) for s in (a, b))
    return (in_a == in_b).reshape(SEEDS, K).mean(axis=1)


for name in list(pairs)[:2]:
    j = jaccard(*map(shingles, pairs[name]))
    for way in (shuffled, hashed):
        estimates = way(*pairs[name])
        z = (estimates.mean() - j) / math.sqrt(j * (1 - j) / K / SEEDS)
        ratio = estimates.var() / (j * (1 - j) / K)
        print(f"{name}，{way.__name__}：J {j:.4f}，平均 {estimates.mean():.4f}，偏差 {z:+.2f} 个标准误差")
        print(f"    方差 {estimates.var():.6f}，是 J(1−J)/k 的 {ratio:.3f} 倍；标准误差 {math.sqrt(2 / SEEDS):.3f}")
        assert abs(z) < 4 and abs(ratio - 1) < 4 * math.sqrt(2 / SEEDS)

# %% [markdown]
# ## 语言与质量
#
# 剩下的文本里，可能还有别的语言、表格或乱敲的字符。这里有一条规则和一个模型，都很粗糙，但也都很快。规则是：英文句子总少不了那些小词（冠词、介词之类）。模型是：一段文本，如果由*好*文本训练的 n 元模型觉得非常意外，它就与好文本不像。

# %%
from minillm.data.python_docs import is_english

SMALL = {"a", "and", "as", "at", "by", "for", "in", "is", "it", "not", "of", "on", "that", "the", "to", "was"}


def small_words(line):
    """英文句子里小词所占的比例。"""
    words = [word.strip(".,:;!?").lower() for word in line.split()]
    return sum(word in SMALL for word in words) / len(words)


trusted = NGram.train(ids_of(texts), 256, 4)
lines = {
    "一段故事": documents[310][:90],
    "其他英文": "The rate of a reaction depends on the temperature and on the pressure of the gas.",
    "一句德文": "Die Geschwindigkeit einer Reaktion hängt von der Temperatur und vom Druck des Gases ab.",
    "一句中文": "反应的速度取决于温度和气体的压力。",
    "一张表格": "12.5 | 13.1 | 14.0 | 15.2 | total 54.8 | mean 13.7",
    "反复循环": "the old house in the the old house in the the old house in the the old house in the",
    "一串乱敲": "kq zxv jjwq pfk qqz vxxk wzp fjq kkvz xqj",
}
for name, line in lines.items():
    print(f"{name:4} 小词 {small_words(line):.2f}，minillm 的规则 {is_english(line)!s:5}", end=" ")
    print(f"n 元模型：每字节 {bits(trusted, ['. ', line]):5.2f} 比特")

# %% [markdown]
# 两者都不知道什么是好：**过滤器留下的，是与它所依据的文本相像的文本**。要调它，得去看它扔掉了什么。

# %%
cost = {name: bits(trusted, [". ", line]) for name, line in lines.items()}
say(
    f"另一个话题的通顺英文，代价是故事的 {cost['其他英文'] / cost['一段故事']:.1f} 倍；中文的代价是乱敲的 "
    f"{cost['一句中文'] / cost['一串乱敲']:.1f} 倍。来回兜圈子的词，每字节只要 {cost['反复循环']:.2f} 比特，"
    f"而规则说的是 {is_english(lines['反复循环'])}：对付重复，要另有步骤。"
)

# %% [markdown]
# ## 划分
#
# 评判模型要用它没见过的文本，所以要留出一部分：训练途中看的叫**验证集**（validation set），只看一次的叫**测试集**（test set）。要整篇整篇地划分：一个故事的前后两半，主人公是同一个。归哪一边，由文本的哈希决定，不看位置，也不用随机数：这样在每台机器上结果都一样，相同的文本总在同一边，新添文本时旧的也不会换边。


# %%
def fraction(text, seed=0):
    """0 到 1 之间的一个数，只取决于文本和种子。"""
    digest = hashlib.sha256(f"{seed} {text}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


held_out = [text for text in documents if fraction(text) < 0.1]
before = [text for text in documents[:200] if fraction(text) < 0.1]
say(
    f"留出：{len(documents)} 个故事中的 {len(held_out)} 个，占 {len(held_out) / len(documents):.1%}。若只有前 200 个，则留出 "
    f"{len(before)} 个；它们现在是否仍全部留出：{set(before) <= set(held_out)}。"
)

# %% [markdown]
# ## 批
#
# 一步训练读入 `batch_size` 个窗口，每个窗口 `context_length` 个编号；目标是同样的窗口往后错一位。用来评判的文本则切成首尾相接的窗口，使每个目标恰好算一次。最后一个窗口要补满，不需要预测的地方目标填 $-100$，计算损失时会跳过。


# %%
def cut(ids, context_length):
    """全部首尾相接的窗口：输入与目标，形状各为 (windows, context_length)。"""
    rows = math.ceil((len(ids) - 1) / context_length)
    x, y = np.zeros(rows * context_length, int), np.full(rows * context_length, -100)
    x[: len(ids) - 1], y[: len(ids) - 1] = ids[:-1], ids[1:]
    return x.reshape(rows, -1), y.reshape(rows, -1)


x, y = cut(np.array(listed), context_length=8)
print(f"输入\n{x}\n目标\n{y}")

# %% [markdown]
# 长短不一的样本（句子、对话）要经过**填充**（padding）补成矩形，由掩码（mask）标明哪些编号是真的。损失就是在*真实*目标上求平均：

# %%
from minillm.data.examples.padding import pad

sentences = [list("好茶".encode()), list(b"tea"), list(b"tea for two")]
ids, mask = pad(sentences, pad_id=0)
print(f"{ids}\n{mask.astype(int)}")
targets = np.where(mask[:, 1:], ids[:, 1:], -100)
print(f"目标\n{targets}")
say(f"共 {mask.size} 个位置，其中 {mask.sum()} 个是真的，{(targets != -100).sum()} 个是目标。")

# %% [markdown]
# ## minillm 里的同一件事
#
# 清洗就是一串小步骤，每一步都记下自己改了多少，见 [pipeline.py](../../minillm/data/cleaning/pipeline.py)。`python -m minillm.train --clean html` 做的就是这些：

# %%
dirty = poem + page_of("Caf&eacute;", "schÃ¶n, so\u00adft\x07 and e\u0301; a page with a line of its own")
text, report = clean(dirty, "html")
print(report)
print("\n".join(lines_of(text)))

# %% [markdown]
# 它的 `duplicates` 丢掉的是*前面*出现过的行，所以菜单第一次出现时会留下；我们的做法是先把所有网页数一遍。那样要读两遍，这样只要一遍。短的行总会留下：“Home” 可能是菜单，也可能是一行诗。
#
# MinHash 则分毫不差：用它的密钥，我们的签名就是 minillm 的签名。它留出的样本，就是按我们的 `fraction` 排在最前的那些；它的窗口，也就是我们的窗口：

# %%
from minillm.data.cleaning.duplicates import signature
from minillm.data.examples.splitting import held_out as library_held_out

for line in (fox, training, "短"):
    np.testing.assert_array_equal(minhash(line, 32, key=2049), signature(line))
print("签名：英文和中文都相同，各 32 个数")

ordered = sorted(documents, key=fraction)
assert {documents[i] for i in library_held_out(documents, 40, seed=0)} == set(ordered[:40])
print("留出：同样的 40 个故事")

ids = ids_of(documents[:3])
theirs = [np.concatenate(part) for part in zip(*windows(ids, context_length=64, batch_size=4), strict=True)]
for name, mine, library in zip(["输入", "目标"], cut(ids, 64), theirs, strict=True):
    np.testing.assert_array_equal(mine, library)
    print(f"窗口，{name}：形状 {mine.shape}，相同")
x, y = batch(ids, seed=0, step=7, batch_size=4, context_length=64)
np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
print(f"一批训练数据：形状 {x.shape}，目标就是输入往后错一位")

# %% [markdown]
# ## 图：跨在划分两边的副本
#
# 网上的内容互相转载，所以留出的文本往往也出现在训练文本里。设验证集的故事有 $s$ 的比例是这样的，其余的对模型是新的，损失就是两者的加权平均：
#
# $$L(s) = (1 - s)\,L_{\text{new}} + s\,L_{\text{seen}}.$$
#
# 对外宣称的却是 $L_{\text{new}}$。下面有三个模型，都由同样的 100 个故事计数而来，几乎不做平滑（第 01 章），区别只在往回看多远；点是实测值，线是公式：

# %%
counted, new = documents[:100], list(documents[130:160])
levels = NGram.train(ids_of(counted), 256, 12, "add-k").levels
models = {n: NGram(256, levels[:n], "add-k", 1e-4) for n in (6, 8, 12)}
copies = [0, 3, 6, 12, 21, 30]
shares = np.array(copies) / len(new)
flattered = {n: [bits(model, [*counted[:c], *new[c:]]) for c in copies] for n, model in models.items()}
for i, share in enumerate(shares):
    losses = {n: measured[i] for n, measured in flattered.items()}
    print(f"{share:4.0%} 见过：", "，".join(f"{n} 阶 {loss:.3f}" for n, loss in losses.items()), end=" 比特每字节；")
    print(f"看上去最好的是 {min(losses, key=losses.get)} 阶")

# %%
figure, axes = plt.subplots(figsize=(6, 3.6))
for n, losses in flattered.items():
    (points,) = axes.plot(shares * 100, losses, "o", label=f"order {n}")
    axes.plot(shares * 100, (1 - shares) * losses[0] + shares * losses[-1], color=points.get_color())
axes.axhline(stories.entropy_bits_per_byte(), color="black", linestyle=":", label="entropy of the stories")
axes.set(xlabel="validation stories that stand in the training text, %", ylabel="loss, bits per byte", ylim=(0, None))
axes.legend(fontsize=8)
show(figure, "验证损失随副本比例的变化：模型自始至终没有变，几条线却相交了。点是实测值，虚线是 stories 的信息熵。")

# %%
best, seeming = (min(flattered, key=lambda n: flattered[n][i]) for i in (0, -1))
say(
    f"模型都没有变，{seeming} 阶的损失却从 {flattered[seeming][0]:.3f} 降到了 {flattered[seeming][-1]:.3f}。更糟的是会**选错模型**："
    f"在新故事上，{best} 阶最好；如果全是副本，看上去最好的就成了 {seeming} 阶，"
    f"而它在新故事上每字节要多付 {flattered[seeming][0] - flattered[best][0]:.3f} 比特。"
)

# %% [markdown]
# 补救的办法，是*跨越*划分的两边去找重复，并从训练那一边删掉，这样尺子不变。哈希能找到完全相同的副本。而在 `retold`（转述）的副本里，每四十个词换掉一个，那就只有相似度才找得到了。理想的结果是：恰好剩下混入副本之前的那 100 个故事，只剩两组不同故事之间本来就有的微小差距：

# %%
from minillm.data.cleaning.duplicates import NearDuplicateLines


def retold(story, rng):
    words = story.split(" ")
    for i in range(rng.randrange(40), len(words), 40):
        words[i] = rng.choice(words)
    return " ".join(words)


def without(training, judged, is_copy):
    """训练故事中，不是评判故事的副本的那些。"""
    for story in judged:
        is_copy(story.strip())
    return [story for story in training if not is_copy(story.strip())]


def by_hash():
    seen = set()  # .add 返回 None，所以 or 的结果就是它原先在不在
    return lambda story: (key := exact_hash(story)) in seen or seen.add(key)


# %%
rng = random.Random(2)
validation = list(documents[100:130])
for name, copied in {"相同": validation, "转述": [retold(story, rng) for story in validation]}.items():
    mixed = [*counted, *copied]
    for cure, kept in {
        "不处理": mixed,
        "查哈希": without(mixed, validation, by_hash()),
        "查近似": without(mixed, validation, NearDuplicateLines().is_repeated),
    }.items():
        model = NGram.train(ids_of(kept), 256, 12)
        on_validation, on_new = bits(model, validation), bits(model, new)
        print(f"{name}的副本，{cure}：留下 {len(kept):3} 个故事，验证 {on_validation:.3f}，", end="")
        print(f"新故事 {on_new:.3f}，相差每字节 {on_new - on_validation:.3f} 比特")
assert kept == list(counted)

# %% [markdown]
# ## 图：分段能找到什么
#
# 曲线 $1 - (1 - J^r)^b$ 像一级台阶，只是棱角不太分明。$k = 32$ 个最小者，分成几种段；点是数出来的：造出恰有给定 $J$ 的集合对，并用真正随机的次序。

# %%
similar = np.linspace(0, 1, 101)
figure, axes = plt.subplots(figsize=(6, 3.6))
rng = np.random.default_rng(4)
for bands, rows in [(32, 1), (8, 4), (4, 8), (2, 16)]:
    (line,) = axes.plot(similar, chance_found(similar, bands, rows), label=f"{bands} bands of {rows}")
    for common in range(2, 20, 3):  # 并集共 20 个片段
        first = rng.integers(20, size=(400, bands, rows))  # 在每个次序中，并集的哪个片段排在最前
        found = (first < common).all(axis=2).any(axis=1).mean()
        axes.plot(common / 20, found, "o", markersize=4, color=line.get_color())
axes.axvline(0.8, color="black", linestyle=":", linewidth=1)
axes.set(xlabel="J, Jaccard similarity of a pair", ylabel="probability that the pair is compared")
axes.legend(fontsize=8)
show(
    figure,
    "线是公式，每个点是 400 对。横轴是一对文本的 J，纵轴是它们被比较的概率；每段的个数越多，找到的越少，且只剩更相似的。",
)

# %% [markdown]
# ## 如果弄坏它
#
# **……先解码字符实体，再去标签。** 网页*谈到*的标签就成了真标签，跟着一起被删掉：

# %%
lesson = "<p>For bold text put it between &lt;b&gt; and &lt;/b&gt;; in Chinese: 用 &lt;b&gt; 加粗。</p>"
for order in (["tags", "entities"], ["entities", "tags"]):
    print(f"{'，再 '.join(order)} {clean(lesson, order)[0].strip()}")

# %% [markdown]
# **……目标没有错位。** 那样每个位置要预测的，就是它刚读到的那个。一张“同一位置上是什么”的表，完全学得会，在留出文本上也照样好，只是不会写：

# %%
train, judged = ids_of(documents[:100]), ids_of(held)
for name, shift in {"错开一位": 1, "没有错位": 0}.items():
    table = np.full((256, 256), 1e-3)
    np.add.at(table, (train[: len(train) - shift], train[shift:]), 1)
    table /= table.sum(axis=1, keepdims=True)
    loss = -np.log2(table[judged[: len(judged) - shift], judged[shift:]]).mean()
    real = -np.log2(table[judged[:-1], judged[1:]]).mean()
    t = [ord("t")]
    while len(t) < 12:
        t.append(int(table[t[-1]].argmax()))
    print(f"{name}：自己的损失 {loss:.3f}，对下一个字节的损失 {real:.3f} 比特；从 t 开始写出 {bytes(t).decode()!r}")

# %% [markdown]
# **……填充也算目标。** 填充后面还是填充，没有比这更好学的了。还用上面那一批，设模型给真实字节 1 %、给填充 99 % 的概率：

# %%
real = mask[:, 1:]
chances = np.full((*real.shape, 2), [0.01, 0.99])  # 类别 0：正确的字节；类别 1：填充
logits = np.log(chances)
honest = ml.ops.cross_entropy(logits, np.where(real, 0, -100)).item()
diluted = ml.ops.cross_entropy(logits, np.where(real, 0, 1)).item()
say(
    f"只算真实目标：{honest:.3f} 奈特。连填充一起算：**{diluted:.3f}**，因为 {(~real).mean():.0%} 的位置是填充。"
    "看上去像进步，其实只随这一批怎样拼成而变。"
)

# %% [markdown]
# **……哈希不好。** 如果不取乘积的高半部分，而取最低的 8 位，不同的片段就会碰巧得到相同的哈希值。如果 32 个次序其实是同一个，只是起点各不相同，那它们就不独立，而推导方差时要用到独立性。三种做法都照上面的办法检查：

# %%
multipliers = odd_numbers((SEEDS, 1, K), 2)
ways = {
    "取高半部": lambda h: h * multipliers >> np.uint64(32),
    "取低八位": lambda h: h * multipliers & np.uint64(255),
    "只换起点": lambda h: h + multipliers,
}
for name in ("改了一个词", "另一个话题"):
    j = jaccard(*map(shingles, pairs[name]))
    a, b = map(sums, pairs[name])
    for way, order in ways.items():
        estimates = (order(a).min(axis=1) == order(b).min(axis=1)).mean(axis=1)
        ratio = f"，是 J(1−J)/k 的 {estimates.var() / (j * (1 - j) / K):.2f} 倍" if j else ""
        print(f"{name}，{way}：J {j:.4f}，平均 {estimates.mean():.4f}，方差 {estimates.var():.6f}{ratio}")

# %% [markdown]
# ## 练习
#
# 把 `...` 换成自己写的代码，运行单元格。`hint("02.1")` 给一条提示，再调用一次给下一条；`solution("02.1")` 显示一种解答。

# %% [markdown]
# **02.1** 返回 `text`（字符串）开头尽可能长的一段，要求它的 UTF-8 编码不超过 `size` 个字节。不得把一个字符切开。


# %%
def beginning(text, size): ...


check("02.1", beginning)

# %% [markdown]
# **02.2** 长短不一的句子的输入与目标。`sentences` 是若干个编号列表的列表，没有空的。返回两个形状为 `(batch, longest - 1)` 的数组：输入用 `pad_id` 补满，目标用 $-100$ 补满。`pad_id` 也可能是一个真实的编号。


# %%
def inputs_and_targets(sentences, pad_id): ...


check("02.2", inputs_and_targets)

# %% [markdown]
# **02.3** 微小的差别也骗不过的划分。一篇文本的*键*这样得到：先做 NFKC，再转成小写（`casefold`），再把连续的空白都换成一个空格，首尾不留空白。返回一个布尔值列表：取键的 UTF-8 的 SHA-256，把前 8 个字节看作大端序的整数，若它小于 `share` 乘 $2^{64}$，这篇文本就留出。


# %%
def held_out_of(texts, share): ...


check("02.3", held_out_of)

# %% [markdown]
# **02.4** 近似重复的分组。两篇文本，长 `n` 个字符的片段的 Jaccard 相似度不低于 `threshold`，就属于同一组；通过别的文本连起来的，也属于同一组。（不足 `n` 个字符的文本本身就是唯一的片段。）返回下标列表的列表，每个列表升序，各列表按第一个元素排序。


# %%
def groups(texts, n, threshold): ...


check("02.4", groups)

# %% [markdown]
# **02.5** 选择怎样分段。`similarities` 是一些典型的文本对的相似度；`k` 个最小者可以分成 $b$ 段、每段 $r$ 个，$b r = k$。会犯的错误有两种：不低于 `threshold` 的一对没有找到，或者低于它的一对被找到了。返回期望错误总数最少的 `(b, r)`；若有两种相等，取段数较少的。


# %%
def best_bands(similarities, threshold, k): ...


check("02.5", best_bands)
