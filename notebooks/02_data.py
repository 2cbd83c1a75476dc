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
# # 02 Data and cleaning
#
# Covers section 3.2.1 of the document (collecting, cleaning and encoding data), and the list of ids in its section 4.3.1.
#
# In minillm: [data/cleaning](../minillm/data/cleaning), [data/splits.py](../minillm/data/splits.py), [data/batches.py](../minillm/data/batches.py); checked in [tests/data/test_cleaning.py](../tests/data/test_cleaning.py), [tests/data/test_batches.py](../tests/data/test_batches.py).
#
# The document gives cleaning a sentence: noise such as HTML tags and special characters is removed. What noise is, what
# may go wrong in removing it, and how text becomes the numbers a model is trained on, it doesn't say. Here each step is
# built, and its worth is measured in bits.
#
# You need: chapter 01 (n-grams, loss in bits per byte), Python's `bytes` and `str`, a little probability.

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
# ## The idea
#
# Training makes the training text probable, and nothing else. A model has no notion of which part of a page is meant to be
# read: whatever often stands there gets a large share of the probability, be it a menu, a cookie notice or a badly
# decoded letter. Whoever picks and cleans the text decides what is learnt.
#
# So, between a page and a batch, text goes through these steps, each a section below:
#
# 1. **bytes to characters**, by the right table, and one way of writing each;
# 2. **page to text**: tags, entities and what stands on every page go;
# 3. **no repetition**, exact or near; no text of the wrong kind;
# 4. **a split** into text to learn from and text to be judged by, with nothing in both;
# 5. **ids in batches**, with the next id as the target.

# %% [markdown]
# ## A worked example
#
# A scrap of a page, as it comes over the line. It is bytes, numbers from 0 to 255, and nothing else:

# %%
raw = b"<p>Cafe\xcc\x81 &amp; \xe8\x8c\xb6\xef\xbc\x9a\xe5\xa5\xbd</p>"
print(f"{len(raw)} bytes: {list(raw)}")
text = raw.decode("utf-8")
print(f"{len(text)} characters: {text}")
text = text.removeprefix("<p>").removesuffix("</p>")
print(f"{len(text)} without tags: {text}")
text = text.replace("&amp;", "&")
print(f"{len(text)} with entities decoded: {text}")
text = unicodedata.normalize("NFC", text)
print(f"{len(text)} normalised: {text}")

# %% [markdown]
# What is left, character by character: its number in Unicode (the **code point**), its bytes in UTF-8, its name.

# %%
for character in text:
    numbers = " ".join(f"{byte:02x}" for byte in character.encode())
    print(f"{character!r:6} U+{ord(character):04X}  {numbers:9} {unicodedata.name(character)}")

# %% [markdown]
# The simplest **tokens** are the bytes themselves, as in chapter 01 (chapter 03 makes larger ones). A model reads
# `inputs` and at each place should name the `target`: the same list, one place on.

# %%
ids = list(text.encode())
inputs, targets = ids[:-1], ids[1:]
print(f"ids     {ids}\ninputs  {inputs}\ntargets {targets}")
print(f"{len(ids)} ids make {len(targets)} targets: the first is nobody's target, the last is no input")

# %% [markdown]
# ### The document's sentence of 1000 words
#
# Section 4.3.1 speaks of a sentence of 1000 words, each with an id that nothing else has, and lists the ids:

# %%
listed = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]
words = ["the", "cat", "and", "the", "dog"]
say(
    f"The document says 1000. These are **{len(listed)}** ids, hence {len(listed[1:])} targets; a sentence of 1000 would have "
    f"{1000 - 1}. And an id belongs to a *kind* of word, not to a place: in *{' '.join(words)}*, {len(words)} words share "
    f"{len(set(words))} ids."
)

# %% [markdown]
# ## Bytes and code points
#
# Unicode numbers the characters; an **encoding** says how a number is written in bytes. **UTF-8** takes one to four. The first
# byte begins with as many ones as there are bytes (a plain 0 for one byte), every other with `10`; the bits of the code
# point fill what is left. By hand, for 你:

# %%
code = ord("你")
bits = f"{code:016b}"
print(f"U+{code:04X} = {bits[:4]} {bits[4:10]} {bits[10:]}")
print(f"bytes: 1110{bits[:4]} 10{bits[4:10]} 10{bits[10:]} = {'你'.encode().hex(' ')}")


# %%
def utf8(code):
    """The bytes of a code point."""
    n = 1 + (code >= 0x80) + (code >= 0x800) + (code >= 0x10000)
    if n == 1:
        return bytes([code])
    ones = 0xF00 >> n & 0xFF  # n ones, then zeros
    return bytes([ones | code >> 6 * (n - 1), *(0x80 | code >> 6 * i & 0x3F for i in reversed(range(n - 1)))])


borders = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF]
codes = [*borders, *(c for c in range(0, 0x110000, 97) if not 0xD800 <= c < 0xE000)]
assert all(utf8(c) == chr(c).encode() for c in codes)
for name, line in {"English": "Good tea, good day.", "German": "Schöne Grüße!", "Chinese": "好茶，好天气。"}.items():
    print(f"{name:8} {len(line):3} characters, {len(line.encode()):3} bytes in UTF-8")
print(f"equal to Python's on {len(codes):,} code points")

# %% [markdown]
# ## Mojibake
#
# Bytes don't say by which table they were written. Read by another one they become **mojibake** (Japanese for characters
# gone wrong). A model of such text learns words that nobody writes:

# %%
for line in ("schön", "你好"):
    print(f"{line}: its UTF-8 bytes read as Windows-1252: {line.encode().decode('cp1252', errors='replace')}")
    print(f"{line}: its UTF-8 bytes read as GBK: {line.encode().decode('gbk', errors='replace')}")
try:
    "你好".encode("gbk").decode("utf-8")
except UnicodeDecodeError as error:
    print(f"你好: its GBK bytes read as UTF-8: {error.reason}")
print(f"replacement characters, read as GBK once more: one {'�'.encode().decode('gbk', errors='replace')!r},", end=" ")
print(f"two {'��'.encode().decode('gbk')!r}")

# %% [markdown]
# UTF-8 is strict, and that is a help: text that wasn't UTF-8 seldom looks like it. The cell below counts how few of all
# pairs of bytes above 127 are valid. So take the characters' bytes in the other table: if they exist *and* are valid
# UTF-8, the text was most likely decoded wrongly, and the longer it is, the surer we can be.


# %%
def repair(text):
    """Undo UTF-8 read as Windows-1252, where that is possible; else the text as it is."""
    try:
        return text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return text


valid = sum(
    bytes(pair) == bytes(pair).decode(errors="ignore").encode() for pair in itertools.product(range(128, 256), repeat=2)
)
say(
    f"Valid UTF-8: {valid:,} of {128**2:,} pairs, {valid / 128**2:.1%}; of three such pairs in a row about {(valid / 128**2) ** 3:.2%}."
)

# %% [markdown]
# minillm asks the package `ftfy`, which knows more tables, bytes that a table leaves empty, lines where only a part is
# wrong (the fourth below), and words that look like mojibake and aren't. What has become � nobody can repair.

# %%
from minillm.data.cleaning.characters import repair_mojibake

for line in ["schÃ¶n", "schön", "你好，世界", "ä½\xa0å¥½，ä¸–ç•Œ", "sch�n"]:
    ours, theirs = repair(line), repair_mojibake(line).text
    print(f"{line!r:22} ours {ours!r:22} minillm {theirs!r:9} {'equal' if ours == theirs else 'different'}")

# %% [markdown]
# ## One way of writing each
#
# Unicode can write é as one character or as e with an accent that combines. They look the same and are different ids. **NFC**
# joins them. **NFKC** also replaces what is "compatible": full-width letters, ligatures, superscripts. That goes further than
# it looks:

# %%
for line in ["cafe\u0301", "你好，世界！（ＡＢＣ）", "ﬁne", "2³ = 8", "①②③"]:
    forms = {form: unicodedata.normalize(form, line) for form in ("NFC", "NFKC")}
    print(f"{line!r:18} " + "   ".join(f"{form} {new!r}, {len(new)}" for form, new in forms.items()))

# %% [markdown]
# In Chinese, "，" is *the* comma, three bytes and a full square wide; with NFKC a model would write Chinese with English
# commas. And $2^3$ becomes 23. So minillm's presets use NFC, and NFKC is there by name, for search rather than for
# learning to write.

# %% [markdown]
# ## From a page to text
#
# A page is a tree: elements that nobody reads (scripts, styles), elements that make a line of their own, and others that leave no
# gap. Python's parser calls us at each tag; with `convert_charrefs` it decodes entities, once, and in text only.

# %%
from html.parser import HTMLParser

UNREAD = {"script", "style", "head", "template"}
BLOCKS = {"p", "div", "h1", "h2", "li", "ul", "nav", "footer", "table", "tr", "body"}


class Reader(HTMLParser):
    """Collects what a reader of the page would see."""

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
print("\nthe same lines as minillm's")

# %% [markdown]
# ## Boilerplate
#
# The menu and the cookies stand on every page. No tag says so reliably, but counting does: a line that many
# *different* pages have isn't what any of them is about.

# %%
documents = stories.documents(400)
pages = [page_of(f"Story {i}", story.strip()) for i, story in enumerate(documents[:300])]
read = [page_lines(page) for page in pages]
on_pages = Counter(line for lines in read for line in dict.fromkeys(lines))
for line, number in on_pages.most_common(4):
    print(f"on {number:3} pages: {line[:60]}")
boilerplate = {line for line, number in on_pages.items() if number > len(pages) / 10}
texts = ["\n".join(line for line in lines if line not in boilerplate) + "\n\n" for lines in read]
sizes = [sum(len(text.encode()) for text in version) for version in (pages, map("\n".join, read), texts)]
say(f"{sizes[0]:,} bytes of pages, {sizes[1]:,} of lines, {sizes[2]:,} without boilerplate.")

# %% [markdown]
# What is it worth? Give a model a budget of training bytes, once of raw pages and once of clean text, and let it be judged by
# *stories* it hasn't seen. What the budget pays for menus it doesn't have for stories.


# %%
def ids_of(texts):
    return np.frombuffer("".join(texts).encode(), np.uint8)


def bits(model, texts):
    """Bits per byte of a model of bytes."""
    return model.evaluate(ids_of(texts)) / math.log(2)


budgets = [5_000, 20_000, 60_000, 180_000]
held = documents[300:330]
spent = {
    name: [bits(NGram.train(ids_of(version)[:budget], 256, 6), held) for budget in budgets]
    for name, version in {"raw pages": pages, "clean text": texts}.items()
}
for i, budget in enumerate(budgets):
    print(f"{budget:7,} bytes:", ", ".join(f"{name} {losses[i]:.3f} bits per byte" for name, losses in spent.items()))

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 3.4))
for (name, losses), style in zip(spent.items(), ("o--", "s-"), strict=True):
    axes.semilogx(budgets, losses, style, label=name)
axes.set(xlabel="training text, bytes", ylabel="loss on held-out stories, bits per byte")
axes.legend()
show(figure, "The same number of training bytes, as raw pages and as clean text: what cleaning saves.")

# %% [markdown]
# And what does the model of raw pages write, of its own accord?

# %%
start = np.frombuffer(b"\n<html>", np.uint8)
written = NGram.train(ids_of(pages[:100]), 256, 8).generate(start, 500, seed=1)
print(bytes(written.astype(np.uint8)).decode(errors="replace"))

# %% [markdown]
# ## Duplicates, exact and near
#
# Equal texts are found by a **hash**: a number of 64 bits made from the text, so that a set of numbers is kept and not of texts.
# That two different ones of $n$ texts share a number is improbable, at most one chance in $2^{64}$ for each of the $n(n-1)/2$ pairs.


# %% tags=["duplicates"]
import hashlib

import numpy as np


def exact_hash(text):
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


# %%
fox = "The quick brown fox jumps over the lazy dog near the old stone bridge."
print(f"{exact_hash(fox).hex()}\n{exact_hash(fox.replace('lazy', 'sleepy')).hex()}")
say(f"With a million texts: at most {10**6 * (10**6 - 1) / 2 / 2**64:.1e}.")

# %% [markdown]
# One word changed, and nothing of the hash remains. For near duplicates we need a *similarity*. Cut each text into its pieces of
# $n$ characters, overlapping like tiles (**shingles**), take the pieces as a set, and compare the sets by **Jaccard's similarity**,
# what is common over what there is in all:
#
# $$J(A, B) = \frac{|A \cap B|}{|A \cup B|}.$$


# %% tags=["duplicates"]
SHINGLE = 5


def shingles(text, n=SHINGLE):
    """The pieces of n characters, as a set; the text itself, filled up with blanks, if it is shorter."""
    text = text.ljust(n)
    return {text[i : i + n] for i in range(len(text) - n + 1)}


def jaccard(a, b):
    return len(a & b) / len(a | b)


# %%
training = "大规模预训练是一种基于深度学习的自然语言处理技术，它在大型语料库上训练模型。"
pairs = {
    "a word changed": (fox, fox.replace("lazy", "sleepy")),
    "Chinese, two characters": (training, training.replace("技术", "方法")),
    "another subject": (fox, "Forty ships came into the harbour, and every one had a cargo of salt."),
}
for name, (first, second) in pairs.items():
    a, b = shingles(first), shingles(second)
    print(f"{name:24} |A| {len(a)}, |B| {len(b)}, common {len(a & b)}, in all {len(a | b)}, J = {jaccard(a, b):.4f}")

# %% [markdown]
# ## MinHash
#
# A billion texts have $5 \cdot 10^{17}$ pairs, and each set is as large as its text. **MinHash** (Broder 1997) makes a short *signature*
# of each text, from which $J$ can be estimated. Put all possible pieces in a random order, and keep of a text only the piece that comes
# first, its minimum $m$. Then
#
# $$P\big(m(A) = m(B)\big) = J(A, B).$$
#
# *Why*: look at the first piece of $A \cup B$ in that order. Each of its $|A \cup B|$ pieces is equally likely to be the first. If
# it lies in both sets it is the minimum of both, and they agree. If it lies in one of them only, it is that one's minimum,
# and the other's is a different piece: they don't. So they agree exactly if the first lies in $A \cap B$.
#
# Now take $k$ independent orders. Let $X_i$ be 1 if the $i$-th minima agree, else 0, and $\hat J = \frac1k \sum_i X_i$. Expectations add
# up, hence the estimate is **unbiased**; so do variances of independent terms, and since $X_i^2 = X_i$,
# $\mathrm{Var}(X_i) = E[X_i^2] - E[X_i]^2 = J - J^2$:
#
# $$E[\hat J] = J, \qquad \mathrm{Var}(\hat J) = \frac{1}{k^2} \sum_{i=1}^k J(1 - J) = \frac{J (1-J)}{k}.$$
#
# Nobody can store an order of all pieces. A hash function makes one: sort by the hash. Here a piece first becomes one number:
# the sum of its characters' code points, each times a random odd number of its place (`places`). That is multiplied by the
# random odd number of the order, modulo $2^{64}$, and the upper half is kept.


# %% tags=["duplicates"]
def random_multipliers(k, key):
    """k odd numbers for the orders, and one for each character of a piece. Odd: then no two numbers share a product."""
    rng = np.random.Generator(np.random.Philox(key=key))
    return [rng.integers(2**63, size=size, dtype=np.uint64) * 2 + 1 for size in (k, SHINGLE)]


def minhash(text, k=32, key=0):
    """The least hash of the text's pieces in each of k orders, (k,) uint64."""
    orders, places = random_multipliers(k, key)
    pieces = np.array([[ord(c) for c in piece] for piece in shingles(text)], np.uint64)
    hashes = (pieces * places).sum(axis=1, dtype=np.uint64)
    return (hashes[:, None] * orders >> np.uint64(32)).min(axis=0)


# %%
for name, (first, second) in pairs.items():
    agree = minhash(first) == minhash(second)
    error = math.sqrt((j := jaccard(shingles(first), shingles(second))) * (1 - j) / 32)
    print(f"{name:24} {agree.sum():2} of 32 minima agree: {agree.mean():.4f}; J = {j:.4f} ± {error:.4f}")

# %% [markdown]
# ### Bands
#
# Signatures are short, but there are still as many pairs. So cut a signature into $b$ **bands** of $r$ minima, and file the text under each
# band as under a word in an index; only texts that share a band are compared (locality-sensitive hashing). One band agrees
# with probability $J^r$, doesn't with $1 - J^r$, all $b$ don't with $(1 - J^r)^b$, so that a pair is found with
#
# $$P(\text{found}) = 1 - (1 - J^r)^b.$$


# %% tags=["duplicates"]
def chance_found(j, bands, rows):
    return 1 - (1 - j**rows) ** bands


# %%
for j in (0.2, 0.5, 0.8, 0.9):
    print(
        f"J = {j}: found with 8 bands of 4 in {chance_found(j, 8, 4):.4f} of cases, with 2 of 16 in {chance_found(j, 2, 16):.4f}"
    )

# %% [markdown]
# ## The gradient check
#
# Nothing here has a gradient. What can be checked is the claim: unbiased, with variance $J(1-J)/k$. First exactly: two sets of 3 and 4
# letters, and *all* orders of the 5 letters they are made of.

# %%
A, B = set("abc"), set("bcde")
agree = [min(A, key=order.index) == min(B, key=order.index) for order in itertools.permutations("abcde")]
print(f"{sum(agree)} of {len(agree)} orders agree: {np.mean(agree)}; J = {len(A & B)}/{len(A | B)} = {jaccard(A, B)}")
assert sum(agree) / len(agree) == jaccard(A, B)

# %% [markdown]
# Then by drawing, over 2,000 seeds with $k = 32$ each. The mean of 2,000 estimates has the standard error
# $\sqrt{J(1-J)/(32 \cdot 2000)}$; that of their variance is about $\sqrt{2/2000}$ of the variance itself. Both should be off by
# less than four standard errors. `hashed` is our `minhash` for many keys at once, `shuffled` has true random orders.

# %%
SEEDS, K = 2000, 32


def odd_numbers(shape, seed):
    return np.random.default_rng(seed).integers(2**63, size=shape, dtype=np.uint64) * 2 + 1


def sums(text, seeds=SEEDS):
    """The hash of each piece before it is put in an order, with other multipliers for each seed: (seeds, pieces, 1)."""
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
        print(f"{name}, {way.__name__}: J {j:.4f}, mean {estimates.mean():.4f}, {z:+.2f} standard errors off")
        print(
            f"    variance {estimates.var():.6f}, {ratio:.3f} of J(1−J)/k; {math.sqrt(2 / SEEDS):.3f} is one standard error"
        )
        assert abs(z) < 4 and abs(ratio - 1) < 4 * math.sqrt(2 / SEEDS)

# %% [markdown]
# ## Language and quality
#
# What is left may be the wrong language, a table, or noise. A rule and a model, each crude and quick. The rule: every English sentence needs small
# words. The model: text that an n-gram of *good* text finds very surprising isn't like it.

# %%
from minillm.data.python_docs import is_english

SMALL = {"a", "and", "as", "at", "by", "for", "in", "is", "it", "not", "of", "on", "that", "the", "to", "was"}


def small_words(line):
    """The share of an English sentence's small words."""
    words = [word.strip(".,:;!?").lower() for word in line.split()]
    return sum(word in SMALL for word in words) / len(words)


trusted = NGram.train(ids_of(texts), 256, 4)
lines = {
    "a story": documents[310][:90],
    "other English": "The rate of a reaction depends on the temperature and on the pressure of the gas.",
    "German": "Die Geschwindigkeit einer Reaktion hängt von der Temperatur und vom Druck des Gases ab.",
    "Chinese": "反应的速度取决于温度和气体的压力。",
    "a table": "12.5 | 13.1 | 14.0 | 15.2 | total 54.8 | mean 13.7",
    "one phrase repeated": "the old house in the the old house in the the old house in the the old house in the",
    "noise": "kq zxv jjwq pfk qqz vxxk wzp fjq kkvz xqj",
}
for name, line in lines.items():
    print(f"{name:21} small words {small_words(line):.2f}, minillm's rule {is_english(line)!s:5}", end=" ")
    print(f"n-gram {bits(trusted, ['. ', line]):5.2f} bits per byte")

# %% [markdown]
# Neither knows what is good: **a filter keeps what looks like the text it was made from**, and is set by looking at what it throws away.

# %%
cost = {name: bits(trusted, [". ", line]) for name, line in lines.items()}
say(
    f"Good English on another subject costs {cost['other English'] / cost['a story']:.1f} times what a story does, Chinese "
    f"{cost['Chinese'] / cost['noise']:.1f} times what noise does. Words that go round in circles cost {cost['one phrase repeated']:.2f} bits, and "
    f"the rule says {is_english(lines['one phrase repeated'])}: repetition needs steps of its own."
)

# %% [markdown]
# ## Splits
#
# A model is judged by text it hasn't seen, so a part is held out: the **validation** text, looked at during training, and the **test** text,
# looked at once. Split whole documents: two halves of one story share their hero. And decide by a hash of the text, not by place or a random
# number: then it is the same on every machine, equal texts fall on one side, and adding documents moves none of the old ones.


# %%
def fraction(text, seed=0):
    """A number from 0 to 1 that depends on nothing but the text and the seed."""
    digest = hashlib.sha256(f"{seed} {text}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


held_out = [text for text in documents if fraction(text) < 0.1]
before = [text for text in documents[:200] if fraction(text) < 0.1]
say(
    f"Held out: {len(held_out)} of {len(documents)} stories, {len(held_out) / len(documents):.1%}. Of the first 200 alone it "
    f"would be {len(before)}, and all of them are held out still: {set(before) <= set(held_out)}."
)

# %% [markdown]
# ## Batches
#
# A training step reads `batch_size` windows of `context_length` ids; the targets are the same windows, shifted by one. Text to be judged by is cut
# into consecutive windows, so that every target counts once. The last one is filled up, and where nothing is to be
# predicted the target is $-100$, which the loss leaves out.


# %%
def cut(ids, context_length):
    """All consecutive windows: inputs and targets, (windows, context_length) each."""
    rows = math.ceil((len(ids) - 1) / context_length)
    x, y = np.zeros(rows * context_length, int), np.full(rows * context_length, -100)
    x[: len(ids) - 1], y[: len(ids) - 1] = ids[:-1], ids[1:]
    return x.reshape(rows, -1), y.reshape(rows, -1)


x, y = cut(np.array(listed), context_length=8)
print(f"inputs\n{x}\ntargets\n{y}")

# %% [markdown]
# Examples of different lengths (sentences, dialogues) are **padded** to a rectangle; a mask says which ids are real. The loss is then the mean over
# *real* targets:

# %%
from minillm.data.examples.padding import pad

sentences = [list("好茶".encode()), list(b"tea"), list(b"tea for two")]
ids, mask = pad(sentences, pad_id=0)
print(f"{ids}\n{mask.astype(int)}")
targets = np.where(mask[:, 1:], ids[:, 1:], -100)
print(f"targets\n{targets}")
say(f"{mask.size} places, {mask.sum()} of them real, {(targets != -100).sum()} of them targets.")

# %% [markdown]
# ## The same thing in minillm
#
# Cleaning is a list of small steps, each of which counts what it did: see [pipeline.py](../minillm/data/cleaning/pipeline.py). It is what
# `python -m minillm.train --clean html` does:

# %%
dirty = poem + page_of("Caf&eacute;", "schÃ¶n, so\u00adft\x07 and e\u0301; a page with a line of its own")
text, report = clean(dirty, "html")
print(report)
print("\n".join(lines_of(text)))

# %% [markdown]
# Its `duplicates` drop a line that has come *before*, so the menu's first copy stays; ours counted all pages first. That takes two readings, and
# this one takes one. Short lines always stay: "Home" may be a menu, or a line of verse.
#
# MinHash, exactly: minillm's signature is ours with its key. Its held-out examples are those that come first by our `fraction`, and its windows are
# our windows:

# %%
from minillm.data.cleaning.duplicates import signature
from minillm.data.examples.splitting import held_out as library_held_out

for line in (fox, training, "短"):
    np.testing.assert_array_equal(minhash(line, 32, key=2049), signature(line))
print("signatures: equal, in English and in Chinese, 32 numbers each")

ordered = sorted(documents, key=fraction)
assert {documents[i] for i in library_held_out(documents, 40, seed=0)} == set(ordered[:40])
print("held out: the same 40 stories")

ids = ids_of(documents[:3])
theirs = [np.concatenate(part) for part in zip(*windows(ids, context_length=64, batch_size=4), strict=True)]
for name, mine, library in zip(["inputs", "targets"], cut(ids, 64), theirs, strict=True):
    np.testing.assert_array_equal(mine, library)
    print(f"windows, {name}: shape {mine.shape}, equal")
x, y = batch(ids, seed=0, step=7, batch_size=4, context_length=64)
np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
print(f"a training batch: shape {x.shape}, its targets its inputs shifted by one")

# %% [markdown]
# ## Picture: copies across the split
#
# The web repeats itself, so held-out text tends to stand in the training text as well. Say that a share $s$ of the validation
# stories does. The rest is new to the model, and the loss is their weighted mean:
#
# $$L(s) = (1 - s)\,L_{\text{new}} + s\,L_{\text{seen}}.$$
#
# What is claimed is $L_{\text{new}}$. Three models, counted from the same 100 stories with hardly any smoothing (chapter 01), which differ
# in how far they look back; points are measured, lines the formula:

# %%
counted, new = documents[:100], list(documents[130:160])
levels = NGram.train(ids_of(counted), 256, 12, "add-k").levels
models = {n: NGram(256, levels[:n], "add-k", 1e-4) for n in (6, 8, 12)}
copies = [0, 3, 6, 12, 21, 30]
shares = np.array(copies) / len(new)
flattered = {n: [bits(model, [*counted[:c], *new[c:]]) for c in copies] for n, model in models.items()}
for i, share in enumerate(shares):
    losses = {n: measured[i] for n, measured in flattered.items()}
    print(
        f"{share:4.0%} seen:", ", ".join(f"order {n} {loss:.3f}" for n, loss in losses.items()), end=" bits per byte; "
    )
    print(f"the best seems to be order {min(losses, key=losses.get)}")

# %%
figure, axes = plt.subplots(figsize=(6, 3.6))
for n, losses in flattered.items():
    (points,) = axes.plot(shares * 100, losses, "o", label=f"order {n}")
    axes.plot(shares * 100, (1 - shares) * losses[0] + shares * losses[-1], color=points.get_color())
axes.axhline(stories.entropy_bits_per_byte(), color="black", linestyle=":", label="entropy of the stories")
axes.set(xlabel="validation stories that stand in the training text, %", ylabel="loss, bits per byte", ylim=(0, None))
axes.legend(fontsize=8)
show(figure, "Validation loss against the share of copies: the same models all along, and the lines cross.")

# %%
best, seeming = (min(flattered, key=lambda n: flattered[n][i]) for i in (0, -1))
say(
    f"No model changed, and yet the loss of order {seeming} goes from {flattered[seeming][0]:.3f} to {flattered[seeming][-1]:.3f}. Worse: one "
    f"would **choose the wrong model**. On new stories order {best} is the best, and if all were copies it would seem to be order "
    f"{seeming}, which on new ones pays {flattered[seeming][0] - flattered[best][0]:.3f} bits per byte more."
)

# %% [markdown]
# The cure is to look for duplicates *across* the split, and to drop them on the training side, so that the yardstick stays the same. Exact
# hashes find exact copies. In `retold` ones every fortieth word is replaced by another; only a similarity finds
# those. What should come back: the 100 stories there were before the copies, and the small gap that two sets of stories
# have anyway.

# %%
from minillm.data.cleaning.duplicates import NearDuplicateLines


def retold(story, rng):
    words = story.split(" ")
    for i in range(rng.randrange(40), len(words), 40):
        words[i] = rng.choice(words)
    return " ".join(words)


def without(training, judged, is_copy):
    """The training stories that aren't copies of those judged."""
    for story in judged:
        is_copy(story.strip())
    return [story for story in training if not is_copy(story.strip())]


def by_hash():
    seen = set()  # .add returns None, so that `or` gives whether it was there
    return lambda story: (key := exact_hash(story)) in seen or seen.add(key)


# %%
rng = random.Random(2)
validation = list(documents[100:130])
for name, copied in {"exact": validation, "retold": [retold(story, rng) for story in validation]}.items():
    mixed = [*counted, *copied]
    for cure, kept in {
        "none": mixed,
        "exact hash": without(mixed, validation, by_hash()),
        "near duplicates": without(mixed, validation, NearDuplicateLines().is_repeated),
    }.items():
        model = NGram.train(ids_of(kept), 256, 12)
        on_validation, on_new = bits(model, validation), bits(model, new)
        print(f"{name:6} copies, cure {cure:15}: {len(kept):3} stories kept, validation {on_validation:.3f},", end=" ")
        print(f"new {on_new:.3f}, gap {on_new - on_validation:.3f} bits per byte")
assert kept == list(counted)

# %% [markdown]
# ## Picture: what bands find
#
# The curve $1 - (1 - J^r)^b$ is a step that isn't quite sharp. $k = 32$ minima, cut in several ways, and points that were counted: pairs of sets made to have that $J$, and true random orders.

# %%
similar = np.linspace(0, 1, 101)
figure, axes = plt.subplots(figsize=(6, 3.6))
rng = np.random.default_rng(4)
for bands, rows in [(32, 1), (8, 4), (4, 8), (2, 16)]:
    (line,) = axes.plot(similar, chance_found(similar, bands, rows), label=f"{bands} bands of {rows}")
    for common in range(2, 20, 3):  # of a union of 20 pieces
        first = rng.integers(20, size=(400, bands, rows))  # which piece of the union comes first in each order
        found = (first < common).all(axis=2).any(axis=1).mean()
        axes.plot(common / 20, found, "o", markersize=4, color=line.get_color())
axes.axvline(0.8, color="black", linestyle=":", linewidth=1)
axes.set(xlabel="J, Jaccard similarity of a pair", ylabel="probability that the pair is compared")
axes.legend(fontsize=8)
show(figure, "Lines: the formula. Points: 400 pairs each. More rows find fewer and only the more similar pairs.")

# %% [markdown]
# ## What breaks if
#
# **... entities are decoded before tags are removed.** What a page *writes about* tags becomes tags, and is removed with them:

# %%
lesson = "<p>For bold text put it between &lt;b&gt; and &lt;/b&gt;; in Chinese: 用 &lt;b&gt; 加粗。</p>"
for order in (["tags", "entities"], ["entities", "tags"]):
    print(f"{' then '.join(order):18} {clean(lesson, order)[0].strip()}")

# %% [markdown]
# **... targets aren't shifted.** Then each place is to predict what it reads. A table of "what is at the same place" learns that perfectly, on held-out text as
# well, and can't write:

# %%
train, judged = ids_of(documents[:100]), ids_of(held)
for name, shift in {"shifted by one": 1, "not shifted": 0}.items():
    table = np.full((256, 256), 1e-3)
    np.add.at(table, (train[: len(train) - shift], train[shift:]), 1)
    table /= table.sum(axis=1, keepdims=True)
    loss = -np.log2(table[judged[: len(judged) - shift], judged[shift:]]).mean()
    real = -np.log2(table[judged[:-1], judged[1:]]).mean()
    t = [ord("t")]
    while len(t) < 12:
        t.append(int(table[t[-1]].argmax()))
    print(
        f"{name:15} its own loss {loss:.3f}, loss on the next byte {real:.3f} bits; after t it writes {bytes(t).decode()!r}"
    )

# %% [markdown]
# **... padding counts as a target.** What comes after a pad is a pad, so nothing is easier to learn. Take a model that gives the right byte
# a probability of 1 %, and the right pad one of 99 %, on the batch above (`cross_entropy` is chapter 05's loss):

# %%
real = mask[:, 1:]
chances = np.full((*real.shape, 2), [0.01, 0.99])  # class 0: the right byte; class 1: a pad
logits = np.log(chances)
honest = ml.ops.cross_entropy(logits, np.where(real, 0, -100)).item()
diluted = ml.ops.cross_entropy(logits, np.where(real, 0, 1)).item()
say(
    f"Only real targets: {honest:.3f} nats. With pads: **{diluted:.3f}**, because {(~real).mean():.0%} of the places are pads. It looks "
    "like progress, and changes with how the batch was put together."
)

# %% [markdown]
# **... the hash is a poor one.** With the lowest 8 bits of a product instead of its upper half, different pieces get equal hashes by
# accident. With a single order, shifted 32 times to begin elsewhere, the orders aren't independent, and the derivation of
# the variance needs that they are. All three, as in the check above:

# %%
multipliers = odd_numbers((SEEDS, 1, K), 2)
ways = {
    "upper half": lambda h: h * multipliers >> np.uint64(32),
    "lowest 8 bits": lambda h: h * multipliers & np.uint64(255),
    "shifted": lambda h: h + multipliers,
}
for name in ("a word changed", "another subject"):
    j = jaccard(*map(shingles, pairs[name]))
    a, b = map(sums, pairs[name])
    for way, order in ways.items():
        estimates = (order(a).min(axis=1) == order(b).min(axis=1)).mean(axis=1)
        ratio = f", {estimates.var() / (j * (1 - j) / K):.2f} times J(1−J)/k" if j else ""
        print(f"{name:16} {way:14} J {j:.4f}, mean {estimates.mean():.4f}, variance {estimates.var():.6f}{ratio}")

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("02.1")` gives a hint, and another when you call it again;
# `solution("02.1")` shows a solution.

# %% [markdown]
# **02.1** Return the longest beginning of `text` (a string) that takes at most `size` bytes in UTF-8. No character may be cut.


# %%
def beginning(text, size): ...


check("02.1", beginning)

# %% [markdown]
# **02.2** Inputs and targets of sentences of different lengths. `sentences` is a list of lists of ids, none of them empty. Return two arrays
# `(batch, longest - 1)`: the inputs, filled up with `pad_id`, and the targets, filled up with $-100$. `pad_id` may also be a real id.


# %%
def inputs_and_targets(sentences, pad_id): ...


check("02.2", inputs_and_targets)

# %% [markdown]
# **02.3** A split that small differences don't get past. The *key* of a text: NFKC, then lower case (`casefold`), then all runs of white space one blank, none at the ends. Return a list of
# booleans: a text is held out if the first 8 bytes of the SHA-256 of its key in UTF-8, as a big-endian whole number, are less than `share` times $2^{64}$.


# %%
def held_out_of(texts, share): ...


check("02.3", held_out_of)

# %% [markdown]
# **02.4** Groups of near duplicates. Two texts belong together if the Jaccard similarity of their shingles of `n` characters is at least `threshold`, and so do those that are linked through others. (A
# text shorter than `n` is a single piece, itself.) Return a list of lists of indices, each list ascending, sorted by its first.


# %%
def groups(texts, n, threshold): ...


check("02.4", groups)

# %% [markdown]
# **02.5** Choose the bands. `similarities` are those of typical pairs, `k` minima can be cut into $b$ bands of $r$ with $b r = k$. Two kinds of mistake are expected: a pair of at least `threshold`
# isn't found, or one below it is. Return the `(b, r)` with the fewest mistakes expected in all; if two are equal, the one with fewer bands.


# %%
def best_bands(similarities, threshold, k): ...


check("02.5", best_bands)
