"""Scaled dot-product attention (Vaswani et al. 2017, equation 1): self, cross, causal, masked, grouped heads."""

import math

import numpy as np

from minillm.errors import ShapeError
from minillm.ops.dropout import keep_mask
from minillm.ops.softmax import softmax, softmax_backward
from minillm.registry import Case, ErrorCase, op


def attention_cases(rng):
    def qkv(batch, heads, kv_heads, queries, keys, d_k, d_v):
        return (
            rng.normal(size=(batch, heads, queries, d_k)),
            rng.normal(size=(batch, kv_heads, keys, d_k)),
            rng.normal(size=(batch, kv_heads, keys, d_v)),
        )

    yield Case(qkv(2, 2, 2, 4, 4, 3, 3), note="self-attention")
    yield Case(qkv(2, 2, 2, 4, 4, 3, 3), {"causal": True}, note="causal")
    yield Case(qkv(1, 2, 2, 3, 5, 4, 2), note="cross-attention, values of another width")
    yield Case(qkv(1, 2, 2, 2, 5, 4, 4), {"causal": True}, note="causal, with three keys from a cache")
    yield Case(qkv(2, 4, 2, 3, 3, 2, 2), {"causal": True}, note="grouped heads: two queries share a key")
    yield Case(qkv(1, 1, 1, 1, 1, 1, 1), {"scale": 0.5}, note="one of everything")
    yield Case(qkv(1, 2, 2, 0, 3, 4, 4), note="no queries")
    padding = np.array([[True, True, False], [True, False, False]])[:, None, None, :]
    yield Case((*qkv(2, 2, 2, 3, 3, 4, 4), padding), {"causal": True}, note="causal and padding")
    yield Case((*qkv(2, 2, 1, 4, 3, 4, 4), rng.random((2, 2, 4, 3)) < 0.5), note="any boolean mask")
    yield Case((*qkv(1, 1, 1, 2, 3, 4, 4), np.zeros((2, 3), bool)), note="everything masked")
    yield Case(qkv(2, 2, 2, 4, 4, 3, 3), {"causal": True, "dropout": 0.4, "key": (7, 1)}, note="dropout")
    q, k, v = (x.transpose(0, 2, 1, 3) for x in qkv(2, 4, 4, 3, 3, 2, 2))
    yield Case((q, k, v), note="not contiguous")


def attention_errors(rng):
    q = np.zeros((2, 4, 3, 8))
    yield ErrorCase((q, np.zeros((2, 4, 3, 6)), q), ShapeError, r"d_k, .* \(2, 4, 3, 8\) and \(2, 4, 3, 6\)")
    yield ErrorCase((q, q, np.zeros((2, 4, 5, 8))), ShapeError, r"3 keys but 5 values")
    yield ErrorCase((q, np.zeros((2, 3, 3, 8)), np.zeros((2, 3, 3, 8))), ShapeError, r"4 query heads .* 3 key heads")
    yield ErrorCase((q, q, q, np.ones((2, 3))), ShapeError, r"mask must be boolean")
    yield ErrorCase((q, q, q, np.ones((5, 3), bool)), ShapeError, r"mask of shape \(5, 3\) .* \(2, 4, 3, 3\)")
    yield ErrorCase((q, q[:, :, :2], q[:, :, :2]), ShapeError, r"3 queries .* 2 keys", {"causal": True})
    yield ErrorCase((q[0], q[0], q[0]), ShapeError, r"\(batch, heads, time, d_head\)")


@op(cases=attention_cases, errors=attention_errors)
def attention(xp, q, k, v, mask=None, *, causal=False, scale=None, dropout=0.0, key=None):
    """Attention.  [4.2.1] [4.2.2]  Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V

    q: (batch, heads, queries, d_k);  k: (batch, kv_heads, keys, d_k);  v: (batch, kv_heads, keys, d_v);
    returns (batch, heads, queries, d_v). With fewer kv_heads, groups of query heads share one (Ainslie et al. 2023).
    mask: booleans, broadcast to (batch, heads, queries, keys), True where a query may look; causal: query i sees the
    keys up to its own place, the last query standing beside the last key. A hidden key's values, even NaN, change
    nothing; a query that may look nowhere gets zeros. scale: instead of 1/√d_k. dropout: of the weights, with `key`.
    """
    check_attention(q, k, v, mask, causal)
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat(groups, axis=1) if groups > 1 else x for x in (k, v))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale

    scores = (q @ k.swapaxes(-1, -2)) * scale
    visible = visible_keys(xp, scores.shape, mask, causal)
    if visible is not None:
        scores = xp.where(visible, scores, scores.dtype.type(-math.inf))
    p, _ = softmax.reference.forward(xp, scores)
    keep = keep_mask(xp, p.shape, dropout, key).astype(p.dtype) * (1 / (1 - dropout)) if dropout else None
    return _weighted_sum(xp, p if keep is None else p * keep, v), (q, k, v, p, keep, visible, scale, groups)


@attention.backward
def attention_backward(xp, do, saved):
    """With S = Q Kᵀ / √d_k, P = softmax(S), O = P V:

    dV = Pᵀ dO,  dP = dO Vᵀ,  dS = P ∘ (dP − Σ_j dP_j P_j),  dQ = dS K / √d_k,  dK = dSᵀ Q / √d_k
    """
    q, k, v, p, keep, visible, scale, groups = saved
    dv = (p if keep is None else p * keep).swapaxes(-1, -2) @ do
    dp = do @ v.swapaxes(-1, -2)
    if visible is not None:
        dp = xp.where(visible, dp, xp.zeros((), dp.dtype))
    if keep is not None:
        dp = dp * keep
    (ds,) = softmax_backward(xp, dp, (p, -1))
    ds *= scale
    dq = _weighted_sum(xp, ds, k)
    dk = ds.swapaxes(-1, -2) @ q
    return dq, _sum_groups(dk, groups), _sum_groups(dv, groups), None


def visible_keys(xp, shape, mask, causal):
    """Which keys each query may look at, (..., queries, keys), or None if all: mask ∧ (key j ≤ query i)."""
    queries, keys = shape[-2:]
    if not causal:
        return mask
    past = xp.tril(xp.ones((queries, keys), bool), keys - queries)
    return past if mask is None else past & mask


def _weighted_sum(xp, weights, rows):
    """Σ_j w_ij r_j, in which 0 · NaN counts as 0: what a masked key holds can't reach the result."""
    finite = xp.isfinite(rows)
    if finite.all():
        return weights @ rows
    total = weights @ xp.where(finite, rows, xp.zeros((), rows.dtype))
    touched = (weights != 0).astype(rows.dtype) @ (~finite).astype(rows.dtype) > 0
    return xp.where(touched, rows.dtype.type(math.nan), total)


def _sum_groups(dx, groups):
    if groups == 1:
        return dx
    batch, heads, keys, d = dx.shape
    return dx.reshape(batch, heads // groups, groups, keys, d).sum(2)


def check_attention(q, k, v, mask, causal):
    if not q.ndim == k.ndim == v.ndim == 4:
        raise ShapeError(
            "attention: queries, keys and values must be (batch, heads, time, d_head); "
            f"got {q.shape}, {k.shape}, {v.shape}"
        )
    if q.shape[-1] != k.shape[-1]:
        raise ShapeError(f"attention: queries and keys must have one d_k, their last size; got {q.shape} and {k.shape}")
    if k.shape[2] != v.shape[2] or k.shape[1] != v.shape[1]:
        raise ShapeError(f"attention: {k.shape[2]} keys but {v.shape[2]} values, from {k.shape} and {v.shape}")
    if not k.shape[1] or q.shape[1] % k.shape[1]:
        raise ShapeError(f"attention: {q.shape[1]} query heads can't share {k.shape[1]} key heads evenly")
    if causal and q.shape[2] > k.shape[2]:
        raise ShapeError(
            f"attention: causal with {q.shape[2]} queries needs as many keys, but there are {k.shape[2]} keys"
        )
    _check_mask(mask, (*q.shape[:3], k.shape[2]))


def _check_mask(mask, scores):
    if mask is None:
        return
    if mask.dtype != bool:
        raise ShapeError(f"attention: the mask must be boolean, True where a query may look; this one is {mask.dtype}")
    try:
        fits = np.broadcast_shapes(mask.shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"attention: a mask of shape {mask.shape} doesn't broadcast to {scores}, (batch, heads, queries, keys)"
        )
