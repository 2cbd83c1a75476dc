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
# # 03 分词：词与字节对
#
# 对应文档第 3.2.1 节（准备数据：词编码与子词编码），以及第 3.2.2 节让模型去预测的“子词”（subword）。
#
# 在 minillm 里：[tokenizers/bpe.py](../../minillm/tokenizers/bpe.py), [tokenizers/wordpiece.py](../../minillm/tokenizers/wordpiece.py), [tokenizers/sentencepiece.py](../../minillm/tokenizers/sentencepiece.py)；检验：[tests/tokenizers/test_bpe.py](../../tests/tokenizers/test_bpe.py), [tests/tokenizers/test_against_tiktoken.py](../../tests/tokenizers/test_against_tiktoken.py)。
#
# 文档说，文本先切成词或子词，再变成数字；却没有说子词从何而来。本章就从文本中把子词学出来，只用寥寥几行代码，所得的编号却与库的结果一个不差。顺带还要看一看：这样做对中文意味着什么；文本切法不同的模型，究竟怎样才能比较。
#
# 预备知识：第 01 章（n 元语法、困惑度、每字节比特数），以及 Python 的字典。

# %%
import math
import random
from collections import Counter
from pydoc_data.topics import topics

import numpy as np

from minillm.book import say, show
from minillm.data.python_docs import is_english
from minillm.exercises import check, hint, solution
from minillm.models import NGram
from minillm.tokenizers import (
    BPETokenizer,
    CharTokenizer,
    SentencePieceTokenizer,
    WordPieceTokenizer,
    WordTokenizer,
)

# %% [markdown]
# ## 思路
#
# 模型用整数来计算，这些整数必须小于一个固定的上限，即**词表大小**（vocabulary size）$V$。**分词器**（tokenizer）是文本与这种整数之间的一对函数：`encode` 把文本变成编号，`decode` 再变回来。每个编号代表一个**词元**（token）。对分词器有三点要求：
#
# - *什么也不丢*：对任何文本，都有 `decode(encode(text)) == text`；
# - *词元要少*：Transformer 的注意力把每个词元与其他所有词元一一比较，词元多一倍，这里的代价就是四倍；
# - *词表要小*：每个编号都要在模型的第一个矩阵和最后一个矩阵里占一行。
#
# 后两点互相冲突。字符的种类少，但序列长；用词，序列短，但词的种类没有穷尽。**字节对编码**（byte-pair encoding，BPE；Gage 1994，由 Sennrich、Haddow 和 Birch 在 2016 年用于语言模型）介于两者之间：它从字节出发，凡是经常相邻出现的，就给它一个自己的词元。

# %% [markdown]
# ## 字符、词与 `<unk>`
#
# 拿真实的文本来试：Python 语言参考手册中的正文，它随 Python 一起安装，`help()` 显示的就是它。每十段留出（held out）一段。

# %%
blocks = [block for text in topics.values() for block in text.split("\n\n") if is_english(block)]
paragraphs = [f"{' '.join(block.split())}\n" for block in dict.fromkeys(blocks)]
train = "".join(p for i, p in enumerate(paragraphs) if i % 10)
held = "".join(paragraphs[::10])
say(f"用来学习的有 {len(train):,} 个字符，留出的有 {len(held):,} 个。其中一段：*{paragraphs[11][:150].strip()} …*")

# %%
print("   词表    词元数    未知            切法（词元数和未知词元数都是留出文本的）")
characters = CharTokenizer.train([train], unk=True)
for name, tokenizer in [
    ("字符", characters),
    *((f"最常用的 {n:,} 个词", WordTokenizer.train([train], max_size=n)) for n in (300, 3000, 10**6)),
]:
    ids = tokenizer.encode(held)
    unknown = ids.count(tokenizer.special_tokens["<unk>"])
    name = name.replace("最常用的 1,000,000 个", "全部的")
    print(f"{tokenizer.vocab_size:7,} {len(ids):9,} {unknown:7,}（{unknown / len(ids):6.2%}）  {name}")

# %% [markdown]
# 不在词表里的词变成未知词元 `<unk>`，从此消失：解码无法把它找回来，模型也永远写不出它。而词是列不完的，就连 *We* 和 *saw* 也未必在词表里。下面是留出的文本中的一些词，整个训练文本里都没有：

# %%
words = WordTokenizer.train([train])
missing = [piece for piece in dict.fromkeys(held.split()) if 0 in words.encode(f" {piece}") and piece.isalpha()]
print(f"{len(missing)} 个不同的词，例如：", ", ".join(missing[:12]))
sample = f"We saw {missing[0]} there."
print(f"{sample!r} 编码再解码，成了 {words.decode(words.encode(sample))!r}")

# %% [markdown]
# 人遇到生词，会根据它的组成部分猜测词义。这些词中，有多少个的开头是见过的词？

# %%
seen = {word.lower() for word in train.split() if len(word) > 2}
begun = [w for w in missing if any(w[:n].lower() in seen for n in range(3, len(w) + 1))]
say(f"**{len(missing)} 个中有 {len(begun)} 个**。如果允许使用词的*一部分*，就不必放弃这些词：子词的想法正由此而来。")

# %% [markdown]
# 用字符，丢失的要少一些，但毛病相同：Unicode 收录的字符太多，没有哪个文本会把它们全都用上。

# %%
import sys
import unicodedata

assigned = sum(unicodedata.category(chr(i)) not in ("Cn", "Co", "Cs") for i in range(sys.maxunicode + 1))
say(f"这个 Python 的 Unicode 有 {assigned:,} 个字符，训练文本中出现了 {characters.vocab_size - 1} 个。")

# %% [markdown]
# ## 字节
#
# 字符之下还有一层，而这一层是有尽头的。**UTF-8** 用一到四个字节写出每个字符，而一个字节只有 256 种取值。把文本切成字节，$V = 256$ 就足以应付世上的一切文字，永远不会遇到未知的东西。

# %%
for character in ["a", "é", "中", "🙂"]:
    code = character.encode()
    bits = " ".join(f"{byte:08b}" for byte in code)
    print(f"{character}  U+{ord(character):05X}  字节 {', '.join(map(str, code)):20}  {bits}")

# %% [markdown]
# 开头的几位说明有多少个字节属于同一个字符：`0…` 独自成为一个字符（ASCII）；`110…`、`1110…` 和 `11110…` 分别开始一个两字节、三字节和四字节的字符；`10…` 则是字符的后续字节。因此切错了位置总能看出来。其余各位拼在一起，就是字符的编号。汉字几乎都占三个字节。
#
# 代价是长：一个字节就是一个词元。所以我们从字节出发，然后合并。

# %% [markdown]
# ## 算一个例子
#
# 文本是 *the tea, the sea and the seats near the sea*。首先把它切成**块**（chunk），也就是词连同它前面的空格；任何词元都不会越过块的边界（原因后面再说）。同一个块如果出现多次，只需处理一次，记下次数即可。

# %%
text = "the tea, the sea and the seats near the sea"
cuts = ["the", " tea", ",", " the", " sea", " and", " the", " seats", " near", " the", " sea"]
assert "".join(cuts) == text
toy = {tuple(chunk.replace(" ", "␣")): n for chunk, n in Counter(cuts).items()}
for pieces, n in toy.items():
    print(f"{n} × {' '.join(pieces)}")

# %% [markdown]
# 现在统计每一对相邻片段，它所在的块出现几次，就算几次。次数最多的一对在所有地方都合并成一个新词元。如果几对的次数相同，就按片段的编号取最靠前的一对：字母的编号是它的码点（␣ 用空格的码点），新词元的编号从 256 开始往后排。


# %%
def pair_counts(chunks):
    counts = Counter()
    for pieces, n in chunks.items():
        for pair in zip(pieces, pieces[1:], strict=False):
            counts[pair] += n
    return counts


learnt = []  # 到目前为止合并过的各对


def number(piece):
    if len(piece) == 1:
        return ord(piece.replace("␣", " "))
    return 256 + ["".join(pair) for pair in learnt].index(piece)


def in_order(item):
    """次数最多的一对在前；次数相同的，编号最小的在前。"""
    pair, n = item
    return -n, *map(number, pair)


for pair, n in sorted(pair_counts(toy).items(), key=in_order):
    print(f"{pair[0]}+{pair[1]}: {n}", end="   ")

# %% [markdown]
# 手工数一遍：*e+a* 在 *␣tea* 中出现一次，*␣sea* 中两次，*␣seats* 中一次，*␣near* 中一次，一共五次。把它合并，重新统计，如此反复。下面的每一步先列出至少出现两次的各对，再列出合并的是哪一对：


# %%
def joined(pieces, pair):
    """一块的各个片段，从左到右把其中的每个 `pair` 合成一个。"""
    result = []
    for piece in pieces:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return tuple(result)


chunks = toy
for step in range(6):
    counts = sorted(pair_counts(chunks).items(), key=in_order)
    best = counts[0][0]
    learnt.append(best)
    print(f"{step}: " + ", ".join(f"{a}+{b} {n}" for (a, b), n in counts if n > 1))
    print(f"   合并 {best[0]} + {best[1]}，得到 {''.join(best)}")
    chunks = {joined(pieces, best): n for pieces, n in chunks.items()}
for pieces, n in chunks.items():
    print(f"{n} × {' | '.join(pieces)}")

# %%
before, after = (sum(n * len(pieces) for pieces, n in state.items()) for state in (toy, chunks))
say(
    f"{len(learnt)} 次合并把文本从 {before} 个词元变成 {after} 个。没有谁规定什么是词：“{''.join(learnt[-1])}”成为词元，"
    "完全是统计次数的结果。"
)

# %% [markdown]
# 给一个新词**编码**（encode）时，各条规则按学到的先后次序使用，这个次序就是规则的**序号**（rank）。*␣thesea* 这个词，上面的文本里没有：

# %%
pieces = tuple("␣thesea")
for rank, pair in enumerate(learnt):
    if pair in zip(pieces, pieces[1:], strict=False):
        pieces = joined(pieces, pair)
        print(f"序号 {rank}，{pair[0]} + {pair[1]}：{' | '.join(pieces)}")

# %% [markdown]
# ## 从零写出字节对编码
#
# 在字节上做同样的事，词元用数字表示：0 到 255 是字节，序号为 $r$ 的合并产生词元 $256 + r$。代码分三部分，先是训练：


# %% tags=["bpe"]
from collections import Counter

from minillm.tokenizers.patterns import chunks as cut


def count_pairs(words):
    """每对相邻词元出现的次数；words 是若干对（块的编号，块出现的次数）。"""
    counts = Counter()
    for ids, n in words:
        for pair in zip(ids, ids[1:], strict=False):
            counts[pair] += n
    return counts


def merged(ids, pair, new):
    """把 `ids` 中的每个 `pair` 从左到右、互不重叠地换成 `new`。"""
    result, i = [], 0
    while i < len(ids):
        found = tuple(ids[i : i + 2]) == pair
        result.append(new if found else ids[i])
        i += 2 if found else 1
    return result


def learn(text, n_merges, pattern="gpt2"):
    """文本的各次合并 {一对: 新编号}，按学到的次序；次数相同的，最小的一对在前。"""
    words = [(list(chunk.encode()), n) for chunk, n in Counter(cut(pattern, text)).items()]
    merges = {}
    for new in range(256, 256 + n_merges):
        counts = count_pairs(words)
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges[best] = new
        words = [(merged(ids, best, new), n) for ids, n in words]
    return merges


# %% [markdown]
# 编码：只要还有相邻的一对能用上某条规则，就使用其中最早学到的那一条。它产生的编号最小，所以编号就可以当作序号。解码不需要规则，只需要知道每个词元代表什么：


# %% tags=["bpe"]
def encode_chunk(ids, merges):
    while len(ids) > 1:
        pair = min(zip(ids, ids[1:], strict=False), key=lambda pair: merges.get(pair, float("inf")))
        if pair not in merges:
            break
        ids = merged(ids, pair, merges[pair])
    return ids


def encode(text, merges, pattern="gpt2"):
    return [token for chunk in cut(pattern, text) for token in encode_chunk(list(chunk.encode()), merges)]


def vocabulary_of(merges):
    """每个词元的字节：由它两部分的字节连接而成。"""
    vocabulary = {byte: bytes([byte]) for byte in range(256)}
    for (left, right), new in merges.items():
        vocabulary[new] = vocabulary[left] + vocabulary[right]
    return vocabulary


def decode(ids, merges):
    vocabulary = vocabulary_of(merges)
    return b"".join(vocabulary[token] for token in ids).decode(errors="replace")


# %%
merges = learn(text, 6)
vocabulary = vocabulary_of(merges)
assert [vocabulary[new].decode() for new in merges.values()] == ["".join(p).replace("␣", " ") for p in learnt]
print("再算一遍前面的例子：", [vocabulary[new].decode() for new in merges.values()])
ids = encode("the thesea", merges)
print("编码：", ids, [vocabulary[i].decode() for i in ids], "还原：", repr(decode(ids, merges)))

# %% [markdown]
# 在真实文本上合并 150 次，下面是最先和最后学到的词元。凡是英文都常见的，最先学到；*这份*文本里常见的，后来才学到：

# %%
part = train[:40_000]
merges = learn(part, 150)
vocabulary = vocabulary_of(merges)
tokens = [vocabulary[new].decode(errors="replace").replace(" ", "␣") for new in merges.values()]
print("最先：", "  ".join(tokens[:24]))
print("最后：", "  ".join(tokens[-24:]))

# %% [markdown]
# ### 切成块
#
# `cut` 在统计之前先按一个**模式**（pattern）切分文本，模式就是一个正则表达式。这里用的是 GPT-2 的模式：

# %%
from minillm.tokenizers.patterns import GPT2

for line in GPT2:
    print(line)
print([chunk.replace(" ", "␣") for chunk in cut("gpt2", "It's 2026: they've   left, 他们走了！")])

# %% [markdown]
# 一块可以是 *'s* 这样的词尾，可以是连续的一串字母、数字或其他符号，前面各可带一个空格，也可以是一串空白。空格归*后面*的词，于是一个词无论在哪里都是同一个词元（文本开头除外），也不必为空格花费词元。合并到块的边界为止，词表就不会被 *dog.*、*dog,*、*dog!* 之类的东西或者整个短语占满；而且速度快，因为处理过的块不必再处理。中文没有空格，所以一整个分句就是一块。

# %% [markdown]
# ## 梯度检查
#
# 这里没有什么梯度。取而代之的是三条必须严格成立的断言，都用蛮力来验证。
#
# **1. 次数不必重新统计。** 一次合并只改变含有这一对的块。所以快速的训练程序减去这些块原先贡献的次数，再加上现在贡献的次数。*每一次*合并之后，所有的次数都应当与从头统计的完全相同。


# %%
def learn_fast(text, n_merges, audit):
    words = [(list(chunk.encode()), n) for chunk, n in Counter(cut("gpt2", text)).items()]
    counts, merges = count_pairs(words), {}
    for new in range(256, 256 + n_merges):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges[best] = new
        for i, (ids, n) in enumerate(words):
            if best in zip(ids, ids[1:], strict=False):
                counts.subtract(count_pairs([(ids, n)]))
                words[i] = (merged(ids, best, new), n)
                counts.update(count_pairs([words[i]]))
        counts = +counts  # 去掉次数已经变成 0 的各对
        audit(counts, words)
    return merges


compared = []


def audit(counts, words):
    assert counts == count_pairs(words)
    compared.append(len(counts))


fast = learn_fast(part, len(merges), audit)
assert list(fast.items()) == list(merges.items())
print(f"{len(compared)} 次合并，每次之后都从头统计：共比较 {sum(compared):,} 个次数，全部相等")

# %% [markdown]
# **2. 编码就是重演训练。** `encode_chunk` 反复使用序号最小的规则。还有另一种定义：按学到的次序把*所有*规则过一遍，每条规则凡是能用的地方都用上，训练时对训练文本就是这样做的。两种做法的结果必须相同。这是因为合并产生一个新词元，而凡是涉及这个词元的规则都学得更晚；所以使用一条规则，决不会使更早的规则变得可用。
#
# **3. 什么也不丢**，无论是什么文本。两条断言都用随机文本来检验，文本取自训练文本，也取自整个 Unicode：


# %%
def replay(text, merges):
    result = []
    for chunk in cut("gpt2", text):
        ids = list(chunk.encode())
        for pair, new in merges.items():
            ids = merged(ids, pair, new)
        result += ids
    return result


rng = random.Random(3)
everything = [chr(i) for i in range(sys.maxunicode + 1) if not 0xD800 <= i <= 0xDFFF]  # 去掉代理码点
alphabets = {
    "训练文本的字母": sorted(set(train)),
    "汉字": [chr(i) for i in range(0x4E00, 0x9FFF)],
    "表情符号": [chr(i) for i in range(0x1F300, 0x1F650)],
    "整个 Unicode": everything,
}
for name, alphabet in alphabets.items():
    texts = ["".join(rng.choices(alphabet, k=rng.randint(0, 30))) for _ in range(80)]
    if name == "训练文本的字母":
        texts += [train[i : i + 40] for i in rng.choices(range(len(train) - 40), k=80)]
    for sample in texts:
        assert encode(sample, merges) == replay(sample, merges)
        assert decode(encode(sample, merges), merges) == sample
    print(f"{name}：{len(texts)} 段文本，两种做法的编号相同，全部还原")

# %% [markdown]
# ## minillm 里的同一件事
#
# [BPETokenizer](../../minillm/tokenizers/bpe.py) 就是上面这些，只是用堆代替了 `min`（[bpe_training.py](../../minillm/tokenizers/bpe_training.py)），用链表代替了一再新建的列表（[merging.py](../../minillm/tokenizers/merging.py)），编译了 C++ 部分时还会用上 C++。合并相同，编号也相同：

# %%
library = BPETokenizer.train([part], vocab_size=256 + len(merges), special_tokens=())
assert list(library.merges) == list(merges)
assert [new for _, new in library.merges.values()] == list(merges.values())
print(f"{len(library.merges)} 次合并，内容和次序都相同")

samples = [held, "It's 2026: they've   left, 他们走了！", "naïve café 🙂🙂", ""]
for sample in samples:
    np.testing.assert_array_equal(library.encode(sample), encode(sample, merges))
    assert library.decode(library.encode(sample)) == sample
    print(f"{len(sample):6,} 个字符：{len(library.encode(sample)):,} 个编号，全都相同")

# %% [markdown]
# ## 图：一次一次地合并
#
# 看一个短语在这么大的词表下怎样变化。请一步一步地看：先是字节，然后是一次接一次的合并，各有其序号，最后是编号。

# %%
from minillm import views

views.bpe(library, "the sequences, 中")

# %% [markdown]
# ## 中文
#
# 取《世界人权宣言》中的同一句话，用两种语言来写。上面的分词器是用英文训练的：

# %%
english = "All human beings are born free and equal in dignity and rights."
chinese = "人人生而自由，在尊严和权利上一律平等。"
for name, sentence in {"英文": english, "中文": chinese}.items():
    n, size = len(library.encode(sentence)), len(sentence.encode())
    print(
        f"{name}：{len(sentence)} 个字符，{size} 个字节，{n} 个词元；每个字符 {n / len(sentence):.2f} 个，每个字节 {n / size:.2f} 个"
    )
say(
    f"同样的意思，中文所用的词元是英文的 {len(library.encode(chinese)) / len(library.encode(english)):.2f} 倍，"
    f"而字符只是英文的 {len(chinese) / len(english):.2f} 倍：分词器最擅长的，"
    "是训练它的那种语言。"
)

# %% [markdown]
# 解决的办法在于训练文本。下面是一小段中文：关于本章内容的几句话。

# %%
TEXT = """
人人都会说话，但是机器只认识数字。所以在训练模型之前，我们要把文字变成数字。
最简单的办法是一个字一个数字，可是世界上的字太多了，没有人能把它们都写在一张表上。
另一个办法是一个词一个数字，可是词更多，而且每天都有新的词。
在计算机里，一个汉字是三个字节，一个英文字母是一个字节。字节只有二百五十六个，一张表就能写下来。
我们先把文字变成字节，然后看哪两个字节常常在一起，就把它们合在一起，变成一个新的数字。
这样做很多次，常用的字和常用的词就有了自己的数字，而少见的字还是几个字节。
人们在不同的语言里说一样的话，用的数字却不一样多。用英文训练的表，写中文就要用更多的数字。
如果在训练的时候有中文，也有英文，那么两种语言就更平等了。
数字越少，模型要看的就越少，算得也就越快。可是表越大，模型里的数字就越多，所以两样都不能太多。
自由和平等，说起来是两个词，在模型里也只是几个数字。
"""
half = TEXT * 20  # 与英文部分一样大
sources = {"只用英文训练": [train[: len(half.encode())]], "用英文和中文训练": [train[: len(half.encode())], half]}
trained = {name: BPETokenizer.train(texts, 256 + 400, special_tokens=()) for name, texts in sources.items()}
mixed = trained["用英文和中文训练"]
print("一个汉字三个字节：", len(TEXT.strip()), "个字符，", len(TEXT.strip().encode()), "个字节")
for name, tokenizer in trained.items():
    rates = [len(tokenizer.encode(sentence)) / len(sentence) for sentence in (english, chinese)]
    print(f"{name}，V = {tokenizer.vocab_size}：英文每个字符 {rates[0]:.2f} 个词元，中文 {rates[1]:.2f} 个")
pieces = [mixed.token_bytes(token) for token in mixed.encode(chinese)]
print(" | ".join(p.decode() if p.decode(errors="ignore").encode() == p else f"⟨{p.hex(' ')}⟩" for p in pieces))

# %% [markdown]
# ⟨ ⟩ 中的词元不是完整的字符：它们是一个字符的一部分，或者是两个字符各一部分。这给模型*写*文本带来一个问题：词元是一个一个产生的，某一刻可能正好写了半个字。

# %%
ids = mixed.encode("尊严")
for n in range(1, len(ids) + 1):
    print(f"{len(ids)} 个词元中的前 {n} 个：{mixed.decode_bytes(ids[:n]).hex(' '):18} 读作 {mixed.decode(ids[:n])!r}")

# %% [markdown]
# �（U+FFFD）表示不成字符的字节。边写边显示的程序，必须把不完整字符的字节先扣下，等其余的字节到了再显示。练习 03.3 要做的就是这件事。

# %% [markdown]
# ## 图：词表大小与文本长度
#
# 合并多少次才好？每次合并都使文本变短，开头的几次作用尤其大。原因是一个早已发现的规律，**齐普夫定律**（Zipf's law）：文本中第 $r$ 常用的词，出现次数大约是最常用的词的 $1/r$。

# %%
import matplotlib.pyplot as plt

sizes = [0, 30, 100, 300, 1000, 3000, 6000]
largest = BPETokenizer.train([train], vocab_size=256 + sizes[-1], special_tokens=())
rules = list(largest.merges.items())


def first(n):
    """只含前 n 次合并的分词器；训练到这个大小，得到的也是它。"""
    kept = {i: largest.token_bytes(i) for i in range(256 + n)}
    return BPETokenizer(kept, dict(rules[:n]), "gpt2")


lengths = {
    name: [len(first(n).encode(t)) / len(t.encode()) for n in sizes]
    for name, t in [("seen", train), ("held out", held)]
}
frequencies = np.array(sorted(Counter(train.lower().split()).values(), reverse=True))
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6))
for name, rates in lengths.items():
    left.plot(sizes, rates, marker="o", markersize=4, label=name)
left.set(xlabel="merges", ylabel="tokens per byte", ylim=(0, 1.05), title="length")
left.set_xscale("symlog", linthresh=30)
left.set_xlim(-3, 9000)
left.set_xticks(sizes, map(str, sizes), rotation=45)
left.minorticks_off()
left.legend()
ranks = np.arange(1, len(frequencies) + 1)
right.loglog(ranks, frequencies, label="words")
right.loglog(ranks, frequencies[0] / ranks, "--", label="Zipf: 1/r of the first")
right.set(xlabel="rank r of a word", ylabel="times it occurs", title="Zipf's law")
right.legend()
show(
    figure,
    "左：每字节的词元数随合并次数先快后慢地下降（两条线：训练文本，留出文本）。右：常用的词很少，大多数词罕见（横轴：词的名次 r；纵轴：出现次数；虚线：最常用的词的 1/r）。",
)

# %%
rates = lengths["held out"]
d_model = 512
say(
    f"前 {sizes[3]} 次合并把留出文本从每字节 1 个词元减到 {rates[3]:.3f} 个；前 {sizes[-2]:,} 次之后的 {sizes[-1] - sizes[-2]:,} 次，"
    f"把它从 {rates[-2]:.3f} 减到 {rates[-1]:.3f}。在 d_model = {d_model} 时，每次合并都使模型的嵌入（embedding）"
    f"增加 {d_model} 个参数，后面这些一共增加 {(sizes[-1] - sizes[-2]) * d_model:,} 个。这份文本有 {len(frequencies):,} 个不同的词，"
    f"其中 {np.mean(frequencies == 1):.0%} 只出现一次。"
)

# %% [markdown]
# ## 每字节比特数
#
# 这些词表中，哪一个对模型最好？语言模型的损失（loss）是*对每个词元*取的平均（第 01 章），它的困惑度（perplexity）是 $e^{\text{loss}}$。换一个词表，词元就是另一种东西：同一文本的词元变少了，每一个却更难猜。所以这样的两个损失单位不同。但是*整个文本*的惊异度与这种单位无关，因为所有词元的概率乘起来，就是这个文本的概率。把它换算成比特，再除以文本的字节数，就得到**每字节比特数**（bits per byte）：
#
# $$\text{bits per byte} = \frac{\text{loss} \cdot \text{tokens}}{\ln 2 \cdot \text{bytes}}.$$
#
# 式中 loss 是以奈特计的损失，tokens 是词元数，bytes 是字节数。下面把留出的文本按每一种词表切分，都用同一类模型来算，即采用 Kneser-Ney 平滑（smoothing）的三元语法（trigram）：

# %%
from minillm.metrics import bits_per_byte, perplexity

size, results = len(held.encode()), []
print("合并次数  词元数   每词元奈特数      困惑度   每字节比特数")
for n in sizes:
    tokenizer = first(n)
    model = NGram.train(np.array(tokenizer.encode(train)), tokenizer.vocab_size, order=3)
    ids = np.array(tokenizer.encode(held))
    loss = model.evaluate(ids)
    results.append((perplexity(loss), bits_per_byte(loss, len(ids), size)))
    print(f"{n:8,} {len(ids):7,} {loss:14.4f} {results[-1][0]:11.2f} {results[-1][1]:14.4f}")

# %%
import zlib

by_perplexity, by_bits = (min(range(len(sizes)), key=lambda i: results[i][j]) for j in (0, 1))
zipped = 8 * len(zlib.compress(held.encode(), 9)) / size
say(
    f"按困惑度看，最好的是合并 {sizes[by_perplexity]} 次的词表，困惑度为 {results[by_perplexity][0]:.2f}。"
    f"按每字节比特数看，最好的是**合并 {sizes[by_bits]:,} 次**的词表，为 {results[by_bits][1]:.3f}，而前者是 "
    f"{results[by_perplexity][1]:.3f}；尽管它的困惑度是前者的 {results[by_bits][0] / results[by_perplexity][0]:.0f} 倍。"
    f"作为对照，`zlib` 把留出文本压缩到每字节 {zipped:.3f} 比特。"
)

# %% [markdown]
# 每字节比特数，也是用这个模型来压缩文本所能达到的大小（算术编码为一个词元花费 $-\log_2 P$ 比特）。单单一个分词器也能压缩：$V$ 个词元如果都看作等可能，一个词元就花费 $\log_2 V$ 比特。

# %%
for n in sizes[::2]:
    tokenizer = first(n)
    count = len(tokenizer.encode(held))
    uniform = bits_per_byte(math.log(tokenizer.vocab_size), count, size)
    print(
        f"合并 {n:5,} 次：每个词元 {size / count:.2f} 个字节，log₂ V = {math.log2(tokenizer.vocab_size):5.2f} 比特，合每字节 {uniform:.3f} 比特"
    )

# %% [markdown]
# ## 两个近亲
#
# **WordPiece**（Wu 等 2016；用于 BERT）的训练与 BPE 很像，只是从字符出发，而且合并的不是次数最多的一对，而是两部分*最常在一起*的一对，即 $c(ab) / (c(a)\,c(b))$ 最大的一对（练习 03.2）。编码时不用序号：从左到右，每次取词表里有的最长片段。词内部的片段写作 `##` 开头。如果一个词无法这样切开，整个词就成为 `[UNK]`；而且 BERT 会先把词变成小写，去掉变音符号，所以文本不能原样还原。

# %%
pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "token", "##ize", "##r", "##rs", "##s", "cafe", "两", "个", "."]
bert = WordPieceTokenizer(pieces)
for sample in ["Tokenizers.", "Café", "两个", "bytes"]:
    ids = bert.encode(sample)
    print(f"{sample:12} {[bert.tokens[i] for i in ids]}，还原为 {bert.decode(ids)!r}")

# %% [markdown]
# **SentencePiece**（Kudo 和 Richardson 2018；用于 Llama）不先切块。空格与其他字符一样对待，文本前面还要加上一个空格。它从字符出发；相邻两个片段如果连起来也是片段，就可以合并，*分数*最高的先合并。不是片段的字符则退回到它的各个字节，这些字节永不合并。下面把前面例子中的合并当作它的片段，分数取序号的相反数：

# %%
learnt_pieces = ["".join(pair).replace("␣", " ") for pair in learnt]
letters = sorted(set(text))
pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *learnt_pieces]
scores = [0.0] * (257 + len(letters)) + [-float(rank) for rank in range(len(learnt))]
llama = SentencePieceTokenizer(pieces, scores, {"<unk>": 0})
for sample in ["the thesea", "tea, 中"]:
    ids = llama.encode(sample)
    print(f"{sample:12} {[llama.pieces[i].replace(' ', '␣') for i in ids]}，还原为 {llama.decode(ids)!r}")

# %% [markdown]
# ## 特殊词元
#
# 有些词元不代表任何文字，例如表示一篇文本到此结束，或者对话中接下来由谁说话。这些**特殊词元**（special token）的编号排在所有其他词元之后，各有一个名称用来显示。文本中出现的这种名称只是*文本*：除非程序特意要求，`encode` 会像对待其他文本一样把它切开，这样用户键入的内容就不能结束一篇文本，也不能冒充别人说话。

# %%
special = library.with_special_tokens(["<|endoftext|>"])
forged = "the end<|endoftext|>the"
typed, meant = special.encode(forged), special.encode(forged, allowed_special={"<|endoftext|>"})
end = special.special_tokens["<|endoftext|>"]
assert end not in typed and meant.count(end) == 1
print(f"用户键入的：{typed}\n程序要求的：{meant}")
assert special.decode(typed) == special.decode(meant) == forged

# %% [markdown]
# 两者解码得到的文本相同。所以程序的各部分之间必须传递编号，而不是文本：如果从文本绕一圈，前者会变成后者，或者后者变成前者。

# %% [markdown]
# ## 如果弄坏它
#
# **……合并之前不切块。** 把整个文本当作一块，合并就会越过空格和句号：

# %%
whole = BPETokenizer.train([part], vocab_size=256 + 1000, special_tokens=(), pattern=r"[\s\S]+")
parted = BPETokenizer.train([part], vocab_size=256 + 1000, special_tokens=())
for name, tokenizer in {"先切块": parted, "不切块": whole}.items():
    made = [tokenizer.token_bytes(i).decode(errors="replace") for i in range(256, tokenizer.vocab_size)]
    over = [token for token in made if " " in token[1:] or (token[0].isalnum() and not token[-1].isalnum())]
    model = NGram.train(np.array(tokenizer.encode(part)), tokenizer.vocab_size, order=3)
    ids = np.array(tokenizer.encode(held))
    print(
        f"{name}：{len(made)} 个词元中有 {len(over):3} 个越出词的范围；留出文本共 {len(ids):,} 个词元，"
        f"每字节 {bits_per_byte(model.evaluate(ids), len(ids), size):.3f} 比特"
    )
print("最长的：", [token.replace(" ", "␣") for token in sorted(over, key=len)[-4:]])
with_the = [token.replace(" ", "␣") for token in made if "the" in token.split()]
say(
    f"现在含有 *the* 的词元有 {len(with_the)} 个：{', '.join(f'`{token}`' for token in with_the[:12])} 等等。"
    "这样一来，文本的词元数甚至可能更少，但是模型从一个词元中学到的关于这个词的知识，换成另一个词元就用不上了。"
)

# %% [markdown]
# **……合并的次序错了。** 假设*最后*学到的规则最先使用。解码仍能还原文本，所以检查能否还原的测试发现不了任何问题；可是模型是用正确的编号训练的，它遇到的词，切法却是它从未见过的。


# %%
def backwards(ids, merges):
    while len(ids) > 1:
        pair = max(zip(ids, ids[1:], strict=False), key=lambda pair: merges.get(pair, -1))
        if pair not in merges:
            break
        ids = merged(ids, pair, merges[pair])
    return ids


rules_of = {pair: new for pair, (_, new) in parted.merges.items()}
vocabulary, cuts = vocabulary_of(rules_of), cut("gpt2", held)
ways = {"按次序": [], "倒过来": []}
for chunk in cuts:
    ways["按次序"].append(encode_chunk(list(chunk.encode()), rules_of))
    ways["倒过来"].append(backwards(list(chunk.encode()), rules_of))
model = NGram.train(np.array(parted.encode(part)), parted.vocab_size, order=3)
for name, parts in ways.items():
    ids = [token for part in parts for token in part]
    bits = bits_per_byte(model.evaluate(np.array(ids)), len(ids), size)
    print(f"{name}：{len(ids):,} 个词元，每字节 {bits:.3f} 比特；文本是否还原：{decode(ids, rules_of) == held}")
different = [i for i in range(len(cuts)) if ways["按次序"][i] != ways["倒过来"][i]]
say(f"**{len(different) / len(cuts):.1%}** 的块切得不一样，例如：")
for i in different[:3]:
    print(
        repr(cuts[i]),
        *("|".join(vocabulary[token].decode() for token in parts[i]) for parts in ways.values()),
        sep="   ",
    )

# %% [markdown]
# **……提示以空格结尾。** 空格属于下一个词。单独留在提示（prompt）末尾，它就自成一个词元，而这样的词元，训练时只出现在没有合并把它收走的地方：

# %%
bigram = NGram.train(np.array(parted.encode(part)), parted.vocab_size, order=2)
for prompt, word in [("it is", " the"), ("it is ", "the")]:
    before, after = parted.encode(prompt), parted.encode(word)
    chance = bigram.probabilities(np.array(before + after))[len(before) :].prod()
    print(f"P({word!r:6} | {prompt!r:8}) = {chance:.7f}，共 {len(after)} 个词元")

# %% [markdown]
# ## 练习
#
# 把 `...` 换成自己的代码，然后运行单元格。`hint("03.1")` 给出一条提示，再次调用会给出下一条；`solution("03.1")` 显示参考答案。

# %% [markdown]
# **03.1** 写出 UTF-8：给定码点（0 到 0x10FFFF），返回这个字符的各个字节，即数的列表；要用移位和按位运算，不用 `chr`。不超过 0x7F 时一个字节，不超过 0x7FF 时两个，不超过 0xFFFF 时三个，其余四个。


# %%
def utf8(code_point): ...


check("03.1", utf8)

# %% [markdown]
# **03.2** WordPiece 的训练接下来要合并的一对：在所有相邻的对中，$c(ab) / (c(a)\,c(b))$ 最大的一对，其中 $c$ 是一对或一个片段在文本中出现的次数；相等时取排序在前的一对。`words` 把片段的元组映射到这个词出现的次数。返回这一对。


# %%
def next_wordpiece(words): ...


check("03.2", next_wordpiece)

# %% [markdown]
# **03.3** 词元以字节的形式一个一个地到来。对每个词元返回一段可以立即显示的文本：到这时已经完整而又没有显示过的所有字符。不完整的字符要等其余的字节。全部字节连在一起是合法的 UTF-8。


# %%
def stream(tokens): ...


check("03.3", stream)

# %% [markdown]
# **03.4** 按序号次序合并是贪心的，不一定得到最少的词元。`vocabulary` 是字符串的集合；把 `text` 切成其中的片段，片段要尽可能少，返回片段的列表（最短的列表如果有几个，任何一个都行）；切不成时返回 `None`。文本有 300 个字母时也不能有困难。


# %%
def fewest(text, vocabulary): ...


check("03.4", fewest)
