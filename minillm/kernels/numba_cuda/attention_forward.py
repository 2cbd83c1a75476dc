"""Attention, forward, without the matrix of scores (Dao et al. 2022, algorithm 1).

A block has QUERIES queries of one head, a thread for each. Keys and values come by in tiles of KEYS rows; what a
thread remembers of the tiles that went by is their largest score m, the sum l and the output so far:

    m' = max(m, max_j s_j),   l' = exp(m − m') l + Σ_j exp(s_j − m'),   o' = exp(m − m') o + Σ_j exp(s_j − m') v_j

After the last tile, o / l is the output. That is softmax(s) V, since every term has the factor exp(−m) of the last m.
"""

import math

import numpy as np
from numba import cuda, float32

from minillm.kernels.numba_cuda.arrays import LOWEST
from minillm.kernels.numba_cuda.attention_tiles import dot, is_visible, load_tile
from minillm.kernels.numba_cuda.launch import HEAD_SIZE, KEYS, QUERIES

INFINITY = np.float32(math.inf)


@cuda.jit
def attention_rows(q, k, v, mask, reach, scale, o, log_sums):
    """[4.2.1] [4.2.2]  O = softmax(scale Q Kᵀ) V,  and each row's L = m + ln Σ_j exp(s_j − m) for backward.

    q: (batch, heads, queries, d_k);  k, v: (batch, kv_heads, keys, d_k or d_v);  o: (batch, heads, queries, d_v);
    log_sums: (batch, heads, queries).  Query i sees the keys j ≤ i + reach for which the mask is True (is_visible).
    """
    k_tile = cuda.shared.array((KEYS, HEAD_SIZE), float32)
    v_tile = cuda.shared.array((KEYS, HEAD_SIZE), float32)
    # Local memory: a thread's own, but off the chip (an array indexed by a variable has no place in registers). In it
    # are the thread's query, its output so far, its scores of a tile.
    q_i = cuda.local.array(HEAD_SIZE, float32)
    o_i = cuda.local.array(HEAD_SIZE, float32)
    s = cuda.local.array(KEYS, float32)
    batch, head = cuda.blockIdx.z, cuda.blockIdx.y
    kv_head = head // (q.shape[1] // k.shape[1])  # groups of query heads share keys and values
    i = cuda.blockIdx.x * QUERIES + cuda.threadIdx.x
    queries, keys = q.shape[2], k.shape[2]
    d_k, d_v = k.shape[3], v.shape[3]

    if i < queries:
        for c in range(d_k):
            q_i[c] = q[batch, head, i, c]
    for c in range(d_v):
        o_i[c] = float32(0)
    m = LOWEST  # not −inf: where all keys so far are hidden, exp(m − m') would be exp(−inf − −inf), NaN
    total = float32(0)

    # No query of this block sees further than its last one: tiles beyond are left out.
    seen = min(keys, (cuda.blockIdx.x + 1) * QUERIES + reach)
    for start in range(0, seen, KEYS):
        load_tile(k_tile, k[batch, kv_head], start, QUERIES)
        load_tile(v_tile, v[batch, kv_head], start, QUERIES)
        cuda.syncthreads()  # both tiles are whole
        count = min(KEYS, keys - start)  # keys of this tile

        if i < queries:
            # s_j = scale q_i · k_j, or −inf where i may not look;  m' = max(m, max_j s_j)
            new_m = m
            for j in range(count):
                s[j] = -INFINITY
                if is_visible(mask, batch, head, i, start + j, reach):
                    s[j] = dot(q_i, k_tile[j], d_k) * scale
                new_m = max(new_m, s[j])

            # l' = exp(m − m') l + ...,  o' = exp(m − m') o + ...
            rescale = math.exp(m - new_m)
            total *= rescale
            for c in range(d_v):
                o_i[c] *= rescale
            m = new_m

            # ... Σ_j exp(s_j − m'),  Σ_j exp(s_j − m') v_j;  a hidden key's value isn't read, for it may be NaN
            for j in range(count):
                if s[j] != -INFINITY:
                    weight = math.exp(s[j] - m)
                    total += weight
                    for c in range(d_v):
                        o_i[c] += weight * v_tile[j, c]
        cuda.syncthreads()  # all have used the tiles: the next may take their place

    # O_i = o / l,  L_i = m + ln l.  A query that saw nothing gets zeros; its L is never asked for, but no NaN either.
    if i < queries:
        seen_any = total != 0
        for c in range(d_v):
            o[batch, head, i, c] = o_i[c] / total if seen_any else float32(0)
        log_sums[batch, head, i] = m + math.log(total) if seen_any else float32(0)
