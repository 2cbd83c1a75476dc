"""Attention, backward, without the matrix of scores (Dao et al. 2022, algorithm 4).

P is computed anew, tile by tile, from Q, K and each row's L:  P_ij = exp(S_ij − L_i),  S = scale Q Kᵀ.  Then

    D_i = Σ_c dO_ic O_ic           (which is Σ_j P_ij dP_ij, without the row of P)
    dP_ij = dO_i · V_j,            dS_ij = scale P_ij (dP_ij − D_i)
    dQ_i = Σ_j dS_ij K_j           attention_dq: a thread for each query, key tiles come by
    dK_j = Σ_i dS_ij Q_i,  dV_j = Σ_i P_ij dO_i    attention_dk_dv: a thread for each key, query tiles come by

Two kernels, because sums over keys and over queries can't both stay in one thread; so nothing is added by two.
"""

import math

from numba import cuda, float32

from minillm.kernels.numba_cuda.attention_tiles import dot, is_visible, load_tile
from minillm.kernels.numba_cuda.launch import HEAD_SIZE, KEYS, QUERIES


@cuda.jit
def attention_deltas(o, do, deltas):
    """D_i = Σ_c dO_ic O_ic.  o, do: (rows, d_v);  deltas: (rows,), a thread for each"""
    row = cuda.grid(1)
    if row < deltas.size:
        deltas[row] = dot(o[row], do[row], o.shape[1])


@cuda.jit
def attention_dq(q, k, v, mask, reach, scale, log_sums, deltas, do, dq):
    """dQ_i = Σ_j dS_ij K_j.  Shapes and blocks as in attention_rows;  deltas: (batch, heads, queries)"""
    k_tile = cuda.shared.array((KEYS, HEAD_SIZE), float32)
    v_tile = cuda.shared.array((KEYS, HEAD_SIZE), float32)
    q_i = cuda.local.array(HEAD_SIZE, float32)
    do_i = cuda.local.array(HEAD_SIZE, float32)
    dq_i = cuda.local.array(HEAD_SIZE, float32)
    batch, head = cuda.blockIdx.z, cuda.blockIdx.y
    kv_head = head // (q.shape[1] // k.shape[1])
    i = cuda.blockIdx.x * QUERIES + cuda.threadIdx.x
    queries, keys = q.shape[2], k.shape[2]
    d_k, d_v = k.shape[3], v.shape[3]

    if i < queries:
        for c in range(d_k):
            q_i[c] = q[batch, head, i, c]
            dq_i[c] = float32(0)
        for c in range(d_v):
            do_i[c] = do[batch, head, i, c]

    seen = min(keys, (cuda.blockIdx.x + 1) * QUERIES + reach)
    for start in range(0, seen, KEYS):
        load_tile(k_tile, k[batch, kv_head], start, QUERIES)
        load_tile(v_tile, v[batch, kv_head], start, QUERIES)
        cuda.syncthreads()  # both tiles are whole
        if i < queries:
            for j in range(min(KEYS, keys - start)):
                if is_visible(mask, batch, head, i, start + j, reach):
                    # P_ij = exp(S_ij − L_i);  dS_ij = scale P_ij (dO_i · V_j − D_i)
                    p = math.exp(dot(q_i, k_tile[j], d_k) * scale - log_sums[batch, head, i])
                    ds = scale * p * (dot(do_i, v_tile[j], d_v) - deltas[batch, head, i])
                    for c in range(d_k):
                        dq_i[c] += ds * k_tile[j, c]
        cuda.syncthreads()  # all have used the tiles

    if i < queries:
        for c in range(d_k):
            dq[batch, head, i, c] = dq_i[c]


@cuda.jit
def attention_dk_dv(q, k, v, mask, reach, scale, log_sums, deltas, do, dk, dv):
    """dK_j = Σ_i dS_ij Q_i,  dV_j = Σ_i P_ij dO_i, over the queries of all heads that share key j.

    A block has KEYS keys of one key head, a thread for each.
    """
    q_tile = cuda.shared.array((QUERIES, HEAD_SIZE), float32)
    do_tile = cuda.shared.array((QUERIES, HEAD_SIZE), float32)
    k_j = cuda.local.array(HEAD_SIZE, float32)
    v_j = cuda.local.array(HEAD_SIZE, float32)
    dk_j = cuda.local.array(HEAD_SIZE, float32)
    dv_j = cuda.local.array(HEAD_SIZE, float32)
    batch, kv_head = cuda.blockIdx.z, cuda.blockIdx.y
    group = q.shape[1] // k.shape[1]
    j = cuda.blockIdx.x * KEYS + cuda.threadIdx.x
    queries, keys = q.shape[2], k.shape[2]
    d_k, d_v = k.shape[3], v.shape[3]

    if j < keys:
        for c in range(d_k):
            k_j[c] = k[batch, kv_head, j, c]
            dk_j[c] = float32(0)
        for c in range(d_v):
            v_j[c] = v[batch, kv_head, j, c]
            dv_j[c] = float32(0)

    # The first query that sees this block's first key; tiles before it are left out.
    first = max(0, cuda.blockIdx.x * KEYS - reach) // QUERIES * QUERIES
    for head in range(kv_head * group, (kv_head + 1) * group):
        for start in range(first, queries, QUERIES):
            load_tile(q_tile, q[batch, head], start, KEYS)
            load_tile(do_tile, do[batch, head], start, KEYS)
            cuda.syncthreads()  # both tiles are whole
            if j < keys:
                for r in range(min(QUERIES, queries - start)):
                    i = start + r
                    if is_visible(mask, batch, head, i, j, reach):
                        # P_ij = exp(S_ij − L_i);  dV_j += P_ij dO_i
                        p = math.exp(dot(q_tile[r], k_j, d_k) * scale - log_sums[batch, head, i])
                        for c in range(d_v):
                            dv_j[c] += p * do_tile[r, c]
                        # dS_ij = scale P_ij (dO_i · V_j − D_i);  dK_j += dS_ij Q_i
                        ds = scale * p * (dot(do_tile[r], v_j, d_v) - deltas[batch, head, i])
                        for c in range(d_k):
                            dk_j[c] += ds * q_tile[r, c]
            cuda.syncthreads()  # all have used the tiles

    if j < keys:
        for c in range(d_k):
            dk[batch, kv_head, j, c] = dk_j[c]
        for c in range(d_v):
            dv[batch, kv_head, j, c] = dv_j[c]
