"""Attention's kernels and formula side by side, and how far apart they may be."""

import ml_dtypes
import numpy as np

from minillm import ops
from minillm.backend import on_cpu
from minillm.cuda.driver import array_module
from minillm.cuda.emulator import runtime
from minillm.ops.attention import visible_keys
from minillm.ops.dropout import keep_mask

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
U = 2.0**-8  # what rounding to bfloat16 changes at most, relatively
NAMES = ("o", "dq", "dk", "dv")
OVERRIDE, REFERENCE = ops.attention.overrides["cuda"], ops.attention.reference
xp = array_module()


def inputs(rng, dtype, batch, heads, kv_heads, queries, keys, d_k, d_v=None):
    """q, k, v, do in (batch, time, heads, d) order, as the model makes them."""

    def heads_of(n, time, d):
        return rng.normal(size=(batch, time, n, d)).astype(dtype).transpose(0, 2, 1, 3)

    d_v = d_k if d_v is None else d_v
    sizes = [(heads, queries, d_k), (kv_heads, keys, d_k), (kv_heads, keys, d_v), (heads, queries, d_v)]
    return tuple(heads_of(*size) for size in sizes)


def fast(q, k, v, do, mask=None, **options):
    """Output and gradients of the kernels, as NumPy arrays; the CPU waits for none of them."""
    q, k, v, do = (xp.asarray(x) for x in (q, k, v, do))
    mask = None if mask is None else xp.asarray(mask)
    with runtime.forbid_waiting():
        o, saved = OVERRIDE.forward(xp, q, k, v, mask, **options)
        results = [o, *OVERRIDE.backward(xp, do, saved)[:3]]
    assert all(x.dtype == q.dtype for x in results)
    return [on_cpu(x) for x in results]


def formula(dtype, q, k, v, do, mask=None, **options):
    """Output and gradients of the op's formula in `dtype`."""
    q, k, v, do = (x.astype(dtype) for x in (q, k, v, do))
    o, saved = REFERENCE.forward(np, q, k, v, mask, **options)
    return [o, *REFERENCE.backward(np, do, saved)[:3]]


def rounding_errors(q, k, v, do, mask=None, *, causal=False, scale=None, dropout=0.0, key=None):
    """How far o, dq, dk, dv may be from the formula's, number by number.

    In bfloat16 are: the weights, P F with dropout's factors F, and dS, before they multiply V, dO, K, Q; the output,
    here and where D = Σ dO O reads it; the gradients. Each rounding changes a number by at most U of it.
    """
    q, k, v, do = (x.astype(np.float64) for x in (q, k, v, do))
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat(groups, axis=1) for x in (k, v))
    scale = 1 / np.sqrt(q.shape[-1]) if scale is None else scale
    scores = q @ k.swapaxes(-1, -2) * scale
    visible = visible_keys(np, scores.shape, mask, causal)
    p, _ = ops.softmax.reference.forward(np, scores if visible is None else np.where(visible, scores, -np.inf))
    factors = keep_mask(np, p.shape, dropout, key) / (1 - dropout) if dropout else 1.0
    dp = do @ v.swapaxes(-1, -2) * factors
    ds = p * (dp - (p * dp).sum(-1, keepdims=True))
    dropped = p * factors
    of_o = U * (dropped @ np.abs(v) + np.abs(dropped @ v))
    of_ds = U * np.abs(ds) + p * (np.abs(do) * of_o).sum(-1, keepdims=True)

    def of_keys(weights, rows):
        product = weights.swapaxes(-1, -2) @ rows
        return product.reshape(q.shape[0], q.shape[1] // groups, groups, *product.shape[2:]).sum(2)

    of_dq = abs(scale) * (of_ds @ np.abs(k) + U * np.abs(ds @ k))
    of_dk = abs(scale) * (of_keys(of_ds, np.abs(q)) + U * np.abs(of_keys(ds, q)))
    of_dv = U * (of_keys(dropped, np.abs(do)) + np.abs(of_keys(dropped, do)))
    return [of_o, of_dq, of_dk, of_dv]


def assert_close(arrays, mask=None, **options):
    """bfloat16: within the roundings there must be; float32: within twice the float32 formula's error and a little."""
    exact, actual = formula(np.float64, *arrays, mask, **options), fast(*arrays, mask, **options)
    if arrays[0].dtype == BFLOAT16:
        allowed = [1.02 * x + 1e-5 for x in rounding_errors(*arrays, mask, **options)]  # products of errors, float32
    else:
        plain = formula(np.float32, *arrays, mask, **options)
        little = [16 * np.finfo(np.float32).eps * max(1, np.abs(x).max(initial=0)) for x in exact]
        allowed = [2 * np.abs(p - e).max(initial=0) + x for p, e, x in zip(plain, exact, little, strict=True)]
    for name, truth, result, most in zip(NAMES, exact, actual, allowed, strict=True):
        assert result.shape == truth.shape
        error = np.abs(result.astype(np.float64) - truth)
        assert (error <= most).all(), f"{name}: {np.max(error):.3g}, {[x.shape for x in arrays]}, {options}"
