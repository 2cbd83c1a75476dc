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
# # Solutions of chapter 03, tokenization
#
# One right answer for each exercise; yours may look different and be as right.

# %%
from collections import Counter

from minillm.exercises import check

# %% [markdown]
# **03.1** Six bits at a time from the right, each marked as a continuation, until what is left fits into the first byte. Of $n$ bytes the first has
# $n$ ones and a zero in front, which leaves $7 - n$ bits.


# %% tags=["solution-03.1"]
def utf8(code_point):
    if code_point < 0x80:
        return [code_point]
    length = 2 if code_point < 0x800 else 3 if code_point < 0x10000 else 4
    rest = []
    for _ in range(length - 1):
        rest.insert(0, 0x80 | code_point & 0x3F)
        code_point >>= 6
    ones = 0xFF00 >> length & 0xFF  # as many ones in front as there are bytes
    return [ones | code_point, *rest]


# %%
assert check("03.1", utf8)

# %% [markdown]
# **03.2** Pieces count wherever they stand. The score is high for a pair whose parts are seldom apart, however rare it is: that is
# the difference from BPE.


# %% tags=["solution-03.2"]
def next_wordpiece(words):
    single, pairs = Counter(), Counter()
    for pieces, n in words.items():
        for piece in pieces:
            single[piece] += n
        for pair in zip(pieces, pieces[1:], strict=False):
            pairs[pair] += n
    return min(pairs, key=lambda pair: (-pairs[pair] / (single[pair[0]] * single[pair[1]]), pair))


# %%
assert check("03.2", next_wordpiece)

# %% [markdown]
# **03.3** The last character is unfinished if the last byte that begins one asks for more bytes than there are. Looking for the character �
# instead would go wrong where the text itself has it.


# %% tags=["solution-03.3"]
def stream(tokens):
    shown, waiting = [], b""
    for token in tokens:
        waiting += token
        end = len(waiting)
        for i in range(max(0, end - 3), end):
            byte = waiting[i]
            needed = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            if i + needed > end:
                end = i
                break
        shown.append(waiting[:end].decode())
        waiting = waiting[end:]
    return shown


# %%
assert check("03.3", stream)

# %% [markdown]
# **03.4** Dynamic programming: the shortest way to each place of the text, from the shortest ways to the places before it. Only the last piece is
# kept for each place; the list is read off backwards.


# %% tags=["solution-03.4"]
def fewest(text, vocabulary):
    longest = max(map(len, vocabulary))
    count, last = {0: 0}, {}  # of text[:end]: how many pieces at least, and where the last of them starts
    for end in range(1, len(text) + 1):
        for start in range(max(0, end - longest), end):
            if start in count and text[start:end] in vocabulary and count[start] + 1 < count.get(end, end + 1):
                count[end], last[end] = count[start] + 1, start
    if len(text) not in count:
        return None
    pieces, end = [], len(text)
    while end:
        pieces.insert(0, text[last[end] : end])
        end = last[end]
    return pieces


# %%
assert check("03.4", fewest)
