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
# # 03 Tokenization: words and byte pairs
#
# Covers section 3.2.1 of the document (preparing data: word encoding and subword encoding), and the "subwords" that its
# section 3.2.2 has models predict.
#
# In minillm: [tokenizers/bpe.py](../minillm/tokenizers/bpe.py), [tokenizers/wordpiece.py](../minillm/tokenizers/wordpiece.py), [tokenizers/sentencepiece.py](../minillm/tokenizers/sentencepiece.py); checked in [tests/tokenizers/test_bpe.py](../tests/tokenizers/test_bpe.py), [tests/tokenizers/test_against_tiktoken.py](../tests/tokenizers/test_against_tiktoken.py).
#
# The document says that text is cut into words or subwords, and these are turned into numbers. It doesn't say where
# subwords come from. Here they are learnt from text, in a few lines of code that give the same ids as the library, token
# for token. On the way: what this does to Chinese, and how models that cut text differently can be compared at all.
#
# You need: chapter 01 (n-grams, perplexity, bits per byte), and Python's dictionaries.

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
# ## The idea
#
# A model computes with whole numbers below a fixed limit, the **vocabulary size** $V$. A **tokenizer** is a pair of functions
# between text and such numbers: `encode`, from a text to ids, and `decode`, back. Three things are wanted of it:
#
# - *nothing is lost*: `decode(encode(text)) == text`, for every text there is;
# - *few tokens*: a Transformer's attention compares every token with every other, so twice as many tokens cost four times
#   as much there;
# - *a small vocabulary*: every id needs a row of its own in the model's first matrix and in its last.
#
# The last two pull against each other. Characters are few but make long sequences; words make short ones, but are without
# number. **Byte-pair encoding** (Gage 1994; for language models Sennrich, Haddow and Birch 2016) stands in between: it begins with bytes,
# and gives a token of its own to whatever often stands together.

# %% [markdown]
# ## Characters, words and `<unk>`
#
# Real text to try things on: the prose of the language reference, which comes with Python as the text of its `help()`. Every tenth
# paragraph is held out.

# %%
blocks = [block for text in topics.values() for block in text.split("\n\n") if is_english(block)]
paragraphs = [f"{' '.join(block.split())}\n" for block in dict.fromkeys(blocks)]
train = "".join(p for i, p in enumerate(paragraphs) if i % 10)
held = "".join(paragraphs[::10])
say(
    f"{len(train):,} characters to learn from, {len(held):,} held out. One paragraph: *{paragraphs[11][:150].strip()} …*"
)

# %%
print("                      V    tokens held out   unknown")
characters = CharTokenizer.train([train], unk=True)
for name, tokenizer in [
    ("characters", characters),
    *((f"{n:,} frequent words", WordTokenizer.train([train], max_size=n)) for n in (300, 3000, 10**6)),
]:
    ids = tokenizer.encode(held)
    unknown = ids.count(tokenizer.special_tokens["<unk>"])
    name = name.replace("1,000,000 frequent", "all")
    print(f"{name:20} {tokenizer.vocab_size:5,} {len(ids):15,} {unknown:7,} ({unknown / len(ids):.2%})")

# %% [markdown]
# A word that isn't in the vocabulary becomes `<unk>`, and is gone: decoding can't bring it back, and a model can never write
# it. And the list of words never ends: not even *We* and *saw* need be in it. Here are some held-out words that the whole training text didn't have:

# %%
words = WordTokenizer.train([train])
missing = [piece for piece in dict.fromkeys(held.split()) if 0 in words.encode(f" {piece}") and piece.isalpha()]
print(f"{len(missing)} different words, such as:", ", ".join(missing[:12]))
sample = f"We saw {missing[0]} there."
print(f"{sample!r} comes back as {words.decode(words.encode(sample))!r}")

# %% [markdown]
# A person would guess what a new word means from its parts. How many of these begin with a word that was seen?

# %%
seen = {word.lower() for word in train.split() if len(word) > 2}
begun = [w for w in missing if any(w[:n].lower() in seen for n in range(3, len(w) + 1))]
say(
    f"**{len(begun)} of the {len(missing)}**. Whoever could use *parts* of words would have no need to give up: "
    "that is the idea of subwords."
)

# %% [markdown]
# Characters lose less, but they have the same fault: Unicode knows so many of them that no text shows them all.

# %%
import sys
import unicodedata

assigned = sum(unicodedata.category(chr(i)) not in ("Cn", "Co", "Cs") for i in range(sys.maxunicode + 1))
say(f"This Python's Unicode has {assigned:,} characters; the training text has {characters.vocab_size - 1} of them.")

# %% [markdown]
# ## Bytes
#
# There is a level below characters with an end to it. **UTF-8** writes every character in one to four bytes, and a byte has 256
# values. Cut text into bytes, and $V = 256$ is enough for every script on earth; nothing is ever unknown.

# %%
for character in ["a", "é", "中", "🙂"]:
    code = character.encode()
    bits = " ".join(f"{byte:08b}" for byte in code)
    print(f"{character}  U+{ord(character):05X}  bytes {', '.join(map(str, code)):20}  {bits}")

# %% [markdown]
# The first bits say how many bytes belong together: `0…` is a character by itself (ASCII), `110…`, `1110…` and `11110…` begin one of two, three
# and four bytes, and `10…` continues one. Hence a cut in the wrong place can always be seen. The other bits, put together, are the
# character's number. A Chinese character nearly always takes three bytes.
#
# The price is length: a token a byte. So we begin with bytes and merge.

# %% [markdown]
# ## A worked example
#
# The text is *the tea, the sea and the seats near the sea*. First it is cut into **chunks**, words with the space before them; no token will ever reach
# over the end of a chunk (why, we shall see). A chunk that comes several times need be looked at only once, with its number.

# %%
text = "the tea, the sea and the seats near the sea"
cuts = ["the", " tea", ",", " the", " sea", " and", " the", " seats", " near", " the", " sea"]
assert "".join(cuts) == text
toy = {tuple(chunk.replace(" ", "␣")): n for chunk, n in Counter(cuts).items()}
for pieces, n in toy.items():
    print(f"{n} × {' '.join(pieces)}")

# %% [markdown]
# Now count every pair of neighbours, each as often as its chunk occurs. The most frequent pair becomes a new token,
# everywhere. Of equally frequent pairs we take the one that comes first by the pieces' numbers: those of letters are their code points (␣ has that of
# the space), those of new tokens go on from 256.


# %%
def pair_counts(chunks):
    counts = Counter()
    for pieces, n in chunks.items():
        for pair in zip(pieces, pieces[1:], strict=False):
            counts[pair] += n
    return counts


learnt = []  # the pairs merged so far


def number(piece):
    if len(piece) == 1:
        return ord(piece.replace("␣", " "))
    return 256 + ["".join(pair) for pair in learnt].index(piece)


def in_order(item):
    """The most frequent pair first, of equals the one with the smallest numbers."""
    pair, n = item
    return -n, *map(number, pair)


for pair, n in sorted(pair_counts(toy).items(), key=in_order):
    print(f"{pair[0]}+{pair[1]}: {n}", end="   ")

# %% [markdown]
# The counts by hand: *e+a* stands in *␣tea* (once), *␣sea* (twice), *␣seats* (once) and *␣near* (once), five times in all. Merge it, count again,
# and so on. Each line below shows all pairs that occur at least twice, and then what is merged:


# %%
def joined(pieces, pair):
    """The pieces of one chunk with every `pair` in it, from the left, made into one."""
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
    print(f"   merge {best[0]} + {best[1]} into {''.join(best)}")
    chunks = {joined(pieces, best): n for pieces, n in chunks.items()}
for pieces, n in chunks.items():
    print(f"{n} × {' | '.join(pieces)}")

# %%
before, after = (sum(n * len(pieces) for pieces, n in state.items()) for state in (toy, chunks))
say(
    f"{len(learnt)} merges took the text from {before} tokens to {after}. Nobody said what a word is: that "
    f"“{''.join(learnt[-1])}” became a token is the counts' doing."
)

# %% [markdown]
# To **encode** a new word, the rules are applied in the order in which they were learnt, which is their **rank**. The word
# *␣thesea* doesn't occur above:

# %%
pieces = tuple("␣thesea")
for rank, pair in enumerate(learnt):
    if pair in zip(pieces, pieces[1:], strict=False):
        pieces = joined(pieces, pair)
        print(f"rank {rank}, {pair[0]} + {pair[1]}: {' | '.join(pieces)}")

# %% [markdown]
# ## Byte-pair encoding from scratch
#
# The same on bytes, with numbers for tokens: 0 to 255 are the bytes, and the merge of rank $r$ makes token $256 + r$. There are three
# parts. Training first:


# %% tags=["bpe"]
from collections import Counter

from minillm.tokenizers.patterns import chunks as cut


def count_pairs(words):
    """How often each pair of neighbours occurs; words: pairs of (ids of a chunk, how often the chunk occurs)."""
    counts = Counter()
    for ids, n in words:
        for pair in zip(ids, ids[1:], strict=False):
            counts[pair] += n
    return counts


def merged(ids, pair, new):
    """`ids` with every `pair`, from the left and without overlap, replaced by `new`."""
    result, i = [], 0
    while i < len(ids):
        found = tuple(ids[i : i + 2]) == pair
        result.append(new if found else ids[i])
        i += 2 if found else 1
    return result


def learn(text, n_merges, pattern="gpt2"):
    """The merges of a text, {pair: new id}, in the order learnt; of equally frequent pairs the smallest first."""
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
# Encoding: as long as any pair of neighbours has a rule, apply the one learnt first. Its id is smallest, so the id can serve as
# the rank. Decoding needs no rules, only what each token stands for:


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
    """The bytes of each token: its two parts', joined."""
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
print("the worked example again:", [vocabulary[new].decode() for new in merges.values()])
ids = encode("the thesea", merges)
print("encoded:", ids, [vocabulary[i].decode() for i in ids], "and back:", repr(decode(ids, merges)))

# %% [markdown]
# On the real text, the first and last of 150 merges. What is frequent in any English comes first, what is frequent in
# *this* text comes later:

# %%
part = train[:40_000]
merges = learn(part, 150)
vocabulary = vocabulary_of(merges)
tokens = [vocabulary[new].decode(errors="replace").replace(" ", "␣") for new in merges.values()]
print("first:", "  ".join(tokens[:24]))
print("last: ", "  ".join(tokens[-24:]))

# %% [markdown]
# ### The cut into chunks
#
# `cut` splits the text by a **pattern**, a regular expression, before anything is counted. The one here is that of GPT-2:

# %%
from minillm.tokenizers.patterns import GPT2

for line in GPT2:
    print(line)
print([chunk.replace(" ", "␣") for chunk in cut("gpt2", "It's 2026: they've   left, 他们走了！")])

# %% [markdown]
# An ending such as *'s*, or a run of letters (`\p{L}`, of any script), of digits (`\p{N}`) or of other signs, each with one space before it, or white space. The space goes with the
# word *after* it, so that a word is the same token wherever it stands (but at a text's start), and no token is spent on spaces. That merges stop
# at these borders keeps the vocabulary from filling up with *dog.*, *dog,* and *dog!*, or with whole phrases; and it makes things fast, because a chunk
# met before needs no work again. Chinese has no spaces, so a whole clause is one chunk there.

# %% [markdown]
# ## The gradient check
#
# Nothing here has a gradient. What takes its place: three claims that must hold exactly, tried out by brute force.
#
# **1. Counts needn't be taken anew.** A merge changes only the chunks that hold the pair. So a fast trainer takes off
# what such a chunk contributed before, and adds what it contributes now. After *every* merge, all of its counts should be those of a full
# recount.


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
        counts = +counts  # without the pairs whose count has become 0
        audit(counts, words)
    return merges


compared = []


def audit(counts, words):
    assert counts == count_pairs(words)
    compared.append(len(counts))


fast = learn_fast(part, len(merges), audit)
assert list(fast.items()) == list(merges.items())
print(f"{len(compared)} merges, after each a full recount: {sum(compared):,} counts compared, all equal")

# %% [markdown]
# **2. Encoding repeats training.** `encode_chunk` takes the rule of smallest rank, again and again. Another definition: go through
# *all* rules in the order learnt, and apply each wherever it fits, which is what training did to its own text. Both must give
# the same. For a merge makes a new token, and every rule about that token was learnt later; so applying a rule can never make an earlier one fit.
#
# **3. Nothing is lost**, whatever the text. Both are tried on random texts, from the training text, and from all of Unicode:


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
everything = [chr(i) for i in range(sys.maxunicode + 1) if not 0xD800 <= i <= 0xDFFF]  # no surrogates
alphabets = {
    "letters of the text": sorted(set(train)),
    "Chinese": [chr(i) for i in range(0x4E00, 0x9FFF)],
    "emoji": [chr(i) for i in range(0x1F300, 0x1F650)],
    "all of Unicode": everything,
}
for name, alphabet in alphabets.items():
    texts = ["".join(rng.choices(alphabet, k=rng.randint(0, 30))) for _ in range(80)]
    if name == "letters of the text":
        texts += [train[i : i + 40] for i in rng.choices(range(len(train) - 40), k=80)]
    for sample in texts:
        assert encode(sample, merges) == replay(sample, merges)
        assert decode(encode(sample, merges), merges) == sample
    print(f"{name:20} {len(texts)} texts: both ways the same ids, and all came back")

# %% [markdown]
# ## The same thing in minillm
#
# [BPETokenizer](../minillm/tokenizers/bpe.py) is this, with a heap in place of `min`
# ([bpe_training.py](../minillm/tokenizers/bpe_training.py)), a linked list in place of new lists
# ([merging.py](../minillm/tokenizers/merging.py)), and C++ where it is built. Same merges, same ids:

# %%
library = BPETokenizer.train([part], vocab_size=256 + len(merges), special_tokens=())
assert list(library.merges) == list(merges)
assert [new for _, new in library.merges.values()] == list(merges.values())
print(f"{len(library.merges)} merges, the same in the same order")

samples = [held, "It's 2026: they've   left, 他们走了！", "naïve café 🙂🙂", ""]
for sample in samples:
    np.testing.assert_array_equal(library.encode(sample), encode(sample, merges))
    assert library.decode(library.encode(sample)) == sample
    print(f"{len(sample):6,} characters: the same {len(library.encode(sample)):,} ids")

# %% [markdown]
# ## Picture: merge by merge
#
# What happens to a phrase in a vocabulary of this size. Step through it: the bytes, then one merge after another with its rank, then the ids.

# %%
from minillm import views

views.bpe(library, "the sequences, 中")

# %% [markdown]
# ## Chinese
#
# The same sentence in two languages, from the Universal Declaration of Human Rights. The tokenizer above was trained
# on English:

# %%
english = "All human beings are born free and equal in dignity and rights."
chinese = "人人生而自由，在尊严和权利上一律平等。"
for name, sentence in {"English": english, "Chinese": chinese}.items():
    n, size = len(library.encode(sentence)), len(sentence.encode())
    print(
        f"{name}: {len(sentence)} characters, {size} bytes, {n} tokens: {n / len(sentence):.2f} a character, {n / size:.2f} a byte"
    )
say(
    f"To write the same in Chinese takes {len(library.encode(chinese)) / len(library.encode(english)):.2f} times the tokens "
    f"of the English, though it has {len(chinese) / len(english):.2f} times the characters: a tokenizer speaks best "
    "the language it was trained on."
)

# %% [markdown]
# The cure is in the training text. A small one in Chinese: some sentences about this chapter.

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
half = TEXT * 20  # as large a part of the text as English
sources = {"English only": [train[: len(half.encode())]], "English and Chinese": [train[: len(half.encode())], half]}
trained = {name: BPETokenizer.train(texts, 256 + 400, special_tokens=()) for name, texts in sources.items()}
mixed = trained["English and Chinese"]
print("three bytes a character:", len(TEXT.strip()), "characters,", len(TEXT.strip().encode()), "bytes")
for name, tokenizer in trained.items():
    rates = [len(tokenizer.encode(sentence)) / len(sentence) for sentence in (english, chinese)]
    print(f"{name:20} V = {tokenizer.vocab_size}: {rates[0]:.2f} tokens a character English, {rates[1]:.2f} Chinese")
pieces = [mixed.token_bytes(token) for token in mixed.encode(chinese)]
print(" | ".join(p.decode() if p.decode(errors="ignore").encode() == p else f"⟨{p.hex(' ')}⟩" for p in pieces))

# %% [markdown]
# In ⟨ ⟩ are tokens that are no whole characters: a part of one, or of two. That has a consequence when a model *writes*: tokens come one at a time, and a character may be half finished.

# %%
ids = mixed.encode("尊严")
for n in range(1, len(ids) + 1):
    print(f"after {n} of {len(ids)} tokens: {mixed.decode_bytes(ids[:n]).hex(' '):18} reads {mixed.decode(ids[:n])!r}")

# %% [markdown]
# � (U+FFFD) stands for bytes that are no character. Whoever shows text as it is written must hold back the bytes of an unfinished
# character until the rest has come. Exercise 03.3 does it.

# %% [markdown]
# ## Picture: vocabulary size against length
#
# How many merges? Each shortens the text, the first ones by a lot. The reason is an old observation, **Zipf's law**: the
# $r$-th most frequent word of a text is about $1/r$ times as frequent as the first.

# %%
import matplotlib.pyplot as plt

sizes = [0, 30, 100, 300, 1000, 3000, 6000]
largest = BPETokenizer.train([train], vocab_size=256 + sizes[-1], special_tokens=())
rules = list(largest.merges.items())


def first(n):
    """The tokenizer of the first n merges: what training to that size gives, too."""
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
show(figure, "Tokens per byte fall quickly and then slowly; few words are frequent, and most of them are rare.")

# %%
rates = lengths["held out"]
d_model = 512
say(
    f"The first {sizes[3]} merges bring the held-out text from 1 to {rates[3]:.3f} tokens a byte; the {sizes[-1] - sizes[-2]:,} "
    f"after the first {sizes[-2]:,} bring it from {rates[-2]:.3f} to {rates[-1]:.3f}. At d_model = {d_model} every one of them costs the model "
    f"{d_model} parameters more in its embedding, {(sizes[-1] - sizes[-2]) * d_model:,} in all. Of the {len(frequencies):,} different words "
    f"of this text, {np.mean(frequencies == 1):.0%} occur a single time."
)

# %% [markdown]
# ## Bits per byte
#
# Which of these vocabularies is best for a model? The loss of a language model is a mean *per token* (chapter 01), and its
# perplexity is $e^{\text{loss}}$. With another vocabulary, a token is another thing: fewer tokens for the same text, each harder to
# guess. So two such losses are in different units. But the surprise of the *whole text* is in no such unit, because all tokens' chances
# multiply to one chance for the text. Divided by its length in bytes, in bits, it is
#
# $$\text{bits per byte} = \frac{\text{loss} \cdot \text{tokens}}{\ln 2 \cdot \text{bytes}}.$$
#
# The same kind of model, a trigram with Kneser-Ney smoothing, on the held-out text cut in each of these ways:

# %%
from minillm.metrics import bits_per_byte, perplexity

size, results = len(held.encode()), []
print("merges  tokens   nats a token  perplexity  bits per byte")
for n in sizes:
    tokenizer = first(n)
    model = NGram.train(np.array(tokenizer.encode(train)), tokenizer.vocab_size, order=3)
    ids = np.array(tokenizer.encode(held))
    loss = model.evaluate(ids)
    results.append((perplexity(loss), bits_per_byte(loss, len(ids), size)))
    print(f"{n:6,} {len(ids):7,} {loss:14.4f} {results[-1][0]:11.2f} {results[-1][1]:14.4f}")

# %%
import zlib

by_perplexity, by_bits = (min(range(len(sizes)), key=lambda i: results[i][j]) for j in (0, 1))
zipped = 8 * len(zlib.compress(held.encode(), 9)) / size
say(
    f"By perplexity the best would be the one with {sizes[by_perplexity]} merges, at {results[by_perplexity][0]:.2f}. "
    f"In bits per byte it is the one with **{sizes[by_bits]:,} merges**, {results[by_bits][1]:.3f} against "
    f"{results[by_perplexity][1]:.3f}, although its perplexity is {results[by_bits][0] / results[by_perplexity][0]:.0f} times "
    f"as high. For comparison, `zlib` packs the held-out text into {zipped:.3f} bits a byte."
)

# %% [markdown]
# Bits per byte is also what a compressor driven by the model would reach (arithmetic coding spends $-\log_2 P$ bits on a
# token). A tokenizer alone compresses too: with $V$ tokens, all taken as equally likely, a token costs $\log_2 V$ bits.

# %%
for n in sizes[::2]:
    tokenizer = first(n)
    count = len(tokenizer.encode(held))
    uniform = bits_per_byte(math.log(tokenizer.vocab_size), count, size)
    print(
        f"{n:6,} merges: {size / count:.2f} bytes a token, log₂ V = {math.log2(tokenizer.vocab_size):5.2f} bits: {uniform:.3f} a byte"
    )

# %% [markdown]
# ## Two relatives
#
# **WordPiece** (Wu et al. 2016; BERT) trains much as BPE does, on characters, but merges the pair whose parts are most often *together*,
# $c(ab) / (c(a)\,c(b))$, and not simply the most frequent (exercise 03.2). It encodes without ranks: from the left, the longest
# piece that the vocabulary has. Pieces inside a word are written with `##`. A word that can't be cut so is `[UNK]`, whole; and
# since BERT's words are lower-cased and stripped of accents first, text doesn't come back exactly.

# %%
pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "token", "##ize", "##r", "##rs", "##s", "cafe", "两", "个", "."]
bert = WordPieceTokenizer(pieces)
for sample in ["Tokenizers.", "Café", "两个", "bytes"]:
    ids = bert.encode(sample)
    print(f"{sample:12} {[bert.tokens[i] for i in ids]}, back: {bert.decode(ids)!r}")

# %% [markdown]
# **SentencePiece** (Kudo and Richardson 2018; Llama) cuts no chunks first. Space is a character like others, and
# one is put in front of the text. It begins with characters; of neighbours that together are a piece, those with the highest *score* are merged. A character that is no
# piece falls back to its bytes, which are never merged. The merges of our worked example as its pieces, scored by minus their rank:

# %%
learnt_pieces = ["".join(pair).replace("␣", " ") for pair in learnt]
letters = sorted(set(text))
pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *learnt_pieces]
scores = [0.0] * (257 + len(letters)) + [-float(rank) for rank in range(len(learnt))]
llama = SentencePieceTokenizer(pieces, scores, {"<unk>": 0})
for sample in ["the thesea", "tea, 中"]:
    ids = llama.encode(sample)
    print(f"{sample:12} {[llama.pieces[i].replace(' ', '␣') for i in ids]}, back: {llama.decode(ids)!r}")

# %% [markdown]
# ## Special tokens
#
# Some tokens stand for no text: the end of a document, or who speaks next in a dialogue. They get ids after all others, and a name to be shown by.
# The name in a text is *text*: unless the program asks for it, `encode` cuts it up like any other, so that what a user types can't end a document
# or speak in another's name.

# %%
special = library.with_special_tokens(["<|endoftext|>"])
forged = "the end<|endoftext|>the"
typed, meant = special.encode(forged), special.encode(forged, allowed_special={"<|endoftext|>"})
end = special.special_tokens["<|endoftext|>"]
assert end not in typed and meant.count(end) == 1
print(f"typed by a user: {typed}\nmeant as such:   {meant}")
assert special.decode(typed) == special.decode(meant) == forged

# %% [markdown]
# Both decode to the same text. Hence ids, not text, must be handed from part to part of a program: going by way of text would turn the first
# into the second or the other way round.

# %% [markdown]
# ## What breaks if
#
# **... nothing is cut before merging.** With the whole text as one chunk, merges run on over spaces and full stops:

# %%
whole = BPETokenizer.train([part], vocab_size=256 + 1000, special_tokens=(), pattern=r"[\s\S]+")
parted = BPETokenizer.train([part], vocab_size=256 + 1000, special_tokens=())
for name, tokenizer in {"in chunks": parted, "as a whole": whole}.items():
    made = [tokenizer.token_bytes(i).decode(errors="replace") for i in range(256, tokenizer.vocab_size)]
    over = [token for token in made if " " in token[1:] or (token[0].isalnum() and not token[-1].isalnum())]
    model = NGram.train(np.array(tokenizer.encode(part)), tokenizer.vocab_size, order=3)
    ids = np.array(tokenizer.encode(held))
    print(
        f"{name:11} {len(over):4} of {len(made)} tokens reach beyond a word; {len(ids):,} held-out tokens, "
        f"{bits_per_byte(model.evaluate(ids), len(ids), size):.3f} bits per byte"
    )
print("the longest:", [token.replace(" ", "␣") for token in sorted(over, key=len)[-4:]])
with_the = [token.replace(" ", "␣") for token in made if "the" in token.split()]
say(
    f"*the* is part of {len(with_the)} different tokens now: {', '.join(f'`{token}`' for token in with_the[:12])} and so on. "
    "A text may even get fewer tokens that way, but what the model learns of the word in one of them it doesn't know in the others."
)

# %% [markdown]
# **... merges are applied in the wrong order.** Say, the rule learnt *last* goes first. Decoding still gives the text back, so no round-trip
# test will notice; but a model trained on the right ids meets words cut as it never saw them.


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
ways = {"in order": [], "backwards": []}
for chunk in cuts:
    ways["in order"].append(encode_chunk(list(chunk.encode()), rules_of))
    ways["backwards"].append(backwards(list(chunk.encode()), rules_of))
model = NGram.train(np.array(parted.encode(part)), parted.vocab_size, order=3)
for name, parts in ways.items():
    ids = [token for part in parts for token in part]
    bits = bits_per_byte(model.evaluate(np.array(ids)), len(ids), size)
    print(f"{name:10} {len(ids):,} tokens, {bits:.3f} bits per byte; text comes back: {decode(ids, rules_of) == held}")
different = [i for i in range(len(cuts)) if ways["in order"][i] != ways["backwards"][i]]
say(f"**{len(different) / len(cuts):.1%}** of the chunks are cut differently, for example:")
for i in different[:3]:
    print(
        repr(cuts[i]),
        *("|".join(vocabulary[token].decode() for token in parts[i]) for parts in ways.values()),
        sep="   ",
    )

# %% [markdown]
# **... a prompt ends in a space.** The space belongs to the next word. Left alone, it is a token by itself, which in
# training stood only where no merge took it up:

# %%
bigram = NGram.train(np.array(parted.encode(part)), parted.vocab_size, order=2)
for prompt, word in [("it is", " the"), ("it is ", "the")]:
    before, after = parted.encode(prompt), parted.encode(word)
    chance = bigram.probabilities(np.array(before + after))[len(before) :].prod()
    print(f"P({word!r:6} | {prompt!r:8}) = {chance:.7f}, in {len(after)} token(s)")

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("03.1")` gives a hint, and another when you call it again;
# `solution("03.1")` shows a solution.

# %% [markdown]
# **03.1** Write UTF-8: the bytes, as a list of numbers, of the character with this code point (0 to 0x10FFFF), by shifting and masking bits and not
# by `chr`. One byte up to 0x7F, two up to 0x7FF, three up to 0xFFFF, else four.


# %%
def utf8(code_point): ...


check("03.1", utf8)

# %% [markdown]
# **03.2** The pair that WordPiece's training would merge next: of all pairs of neighbours, the one with the largest $c(ab) / (c(a)\,c(b))$,
# where $c$ counts how often a pair or a piece occurs in the text; of equals, the one that sorts first. `words` maps each word,
# a tuple of pieces, to how often it occurs. Return the pair.


# %%
def next_wordpiece(words): ...


check("03.2", next_wordpiece)

# %% [markdown]
# **03.3** Tokens arrive one at a time, as bytes. Return a text for each of them, to be shown at once: all characters that are complete by then and
# haven't been shown. An unfinished character waits for its rest. All bytes together are valid UTF-8.


# %%
def stream(tokens): ...


check("03.3", stream)

# %% [markdown]
# **03.4** Merging in order of rank is greedy: it needn't find the fewest tokens. Cut `text` into as few pieces of `vocabulary`, a set of strings,
# as possible, and return the list of pieces (any of the shortest lists, if there are several), or `None` where it can't be done. A text of 300
# letters must be no trouble.


# %%
def fewest(text, vocabulary): ...


check("03.4", fewest)
