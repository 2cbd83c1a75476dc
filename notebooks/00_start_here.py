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
# # 00 Start here
#
# This book builds a language model from nothing: from counting words to a Transformer that is trained, tuned, measured and
# made fast. It follows an overview article on large language models (in Chinese, not part of this repository), called *the document*,
# section by section; each chapter
# says which of its sections it covers, what they leave out, and where they are wrong.
#
# This page is the map. It looks whether your machine has everything, shows how a chapter is read and how an exercise is
# answered, and says what is where.
#
# You need: Python as one learns it in a first course, and the mathematics of school. Click into a cell and press Shift and Enter: that
# runs it and goes on to the next; *Kernel > Interrupt Kernel* stops one that takes too long. The list of files has each chapter twice: open the
# `.ipynb`; the `.py` beside it is the same text, for git.

# %% [markdown]
# ## Does everything run?
#
# Run the next cell. If it says `ModuleNotFoundError: No module named 'minillm'`, this notebook runs on another Python than
# the one that minillm was installed into: close it, and open it by `make book`, or as [INSTALL.md](INSTALL.md) says for your system.

# %%
from minillm.book.environment import environment

environment()

# %% [markdown]
# *fine* needs nothing. *could be better* can wait: all chapters run. *to do* comes first. What to do is said for the system that
# this notebook runs on; the same lines are printed in a terminal by `python -m minillm.book.environment`.
#
# The line about **kernels** needs a word. minillm has each formula once in NumPy, which is what you read, and the costly ones a second time in C++,
# compiled when it was installed. Both give the same numbers up to rounding. *Native* means that the second runs, which is
# several times faster. *NumPy alone* means that the formulas themselves run. That is enough for the book: its models are small.
#
# ### Installing, in short
#
# | system | Python 3.11 or newer | then, in the clone's folder |
# |---|---|---|
# | Linux | `sudo apt install python3 python3-venv python3-dev git make g++` | `make book` |
# | macOS | `brew install python@3.12 git` | `make book PYTHON=python3.12` |
# | Windows | `winget install Python.Python.3.12 Git.Git` | three commands, since Windows has no `make` |
#
# [INSTALL.md](INSTALL.md) has each step, from a bare machine to an open notebook, without `make` and without a compiler, too. It also has
# the cell for Colab, and says which of it was tried.

# %% [markdown]
# ## How a chapter is read
#
# From top to bottom, cell by cell, in half an hour or a little more. Run a cell only when you have guessed what it will print. Chapters have
# the same parts:
#
# - **The idea**, in words and one formula.
# - **A worked example**, so small that every number can be printed, and checked by hand.
# - The derivation, and **the code from scratch**: a few lines, often in pairs of *forward* and *backward*.
# - **The gradient check**: the derivative against finite differences, or what stands in for it where there is none.
# - **The same thing in minillm**: ours and the library's, compared number by number. Now its source can be read.
# - **Pictures** of real values. Some have buttons to step through them.
# - **What breaks if** something is left out or done wrong, in numbers.
# - **Exercises**, which check themselves.
#
# Break things. Every result in the text between cells is computed, not typed, so if you change a cell and run all (*Run > Run All
# Cells*), the text changes along. JupyterLab saves a chapter twice, as `.ipynb` and as `.py`; to have it
# back as it was, without your answers: `git checkout notebooks/04_autograd.*`.
#
# Some chapters go on with code of an earlier one: `module("04", "engine")` runs the cells of chapter 04 that have the tag `engine`, *as they are
# saved now*. What you change there changes later chapters, too; that is a good way to try an engine of your own, and a good reason to have the
# chapter back as it was before you go on.

# %% [markdown]
# ## How an exercise is answered
#
# Here is the first one of chapter 04, to warm up; its answer is one line. *The derivative of* $\tanh x$ *is* $1 - \tanh^2 x$. *Write its
# backward:* `g` *is the gradient of the result,* `saved` *is what forward saved, the result itself.*
#
# An exercise stands there as a function whose body is `...`, which means that nothing has been written yet. `check` stands last in its cell: a
# notebook shows a cell's last line only.

# %%
from minillm.exercises import check, hint, solution


def tanh_backward(g, saved): ...


check("04.1", tanh_backward)

# %% [markdown]
# Say you answer like this. It looks right; the formula is there:

# %%
import numpy as np


def tanh_backward(g, saved):
    return g * (1 - np.tanh(saved) ** 2)


check("04.1", tanh_backward)

# %% [markdown]
# `check` tries an answer on many inputs, from the smallest on, and shows the first on which it goes wrong: what you can work out by hand. It
# also says if the answer raises an error, has the wrong shape, or changes the arrays it was given. When you don't see it, ask:

# %%
hint("04.1")

# %% [markdown]
# Each call gives the next hint, from a nudge to nearly the answer:

# %%
hint("04.1")

# %% [markdown]
# So $\tanh$ was applied twice. Change the cell, run it again:


# %%
def tanh_backward(g, saved):
    return g * (1 - saved**2)


check("04.1", tanh_backward)

# %% [markdown]
# And one right answer, as it stands among the solutions. Look at it after your own, too: it may be shorter.

# %%
solution("04.1")

# %% [markdown]
# ## The map
#
# What each chapter builds, and which others it needs. It is drawn from the chapters that are there: from what they say that you need, and
# from the code that one takes from another. Read them in order, or go back from the one you came for.

# %%
from minillm.book.contents import contents_map, contents_table

contents_map()

# %% [markdown]
# The same as a table, with links.

# %%
from minillm.book import say

say(contents_table())

# %% [markdown]
# ## The formulas
#
# Each formula of the document has an id, mostly the number of its section. The id stands in square brackets wherever the formula is
# computed, so that it can be searched for. This is where they are taught:

# %%
from minillm.book import formulas
from minillm.formula import formula, title

rows = ["| id | formula | chapter |", "|---|---|---|"]
for known in formulas().values():
    taught = [f"[{title(path)}]({path.stem}.ipynb)" for path in known.chapters]
    rows.append(f"| {known.id} | {known.title} | {', '.join(taught)} |")
say("\n".join(rows))

# %% [markdown]
# `formula` shows one of them: how it should read, the lines of the library that compute it, the tests that check it. In a terminal,
# `python -m minillm.formula 4.2.1` shows those lines themselves, and an example with numbers.

# %%
formula("4.2.1")

# %%
print(formula("4.2.1"))

# %% [markdown]
# ## A chapter on your own text
#
# Chapters learn from short texts that come with minillm: stories drawn from a grammar, the documentation of Python, sentences in the chapter
# itself. These are the lines that read them:

# %%
import re

from minillm.book import cells, chapters

READS = re.compile(r"^\w.* = .*(?:stories\.documents|corpora\.load)\(.*$", re.MULTILINE)
for path in chapters():
    for cell in cells(path):
        if not cell.markdown and path.name[:2] != "00":
            for line in READS.findall(cell.text):
                print(path.name[:2], line)

# %% [markdown]
# Many of them can read something else. `corpora.load` takes a file, a folder or a glob of UTF-8 text, in any language, and gives its
# documents; here is a file of one poem, cut where there is an empty line. `stories.documents(n)` is a list of `n` texts, and what
# replaces it should be a list of about as many, since a chapter learns from the first and is judged by the others.

# %%
import tempfile
from pathlib import Path

from minillm.data import corpora

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "poem.txt"
    file.write_text("白日依山尽，黄河入海流。\n\n欲穷千里目，更上一层楼。\n", encoding="utf-8")
    text = "".join(corpora.load(file).documents())
documents = [part.strip() + "\n" for part in text.split("\n\n")]
print(len(documents), documents)

# %% [markdown]
# Then *Run > Run All Cells*. The chapters' own claims are about their own texts: on yours, a cell that asserts one may stop, and then it says
# something about your text. And chapter 01 is about the stories' own words and grammar: with a text that has characters or words which its
# first 200 documents don't have, it stops where it looks one up.
#
# For more than a chapter can train in seconds, use the commands: `python -m minillm.train --corpus my_book.txt`.

# %% [markdown]
# ## What to read where
#
# | you want to | read |
# |---|---|
# | install it, step by step | [INSTALL.md](INSTALL.md) |
# | train on your own text, generate, fine-tune | [the README](../README.md) |
# | see what it reached, and against what | [results](../docs/results.md), [benchmarks](../docs/benchmarks.md) |
# | know why it is built as it is | [design](../docs/design.md) |
# | read the library: first an op, then what runs it | [softmax.py](../minillm/ops/softmax.py), [tape.py](../minillm/tape.py), [registry.py](../minillm/registry.py) |
# | read a model from top to bottom | [gpt.py](../minillm/models/gpt.py) |
# | read the kernels | [csrc/README.md](../csrc/README.md) |
# | add an op, a model, a task, a corpus | [CONTRIBUTING.md](../CONTRIBUTING.md) |
# | look a term up, in English or Chinese | the glossary of the site that `make docs` builds |
#
# And now: [chapter 01](01_language_models.ipynb).

# %%
if translated := chapters("zh"):
    links = [f"[{title(path)}](zh/{path.stem}.ipynb)" for path in translated if path.with_suffix(".ipynb").exists()]
    say("这些章节有中文版：" + "、".join(links) + "。")
