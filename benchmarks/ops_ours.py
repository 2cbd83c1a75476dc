"""Our side of the ops, in a process of its own: prints one JSON line of seconds and of the limits beside them."""

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np

import minillm as ml
from benchmarks import peaks
from benchmarks.op_cases import CASES, GPT2, OpCase
from benchmarks.timing import median_seconds
from minillm import Tensor, ops
from minillm.memory import keep_freed_memory
from minillm.nn.module import Parameter
from minillm.optim import clip_factor, grad_norm

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Tensor:
    """A tensor that wants a gradient."""
    return Tensor(RNG.standard_normal(shape, np.float32), requires_grad=True)


def integers(below: int, n: int) -> np.ndarray:
    """Token ids."""
    return RNG.integers(0, below, n)


def linear(rows: int, d_out: int, d_in: int) -> tuple:
    return ops.linear, [normal(rows, d_in), normal(d_out, d_in), normal(d_out)], {}


def attention(*shape: int) -> tuple:
    return ops.attention, [normal(*shape) for _ in range(3)], {"causal": True, "scale": shape[-1] ** -0.5}


def embedding(classes: int, d: int, rows: int) -> tuple:
    return ops.embedding, [normal(classes, d), integers(classes, rows)], {}


# The op, its arguments and options, for a case's sizes.
BUILD: dict[str, Callable[..., tuple]] = {
    "linear": linear,
    "attention": attention,
    "layer_norm": lambda n, d: (ops.layer_norm, [normal(n, d), normal(d), normal(d)], {}),
    "rms_norm": lambda n, d: (ops.rms_norm, [normal(n, d), normal(d)], {}),
    "softmax": lambda *shape: (ops.softmax, [normal(*shape)], {}),
    "gelu_tanh": lambda *shape: (ops.gelu_tanh, [normal(*shape)], {}),
    "gelu": lambda *shape: (ops.gelu, [normal(*shape)], {}),
    "silu": lambda *shape: (ops.silu, [normal(*shape)], {}),
    "dropout": lambda *shape: (ops.dropout, [normal(*shape)], {"p": 0.1, "key": (1, 0)}),
    "embedding": embedding,
    "cross_entropy": lambda n, classes: (ops.cross_entropy, [normal(n, classes), integers(classes, n)], {}),
}


def differentiated(case: OpCase, budget: float) -> dict[str, float]:
    """Seconds of the forward and the backward pass, the tape's own work included."""
    op, arguments, options = BUILD[case.name](*case.shape)
    gradient = np.ones_like(op(*arguments, **options).numpy())

    def forward() -> Any:
        return op(*arguments, **options)

    def fresh() -> tuple:
        for argument in arguments:
            if isinstance(argument, Tensor):
                argument.grad = None
        return (forward(),)

    backward = median_seconds(lambda y: y.backward(gradient), budget, prepare=fresh)
    return {"forward": median_seconds(forward, budget), "backward": backward}


def head_and_loss(case: OpCase, budget: float) -> dict[str, float]:
    """Seconds of both passes together."""
    rows, classes, d = case.shape
    x, weight, targets = normal(rows, d), normal(classes, d), integers(classes, rows)

    def both() -> None:
        x.grad = weight.grad = None
        ops.linear_cross_entropy(x, weight, targets).backward()

    return {"forward": median_seconds(both, budget)}


def adamw(case: OpCase, budget: float) -> dict[str, float]:
    """Seconds of the norm and the step that clips by it."""
    params = [Parameter(np.full(shape, 0.1, np.float32)) for shape in GPT2]
    for p in params:
        p.grad = np.full(p.shape, 1e-3, np.float32)
    optimizer = ml.optim.AdamW(params, lr=1e-4, weight_decay=0.1)

    def step() -> None:
        optimizer.step(scale=clip_factor(grad_norm(params), 1.0))

    return {"forward": median_seconds(step, budget)}


def measure(quick: bool) -> dict:
    """Seconds of every pass, and the limits measured beside it: operations a second, bytes a second at its size."""
    seconds, limits = {}, {}
    for case in CASES:
        special = {"head and loss": head_and_loss, "clip and AdamW": adamw}
        measured = special.get(case.name, differentiated)(case, 0.02 if quick else 0.4)
        for name, work in case.passes().items():
            key = f"{case.key} {name}"
            seconds[key] = measured[name]
            bandwidth = peaks.bandwidth(min(max(work.bytes / 2**20, 0.1), 256), 1 if quick else 3)
            limits[key] = {"operations": peaks.flops(), "bytes": bandwidth}
    lines = {place: peaks.bandwidth(size) for place, size in peaks.MEGABYTES.items() if place != "L2"}
    return {"seconds": seconds, "limits": limits, "lines": {"operations": peaks.flops(), **lines}}


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    keep_freed_memory()
    print(json.dumps(measure(parser.parse_args().quick)))


if __name__ == "__main__":
    main()
