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
# # 16 Making it fast: from NumPy to kernels to GPU
#
# Covers sections 3.3.2 (training needs great resources) and 6.4.4 (green AI) of the document.
#
# In minillm: [ops/attention.py](../minillm/ops/attention.py), [kernels](../minillm/kernels), [csrc/README.md](../csrc/README.md), [docs/gpu.md](../docs/gpu.md); checked in [tests/native/test_attention.py](../tests/native/test_attention.py), [tests/native/test_gemm.py](../tests/native/test_gemm.py), [tests/gpu/test_cuda_softmax.py](../tests/gpu/test_cuda_softmax.py).
#
# The document says that models need much computing and much energy, and that better algorithms and better storage will need less.
# It doesn't say how much, nor why. Both can be counted: operations, bytes and joules, and what each of the usual tricks saves of them.
#
# You need: chapter 04 (the engine), chapter 06 (attention); chapter 12 for the key-value cache.
#
# Cells that measure time are tagged `timing`. Their numbers differ from run to run and from machine to machine, so read them as yours.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np

import minillm as ml
from minillm.book import module, say, show
from minillm.exercises import check, hint, solution
from minillm.kernels import native_module

native = native_module()  # None where the C++ kernels weren't built; their rows are left out then

# %% [markdown]
# ## The idea
#
# A processor does two things at once: it calculates, and it fetches numbers from memory. Work that needs $F$ operations and $B$
# bytes, on a machine that does at most $\pi$ operations and moves at most $\beta$ bytes a second, takes at least
#
# $$t \;\ge\; \max\!\left(\frac{F}{\pi},\; \frac{B}{\beta}\right).$$
#
# Which of the two it is depends on a single number of the work, its **arithmetic intensity** $I = F/B$, operations per byte, and on one of
# the machine, $\pi/\beta$. If $I < \pi/\beta$, the work is *bound by memory*: calculating less gains nothing, only moving less does. If
# $I > \pi/\beta$, it is *bound by arithmetic*.
#
# So there are three ways to be faster, and this chapter goes all three: move fewer bytes (blocks, fusing), make each byte smaller (bfloat16,
# int8), and use more of the machine (vectors, threads, a GPU).

# %% [markdown]
# ## A worked example
#
# A tiny linear layer, $Y = X W^\top$ with 2 rows of 3 numbers and a weight of 4 × 3, on an imaginary machine of $10^{11}$ operations and
# $2\cdot 10^{10}$ bytes a second. Every multiplication and addition is counted as it is done:

# %%
X, W = np.arange(6.0).reshape(2, 3), np.ones((4, 3))
Y, multiplications, additions = np.zeros((2, 4)), 0, 0
for i in range(2):
    for j in range(4):
        for p in range(3):
            Y[i, j] += X[i, p] * W[j, p]
            multiplications, additions = multiplications + 1, additions + 1
np.testing.assert_array_equal(Y, X @ W.T)

operations = multiplications + additions
moved = 4 * (X.size + W.size + Y.size)  # float32: 4 bytes each; each read or written once
peak, bandwidth = 1e11, 2e10
print(f"operations   {multiplications} + {additions} = {operations} = 2 · 2 · 3 · 4")
print(f"bytes        4 · ({X.size} + {W.size} + {Y.size}) = {moved}")
print(
    f"intensity    {operations} / {moved} = {operations / moved:.3f} operations a byte; the machine's is {peak / bandwidth:.1f}"
)
print(f"arithmetic   {operations} / 10¹¹ s = {operations / peak * 1e9:.2f} ns")
print(f"memory       {moved} / 2·10¹⁰ s = {moved / bandwidth * 1e9:.2f} ns")
print(f"at least     {max(operations / peak, moved / bandwidth) * 1e9:.2f} ns")

# %% [markdown]
# The same count for the ops of a Transformer, each number read once and written once, in float32:
#
# - **matrix product** of $n \times n$ matrices: $F = 2n^3$, $B = 4 \cdot 3n^2$, so $I = n/6$. It grows with $n$: a large product *can* be bound
#   by arithmetic.
# - **matrix times vector**: $F = 2n^2$, $B \approx 4n^2$, so $I \approx 1/2$, however large.
# - **softmax** of rows, for each number: maximum, subtraction, exponential, sum, division. $F = 5$, $B = 4 + 4$, so $I = 5/8$.
# - **layer norm**, for each number: the sum of the mean; subtraction, square and sum of the variance; times $1/\sigma$, times $\gamma$, plus
#   $\beta$. $F = 7$, $B = 8$, so $I = 7/8$.
# - **addition** $a + b$: $F = 1$, $B = 12$, so $I = 1/12$.


# %%
def product_work(n, m, k):
    """Operations and least bytes of (n, k) times (k, m), float32."""
    return 2 * n * m * k, 4 * (n * k + k * m + n * m)


N = 4 * 1024 * 1024  # numbers in a large array
WORK = {
    "a + b": (N, 12 * N),
    "matrix × vector": product_work(4096, 1, 4096),
    "softmax": (5 * N, 8 * N),
    "layer norm": (7 * N, 8 * N),
    **{f"{n} × {n}": product_work(n, n, n) for n in (16, 64, 256, 768)},
}
for name, (F, B) in WORK.items():
    bound = "arithmetic" if F / peak > B / bandwidth else "memory"
    print(f"{name:16} {F / B:8.3f} operations a byte: on the imaginary machine bound by {bound}")

# %% [markdown]
# ## The machine, measured
#
# $\pi$ and $\beta$ of the machine that runs this. minillm has a loop that does nothing but multiply-adds in registers; for $\beta$ a copy will
# do, once in arrays that a cache holds and once in arrays that none does. All on one thread, and the fastest of several runs, since
# whatever else the machine does can only slow it down.


# %%
def fastest(work, repeats=5):
    """Seconds of the fastest of some runs, after one to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def copy_rate(megabytes):
    """Bytes read and written a second by a copy between two arrays of this size together."""
    source = np.ones(int(megabytes * 2**20 / 8), np.float32)
    target = np.empty_like(source)
    rounds = max(1, int(4 / megabytes))
    return 2 * source.nbytes * rounds / fastest(lambda: [np.copyto(target, source) for _ in range(rounds)])


def operation_rate(rounds=300_000):
    """Floating-point operations a second of a loop of multiply-adds; without it, of NumPy's matrix product."""
    if native:
        # peak_fma returns how many operations it did
        return native.peak_fma(rounds) / fastest(lambda: native.peak_fma(rounds))
    a = np.ones((512, 512), np.float32)
    return 2 * 512**3 / fastest(lambda: a @ a)


# %% tags=["timing"]
threads = native.threads() if native else 1
if native:
    native.set_threads(1)
pi, in_cache, in_memory = operation_rate(), copy_rate(0.2), copy_rate(64)
print(f"arithmetic      {pi / 1e9:7.1f} · 10⁹ float32 operations a second")
print(f"copy in a cache {in_cache / 1e9:7.1f} · 10⁹ bytes a second")
print(f"copy in memory  {in_memory / 1e9:7.1f} · 10⁹ bytes a second")
say(
    f"From memory the border is at $\\pi/\\beta$ = **{pi / in_memory:.1f}** operations a byte: work below it is bound by memory."
)

# %% [markdown]
# ## Picture: the roofline
#
# Both limits in one picture (Williams et al. 2009). To the left of the corner the roof slants, as every byte has to come by first; to the
# right it is flat. The points are the ops of the list above, by minillm's kernels.

# %% tags=["timing"]
rng = np.random.default_rng(0)
x, y = rng.normal(size=(2, N // 1024, 1024)).astype(np.float32)
ones, matrix, sums = np.ones(1024, np.float32), np.ones((4096, 4096), np.float32), np.empty_like(x)
square = {n: rng.normal(size=(n, n)).astype(np.float32) for n in (16, 64, 256, 768)}
runs = {
    "a + b": lambda: np.add(x, y, out=sums),
    "matrix × vector": lambda: ml.ops.linear(matrix[:1], matrix),
    "softmax": lambda: ml.ops.softmax(x),
    "layer norm": lambda: ml.ops.layer_norm(x, ones, ones),
    **{f"{n} × {n}": lambda n=n: ml.ops.matmul(square[n], square[n]) for n in (16, 64, 256, 768)},
}
with ml.no_grad():
    rates = {name: WORK[name][0] / fastest(run, 3) for name, run in runs.items()}
for name, rate in rates.items():
    F, B = WORK[name]
    roof = min(pi, F / B * in_memory)
    print(f"{name:16} {rate / 1e9:7.2f} · 10⁹ operations a second, {rate / roof:7.1%} of the roof of memory")

# %% tags=["timing"]
figure, axis = plt.subplots(figsize=(7, 4.2))
intensity = np.geomspace(0.05, 600, 200)
for name, beta, style in [("bytes from memory", in_memory, "-"), ("bytes from a cache", in_cache, "--")]:
    axis.loglog(intensity, np.minimum(pi, intensity * beta) / 1e9, style, color="0.4", label=name)
for name, rate in rates.items():
    F, B = WORK[name]
    axis.plot(F / B, rate / 1e9, "o", color="tab:blue")
    side, place = ("right", (-6, 4)) if name == "matrix × vector" else ("left", (6, 4 if name == "layer norm" else -11))
    axis.annotate(name, (F / B, rate / 1e9), xytext=place, textcoords="offset points", fontsize=9, ha=side)
axis.set(xlabel="arithmetic intensity, operations a byte", ylabel="10⁹ operations a second")
axis.legend(loc="lower right")
show(figure, "The roofline of this machine on one thread, and where ops of a Transformer stand under it.")

# %% [markdown]
# A small product has its numbers in a cache, and may stand above memory's roof; what it loses is the cost of the call.
# (Where another point stands above it: reading alone may be faster than the copy by which $\beta$ was measured, and the
# machine may have been busier then.) An exponential is counted as
# one operation and takes about a dozen, which pulls softmax down. The library's own
# picture, with all ops, is made by [roofline.py](../benchmarks/roofline.py); its figures are in [benchmarks.md](../docs/benchmarks.md).

# %% [markdown]
# ## A matrix product, and a cache
#
# Nearly all of a Transformer's operations are matrix products. $I = n/6$ supposes that each number is fetched once. Three loops over
# $c_{ij} = \sum_k a_{ik} b_{kj}$ touch each number $n$ times, and whether it is still near by then is up to the order.
#
# A cache holds lines of neighbouring numbers, and forgets the line that was used longest ago. Such a cache takes a few lines of Python, so
# we can count what no clock shows: how many lines come from memory.

# %%
from collections import OrderedDict
from itertools import product


def misses(touched, lines, line=8):
    """How many lines of 8 numbers a cache of so many lines has to fetch. touched: (matrix, row, column), in order."""
    cache, fetched = OrderedDict(), 0
    for matrix, row, column in touched:
        key = matrix, row, column // line
        if key in cache:
            cache.move_to_end(key)
            continue
        fetched += 1
        cache[key] = True
        if len(cache) > lines:
            cache.popitem(last=False)
    return fetched


def by_definition(n):
    """The order i, j, k: what c_ij = Σ a_ik b_kj says."""
    for i, j, k in product(range(n), repeat=3):
        yield from (("a", i, k), ("b", k, j), ("c", i, j))


def in_blocks(n, size):
    """Block by block, and in each block the order i, k, j, which goes along rows."""
    for i0, k0, j0 in product(range(0, n, size), repeat=3):
        for i, k, j in product(*(range(start, min(start + size, n)) for start in (i0, k0, j0))):
            yield from (("a", i, k), ("b", k, j), ("c", i, j))


# %% [markdown]
# In blocks of $b \times b$ there are $(n/b)^3$ products of blocks, and each needs two blocks that may not be there: about $2 b^2 (n/b)^3 =
# 2n^3/b$ numbers in all. The larger the blocks the better, as long as three of them fit: $3b^2 \le M$, with $M$ the numbers a cache holds.
# (No order can do better than a constant times $n^3/\sqrt{M}$: Hong & Kung 1981.)

# %%
n, lines = 32, 32  # matrices of 32 × 32, in a cache of 32 lines of 8 numbers: a quarter of one matrix
fetched = {
    "the definition, i j k": misses(by_definition(n), lines),
    "along rows, i k j": misses(in_blocks(n, n), lines),
    "blocks of 8 × 8": misses(in_blocks(n, 8), lines),
}
for name, count in fetched.items():
    print(f"{name:22} {count:6,} lines, {2 * n**3 / (64 * count):5.2f} operations a byte")
print(f"2 n³ / b for b = 8     {2 * n**3 // 8 // 8:6,} lines, without those of c")
print(f"each number once       {3 * n * n // 8:6,} lines")
definition, _, blocked_lines = fetched.values()
say(f"The same {2 * n**3:,} operations, and **1/{definition / blocked_lines:.0f}** of the lines.")

# %% [markdown]
# As code, with NumPy for the product of two blocks:


# %%
def blocked_product(a, b, size):
    """a b, block by block. a: (n, k), b: (k, m)."""
    (n, inner), m = a.shape, b.shape[1]
    c = np.zeros((n, m), a.dtype)
    for i, k, j in product(range(0, n, size), range(0, inner, size), range(0, m, size)):
        c[i : i + size, j : j + size] += a[i : i + size, k : k + size] @ b[k : k + size, j : j + size]
    return c


a, b = rng.normal(size=(50, 70)), rng.normal(size=(70, 30))
for size in (1, 7, 16, 100):
    np.testing.assert_allclose(blocked_product(a, b, size), a @ b, atol=1e-12)
    print(f"blocks of {size:3}: equal to a @ b")

# %% [markdown]
# Now the clock. Three Python loops; the same loops in C++; the same in vectors and blocks that stay in the cache; NumPy; and the library's
# kernel, which also copies blocks so that they lie one behind the other, and keeps a tile of sums in registers. (Ours run on one thread here;
# NumPy does if `OPENBLAS_NUM_THREADS=1` was set.) The steps between are in
# [csrc/README.md](../csrc/README.md), each a function of [ladder.cpp](../csrc/cpu/kernels/ladder.cpp).


# %%
def three_loops(a, b):
    """a b, of lists of lists."""
    c = [[0.0] * len(b[0]) for _ in a]
    for i in range(len(a)):
        for j in range(len(b[0])):
            for k in range(len(b)):
                c[i][j] += a[i][k] * b[k][j]
    return c


small = np.random.default_rng(0).normal(size=(40, 40))
np.testing.assert_allclose(three_loops(small.tolist(), small.tolist()), small @ small, atol=1e-12)

# %% tags=["timing"]
large = rng.normal(size=(512, 512)).astype(np.float32)
out, lists = np.empty_like(large), small.tolist()
ways = {"three Python loops": (40, lambda: three_loops(lists, lists))}
if native:
    ways["three C++ loops"] = (
        256,
        lambda: native.ladder(1, large[:256, :256].copy(), large[256:, 256:].copy(), out[:256, :256].copy()),
    )
    ways["C++, vectors, blocks"] = 512, lambda: native.ladder(4, large, large, out)
ways["NumPy"] = 512, lambda: np.matmul(large, large, out=out)
if native:
    ways["minillm's kernel"] = 512, lambda: ml.ops.matmul(large, large)
with ml.no_grad():
    speeds = {name: 2 * size**3 / fastest(work, 3) for name, (size, work) in ways.items()}
slowest = speeds["three Python loops"]
for name, speed in speeds.items():
    print(
        f"{name:21} {speed / 1e9:9.4f} · 10⁹ operations a second, {speed / slowest:9,.0f} times the first, {speed / pi:7.2%} of the peak"
    )

# %% [markdown]
# ## Fusing: softmax in one pass
#
# Softmax has a low intensity, so count its passes. Written in NumPy, each line is a pass over the whole array, and it goes to memory and back:
#
# | line | reads | writes |
# |---|---|---|
# | `m = x.max()` | 1 | |
# | `d = x - m` | 1 | 1 |
# | `e = exp(d)` | 1 | 1 |
# | `s = e.sum()` | 1 | |
# | `p = e / s` | 1 | 1 |
#
# That is 8 numbers moved for each number of `x`, where 2 would do. A **fused** kernel takes a row, does all five lines while the row is in the
# cache, and writes it once. But what if a row is too long for the cache, or isn't all there yet? Then maximum and sum have to be found
# together, in one pass. Let
#
# $$m_t = \max_{i \le t} x_i, \qquad l_t = \sum_{i \le t} e^{x_i - m_t}.$$
#
# When a new number raises the maximum, every term of the sum was computed with the old one. They all lack the same factor, so it can be taken
# out of the sum (Milakov & Gimelshein 2018):
#
# $$l_t = \sum_{i < t} e^{x_i - m_{t-1}}\, e^{m_{t-1} - m_t} + e^{x_t - m_t} = l_{t-1}\, e^{m_{t-1} - m_t} + e^{x_t - m_t}.$$

# %%
row = np.array([2.0, 1.0, 5.0, 4.0])
m, total = -np.inf, 0.0
for t, x_t in enumerate(row, 1):
    new = max(m, x_t)
    total = total * np.exp(m - new) + np.exp(x_t - new)
    m = new
    print(f"t = {t}: x = {x_t}, m = {m}, l = {total:.6f}, and the sum anew {np.exp(row[:t] - m).sum():.6f}")
print(f"softmax {np.exp(row - m) / total}, log-sum-exp m + ln l = {m + np.log(total):.6f}")

# %% [markdown]
# As a pair, over the last axis, some columns at a time. Forward keeps one number a row, $L = m + \ln l$; backward makes the probabilities
# again from it, $p = e^{x - L}$, instead of keeping them. (A row in which all is $-\infty$ gets zeros, as in the library.)


# %% tags=["flash"]
import numpy as np


def online_forward(x, axis=-1, size=4):
    """softmax along an axis, which is read in pieces of `size`; saves x and log-sum-exp alone."""
    x = np.moveaxis(np.asarray(x), axis, -1)
    m, total = np.full(x.shape[:-1], -np.inf), np.zeros(x.shape[:-1])
    for start in range(0, x.shape[-1], size):
        piece = x[..., start : start + size]
        new = np.maximum(m, piece.max(-1))
        base = np.where(np.isneginf(new), 0.0, new)  # −∞ − (−∞) is no number
        total = total * np.exp(m - base) + np.exp(piece - base[..., None]).sum(-1)
        m = new
    lse = np.where(total > 0, m + np.log(np.where(total > 0, total, 1.0)), np.inf)
    return np.moveaxis(np.exp(x - lse[..., None]), -1, axis), (x, lse, axis)


def online_backward(dp, saved):
    """dx = p (dp − Σ dp p), with p made again"""
    x, lse, axis = saved
    p, dp = np.exp(x - lse[..., None]), np.moveaxis(dp, axis, -1)
    return (np.moveaxis(p * (dp - (dp * p).sum(-1, keepdims=True)), -1, axis),)


# %% [markdown]
# ## Flash attention
#
# Attention over $n$ tokens has $n^2$ scores, and the usual code writes them to memory, reads them for the softmax, writes the shares and reads
# those for $PV$. None of it is wanted afterwards. The recurrence above lets us do without (Dao et al. 2022): go through the keys tile by tile,
# keep for each query the running maximum $m$ and sum $l$, and also the running mixture of values. The mixture is a sum of terms
# $e^{s_j - m} v_j$, all lacking the same factor when $m$ rises:
#
# $$m' = \max(m, \max_j s_j), \quad l' = l\,e^{m - m'} + \sum_j e^{s_j - m'}, \quad o' = o\,e^{m - m'} + \sum_j e^{s_j - m'} v_j,$$
#
# where $j$ runs over the tile's keys and $s_j$ is the query's score with key $j$, already divided by $\sqrt d$. At the end $O = o/l$. Exercise 06.2 did this one key at a time; a tile makes matrix products of it.
#
# **Backwards** the shares are needed again, $dS = P \circ (dP - \sum_j P_j\,dP_j)$ with $dP = dO\,V^\top$ (chapter 06). They are made again tile by tile from $L = m + \ln l$. One
# thing seems to need a whole row at once, the sum. But
#
# $$\sum_j P_{ij}\, dP_{ij} = \sum_j P_{ij} \sum_c dO_{ic} V_{jc} = \sum_c dO_{ic} \sum_j P_{ij} V_{jc} = \sum_c dO_{ic}\, O_{ic},$$
#
# and the output is there already. Calculating twice is cheaper here than remembering.


# %% tags=["flash"]
def flash_forward(q, k, v, size=32):
    """softmax(Q Kᵀ / √d) V by tiles of size × size. q: (n, d), k: (keys, d), v: (keys, d_v)."""
    o, lse = np.empty((len(q), v.shape[1])), np.empty(len(q))
    for i in range(0, len(q), size):
        queries = q[i : i + size] / np.sqrt(q.shape[1])
        m, total, mixed = np.full(len(queries), -np.inf), np.zeros(len(queries)), np.zeros((len(queries), v.shape[1]))
        for j in range(0, len(k), size):
            s = queries @ k[j : j + size].T
            new = np.maximum(m, s.max(1))
            shrink, e = np.exp(m - new), np.exp(s - new[:, None])
            total = total * shrink + e.sum(1)
            mixed = mixed * shrink[:, None] + e @ v[j : j + size]
            m = new
        o[i : i + size], lse[i : i + size] = mixed / total[:, None], m + np.log(total)
    return o, (q, k, v, o, lse, size)


def flash_backward(do, saved):
    """dV = Pᵀ dO,  dS = P ∘ (dO Vᵀ − Σ dO O),  dQ = dS K / √d,  dK = dSᵀ Q / √d, tile by tile"""
    q, k, v, o, lse, size = saved
    scale, d = 1 / np.sqrt(q.shape[1]), (do * o).sum(1)
    dq, dk, dv = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    for i in range(0, len(q), size):
        rows = slice(i, i + size)
        for j in range(0, len(k), size):
            columns = slice(j, j + size)
            p = np.exp(q[rows] @ k[columns].T * scale - lse[rows, None])
            ds = p * (do[rows] @ v[columns].T - d[rows, None]) * scale
            dq[rows] += ds @ k[columns]
            dk[columns] += ds.T @ q[rows]
            dv[columns] += p.T @ do[rows]
    return dq, dk, dv


# %% [markdown]
# The result doesn't depend on the tiles, whether or not they come out even. The scores are so large that $e^s$
# by itself would overflow.

# %%
attention_forward = module("06", "attention").attention_forward
q, k, v = rng.normal(size=(50, 16)) * 40, rng.normal(size=(70, 16)) * 40, rng.normal(size=(70, 8))
wanted, _ = attention_forward(q, k, v)
print(f"largest score {abs(q @ k.T / 4).max():,.0f}")
for size in (1, 7, 32, 100):
    o, _ = flash_forward(q, k, v, size)
    print(f"tiles of {size:3}: largest difference {abs(o - wanted).max():.1e}")
    np.testing.assert_allclose(o, wanted, atol=1e-12)

# %% [markdown]
# ## Picture: memory, $n$ against $n^2$
#
# Python's own count of the memory that each way holds at its highest, results and what is saved for backward included:

# %%
import tracemalloc


def highest(work):
    """The most memory that `work` held at once, in MiB."""
    tracemalloc.start()
    kept = work()  # held on to, as a training step would
    top = tracemalloc.get_traced_memory()[1]
    del kept
    tracemalloc.stop()
    return round(top / 2**20, 2)


lengths, width = [256, 512, 1024, 2048], 32
needed = {"all scores": [], "tiles of 32": []}
for n in lengths:
    qkv = rng.normal(size=(3, n, width))
    needed["all scores"].append(highest(lambda qkv=qkv: attention_forward(*qkv)))
    needed["tiles of 32"].append(highest(lambda qkv=qkv: flash_forward(*qkv, 32)))
for name, amounts in needed.items():
    print(
        f"{name:12}",
        "  ".join(f"n = {n}: {amount:6.2f} MiB" for n, amount in zip(lengths, amounts, strict=True)),
    )
powers = [np.polyfit(np.log(lengths), np.log(amounts), 1)[0] for amounts in needed.values()]
say(
    f"Fitted powers of $n$: **{powers[0]:.2f}** with all scores, **{powers[1]:.2f}** with tiles, whose own size stays the same and counts for less and less."
)

# %%
figure, axis = plt.subplots(figsize=(6, 3.4))
for (name, amounts), style in zip(needed.items(), ("o--", "s-"), strict=True):
    axis.loglog(lengths, amounts, style, label=name)
axis.set(xlabel="n, tokens", ylabel="memory at its highest, MiB")
axis.set_xticks(lengths, lengths)
axis.minorticks_off()
axis.legend()
show(figure, "Memory of one head against the length of the text: quadratic with all scores, at most linear by tiles.")

# %% [markdown]
# ## The gradient check
#
# Both pairs recompute on the way back, and both are held against finite differences: tiles that come out even and that don't, more keys than
# queries and fewer.

# %%
engine = module("04", "engine")
flash, online = engine.op(flash_forward, flash_backward), engine.op(online_forward, online_backward)
q, k, v = rng.normal(size=(7, 4)), rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
weights = rng.normal(size=(7, 5))  # a plain sum of a softmax is 1, and has no gradient
for name, fn, inputs in [
    ("online softmax, pieces of 2", lambda x: online(x, size=2) * weights, [rng.normal(size=(7, 5))]),
    ("flash attention, tiles of 1", lambda q, k, v: flash(q, k, v, size=1), [q, k, v]),
    ("flash attention, tiles of 3", lambda q, k, v: flash(q, k, v, size=3), [q, k, v]),
    ("flash attention, few queries", lambda q, k, v: flash(q, k, v, size=2), [q[:3], k, v]),
    ("flash attention, one tile", lambda q, k, v: flash(q, k, v, size=64), [q, k, v]),
]:
    error = engine.gradient_check(fn, *inputs)
    print(f"{name:28} largest error {error:.1e}")
    assert error < 1e-7

# %% [markdown]
# ## The same thing in minillm
#
# Our online softmax on the cases that the library's op is tested with, then flash attention against the library's formula, which keeps
# all scores, forwards and backwards:

# %%
passed = ml.testing.check(
    ml.ops.softmax,
    forward=lambda xp, x, axis=-1: online_forward(x, axis),
    backward=lambda xp, dp, saved: online_backward(dp, saved),
)
print(f"softmax: {passed} cases, forward and backward")

do = rng.normal(size=(7, 3))
o, saved = flash_forward(q, k, v, 3)
formula = ml.ops.attention.reference
theirs, their_saved = formula.forward(np, *(x[None, None] for x in (q, k, v)))
np.testing.assert_allclose(o, theirs[0, 0], atol=1e-12)
pairs = zip("qkv", flash_backward(do, saved), formula.backward(np, do[None, None], their_saved), strict=False)
for name, mine, library in pairs:
    np.testing.assert_allclose(mine, library[0, 0], atol=1e-12)
    print(f"attention, d{name} of shape {mine.shape}: equal")
report = ml.testing.gradcheck(lambda q, k, v: ml.ops.attention(q, k, v), [x[None, None] for x in (q, k, v)])
print(f"the library's own: {report.compared} derivatives, within {report.largest_error:.0e} of finite differences")

# %% [markdown]
# The library's C++ kernel goes by tiles, too, and saves two numbers a row:
# [attention_forward.cpp](../csrc/cpu/kernels/attention_forward.cpp), [attention_backward.cpp](../csrc/cpu/kernels/attention_backward.cpp).
# A kernel is registered over a formula, and `agree` holds it against the formula on all of the op's cases; so nobody has to take a
# fast kernel's word for it.

# %%
for name in ("attention", "softmax", "layer_norm", "matmul"):
    if native:
        ran = list(ml.testing.agree(getattr(ml.ops, name), "native").values())
        print(f"{name:12} agrees on {len(ran)} cases, {ran.count('native')} of them by the native kernel")

# %% [markdown]
# ## Fewer bits
#
# Half the bytes a number is half the time, where memory is the bound. A **float32** has a sign, 8 bits of exponent and 23 of fraction; with the 1 in
# front, which isn't stored, its mantissa has 24 bits. A **bfloat16** is its upper half: the same exponent, so the same range, and a mantissa of 8 bits.
# A **float16** spends its 16 bits otherwise: 5 of exponent, a mantissa of 11.


# %%
def bits_of(x):
    """Sign, exponent and fraction of a float32 or float16."""
    word, exponent = {4: (np.uint32, 8), 2: (np.uint16, 5)}[x.itemsize]
    text = f"{x.view(word):0{8 * x.itemsize}b}"
    return f"{text[0]} {text[1 : 1 + exponent]} {text[1 + exponent :]}"


third = np.float32(1 / 3)
truncated = (third.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
print(f"1/3 in float32  {bits_of(third):34} = {third:.10f}")
print(f"cut to 16 bits  {bits_of(third)[:18]:34} = {truncated:.10f}")
print(f"in float16      {bits_of(np.float16(1 / 3)):34} = {np.float16(1 / 3):.10f}")

# %% [markdown]
# Cutting is rounding towards zero, always to the same side. Better is the nearest; and half-way the even one, so that neither side is favoured.
# The 16 bits that go are a fraction of the last one that stays. Add just under a half (`0x7FFF`), or a half where the last bit is 1: the sum
# carries into it exactly when the number must be rounded up.


# %%
def to_bfloat16(x):
    """float32 rounded to the nearest bfloat16, ties to even, as float32."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


for text, number in {
    "1/3": 1 / 3,
    "1 + 2⁻⁸": 1 + 2**-8,
    "1 + 3·2⁻⁸": 1 + 3 * 2**-8,
    "1 + 2⁻⁸ + 2⁻²³": 1 + 2**-8 + 2**-23,
}.items():
    stays, goes = bits_of(np.float32(number))[:18], bits_of(np.float32(number))[18:]
    half = "a tie" if int(goes, 2) == 2**15 else "more than half" if int(goes, 2) > 2**15 else "less than half"
    rounded = to_bfloat16(np.float32(number))
    print(f"{text:14} {stays}|{goes}  {half:14} -> {bits_of(rounded)[:18]} = {rounded}")

# %% [markdown]
# To be sure, compared with a search: of the two bfloat16 numbers around each number the nearer one. And with the library's.

# %%
from minillm.ops.precision import round_bfloat16

numbers = np.concatenate(
    [rng.normal(size=20_000) * 10.0 ** rng.integers(-20, 20, 20_000), 1 + np.arange(512) / 512]
).astype(np.float32)
below = numbers.view(np.uint32) & np.uint32(0xFFFF0000)
around = np.stack([below, below + np.uint32(0x10000)]).view(np.float32).astype(float)
distance = abs(around - numbers)
even = (below >> 16) & 1  # the place of the even one of the two
searched = np.take_along_axis(
    around, np.where(distance[0] == distance[1], even, distance.argmin(0))[None].astype(int), 0
)[0]
np.testing.assert_array_equal(to_bfloat16(numbers), searched)
np.testing.assert_array_equal(to_bfloat16(numbers), round_bfloat16(np, numbers))
error = abs(to_bfloat16(numbers) / numbers.astype(float) - 1).max()
say(
    f"{numbers.size:,} numbers, {int((distance[0] == distance[1]).sum())} of them ties: the same as by search. The largest relative error is "
    f"{error:.5f}, and with a mantissa of 8 bits it can't be more than $2^{{-8}}$ = {2**-8:.5f}: two to three decimal digits."
)

# %% [markdown]
# **int8** has no exponent of its own: a row of the weight shares one scale, $s = \max|w| / 127$, and $q = \mathrm{round}(w/s)$. The rounding error is
# between $-s/2$ and $s/2$; if it is equally likely anywhere there, its mean square is $\frac1s\int_{-s/2}^{s/2} e^2\,de = s^2/12$. So the error goes with
# the *largest* weight of a row, and a single outlier spoils all of it:


# %%
def to_int8(weight):
    """(d_out, d_in) -> int8 and a scale a row."""
    scale = abs(weight).max(axis=1) / 127
    return np.rint(weight / scale[:, None]).astype(np.int8), scale


weight = rng.normal(size=(256, 768)) * 0.02
outlier = weight.copy()
outlier[:, 0] = 1.0
for name, w in {"normal weights": weight, "one large weight a row": outlier}.items():
    q, scale = to_int8(w)
    error = (q * scale[:, None] - w)[:, 1:]
    print(
        f"{name:22} scale {scale.mean():.6f}: error {np.sqrt((error**2).mean()):.6f}, s/√12 = {scale.mean() / np.sqrt(12):.6f}, of weights of {w[:, 1:].std():.3f}"
    )
    library, its_scale = ml.ops.quantized.quantize_int8(w)
    np.testing.assert_array_equal(q, library)
    np.testing.assert_allclose(scale, its_scale, rtol=1e-6)

# %% [markdown]
# What comes of it in a layer, $XW^\top$, with sums in at least float32:

# %%
x = rng.normal(size=(64, 768))
exact = x @ weight.T
q, scale = to_int8(weight)
q_x, scale_x = to_int8(x)  # rows of x are rounded to int8 as well, and the products are sums of whole numbers
results = {
    "float32": (4, x.astype(np.float32) @ weight.T.astype(np.float32)),
    "bfloat16": (2, to_bfloat16(x) @ to_bfloat16(weight).T),
    "int8": (1, q_x.astype(int) @ q.T.astype(int) * scale_x[:, None] * scale),
}
for name, (size, y) in results.items():
    print(f"{name:9} {size} bytes a weight, relative error {np.linalg.norm(y - exact) / np.linalg.norm(exact):.1e}")

# %% [markdown]
# [quantized.py](../minillm/ops/quantized.py) does this. What training in bfloat16 costs in loss is measured in [results.md](../docs/results.md), and how fast
# a model writes with each type in [benchmarks.md](../docs/benchmarks.md).

# %% [markdown]
# ## One token at a time
#
# With a key-value cache (chapter 12) a new token costs two operations for each weight and reads each weight once. At 4 bytes a weight $I = 1/2$: far to
# the left under the roof. Two things move it to the right: weights of fewer bytes, and several texts at once, that share each weight read. The
# cache must be read as well, and texts don't share that. For a GPT-2 of 124 million parameters, at a context of 1,024:

# %%
from minillm.models import GPTConfig
from minillm.planning import counts

gpt2 = GPTConfig(50_257, 1024, 12, 12, d_model=768)


def token_work(config, texts, weight_bytes, context):
    """Operations and bytes of one more token for each of `texts` texts; a cache of float32."""
    keys_and_values = 2 * config.n_layer * config.d_model * context  # numbers kept of one text
    operations = texts * (2 * counts.matrix_weights(config) + 2 * keys_and_values)
    return operations, weight_bytes * counts.matrix_weights(config) + texts * 4 * keys_and_values


print("weights    texts   operations a byte   MB read a token and text")
for name, size in {"float32": 4, "bfloat16": 2, "int8": 1}.items():
    for texts in (1, 8, 64):
        F, B = token_work(gpt2, texts, size, 1024)
        print(f"{name:9} {texts:6} {F / B:19.2f} {B / texts / 1e6:26.1f}")

# %% [markdown]
# On the clock: one layer's weight times more and more rows. As long as memory is the bound, the rows after the first should cost little, and the time a row fall. (For few rows minillm
# has a kernel of its own, [gemv.cpp](../csrc/cpu/kernels/gemv.cpp); the one for many copies the weight into panels first, and that must pay off.)

# %% tags=["timing"]
counts_of_rows = (1, 4, 8, 64)
with ml.no_grad():
    for count in counts_of_rows:
        seconds = fastest(lambda x=matrix[:count]: ml.ops.linear(x, matrix), 4)
        print(
            f"{count:3} rows: {seconds * 1e3:7.2f} ms, {seconds / count * 1e3:6.2f} ms a row, weights read at {matrix.nbytes / seconds / 1e9:5.1f} · 10⁹ bytes a second"
        )

# %% [markdown]
# ## Threads
#
# Several cores calculate side by side, but share one memory. So work that is bound by arithmetic may gain all of them; work that is bound by memory
# gains until memory is busy, and no more. And whatever remains to be done by one alone is a limit for all: if a share $p$ of the work can be divided among
# $T$ threads, the speed-up is $1/((1-p) + p/T)$, at most $1/(1-p)$ (Amdahl 1967). On a machine that is busy with other things, two threads may even be
# slower than one: the work is done when the last of them is.

# %%
for share in (0.5, 0.9, 0.99):
    print(
        f"p = {share}: "
        + ", ".join(f"{1 / (1 - share + share / T):5.2f} on {T}" for T in (2, 8, 64))
        + f", never over {1 / (1 - share):.0f}"
    )

# %% tags=["timing"]
import os

if native:
    a, x = square[768], np.ones(16 * 2**20, np.float32)
    work = {"matrix product": lambda: ml.ops.matmul(a, a), "reading memory": lambda: native.stream_read(x, 1)}
    alone = {}
    for count in sorted({1, min(2, os.cpu_count() or 1)}):
        native.set_threads(count)
        for name, run in work.items():
            seconds = fastest(run, 4)
            alone.setdefault(name, seconds)
            print(f"{name} on {count}: {seconds * 1e3:6.2f} ms, {alone[name] / seconds:.2f} times the speed of one")
    native.set_threads(threads)

# %% [markdown]
# ## A GPU, in Python
#
# A GPU is the same bargain with other numbers: thousands of threads, and a fast memory for each group of them that the *programmer* fills. Some
# data sheets, and the corner $\pi/\beta$ of their roofs:

# %%
SHEETS = {  # NVIDIA's figures: watts, bytes a second, float32 and matrix-unit 16-bit operations a second
    "T4 (2018)": (70, 320e9, 8.1e12, 65e12),
    "A100 40 GB (2020)": (400, 1555e9, 19.5e12, 312e12),
    "H100 SXM (2022)": (700, 3350e9, 67e12, 989e12),
}
for name, (watts, beta, single, half) in SHEETS.items():
    print(
        f"{name:18} {watts} W, {beta / 1e9:5,.0f} GB/s: corner at {single / beta:5.1f} operations a byte in float32, {half / beta:5.1f} in 16 bits"
    )
corners = [half / beta for _, beta, _, half in SHEETS.values()]
say(
    f"Work keeps these cards' matrix units busy if its intensity is at least **{min(corners):.0f}**. Compare the list of the worked example."
)

# %% [markdown]
# Below the corner, where most ops of a Transformer are, a GPU is fast because its memory is. That memory isn't quick to answer: a read takes
# several hundred nanoseconds, longer than on a CPU. But many reads may be on their way at once. If $\beta$ bytes come out each second and each was asked for
# $\tau$ seconds before, $\beta\tau$ bytes are under way at any time (Little 1961). A CPU has a few cores that ask ahead, and caches to ask less often.
# A GPU has so many *threads* that some are always ready while the others wait. With $\tau$ = 600 ns, which is **assumed**:

# %%
for name, (_, beta, *_) in SHEETS.items():
    under_way = beta * 600e-9
    print(
        f"{name:18} {under_way / 1e6:.2f} MB under way: {under_way / 4:9,.0f} reads of 4 bytes, or {under_way / 16:8,.0f} of 16 bytes"
    )

# %% [markdown]
# Memory comes in tiers: registers of a thread; **shared memory** of a block of threads, some 100 KB; a cache for all; and the card's main, or *global*,
# memory. A **kernel** is what one thread does. Threads of a block run at once and in no certain order; `__syncthreads()` is a barrier that
# none passes before all have come to it.
#
# That can be played in Python. A thread is a generator, `yield` is its barrier, and `launch` lets the threads of a block run to the barrier
# one by one. The kernel is the blocked product once more: each thread fetches one number of each tile, all wait, all use the whole tile.

# %%
TILE = 4


class GlobalMemory:
    """A matrix that counts how often it is read; 0 outside."""

    def __init__(self, array):
        self.array, self.reads = array, 0

    def __getitem__(self, at):
        self.reads += 1
        return self.array[at] if at[0] < self.array.shape[0] and at[1] < self.array.shape[1] else 0.0


def simple_kernel(block, thread, shared, a, b, c):
    """A thread for each element of c = a b."""
    row, column = block[0] * TILE + thread[0], block[1] * TILE + thread[1]
    if row < c.shape[0] and column < c.shape[1]:
        c[row, column] = sum(a[row, k] * b[k, column] for k in range(a.array.shape[1]))
    yield


def tiled_kernel(block, thread, shared, a, b, c):
    """The same; but a block fetches a tile of a and one of b together, and each of its threads uses both whole."""
    y, x = thread
    row, column = block[0] * TILE + y, block[1] * TILE + x
    total = 0.0
    for start in range(0, a.array.shape[1], TILE):
        shared["a"][y, x] = a[row, start + x]
        shared["b"][y, x] = b[start + y, column]
        yield  # all of the tile must be there before it is used
        for k in range(TILE):
            total += shared["a"][y, k] * shared["b"][k, x]
        yield  # and all must have used it before it is overwritten
    if row < c.shape[0] and column < c.shape[1]:
        c[row, column] = total


# %%
def launch(kernel, a, b, barriers=True):
    """c = a b by a kernel: block after block, in each the threads from barrier to barrier. Returns c and the reads."""
    a, b = GlobalMemory(a), GlobalMemory(b)
    c = np.zeros((a.array.shape[0], b.array.shape[1]))
    grid = [-(-size // TILE) for size in c.shape]  # rounded up: the last blocks hang over the edge
    for block in np.ndindex(*grid):
        shared = {name: np.zeros((TILE, TILE)) for name in "ab"}
        waiting = [kernel(block, thread, shared, a, b, c) for thread in np.ndindex(TILE, TILE)]
        while waiting:
            if barriers:
                waiting = [thread for thread in waiting if next(thread, "done") != "done"]
            else:
                list(waiting.pop(0))  # a thread runs through, and waits for nobody
    return c, a.reads + b.reads


a, b = rng.normal(size=(12, 16)), rng.normal(size=(16, 12))
for kernel in (simple_kernel, tiled_kernel):
    c, reads = launch(kernel, a, b)
    np.testing.assert_allclose(c, a @ b, atol=1e-12)
    print(f"{kernel.__name__}: equal to a @ b, with {reads:,} reads of global memory")
ragged = rng.normal(size=(5, 7)), rng.normal(size=(7, 6))
np.testing.assert_allclose(launch(tiled_kernel, *ragged)[0], ragged[0] @ ragged[1], atol=1e-12)
simple_reads, tiled_reads = (launch(kernel, a, b)[1] for kernel in (simple_kernel, tiled_kernel))
say(
    f"A tile of {TILE} × {TILE} saves a factor of **{simple_reads / tiled_reads:.0f}**: each number fetched is used {TILE} times."
)

# %% [markdown]
# Which thread fetches which number matters, too. Threads come in warps of 32, and memory in pieces of 32 bytes. If neighbouring threads fetch
# neighbouring numbers, the warp's reads fall into few pieces (they are *coalesced*). In `b[k, column]`, the column goes with the thread.

# %%
thread, n = np.arange(32), 1024
for name, address in {"b[k, column + thread]": thread, "b[row + thread, k]": thread * n}.items():
    pieces = len(np.unique(address * 4 // 32))
    print(f"{name:22} {pieces:2} pieces of 32 bytes for 32 float32, {32 * 4 / (pieces * 32):6.1%} of them wanted")

# %% [markdown]
# ## A kernel in CUDA C++, with and without a GPU
#
# `tiled_kernel` in CUDA C++, line by line. Its threads are the hardware's, `__shared__` is the block's memory, `__syncthreads()` the barrier. minillm
# compiles such a kernel for a GPU when it is first launched. Or, with `MINILLM_CUDASIM=1`, for the processor, by g++: then each thread of a block is a
# *fiber*, which runs to the next barrier and hands over, just as our generators did. So the kernel can be checked on any Linux with g++ and
# `pip install -e ".[cudasim]"`. Where one of them is missing, these cells say so and the chapter goes on.
#
# Who has an NVIDIA GPU installs `.[gpu-cuda13]` (or `gpu-cuda12`, whichever `nvidia-smi` shows) and starts JupyterLab with `MINILLM_CUDASIM=0`: the
# same cells run on it then.

# %%
import os
import tempfile
from pathlib import Path

from minillm.errors import ConfigError

os.environ.setdefault("MINILLM_CUDASIM", "1")
sources = tempfile.TemporaryDirectory()


def saved(name, source):
    """Write a kernel's source to a file; what to call it at its launch."""
    path = Path(sources.name) / name
    path.with_suffix(".cu").write_text('#include "common.cuh"\n' + source)
    return str(path)


def if_possible(work, *arguments):
    """work(*arguments); where something that a GPU or the emulator needs is missing, a line that says what."""
    try:
        return work(*arguments)
    except (ConfigError, ImportError) as error:
        print("not run here:", str(error).splitlines()[0])


# %%
TILED = r"""
constexpr int TILE = 16;
extern "C" __global__ void tiled(const float* a, const float* b, float* c, int rows, int inner, int columns) {
  __shared__ float tile_a[TILE][TILE], tile_b[TILE][TILE];
  const int y = threadIdx.y, x = threadIdx.x;
  const int row = blockIdx.y * TILE + y, column = blockIdx.x * TILE + x;
  float total = 0;
  for (int start = 0; start < inner; start += TILE) {
    tile_a[y][x] = row < rows && start + x < inner ? a[row * inner + start + x] : 0;
    tile_b[y][x] = start + y < inner && column < columns ? b[(start + y) * columns + column] : 0;
    __syncthreads();
    for (int k = 0; k < TILE; ++k) total += tile_a[y][k] * tile_b[k][x];
    __syncthreads();
  }
  if (row < rows && column < columns) c[row * columns + column] = total;
}
"""

# %% [markdown]
# A launch names the file, the kernel, how many blocks there are and how many threads each has, then the kernel's arguments. Arrays are the GPU's;
# `asarray` copies there, `get` copies back.


# %%
def product_by_kernel(a, b):
    """a b by the kernel above, in float32."""
    from minillm.cuda.driver import array_module
    from minillm.cuda.launch import launch as launch_kernel

    xp = array_module()  # CuPy, or what stands for it
    (rows, inner), columns = a.shape, b.shape[1]
    c, sizes = xp.empty((rows, columns), np.float32), map(np.int32, (rows, inner, columns))
    grid = -(-columns // 16), -(-rows // 16)
    launch_kernel(saved("tiled", TILED), "tiled", grid, (16, 16), xp.asarray(a), xp.asarray(b), c, *sizes)
    print(f"{grid[0]} x {grid[1]} blocks of 16 x 16 threads")
    return c.get()


a, b = rng.normal(size=(50, 70)).astype(np.float32), rng.normal(size=(70, 30)).astype(np.float32)
c = if_possible(product_by_kernel, a, b)
if c is not None:
    np.testing.assert_allclose(c, a.astype(float) @ b, atol=1e-4)
    print("equal to a @ b, but for float32's rounding")

# %% [markdown]
# ## Softmax on a GPU: count the bytes
#
# minillm has softmax for GPUs in three ways. Backend **cupy** runs the formula as it is, but with the functions of CuPy, each a kernel of its own.
# **numba_cuda** is a kernel in Python: a block for each row, which reads it three times and writes the result. **cuda** is a kernel in CUDA C++, which
# finds maximum and sum in one read by the recurrence above, and keeps the row in registers until it writes the result. [gpu.md](../docs/gpu.md) goes
# through their lines.
#
# What the formula moves needn't be guessed: an array that counts for itself tells.


# %%
class Counted(np.ndarray):
    """A NumPy array that writes down what each function reads and writes."""

    calls = []

    def __array_ufunc__(self, function, method, *inputs, **options):
        options.pop("out", None)
        result = np.asarray(getattr(function, method)(*[np.asarray(x) for x in inputs], **options))
        read = sum(x.nbytes for x in inputs if isinstance(x, np.ndarray))
        Counted.calls.append((f"{function.__name__}, {method}".replace(", __call__", ""), read, result.nbytes))
        return result.view(Counted)


scores = np.random.default_rng(0).normal(size=(64, 1024)).astype(np.float32)
Counted.calls.clear()
ml.ops.softmax.reference.forward(np, scores.view(Counted))
for name, read, written in Counted.calls:
    print(f"{name:16} reads {read / scores.size:5.2f}, writes {written / scores.size:5.2f} bytes an element")
formula = sum(read + written for _, read, written in Counted.calls) / scores.size

# %%
moved = {
    "cupy: call by call": (formula, f"{len(Counted.calls)} or more"),
    "numba_cuda: three reads": (4 * 3 + 4, "1"),
    "cuda: one read": (4 + 4, "1"),
    "cuda, bfloat16": (2 + 2, "1"),
}
for name, (count, launches) in moved.items():
    print(f"{name:24} {count:5.1f} bytes an element, {formula / count:4.1f} times fewer; launches: {launches}")
say(
    f"Bound by memory, one read can't be more than **{formula / 8:.0f}** times as fast as the formula on the same GPU, unless a cache helps one of them."
)

# %% [markdown]
# **No time stands here, because none has been measured on a GPU yet.** `python -m benchmarks.gpu` measures them, where there is one, and writes a
# report with the GPU's name and limits.
#
# What can be shown anywhere is that all three compute the formula. `agree` compares each of them with the formula in float64, on the op's own cases, forward and
# backward. (numba_cuda runs in numba's own simulator, which has a Python thread for each of the GPU's, and takes some seconds.)

# %%
import sys


def agreement(backend):
    """On how many of the op's cases a backend gives the formula's numbers, and how many its own kernel computed."""
    ran = list(ml.testing.agree(ml.ops.softmax, backend).values())
    return f"{len(ran)} cases, {ran.count(backend)} of them by a kernel of its own"


interval = sys.getswitchinterval()
sys.setswitchinterval(1e-4)  # the simulator's threads hand over more often: less waiting
for backend in ("cupy", "numba_cuda", "cuda"):
    if found := if_possible(agreement, backend):
        print(f"{backend:10} agrees on {found}")
sys.setswitchinterval(interval)

# %% [markdown]
# ## Joules a token
#
# "Green AI" is a goal; a joule is something to count (Schwartz et al. 2020 ask for operations to be reported beside results, for the same reason).
# Energy is power times time, and time is the roofline's. What is **assumed**: the device takes its full rated power all the time; it reaches the
# roof when it writes, and 40 % of its arithmetic when it trains; cooling and the rest of the building add 20 %. Real figures lie on both sides.

# %%
OVERHEAD, REACHED = 1.2, 0.4
seven_billion = GPTConfig(32_000, 4096, 32, 32, d_model=4096, d_ff=16_384)
models = {"GPT-2, 124M": gpt2, "a GPT of 7 billion": seven_billion}
watts, beta, single, half = SHEETS["H100 SXM (2022)"]
joules = {}
print("on an H100, with 1,024 tokens of context            joules a token")
for model, config in models.items():
    for weights, size, pi_of in (("float32", 4, single), ("bfloat16", 2, half), ("int8", 1, half)):
        for texts in (1, 64):  # int8 is assumed to be multiplied in 16 bits
            F, B = token_work(config, texts, size, 1024)
            joules[model, weights, texts] = OVERHEAD * watts * max(F / pi_of, B / beta) / texts
            print(f"{model:20} {weights:9} texts at once: {texts:2} {joules[model, weights, texts]:18.5f}")
best, worst = joules["a GPT of 7 billion", "int8", 64], joules["a GPT of 7 billion", "float32", 1]
say(
    f"Between the first and the last way of writing with the larger model lies a factor of **{worst / best:.0f}**. The model is the same, but for rounding."
)

# %% [markdown]
# Training takes 6 operations for each weight and token (2 forward, 4 backward; chapter 10), and is bound by arithmetic.

# %%
for (model, config), tokens in zip(models.items(), (10e9, 140e9), strict=True):  # about 20 tokens or more a parameter
    seconds = 6 * counts.matrix_weights(config) * tokens / (REACHED * half)
    energy = OVERHEAD * watts * seconds
    written = energy / joules[model, "bfloat16", 64]
    print(
        f"{model:20} {tokens / 1e9:.0f} · 10⁹ tokens: {seconds / 86400:8.2f} days of one H100, {energy / 3.6e6:10,.1f} kWh, as much as writing {written:.1e} tokens"
    )

# %% [markdown]
# Why moving less is what helps: in a 45 nm process, a float32 multiplication and addition took 3.7 + 0.9 pJ, and 8 bytes from memory 1.3 to 2.6 nJ (Horowitz
# 2014). With these figures, and 1.95 nJ as the middle, what one token of the 124M model costs:

# %%
for name, size in {"float32": 4, "bfloat16": 2, "int8": 1}.items():
    F, B = token_work(gpt2, 1, size, 1024)
    arithmetic, moving = F / 2 * 4.6e-12, B / 8 * 1.95e-9
    print(
        f"{name:9} arithmetic at most {arithmetic * 1e3:5.2f} mJ, memory {moving * 1e3:6.2f} mJ: {moving / (moving + arithmetic):.0%} is moving"
    )

# %% [markdown]
# ## What breaks if
#
# **... numbers leave float16's range.** Its largest number is 65,504. A sum of squares, as in a norm, gets there soon; a small gradient is
# lost at the other end (which is why training in float16 multiplies its loss by a large number, and training in bfloat16 needn't).

# %%
hidden, gradient = np.array([300.0, -20.0, 5.0]), np.array([2e-8, 1e-9])
with np.errstate(over="ignore"):
    for name, rounded in {
        "float16": lambda x: x.astype(np.float16),
        "bfloat16": to_bfloat16,
        "float32": lambda x: x.astype(np.float32),
    }.items():
        x = rounded(hidden)
        normed = rounded(x / rounded(np.sqrt(rounded((rounded(x * x)).mean()))))
        print(
            f"{name:9} x / √mean x² = {np.array(normed, float).round(4)}, gradient {np.array(rounded(gradient), float)}"
        )

# %% [markdown]
# **... sums are kept in bfloat16.** Products of bfloat16 numbers are fine, if they are *summed* in float32, as matrix units usually do. A running sum in bfloat16
# stops growing: with 8 bits, the number after 256 is 258, and $256 + 1$ is rounded back (a tie, to even).

# %%
total, sums = np.float32(0), []
for _ in range(1000):
    total = to_bfloat16(total + np.float32(1))
    sums.append(float(total))
say(
    f"A thousand ones, summed in bfloat16: **{sums[-1]:.0f}**. The sum stood still from step {sums.index(sums[-1]) + 1} on."
)

# %% [markdown]
# **... a long sum is added up one by one.** In float32 the same happens later and less visibly: each addition rounds to 24 bits of a sum that
# has grown large, so the error can grow like $n u$, with $u = 2^{-24}$. NumPy's `sum` halves the numbers and adds the sums of both halves, to a depth of $\log_2
# n$ (Higham 1993), and so do kernels, whose vectors hold many sums at once. `cumsum` adds one by one:

# %%
sizes, errors = 10 ** np.arange(2, 8), {"one by one": [], "pairwise": []}
for size in sizes:
    numbers = np.random.default_rng(0).random(size, np.float32)
    truth = numbers.sum(dtype=np.float64)
    for name, got in (("one by one", np.cumsum(numbers)[-1]), ("pairwise", numbers.sum())):
        errors[name].append(abs(float(got) / truth - 1))
    print(
        f"n = {size:10,}: relative error one by one {errors['one by one'][-1]:.1e}, pairwise {errors['pairwise'][-1]:.1e}"
    )
    assert errors["pairwise"][-1] <= (np.log2(size) + 130) * 2**-24  # NumPy's pieces of 128 are added one by one

# %%
figure, axis = plt.subplots(figsize=(6, 3.4))
for (name, values), style in zip(errors.items(), ("o-", "s-"), strict=True):
    axis.loglog(sizes, np.maximum(values, 1e-10), style, label=name)
axis.loglog(sizes, sizes * 2.0**-24, "--", color="0.5", label="n u, what can't be exceeded")
axis.set(xlabel="n, numbers added up", ylabel="relative error")
axis.legend()
show(figure, "Rounding error of a float32 sum of n positive numbers, one by one and by halves.")

# %% [markdown]
# **... a block is too large for the cache.** Then each block pushes out the one that is needed next, and it is as if there were none. The cache from above,
# of 256 numbers, on all sizes of blocks; three blocks fit up to $b = 9$.

# %%
sizes = [1, 2, 4, 8, 16, 32]
counted = [misses(in_blocks(32, size), lines) for size in sizes]
predicted = [2 * 32**3 / size / 8 for size in sizes]
figure, axis = plt.subplots(figsize=(6, 3.4))
axis.loglog(sizes, counted, "o-", label="counted")
axis.loglog(sizes, predicted, "--", color="0.5", label="2 n³ / b, in lines")
axis.axvline(np.sqrt(lines * 8 / 3), color="tab:red", label="three blocks fill the cache")
axis.set(xlabel="b, rows and columns of a block", ylabel="lines fetched")
axis.set_xticks(sizes, sizes)
axis.minorticks_off()
axis.legend()
show(figure, "Lines fetched for a 32 × 32 product against the size of its blocks: least where three blocks just fit.")
say(
    f"Fewest at $b$ = **{sizes[int(np.argmin(counted))]}**: {min(counted):,} lines; one block of everything takes {counted[-1] / min(counted):.1f} times as many."
)

# %% [markdown]
# **... a barrier is left out.** Then a thread uses a tile that others haven't filled yet. On a GPU it may even be right, sometimes; here each thread runs
# through alone:

# %%
a, b = rng.normal(size=(12, 16)), rng.normal(size=(16, 12))
wrong, _ = launch(tiled_kernel, a, b, barriers=False)
say(
    f"Of {wrong.size} elements **{int((~np.isclose(wrong, a @ b)).sum())}** are wrong, by up to {abs(wrong - a @ b).max():.1f}. No error, no warning."
)

# %% [markdown]
# The same in CUDA C++: 64 threads add up 64 numbers by a tree. At each level the first half of the threads adds what the second half holds, and before
# it all must have written. `thread_order` has the emulator run the threads in turn by number (0) or backwards (1), with the first warp of 32 (2) or the
# last (3) ahead of the others, or shuffled (4 and up). A right kernel can't tell the difference.

# %%
TOTAL = r"""
extern "C" __global__ void total(const float* x, float* sum) {
  DYNAMIC_SHARED(float, partial);  // of the size that the launch gives; the emulator fills it with NaN
  const int t = threadIdx.x;
  partial[t] = x[t];
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) partial[t] += partial[t + half];
  }
  if (t == 0) *sum = partial[0];
}
"""


def in_every_order(name, source, numbers):
    """The kernel's sum of the numbers for orders 0 to 5 of the threads."""
    from minillm.cuda.driver import array_module
    from minillm.cuda.emulator import thread_order
    from minillm.cuda.launch import launch as launch_kernel

    xp, file, sums = array_module(), saved(name, source), []
    x, y = xp.asarray(numbers), xp.empty(1, np.float32)
    for order in range(6):
        with thread_order(order):
            launch_kernel(file, "total", 1, x.size, x, y, shared=x.nbytes)
        sums.append(float(y[0]))
    return sums


numbers = np.arange(64, dtype=np.float32)
print(f"{'their sum':17} {numbers.sum():.0f}")
for name, source in {"with_barrier": TOTAL, "without_barrier": TOTAL.replace("__syncthreads();", "")}.items():
    if sums := if_possible(in_every_order, name, source, numbers):
        print(f"{name:17}", *(f"{total:.0f}" for total in sums))

# %% [markdown]
# Backwards, the wrong kernel is right: the threads of the second half come first, and each finds what it adds. One run that comes out well shows
# nothing, then, and on a GPU nobody chooses the order. minillm's own kernels are tested in several orders, and must give the same bits in each.
# softmax, with rows of 1,500 numbers, which two warps share:


# %%
def softmax_bits(order):
    """The bits of the kernel's softmax, its threads in this order."""
    from minillm.cuda.emulator import thread_order

    with thread_order(order), ml.use_backend("cuda"), ml.no_grad():
        x = ml.Tensor(np.random.default_rng(0).normal(size=(5, 1500)).astype(np.float32))  # on the GPU
        return ml.ops.softmax(x).numpy().tobytes()


found = if_possible(lambda: {softmax_bits(order) for order in range(6)})
if found:
    print(f"6 orders, {len(found)} result{'s' if len(found) > 1 else ''}")

# %% [markdown]
# ## Exercises
#
# Replace the `...` by your own lines and run the cell. `hint("16.1")` gives a hint, and another when you call it again;
# `solution("16.1")` shows a solution.

# %% [markdown]
# **16.1** A linear layer's weight, `d_out` × `d_in`, has `bits` bits a number; its inputs and outputs are float32. The machine does `peak` operations and moves
# `bandwidth` bytes a second; each number is moved once. From how many rows of inputs on is the layer bound by arithmetic (equal times
# count as such)? Return the smallest number of rows, or `None` if no number is enough.


# %%
def rows_needed(d_in, d_out, bits, peak, bandwidth): ...


check("16.1", rows_needed)

# %% [markdown]
# **16.2** Keys and values of a long text lie on several machines. For one query, each has been through its own and reports `(m, l, mixed)`: its largest score
# $m$ (a number), $l = \sum e^{s - m}$, and $\sum e^{s - m} v$, an array `(d_v,)`. One with no keys reports `(-inf, 0.0, zeros)`. Merge the `parts`, a list, into the
# attention's output `(d_v,)`. At least one has keys. Scores may be in the thousands.


# %%
def merge(parts): ...


check("16.2", merge)

# %% [markdown]
# **16.3** Layer norm needs mean and variance, and the row comes in `pieces`, a list of arrays, some of them empty. Return the mean and the variance (the mean squared
# distance from the mean) of all numbers, as if you could see each piece only once and keep only three numbers between them. The numbers may be
# large and close together, such as $10^8 + 1$ and $10^8 + 2$. The checker sees the result and not the way.


# %%
def mean_and_variance(pieces): ...


check("16.3", mean_and_variance)

# %% [markdown]
# **16.4** Causal flash attention can leave out nearly half of its tiles. The scores, `queries` × `keys`, are cut into tiles of `rows` × `columns` (the last ones may be
# smaller). The last query stands beside the last key, and a query sees the keys up to its own place. Return, in order of $i$ and then $j$, a list of `(i, j, whole)`
# of the tiles in which anything is visible; `whole` is `True` where all of it is, so that it needs no mask. `keys >= queries`.


# %%
def causal_tiles(queries, keys, rows, columns): ...


check("16.4", causal_tiles)

# %% [markdown]
# **16.5** Weights of 4 bits. `weight` is `(rows, n)`; each `group` of neighbouring numbers in a row (`group` is even, and divides `n`) has a scale
# $s = \max|w|/7$, or 1 if all are 0. Each number becomes $\mathrm{round}(w/s) + 8$, between 1 and 15, and two neighbours share a byte, the first in its lower four bits.
# Return the bytes, `(rows, n // 2)` of `np.uint8`, and the scales, `(rows, n // group)`.


# %%
def to_int4(weight, group): ...


check("16.5", to_int4)
