"""Our side of the kernels: each as a function of no arguments, its arrays made beforehand on the GPU."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu.arrays import BFLOAT16, integers, normal
from benchmarks.gpu.sizes import Sizes
from benchmarks.gpu.work import parameter_shapes
from minillm import ops
from minillm.backend import arrays_in
from minillm.registry import Op

Passes = dict[str, Callable[[], object]]
FLOAT32 = np.dtype(np.float32)


def passes(xp: Any, op: Op, *arrays: Any, gradient: Any = None, **options: Any) -> Passes:
    """Forward and backward of the op's CUDA kernel; the gradient that backward is given is drawn, if none is given."""
    chosen = op.overrides["cuda"]
    result, saved = chosen.forward(xp, *arrays, **options)
    gradient = normal(xp, *result.shape, dtype=result.dtype, seed=1) if gradient is None else gradient

    def backward() -> object:
        return list(arrays_in(chosen.backward(xp, gradient, saved)))  # an embedding's gradient is made whole

    return {"forward": lambda: chosen.forward(xp, *arrays, **options), "backward": backward}


def layer_norm(xp: Any, s: Sizes) -> Passes:
    parameters = [normal(xp, s.width, dtype=FLOAT32) for _ in range(2)]
    x, residual = (normal(xp, s.tokens, s.width, seed=seed) for seed in (0, 1))
    return passes(xp, ops.layer_norm, x, *parameters, residual)


def gelu_bias(xp: Any, s: Sizes) -> Passes:
    from minillm.kernels.cuda.activation import activation_backward, bias_activation

    product, dy = (normal(xp, s.tokens, s.hidden, seed=seed) for seed in (0, 1))
    bias, before = normal(xp, s.hidden, dtype=FLOAT32, scale=1e-3), product.copy()
    return {
        "forward": lambda: bias_activation(xp, product, bias, "gelu_tanh", True),  # product grows by the bias each time
        "backward": lambda: activation_backward(xp, before, dy, "gelu_tanh", True),
    }


def cross_entropy(xp: Any, s: Sizes) -> Passes:
    from minillm.kernels.cuda.loss import cross_entropy_rows, target_scale

    rows, targets = normal(xp, s.loss_rows, s.vocabulary), integers(xp, s.vocabulary, s.loss_rows)
    losses, scale = xp.empty(s.loss_rows, FLOAT32), target_scale(xp, targets, -100)
    return {"whole": lambda: cross_entropy_rows(rows, targets, losses, -100, scale, True)}


def adamw(xp: Any, s: Sizes) -> Passes:
    from minillm.kernels.cuda.optim import adam_step

    shapes = parameter_shapes(s)
    theta, g, m, square_root = (
        [normal(xp, *shape, dtype=FLOAT32, scale=1e-2, seed=seed) for shape in shapes] for seed in range(4)
    )
    v = [xp.square(a) for a in square_root]
    decays = [len(shape) >= 2 for shape in shapes]
    return {"whole": lambda: adam_step(theta, g, m, v, decays, 0.1, 0.05, 1e-8, 1e-6, 1.0, 1 - 1e-7, 1.0)}


def global_norm(xp: Any, s: Sizes) -> Passes:
    from minillm.kernels.cuda.optim import sum_of_squares

    gradients = [normal(xp, *shape, dtype=FLOAT32) for shape in parameter_shapes(s)]
    return {"whole": lambda: sum_of_squares(gradients)}


def cast(xp: Any, s: Sizes, before: Any, after: Any) -> Passes:
    from minillm.kernels.cuda.cast import cast as converted

    x = normal(xp, s.vocabulary, s.width, dtype=before)
    return {"whole": lambda: converted(xp, x, after)}


def attention(xp: Any, s: Sizes) -> Passes:
    """Heads lie as a layer makes them: (batch, time, heads, d)."""
    shape = (s.batch, s.time, s.heads, s.d_head)
    q, k, v, gradient = (normal(xp, *shape, seed=seed).transpose(0, 2, 1, 3) for seed in range(4))
    return passes(xp, ops.attention, q, k, v, gradient=gradient, causal=True)


def head_and_loss(xp: Any, s: Sizes) -> Passes:
    chosen = ops.linear_cross_entropy.overrides["cuda"]
    x, weight = normal(xp, s.loss_rows, s.width), normal(xp, s.vocabulary, s.width, dtype=FLOAT32, scale=0.02)
    targets, one = integers(xp, s.vocabulary, s.loss_rows), xp.ones((), FLOAT32)

    def both() -> object:
        _, saved = chosen.forward(xp, x, weight, targets, precision="bfloat16")
        return chosen.backward(xp, one, saved)

    return {"whole": both}


CASES: dict[str, Callable[[Any, Sizes], Passes]] = {
    "layer_norm + residual": layer_norm,
    "gelu_tanh + bias": gelu_bias,
    "softmax": lambda xp, s: passes(xp, ops.softmax, normal(xp, s.tokens * s.heads, s.time)),
    "cross_entropy rows": cross_entropy,
    "embedding": lambda xp, s: passes(
        xp, ops.embedding, normal(xp, s.vocabulary, s.width, dtype=FLOAT32), integers(xp, s.vocabulary, s.tokens)
    ),
    "dropout": lambda xp, s: passes(xp, ops.dropout, normal(xp, s.tokens, s.width), p=0.1, key=(1, 2)),
    "AdamW": adamw,
    "global norm": global_norm,
    "cast float32 to bfloat16": lambda xp, s: cast(xp, s, FLOAT32, BFLOAT16),
    "cast bfloat16 to float32": lambda xp, s: cast(xp, s, BFLOAT16, FLOAT32),
    "attention": attention,
    "head and loss": head_and_loss,
}
