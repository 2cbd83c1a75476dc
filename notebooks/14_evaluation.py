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
# # 14 Evaluation
#
# Covers section 9.5 of the document (how a language model is evaluated).
#
# In minillm: [metrics](../minillm/metrics); checked in [tests/metrics/test_classification.py](../tests/metrics/test_classification.py), [tests/metrics/test_bleu.py](../tests/metrics/test_bleu.py), [tests/metrics/test_rouge.py](../tests/metrics/test_rouge.py).
#
# The document lists accuracy, length and variety of what is written, its fluency and coherence, and an F1 that
# "balances" precision and recall, without a formula. Perplexity, BLEU and ROUGE are missing, and so is the question
# that decides what a number is worth: how far would it move on another two hundred examples? Here each measure is
# built, and then measured itself.
#
# You need: perplexity from chapter 01, cross-entropy from chapter 05, the engine of chapter 04 for one derivative.

# %%
import math
import re
from collections import Counter

import numpy as np

import minillm as ml
from minillm import metrics
from minillm.book import module, say, show
from minillm.exercises import check, hint, solution

# %% [markdown]
# ## The idea
#
# A measure makes one number of a model and a test set. Three questions are to be asked of it:
#
# 1. **What does it count?** Accuracy counts answers, F1 looks at one class, BLEU at groups of words. Each is blind to something.
# 2. **How sure is it?** The test set is a sample. Another sample gives another number, and we can compute about how different.
# 3. **Was the test clean?** Whoever has seen the answers, or tries until the number is good, measures something else.
#
# The first part of this chapter is about the first question; calibration stands in the middle, since it asks the
# *model* how sure it is; then come the other two.

# %% [markdown]
# ## A worked example
#
# Twelve reviews were put in three classes. The **confusion matrix** counts them: rows are what they were, columns what
# the model said.

# %%
names = ["good", "mixed", "bad"]
true = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
said = np.array([0, 0, 0, 0, 0, 1, 0, 1, 0, 2, 2, 1])
C = np.zeros((3, 3), int)
for t, s in zip(true, said, strict=True):
    C[t, s] += 1
print("            " + "".join(f"{name:>7}" for name in names) + "   <- said")
for name, row in zip(names, C, strict=True):
    print(f"{name:>10}  " + "".join(f"{n:7}" for n in row))
print(f"accuracy = diagonal / all = {C.trace()}/{C.sum()} = {C.trace() / C.sum():.4f}")

# %% [markdown]
# For one class, three counts matter: those found (**TP**, true positives), those wrongly taken for it (**FP**, the rest
# of its column), those missed (**FN**, the rest of its row).
#
# $$P = \frac{TP}{TP + FP}\ \text{(precision)}, \qquad R = \frac{TP}{TP + FN}\ \text{(recall)}, \qquad F_1 = \frac{2}{1/P + 1/R} = \frac{2PR}{P + R}$$

# %%
F1 = []
for i, name in enumerate(names):
    TP, FP, FN = C[i, i], C[:, i].sum() - C[i, i], C[i].sum() - C[i, i]
    P, R = TP / (TP + FP), TP / (TP + FN)
    F1.append(2 * P * R / (P + R))
    print(
        f"{name:5}: TP {TP}, FP {FP}, FN {FN};  P = {TP}/{TP + FP} = {P:.4f},  R = {TP}/{TP + FN} = {R:.4f},", end=" "
    )
    print(f"F1 = {F1[-1]:.4f} = 2 TP / (2 TP + FP + FN) = {2 * TP / (2 * TP + FP + FN):.4f}")

# %% [markdown]
# $F_1$ is the **harmonic** mean, not the ordinary one: it stays near the smaller of the two, so that neither can be
# bought with the other. For a pair of numbers (chapter 17 uses it, too):

# %%
P, R = 0.8, 0.5
harmonic, arithmetic = 2 * P * R / (P + R), (P + R) / 2
assert round(harmonic, 4) == 0.6154
say(f"$P = {P}$, $R = {R}$: $F_1 = {harmonic:.4f}$. The arithmetic mean is {arithmetic:.4f}.")
everything = 2 * 0.01 * 1 / (0.01 + 1)
say(
    f"If 1 % of all mail is spam, a filter that stops everything has $P = 0.01$, $R = 1$: mean {(0.01 + 1) / 2:.3f}, $F_1$ {everything:.3f}."
)

# %% [markdown]
# Several classes become one number in two ways. **Macro** averages the classes' scores: each class counts the same.
# **Micro** adds the counts first: each example counts the same. With one class an example, every FP of one class is a
# FN of another, so that micro precision, recall and F1 are all the accuracy.

# %%
TP, FP, FN = C.diagonal(), C.sum(axis=0) - C.diagonal(), C.sum(axis=1) - C.diagonal()
macro, micro = np.mean(F1), 2 * TP.sum() / (2 * TP.sum() + FP.sum() + FN.sum())
print(f"macro F1 = ({' + '.join(f'{f:.4f}' for f in F1)}) / 3 = {macro:.4f}")
print(f"micro F1 = 2·{TP.sum()} / (2·{TP.sum()} + {FP.sum()} + {FN.sum()}) = {micro:.4f}, the accuracy")

# %% [markdown]
# ## Loss, perplexity, bits per byte
#
# A language model's test is the loss it was trained by (chapter 01): $L$ nats a token, **perplexity** $e^L$. It needs
# no answers by people, and it moves with every small gain. But it is *per token*, and whoever makes the tokens makes
# the unit. **Bits per byte**, $L \cdot \text{tokens} / (\ln 2 \cdot \text{bytes})$, has the text as its unit. The
# simplest model, a unigram, over three tokenizers:

# %%
from minillm.data import stories
from minillm.models import NGram
from minillm.tokenizers import BPETokenizer

documents = stories.documents(220)
train_text, held_text = "".join(documents[:200]), "".join(documents[200:])
print("tokens       number  nats/token  perplexity  bits per byte")
rows = []
for merges in (0, 50, 400):
    tokenizer = BPETokenizer.train([train_text[:60_000]], 256 + merges, special_tokens=())
    ids, held_ids = (np.array(tokenizer.encode(text)) for text in (train_text, held_text))
    L = NGram.train(ids, tokenizer.vocab_size, order=1).evaluate(held_ids)
    per_byte = L * len(held_ids) / (math.log(2) * len(held_text.encode()))
    np.testing.assert_allclose(per_byte, metrics.bits_per_byte(L, len(held_ids), len(held_text.encode())))
    rows.append((metrics.perplexity(L), per_byte))
    print(f"{merges:4} merges  {len(held_ids):7,}  {L:10.4f}  {rows[-1][0]:10.2f}  {per_byte:13.4f}")
say(
    f"From the first line to the last the perplexity is multiplied by {rows[-1][0] / rows[0][0]:.2f}, "
    f"and the bits per byte by {rows[-1][1] / rows[0][1]:.2f}."
)

# %% [markdown]
# Larger pieces are harder to guess one by one, and there are fewer of them to guess. Only the last column compares the
# models.
#
# ## Short answers: exact match and token F1
#
# Was Paris right, when the key says "Paris, France"? SQuAD (Rajpurkar et al. 2016) answers by two numbers. Both
# **normalise** first: lower case, no punctuation, no articles. **Exact match** is 1 if nothing differs then. **Token
# F1** takes the answer's words as what was "said", the reference's as what is "true", and what they share, as often as
# it stands in both, as TP. Of several references, the best counts.


# %% tags=["answers"]
import re
import string
from collections import Counter


def normalised(answer):
    """The words of an answer: lower case, without ASCII punctuation and articles."""
    text = "".join(c for c in answer.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def exact_match(answer, references):
    return float(any(normalised(answer) == normalised(reference) for reference in references))


def token_f1(answer, references):
    scores = []
    for reference in references:
        said, true = normalised(answer), normalised(reference)
        shared = (Counter(said) & Counter(true)).total()  # Σ min(times here, times there)
        scores.append(2 * shared / (len(said) + len(true)) if said and true else float(said == true))
    return max(scores)


# %%
answers = {
    "The Paris!": ["Paris"],
    "Paris": ["Paris, France", "the city of Paris"],
    "in Paris, Paris": ["Paris in France"],
    "not in Paris": ["in Paris"],
    "": [""],
}
for answer, references in answers.items():
    print(
        f"{answer!r:18} {references!s:38} match {exact_match(answer, references):.0f}, F1 {token_f1(answer, references):.4f}"
    )

# %% [markdown]
# The last line but one shows what it is blind to: a *not* costs one word.
#
# ## Translations: BLEU
#
# A translation has no one right answer. BLEU (Papineni et al. 2002) asks which share of its n-grams stands in a
# reference: **precision**, for $n = 1$ to 4. Two holes must be stopped. First, *the the the* would score 100 %: so an
# n-gram counts at most as often as a reference has it, which is called **clipping**. Second, precision rewards saying
# little: so a text of length $c$ that is shorter than its reference, $r$, pays the **brevity penalty**. The four
# precisions are joined by their geometric mean:
#
# $$\mathrm{BLEU} = 100 \cdot \min\left(1,\ e^{1 - r/c}\right) \cdot \exp\Big(\tfrac14 \sum_{n=1}^{4} \ln p_n\Big), \qquad
# p_n = \frac{\sum_{\text{texts}} \text{clipped matches}}{\sum_{\text{texts}} \text{n-grams}}.$$
#
# The sums stand *inside*: counts of the whole corpus are added, and only then divided. With several references, $r$ is
# the length nearest to $c$.


# %% tags=["bleu"]
import math
from collections import Counter

import numpy as np


def grams(tokens, n):
    """How often each group of n tokens occurs."""
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu_counts(tokens, references):
    """All that BLEU needs of a text: its length, the nearest reference's, clipped matches and n-grams of n = 1 to 4."""
    nearest = min(map(len, references), key=lambda r: (abs(r - len(tokens)), r))
    matches, totals = [], []
    for n in range(1, 5):
        own, most = grams(tokens, n), Counter()
        for reference in references:
            most |= grams(reference, n)  # the most that any reference has
        matches.append((own & most).total())
        totals.append(own.total())
    return np.array([len(tokens), nearest, *matches, *totals])


def bleu(counts, smooth=True):
    """BLEU from counts, one text's or the sum of many's. `smooth`: where a match count is 0, ½, ¼, ... in its place."""
    c, r, matches, totals = counts[0], counts[1], counts[2:6].astype(float), counts[6:]
    if not totals.all() or not matches.any() or not (smooth or matches.all()):
        return 0.0
    empty = matches == 0
    matches[empty] = 0.5 ** np.arange(1, empty.sum() + 1)
    return float(100 * min(1, math.exp(1 - r / c)) * math.exp(np.log(matches / totals).mean()))


# %% [markdown]
# Every number of one sentence; then the two holes, tried:

# %%
reference = ["the", "cat", "is", "sleeping", "on", "the", "mat", "near", "the", "door"]
text = ["the", "cat", "sleeps", "on", "the", "mat", "near", "the", "door"]
counts = bleu_counts(text, [reference])
for n in range(1, 5):
    print(f"p_{n} = {counts[1 + n]}/{counts[5 + n]} = {counts[1 + n] / counts[5 + n]:.4f}")
print(
    f"length {counts[0]}, reference {counts[1]}: penalty e^(1 − {counts[1]}/{counts[0]}) = {math.exp(1 - counts[1] / counts[0]):.4f}"
)
product = math.prod(counts[1 + n] / counts[5 + n] for n in range(1, 5))
print(f"BLEU = 100 · penalty · ({product:.5f})^¼ = {bleu(counts):.4f}")

of_the = bleu_counts(["the"] * 10, [reference])
print(f"the the the ...: p_1 = {of_the[2]}/{of_the[6]}, clipped; unclipped it would be {of_the[6]}/{of_the[6]}")
short = bleu_counts(["on", "the", "mat", "near"], [reference])
print(f"on the mat near: every p_n is 1, the penalty leaves BLEU {bleu(short):.4f}")

# %% [markdown]
# A BLEU depends on how the words were cut, so published scores come from one program, sacrebleu, with a signature that
# names its tokenizer. Two systems, four sentences, the first with two references, and sacrebleu's tokenizer `13a` for
# ours too:

# %%
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

cut = Tokenizer13a()
references = [
    ["The cat sat on the mat.", "There was a cat on the mat."],
    ["I would like to go home, please."],
    ["It rained all day in the north of the country."],
    ["Nobody knows what the weather will be like tomorrow."],
]
systems = {
    "A": [
        "The cat was on the mat.",
        "I would like to go home.",
        "It rained all day in the north.",
        "Nobody knows what weather will be tomorrow.",
    ],
    "B": [
        "On the mat there sat a cat.",
        "Please, I want to go home.",
        "The whole day it was raining in the north of the country.",
        "No one knows how the weather will be.",
    ],
}


def corpus_bleu(texts, references, cut):
    rows = [bleu_counts(cut(t), [cut(r) for r in rs]) for t, rs in zip(texts, references, strict=True)]
    return bleu(sum(rows))


for name, texts in systems.items():
    ours = corpus_bleu(texts, references, lambda text: cut(text).split())
    theirs = metrics.bleu(texts, references)
    np.testing.assert_allclose(ours, theirs.score, rtol=1e-9)
    print(f"system {name}: ours {ours:.4f}, sacrebleu {theirs.score:.4f}  ({theirs.signature})")

# %% [markdown]
# B says the same in other words, and pays for it. Words are all that BLEU sees.
#
# **Chinese** has no spaces: a sentence cut at them is one "word", and BLEU is 0 unless the whole is the same. So the
# tokens are the characters:

# %%
chinese = ["猫坐在垫子上。", "我明天想去北京看朋友。"]
chinese_references = [["猫正坐在垫子上。"], ["明天我想去北京看望朋友。"]]
at_spaces = corpus_bleu(chinese, chinese_references, str.split)
by_characters = corpus_bleu(chinese, chinese_references, list)
np.testing.assert_allclose(by_characters, metrics.bleu(chinese, chinese_references, language="zh").score, rtol=1e-9)
say(
    f"Cut at spaces: BLEU {at_spaces:.1f}. By characters: **{by_characters:.4f}**, equal to sacrebleu with `tokenize=zh`."
)

# %% [markdown]
# **chrF** (Popović 2015) does without words altogether: an F-score of character n-grams up to 6, in which recall counts
# twice, so that a wrong ending costs an ending and not the word. (You will write it in an exercise.)

# %% [markdown]
# ## Summaries: ROUGE
#
# Of a summary one asks rather whether it *contains* what the reference has: **recall**. ROUGE-N (Lin 2004) has both, by
# n-grams, and reports their F1. **ROUGE-L** asks for the longest common subsequence: words in the same order, with gaps
# allowed. Trying all subsequences takes $2^n$ steps; a table of the prefixes takes $n \cdot m$. Let $\ell_{ij}$ be the
# answer for the first $i$ words of one and the first $j$ of the other. If the last two words are equal, they may be
# matched with each other, and no other choice can be better; if not, one of the two is left out:
#
# $$\ell_{ij} = \begin{cases} \ell_{i-1,\,j-1} + 1 & a_i = b_j \\ \max(\ell_{i-1,\,j},\ \ell_{i,\,j-1}) & a_i \ne b_j \end{cases}
# \qquad \ell_{0j} = \ell_{i0} = 0.$$


# %% tags=["rouge"]
from collections import Counter

import numpy as np


def f1(shared, n_text, n_reference):
    """2PR / (P + R) for P = shared / n_text and R = shared / n_reference."""
    return 2 * shared / (n_text + n_reference) if shared else 0.0


def rouge_n(tokens, reference, n):
    own, theirs = (Counter(zip(*(x[i:] for i in range(n)), strict=False)) for x in (tokens, reference))
    return f1((own & theirs).total(), own.total(), theirs.total())


def common_table(a, b):
    """(len(a) + 1, len(b) + 1): the longest common subsequence of every two prefixes."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a, 1):
        for j, y in enumerate(b, 1):
            table[i, j] = table[i - 1, j - 1] + 1 if x == y else max(table[i - 1, j], table[i, j - 1])
    return table


def rouge_l(tokens, reference):
    return f1(common_table(tokens, reference)[-1, -1], len(tokens), len(reference))


# %%
summary, reference = ["police", "killed", "the", "gunman"], ["the", "gunman", "was", "killed", "by", "police"]
table = common_table(summary, reference)
print(f"{'':8}" + "".join(f"{word:>8}" for word in ["", *reference]))
for word, row in zip(["", *summary], table, strict=True):
    print(f"{word:>8}" + "".join(f"{n:8}" for n in row))
print(f"ROUGE-1 {rouge_n(summary, reference, 1):.4f}, ROUGE-2 {rouge_n(summary, reference, 2):.4f},", end=" ")
n = table[-1, -1]
print(f"ROUGE-L: P {n}/{len(summary)}, R {n}/{len(reference)}, F1 {rouge_l(summary, reference):.4f}")

# %% [markdown]
# The subsequence is found in the last corner. All words but two stand in both texts, and ROUGE-1 doesn't mind the
# order; ROUGE-L does.
#
# rouge-score and minillm cut English words down to their stems first (*sleeping* and *sleeps* agree). With the same
# stems, the same numbers:

# %%
from rouge_score.tokenizers import DefaultTokenizer

stems = DefaultTokenizer(use_stemmer=True).tokenize
pairs = {
    "en": [("The cats were sleeping on the mat all day.", "A cat sleeps on the mat, all day long.")],
    "zh": [("北京昨天下了大雪。", "昨天北京下了一场大雪。")],
}
for language, ((text, reference),) in pairs.items():
    cut_words = stems if language == "en" else metrics.words
    a, b = cut_words(text), cut_words(reference)
    ours = {"rouge1": rouge_n(a, b, 1), "rouge2": rouge_n(a, b, 2), "rougeL": rouge_l(a, b)}
    theirs = metrics.rouge([text], [[reference]], language=language)
    for kind, value in ours.items():
        np.testing.assert_allclose(value, theirs[kind], rtol=1e-12)
        print(f"{language} {kind:6} ours {value:.4f}, minillm.metrics {theirs[kind]:.4f}")

# %% [markdown]
# ## Text without a reference: variety and repetition
#
# A story has no reference at all. One can count what it is *like*: **distinct-n** is the number of different n-grams
# over the number of words, and the **repetition rate** the share of 4-grams that came before. The 6-gram model of
# bytes, writing the same amount at three temperatures:

# %%
in_bytes = np.frombuffer(train_text.encode(), np.uint8)
writer, start = NGram.train(in_bytes, 256, order=6), np.frombuffer(b"One day ", np.uint8)
print("temperature  words  distinct-1  distinct-2  repetition  begins")
for temperature in (0, 0.7, 1.3):
    written = writer.generate(start, 240, temperature=temperature)
    text = bytes(written.tolist()).decode(errors="replace")
    tokens = metrics.words(text)
    distinct = [len(grams(tokens, n)) / len(tokens) for n in (1, 2)]
    repetition = 1 - len(grams(tokens, 4)) / grams(tokens, 4).total()
    np.testing.assert_allclose(
        [*distinct, repetition], [*(metrics.distinct_n([text], n) for n in (1, 2)), metrics.repetition_rate([text])]
    )
    print(
        f"{temperature:11}  {len(tokens):5}  {distinct[0]:10.3f}  {distinct[1]:10.3f}  {repetition:10.3f}  {text[:40]!r}"
    )

# %% [markdown]
# A loop shows in both. But neither end of the scale is the good one: noise is never repeated. The document's *fluency*
# and *coherence* have no formula; one asks people, in pairs of texts, or a larger model (and then asks how often it
# agrees with people).

# %% [markdown]
# ## Calibration
#
# A model that says "80 %" should be right in 80 of 100 such cases. Is it? We need a classifier. **Naive Bayes** counts
# how often each feature of a text occurs in each class, and adds logarithms as if features were independent of each
# other: $z_k = \ln P(k) + \sum_f \ln P(f \mid k)$. The task: from which of six chapters of Python's documentation
# is this sentence? The model's **confidence** is the probability it gives to its own answer.

# %%
from pydoc_data.topics import topics

from minillm.data.python_docs import is_english

CLASSES = ["specialnames", "compound", "types", "debugger", "string-methods", "formatstrings"]
sentences = {}
for label, name in enumerate(CLASSES):
    for paragraph in filter(is_english, re.split(r"\n\s*\n", topics[name])):
        for sentence in re.split(r"(?<=[.!?])\s+", " ".join(paragraph.split())):
            if len(sentence.split()) >= 6:
                sentences.setdefault(sentence, label)  # each sentence once: none is in two parts
shuffled = [list(sentences.items())[i] for i in np.random.default_rng(0).permutation(len(sentences))]
test, validation, training = shuffled[:200], shuffled[200:400], shuffled[400:]
test_labels, validation_labels = (np.array([label for _, label in part]) for part in (test, validation))
say(
    f"{len(training):,} sentences to count, 200 to tune with, 200 to test. One, of *{CLASSES[test[0][1]]}*: “{test[0][0]}”"
)


# %%
def four_letters(text):
    return [text[i : i + 4].lower() for i in range(len(text) - 3)]


def naive_bayes(features, k=0.1):
    """A function from (text, label) pairs to logits, (N, classes), of counts in the training sentences, plus k each."""
    columns = {}
    for text, _ in training:
        for feature in features(text):
            columns.setdefault(feature, len(columns))
    counts = np.full((len(CLASSES), len(columns)), k)
    for text, label in training:
        np.add.at(counts[label], [columns[feature] for feature in features(text)], 1)
    log_p = np.log(counts / counts.sum(axis=1, keepdims=True))
    prior = np.log(np.bincount([label for _, label in training]) / len(training))

    def logits_of(text):
        return prior + log_p[:, [columns[feature] for feature in features(text) if feature in columns]].sum(axis=1)

    return lambda part: np.array([logits_of(text) for text, _ in part])


softmax_forward = module("05", "losses").softmax_forward
bayes = {"words": naive_bayes(metrics.words), "four letters": naive_bayes(four_letters)}
logits = {name: model(test) for name, model in bayes.items()}
right = {name: z.argmax(axis=1) == test_labels for name, z in logits.items()}
for name, z in logits.items():
    confidence = softmax_forward(z)[0].max(axis=1)
    print(f"{name:12} right {right[name].mean():.1%}, mean confidence {confidence.mean():.1%}")

# %% [markdown]
# Features that always come together, such as overlapping letters, are counted as separate evidence: hence such
# confidence. To see it in detail, put the answers in ten bins by the confidence $\hat p$ and compare, in each, the
# accuracy with the mean confidence. This is the **reliability diagram**, and the **expected calibration error** sums up
# its gaps ($n_b$ of the $N$ answers are in bin $b$; $[\text{right}_i]$ is 1 if answer $i$ is right, else 0):
#
# $$\mathrm{ECE} = \sum_b \frac{n_b}{N}\,\big|\mathrm{acc}(b) - \mathrm{conf}(b)\big| = \frac1N \sum_b \Big|\sum_{i \in b} \big([\text{right}_i] - \hat p_i\big)\Big|$$


# %% tags=["calibration"]
import numpy as np


def in_bins(confidence, bins=10):
    """The bin of each confidence: [0, .1), [.1, .2), ..., the last with 1 in it."""
    return np.minimum((confidence * bins).astype(int), bins - 1)


def expected_calibration_error(confidence, right, bins=10):
    gaps = np.bincount(in_bins(confidence, bins), right - confidence, minlength=bins)
    return np.abs(gaps).sum() / len(right)


# %% [markdown]
# The repair is one number. **Temperature scaling** (Guo et al. 2017) divides all logits by $T$, which changes no answer
# (the largest stays largest), only how sure it is. $T$ is chosen to make the loss on the *validation* sentences least.
# With $\beta = 1/T$, for one sentence with the right class $y$,
#
# $$L = \ln \sum_j e^{\beta z_j} - \beta z_y, \qquad \frac{dL}{d\beta} = \frac{\sum_j z_j e^{\beta z_j}}{\sum_j e^{\beta z_j}} - z_y = E_p[z] - z_y,
# \qquad \frac{d^2 L}{d\beta^2} = E_p[z^2] - E_p[z]^2 = \mathrm{Var}_p[z] \ge 0.$$
#
# The second derivative says that there is one valley and no other. At its bottom the mean score that the model expects
# is the mean score of the right classes. By the chain rule, as $d\beta/dT = -1/T^2$,
#
# $$\frac{dL}{dT} = \frac{z_y - E_p[z]}{T^2}.$$


# %% tags=["calibration"]
import math

from minillm.book import module

engine = module("04", "engine")


def temperature_loss_forward(T, logits, true):
    """The mean of −ln softmax(z / T)[y]; T: (1,), logits: (N, classes)."""
    shifted = (logits - logits.max(axis=1, keepdims=True)) / T
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_p[np.arange(len(true)), true].mean(), (np.exp(log_p), logits, true, T)


def temperature_loss_backward(g, saved):
    """dT = mean(z_y − E_p[z]) / T²"""
    p, logits, true, T = saved
    gap = logits[np.arange(len(true)), true] - (p * logits).sum(axis=1)
    return (g * gap.mean() / T**2,)


temperature_loss = engine.op(temperature_loss_forward, temperature_loss_backward)


def best_temperature(logits, true, low=0.05, high=100.0):
    """Where the slope changes its sign, halving the interval in which it does."""
    for _ in range(60):
        T = np.array([math.sqrt(low * high)])
        (slope,) = temperature_loss_backward(1.0, temperature_loss_forward(T, logits, true)[1])
        low, high = (low, T[0]) if slope[0] > 0 else (T[0], high)
    return T


# %% [markdown]
# ## The gradient check
#
# The slope along $T$ by finite differences, at several temperatures, on the real logits; then the library's own ops
# with $T$ as a tensor:

# %%
z = bayes["four letters"](validation)
for T in (0.5, 1.0, 4.0, 20.0):
    error = engine.gradient_check(lambda T: temperature_loss(T, logits=z, true=validation_labels), [T])
    T = engine.Tensor([T])
    loss = temperature_loss(T, logits=z, true=validation_labels)
    loss.backward()
    library = ml.Tensor(T.array, requires_grad=True)
    ml.ops.cross_entropy(ml.Tensor(z) / library, validation_labels).backward()
    np.testing.assert_allclose(T.grad, library.grad, rtol=1e-9)
    assert error < 1e-5
    print(f"T = {T.array[0]:4.1f}: loss {loss.array:.4f}, dL/dT {T.grad[0]:9.5f}, off by {error:.0e}; minillm's equal")
report = ml.testing.gradcheck(lambda T: ml.ops.cross_entropy(ml.Tensor(z) / T, validation_labels), [np.array([2.0])])
print(f"gradcheck of the library's: error {report.largest_error:.0e}")

T = best_temperature(z, validation_labels)
_, (p, *_) = temperature_loss_forward(T, z, validation_labels)
expected, of_right = (p * z).sum(axis=1).mean(), z[np.arange(len(z)), validation_labels].mean()
print(f"at T = {T[0]:.4f} the model expects a score of {expected:.6f}, the right classes have {of_right:.6f}")
np.testing.assert_allclose(expected, of_right, rtol=1e-8)

# %% [markdown]
# ## Picture: reliability before and after
#
# The temperature was found on one set of 200 sentences; the diagram is of the other.

# %%
import matplotlib.pyplot as plt

hits = right["four letters"]
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
calibrated = {}
for axis, divisor in zip(axes, (1.0, T[0]), strict=True):
    confidence = softmax_forward(logits["four letters"] / divisor)[0].max(axis=1)
    calibrated[divisor] = confidence
    bins = in_bins(confidence)
    filled = np.unique(bins)
    accuracy = [hits[bins == b].mean() for b in filled]
    axis.bar(filled / 10 + 0.05, accuracy, width=0.09, alpha=0.7)
    axis.plot([confidence[bins == b].mean() for b in filled], accuracy, "ko", markersize=4)
    for b in filled:
        axis.text(b / 10 + 0.05, 0.02, (bins == b).sum(), ha="center", fontsize=8)
    axis.plot([0, 1], [0, 1], "k--", linewidth=1)
    axis.set(xlabel="confidence", ylabel="share that is right", title=f"T = {divisor:.2f}", xlim=(0, 1), ylim=(0, 1.05))
show(figure, "Reliability at T = 1 and at the best T. On the dashed line is calibrated; the numbers count sentences.")

# %%
rng = np.random.default_rng(0)
for divisor, confidence in calibrated.items():
    error = expected_calibration_error(confidence, hits)
    loss = metrics.cross_entropy(logits["four letters"] / divisor, test_labels)
    honest = np.mean([expected_calibration_error(confidence, rng.random(200) < confidence) for _ in range(100)])
    say(
        f"$T = {divisor:.2f}$: loss {loss:.3f} nats, accuracy {hits.mean():.1%}, **ECE {error:.3f}** "
        f"(a model whose confidences are exactly true would have {honest:.3f} on average)."
    )

# %% [markdown]
# The number in brackets is what chance alone makes of 200 sentences: gaps of both signs come up in the bins, and absolute
# values don't cancel.
#
# ## The same thing in minillm
#
# [minillm/metrics](../minillm/metrics) has all of the measures above (calibration it leaves to you). Most were compared
# on the spot; here is the rest, with the worked example and the real classifier:

# %%
np.testing.assert_array_equal(metrics.confusion_matrix(true, said), C)
np.testing.assert_allclose(metrics.class_scores(true, said).f1, F1)
np.testing.assert_allclose([metrics.macro_scores(true, said).f1, metrics.micro_scores(true, said).f1], [macro, micro])
np.testing.assert_allclose(metrics.f1_score(0.8, 0.5), harmonic)
print("confusion matrix, F1 of each class, macro and micro F1: equal")

for answer, references_ in answers.items():
    assert exact_match(answer, references_) == metrics.exact_match(answer, references_)
    assert math.isclose(token_f1(answer, references_), metrics.token_f1(answer, references_))
print(f"exact match and token F1 of {len(answers)} answers: equal")

for name, z in logits.items():
    ours = temperature_loss(np.ones(1), logits=z, true=test_labels).array
    np.testing.assert_allclose(ours, metrics.cross_entropy(z, test_labels))
    scores = metrics.macro_scores(test_labels, z.argmax(axis=1), len(CLASSES))
    assert right[name].mean() == metrics.accuracy(test_labels, z.argmax(axis=1))
    print(
        f"{name:12} cross-entropy {ours:.4f} equal, accuracy {right[name].mean():.4f} equal; macro F1 {scores.f1:.4f}"
    )
print(
    f"chrF by sacrebleu: A {metrics.chrf(systems['A'], references).score:.2f}, B {metrics.chrf(systems['B'], references).score:.2f}"
)

# %% [markdown]
# ## Is the difference real?
#
# An accuracy $\hat p$ of $n$ examples is a mean of $n$ numbers, 0 or 1. Each has variance $p(1-p)$; of independent
# terms variances add up, so the mean has the variance $p(1-p)/n$. For large $n$ it is nearly normal, so that 95 % of the time it
# lies within about $1.96\sqrt{p(1-p)/n}$ of the truth. For 80 %:

# %%
for n in (200, 2_000, 20_000, 200_000):
    print(f"{n:7,} examples: 80 % ± {1.96 * math.sqrt(0.8 * 0.2 / n):.2%}")

# %% [markdown]
# BLEU and F1 are no such means. The **bootstrap** (Efron 1979) works for any of them: treat the test set as the world,
# draw $n$ examples from it *with replacement*, compute the measure, and do it thousands of times. The middle 95 % of the
# results is the interval.
#
# To compare two systems, draw the *same* examples for both: the **paired bootstrap**. Hard examples are hard for both,
# and what is common to the two cancels: $\mathrm{Var}(A - B) = \mathrm{Var}(A) + \mathrm{Var}(B) - 2\,\mathrm{Cov}(A,
# B)$.


# %% tags=["significance"]
import numpy as np


def resampled(values, picks):
    """The mean of every drawn set; values: (n,), picks: (resamples, n)."""
    return values[picks].mean(axis=1)


def interval(samples, level=0.95):
    """The middle part of the samples."""
    return np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])


# %%
rng = np.random.default_rng(0)
picks, others = rng.integers(200, size=(2, 5000, 200))
for name, hit in right.items():
    low, high = interval(resampled(hit, picks))
    formula_says = 1.96 * math.sqrt(hit.mean() * (1 - hit.mean()) / 200)
    print(f"{name:12} {hit.mean():.1%}, bootstrap [{low:.1%}, {high:.1%}], formula ± {formula_says:.1%}")

A, B = right["four letters"], right["words"]
paired = resampled(A, picks) - resampled(B, picks)
unpaired = resampled(A, picks) - resampled(B, others)
(low, high), (low_u, high_u) = interval(paired), interval(unpaired)
say(
    f"The difference is {A.mean() - B.mean():.1%}. Paired: **[{low:.1%}, {high:.1%}]**, not above 0 in {(paired <= 0).mean():.1%} of the draws. "
    f"Unpaired: [{low_u:.1%}, {high_u:.1%}], {(unpaired <= 0).mean():.1%}."
)

# %%
figure, axes = plt.subplots(figsize=(7, 3.4))
edges = np.arange(-12.25, 20, 1.0) / 100
for name, samples in {"unpaired": unpaired, "paired": paired}.items():
    axes.hist(
        100 * samples,
        100 * edges,
        alpha=0.55,
        label=f"{name}, 95 % in [{100 * interval(samples)[0]:.1f}, {100 * interval(samples)[1]:.1f}]",
    )
axes.axvline(0, color="black", linewidth=1)
axes.set(xlabel="accuracy of four letters − accuracy of words, percentage points", ylabel=f"of {len(picks):,} draws")
axes.legend(fontsize=8)
show(figure, "Differences of two classifiers, with the same sentences drawn for both (paired) or not.")

# %% [markdown]
# For BLEU, draw sentences and add up their `bleu_counts`: `bleu(counts[picks].sum(axis=0))` (Koehn 2004).
#
# **Half a point on 200 examples** is one example. How often do two systems that are *equally good* come out so far
# apart? Say that they differ in $m$ examples, and each of these is a coin: heads, and A was right. Then the lead is $|2
# \cdot \text{heads} - m|$ examples.

# %%
m = int((A != B).sum())
for points in (0.5, 1, 2, 4):
    ways = sum(math.comb(m, heads) for heads in range(m + 1) if abs(2 * heads - m) >= 2 * points)
    print(f"two equally good systems are at least {points:3} points apart: {ways / 2**m:.1%}")
needed = (1.96 / 0.005) ** 2 * m / 200
say(
    f"Our two differ in {m} of 200 examples, and the table is for such. For a lead of half a point to be 1.96 standard deviations, "
    f"$1.96\\sqrt{{(m/200)/n}} = 0.005$, one needs $n$ = {needed:,.0f} examples."
)

# %% [markdown]
# ## Was the test clean?
#
# Text is copied all over the web, tests included. Here twenty stories are held out; some copies of them slip into the
# training text of a second model. The stories come from a grammar, so we know the chance of each, and what whoever
# knows the grammar would pay for these twenty. On many stories **no honest model can do better**: this is their
# entropy.

# %%
exact = sum(stories.GRAMMAR.bits(next(stories.GRAMMAR.derivations(text))) for text in documents[200:])
floor = exact / len(held_text.encode())
for copies in (0, 1, 5):
    seen = np.concatenate([ids, *[held_ids] * copies])  # the tokens with 400 merges
    L = NGram.train(seen, tokenizer.vocab_size, order=10).evaluate(held_ids)
    bits = metrics.bits_per_byte(L, len(held_ids), len(held_text.encode()))
    print(f"copies in training: {copies}; {bits:.4f} bits per byte, {bits / floor:.2f} times what the grammar pays")

# %% [markdown]
# Nobody knows the entropy of real text. What one can do is search: which share of a test document's groups of $n$ words
# stands in the training text? (GPT-3's authors took $n = 13$, Brown et al. 2020.) Too short a group finds phrases that
# everybody uses, too long a one is hidden by a changed word:


# %%
def groups(texts, n):
    return {group for text in texts for group in grams(metrics.words(text), n)}


def overlap(texts, seen, n):
    """The mean share of a text's groups of n words that have been seen."""
    return np.mean([len(groups([text], n) & seen) / len(groups([text], n)) for text in texts])


held = documents[200:]
changed = [" ".join(w if i % 10 else "x" for i, w in enumerate(metrics.words(text))) for text in held]
print(" n   clean  copied  copied, every tenth word changed")
for n in (4, 8, 13, 20):
    clean, copied = groups(documents[:200], n), groups(documents, n)
    print(f"{n:2}  {overlap(held, clean, n):6.3f}  {overlap(held, copied, n):6.3f}  {overlap(changed, copied, n):6.3f}")

# %% [markdown]
# ## What breaks if
#
# **... accuracy is taken of unbalanced classes.** Let the question be whether a sentence is about format strings. A
# "classifier" that always says no:

# %%
rare = (test_labels == CLASSES.index("formatstrings")).astype(int)
found = (logits["four letters"].argmax(axis=1) == CLASSES.index("formatstrings")).astype(int)
for name, guess in {"always no": np.zeros(200, int), "naive Bayes": found}.items():
    scores = metrics.class_scores(rare, guess, 2)
    print(
        f"{name:12} accuracy {metrics.accuracy(rare, guess):.1%}, recall {scores.recall[1]:.2f}, F1 {scores.f1[1]:.2f}",
        end="; ",
    )
    print(f"balanced accuracy (mean recall) {scores.recall.mean():.2f}")

# %% [markdown]
# **... one chooses by the test set.** Ten thousand "models" that toss a coin for each of 200 yes-or-no questions. Every
# one is 50 % right in truth. Take the best, as one does who tries settings and looks at the test each time. The mean
# of $n$ coins has the standard deviation $1/(2\sqrt n)$ about ½. The largest of $K$ such means exceeds ½ by at most about
# $\sqrt{2 \ln K}$ of these, on average.

# %%
rng = np.random.default_rng(0)
truth, fresh_truth = rng.integers(2, size=(2, 200))
guesses, fresh_guesses = rng.integers(2, size=(2, 10_000, 200), dtype=np.int8)
scores, fresh = (guesses == truth).mean(axis=1), (fresh_guesses == fresh_truth).mean(axis=1)
tried = np.array([1, 10, 100, 1000, 10_000])
best = [scores.reshape(-1, K).max(axis=1).mean() for K in tried]
after = [fresh[scores.reshape(-1, K).argmax(axis=1) + K * np.arange(10_000 // K)].mean() for K in tried]
figure, axes = plt.subplots(figsize=(6.5, 3.4))
axes.semilogx(tried, best, "o-", label="the best, on the test it was chosen by")
axes.semilogx(
    tried, 0.5 + np.sqrt(2 * np.log(tried)) / (2 * math.sqrt(200)), "k--", linewidth=1, label="½ + √(2 ln K) / (2√n)"
)
axes.semilogx(tried, after, "s-", label="the same models, on a new test")
axes.set(xlabel="K, models tried", ylabel="accuracy (mean over groups of K)")
axes.legend(fontsize=8)
show(figure, "The best of K coin tossers, on the test by which it was chosen and on a new one.")
say(f"The best of 10,000 has **{scores.max():.1%}**; on a new test the same model has {fresh[scores.argmax()]:.1%}.")

# %% [markdown]
# So choose by a validation set, and look at the test once.
#
# **... BLEU is taken of single sentences.** A text that shares no 4-gram with its reference has $p_4 = 0$
# and so the geometric mean 0, however good the rest is. Smoothing puts a half in the place of the count (a quarter for
# the next such $n$). And a mean of sentence scores still isn't the corpus score:

# %%
for name, texts in systems.items():
    rows = [bleu_counts(cut(t).split(), [cut(r).split() for r in rs]) for t, rs in zip(texts, references, strict=True)]
    print(
        f"{name}: raw {[round(bleu(row, smooth=False), 1) for row in rows]}, smoothed {[round(bleu(row), 1) for row in rows]},"
    )
    print(f"   mean of the smoothed {np.mean([bleu(row) for row in rows]):.2f}, of the corpus {bleu(sum(rows)):.2f}")

# %% [markdown]
# **... perplexities are averaged.** $e^x$ is convex: by Jensen's inequality the mean of $e^{L_i}$ is never below $e$ to
# the mean of $L_i$, and one hard text can decide it. The held-out stories one by one, and one line of noise among them:

# %%
texts = [*held, "#%&§ " * 40]
parts = [np.frombuffer(text.encode(), np.uint8) for text in texts]
losses, sizes = np.array([writer.evaluate(part) for part in parts]), np.array([len(part) - 1 for part in parts])
for name, some in {"stories": slice(20), "with noise": slice(21)}.items():
    together = math.exp(np.average(losses[some], weights=sizes[some]))
    print(
        f"{name:11} perplexity of all bytes {together:8.3f}; mean of the texts' perplexities {np.exp(losses[some]).mean():12,.3f}"
    )

# %% [markdown]
# Add up nats, divide by the tokens, and take the exponential last.

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("14.1")` gives a hint, and another when you call it again;
# `solution("14.1")` shows a solution.

# %% [markdown]
# **14.1** How much better than chance? **Cohen's kappa** is $(p_o - p_e)/(1 - p_e)$: $p_o$ is the accuracy, and $p_e$
# the accuracy that one would expect if the same predictions had been dealt out to the examples at random. Compute it
# from a confusion matrix (rows true, columns predicted); 0 where $p_e = 1$.


# %%
def kappa(matrix): ...


check("14.1", kappa)

# %% [markdown]
# **14.2** A model that writes programs was asked `n` times, and `c` of its answers passed the tests. **pass@k** is the
# probability that of `k` answers, drawn from these `n` without putting back, at least one passes ($k \le n$).


# %%
def pass_at_k(n, c, k): ...


check("14.2", pass_at_k)

# %% [markdown]
# **14.3** **chrF** of one text, 0 to 100. Take out all white space. For $n = 1$ to 6, compute precision and recall of
# the character n-grams, clipped as in BLEU; orders of which the text or the reference has none don't count. Average the
# precisions to $P$ and the recalls to $R$ (over orders), and return $100\,(1 + \beta^2)\,P R / (\beta^2 P + R)$ with
# $\beta = 2$; 0 where nothing is shared.


# %%
def chrf(text, reference): ...


check("14.3", chrf)

# %% [markdown]
# **14.4** The **sign test**: `a` and `b` say, for each example, whether system A and system B were right (arrays of
# booleans). Only those where they differ count. If both systems are equally good, each of these is a fair coin. Return
# the probability, under fair coins, of a split at least as uneven as the one seen, in *either* direction. There may be
# many thousand examples.


# %%
def sign_test(a, b): ...


check("14.4", sign_test)

# %% [markdown]
# **14.5** **Word error rate**, the measure of speech recognition: the least number of words to be replaced, deleted or
# inserted to make each text into its reference, over the number of words of the references, for a whole corpus. `texts`
# and `references` are lists of lists of words; at least one reference isn't empty.


# %%
def word_error_rate(texts, references): ...


check("14.5", word_error_rate)
