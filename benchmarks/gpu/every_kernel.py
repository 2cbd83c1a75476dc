"""Launch every kernel of csrc/cuda on small shapes: python -m benchmarks.gpu.every_kernel

For compute-sanitizer, which sees an access out of bounds only if arrays aren't cut from one block of memory: so CuPy's
pool is off.
"""

from typing import Any

import numpy as np

from benchmarks.gpu.arrays import BFLOAT16
from benchmarks.gpu.checks import cast, moved, run
from minillm.backend import find_backend, use_backend
from minillm.cuda import is_emulated
from minillm.cuda.driver import array_module
from minillm.registry import OPS, Case, Op

FLOAT32 = np.dtype(np.float32)
HEADS = (32, 64, 96, 128)  # widths of heads for which there are kernels on tensor cores


def small_cases(op: Op) -> list[Case]:
    """The op's own, and some that take other paths of its kernels."""
    rng = np.random.default_rng(0)
    own = op.cases(rng)
    if op.name in ("layer_norm", "rms_norm"):
        parameters = rng.normal(size=(2 if op.name == "layer_norm" else 1, 264))
        own.append(Case((rng.normal(size=(5, 264)), *parameters)))
    if op.name in ("softmax", "log_softmax"):
        own.append(Case((rng.normal(size=(3, 2056)),)))
    if op.name == "cross_entropy":
        own.append(Case((rng.normal(size=(3, 2056)), np.array([0, 2055, -100]))))
    if op.name == "embedding":
        own.append(Case((rng.normal(size=(300, 16)), rng.integers(0, 300, size=1100))))
    if op.name == "linear":
        arrays = rng.normal(size=(200, 24)), rng.normal(size=(40, 24)), rng.normal(size=40)
        own += [Case(arrays, {"activation": name}) for name in (None, "gelu", "gelu_tanh", "silu")]
        own.append(Case((*arrays, rng.normal(size=(200, 40)))))
    if op.name == "attention":
        for options in ({"causal": True}, {"causal": True, "dropout": 0.1, "key": (1, 2)}):
            own += [Case(tuple(rng.normal(size=(3, 1, 2, 130, d))), options) for d in HEADS]
    return own


def ops_twice(xp: Any) -> None:
    """Forward and backward of every op with a CUDA kernel, in float32 and in bfloat16."""
    for op in OPS.values():
        if "cuda" not in op.overrides:
            continue
        for case in small_cases(op):
            for dtype in (FLOAT32, BFLOAT16):
                given = cast(case, op, dtype)
                run(op.pick(list(moved(xp, given.args)), given.kwargs), xp, given)


def the_rest(xp: Any) -> None:
    """What no op launches: the optimizer, casts, masks, ids that aren't in the vocabulary."""
    from minillm.kernels.cuda import cast as casting
    from minillm.kernels.cuda import dropout, embedding, optim

    arrays = [[xp.asarray(np.full(shape, 0.1, np.float32)) for shape in ((3,), (70, 9), (17_000,))] for _ in range(4)]
    optim.adam_step(*arrays, [False, True, False], 0.1, 0.05, 1e-8, 1e-3, 1.0, 0.99, 1.0)
    scale = optim.clip_scale(optim.sum_of_squares(arrays[1]), 1.0)
    optim.scale_arrays(arrays[1], scale)
    dropout.keep_mask(xp, (33, 65), 0.3, (1, 2))
    casting.cast(xp, casting.cast(xp, arrays[0][1], BFLOAT16), FLOAT32)
    ids, weight = xp.asarray(np.array([1, 9, -1, 4])), xp.ones((5, 8), np.float32)
    for dtype in (FLOAT32, BFLOAT16):
        rows = embedding.take_rows(xp, weight, ids, dtype)
        embedding.RepeatedRows(ids, rows, weight.shape).dense()


def main() -> None:
    """Everything, then wait for it."""
    xp = array_module()
    if not is_emulated():
        xp.cuda.set_allocator(None)
    find_backend("cuda")
    with use_backend("cuda"):
        ops_twice(xp)
        the_rest(xp)
    xp.cuda.get_current_stream().synchronize()
    print("every kernel has been launched")


if __name__ == "__main__":
    main()
