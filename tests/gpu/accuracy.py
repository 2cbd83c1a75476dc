"""A kernel's results and gradients held against the reference in float64 on the same inputs."""

import ml_dtypes
import numpy as np

from minillm.backend import find_backend, on_cpu
from minillm.cuda.driver import array_module
from minillm.cuda.emulator import thread_order

find_backend("cuda")  # the kernels are there when its tests ask the op table for them
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
ORDERS = 0, 1, 2, 3, 7  # of a block's threads: forwards, backwards, the first or the last warp ahead, shuffled


def computed(kernel, xp, args, kwargs, dy):
    """[result, gradients ...] as NumPy arrays; None where there is no gradient."""
    result, saved = kernel.forward(xp, *[xp.asarray(a) if isinstance(a, np.ndarray) else a for a in args], **kwargs)
    gradients = kernel.backward(xp, xp.asarray(dy.reshape(result.shape)), saved)
    return [None if a is None else on_cpu(xp.ascontiguousarray(a)).reshape(a.shape) for a in (result, *gradients)]


def runs(op, args, kwargs, dtype):
    """The reference in float64 and in float32, and the kernel: on args (float64) rounded to `dtype`, vectors of
    parameters to float32."""
    floats = [getattr(a, "dtype", None) == np.float64 for a in args]
    rounded = [a.astype(dtype if a.ndim > 1 else np.float32) if f else a for a, f in zip(args, floats, strict=True)]
    wide, single = (
        [a.astype(t) if f else a for a, f in zip(rounded, floats, strict=True)] for t in (np.float64, np.float32)
    )
    shape = np.shape(op.reference.forward(np, *wide, **kwargs)[0])
    dy = np.random.default_rng(1).normal(size=shape).astype(dtype if shape else np.float32)
    reference, kernel, xp = op.reference, op.overrides["cuda"], array_module()
    assert kernel.supports(*rounded, **kwargs)
    return (
        computed(reference, np, wide, kwargs, dy.astype(np.float64)),
        computed(reference, np, single, kwargs, dy.astype(np.float32)),
        computed(kernel, xp, rounded, kwargs, dy),
    )


def check(op, *args, dtype=np.float32, roundings=1, **kwargs):
    """At most twice the float32 reference's error; in bfloat16 also so many roundings of the largest number."""
    for truth, reference, actual in zip(*runs(op, args, kwargs, dtype), strict=True):
        assert (truth is None) == (actual is None)
        if truth is None:
            continue
        scale = max(np.abs(truth).max(initial=0), 1.0)  # incoming gradients are of size 1, and may cancel
        allowed = 2 * np.abs(reference - truth).max(initial=0) + 16 * np.finfo(np.float32).eps * scale
        if dtype == BFLOAT16:
            allowed += roundings * 2**-8 * np.abs(truth).max(initial=0)
        assert actual.shape == truth.shape
        assert np.abs(actual.astype(np.float64) - truth).max(initial=0) <= allowed, [np.shape(a) for a in args]


def check_orders(compute):
    """The same bits in whatever order the threads of a block run: no barrier is missing."""
    results = []
    for order in ORDERS:
        with thread_order(order):
            results.append([on_cpu(a).tobytes() for a in compute()])
    assert all(result == results[0] for result in results)
