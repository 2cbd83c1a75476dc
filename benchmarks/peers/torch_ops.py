"""PyTorch's side of the ops: its fused functions, forward and backward through autograd, on the same shapes."""

import argparse
import json
import os
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.op_cases import CASES, GPT2, OpCase
from benchmarks.timing import median_seconds


def normal(*shape: int) -> torch.Tensor:
    """A tensor that wants a gradient."""
    return torch.randn(shape).requires_grad_()


def ids(below: int, n: int) -> torch.Tensor:
    """Token ids."""
    return torch.randint(0, below, (n,))


def attention(q, k, v):
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


# The function and its arguments, for a case's sizes.
BUILD: dict[str, Callable[..., tuple]] = {
    "linear": lambda n, d_out, d_in: (functional.linear, [normal(n, d_in), normal(d_out, d_in), normal(d_out)]),
    "attention": lambda *shape: (attention, [normal(*shape) for _ in range(3)]),
    "layer_norm": lambda n, d: (lambda *a: functional.layer_norm(a[0], (d,), *a[1:]), [normal(n, d), *pair(d)]),
    "rms_norm": lambda n, d: (lambda x, w: functional.rms_norm(x, (d,), w, 1e-5), [normal(n, d), normal(d)]),
    "softmax": lambda *shape: (lambda x: functional.softmax(x, -1), [normal(*shape)]),
    "gelu_tanh": lambda *shape: (lambda x: functional.gelu(x, approximate="tanh"), [normal(*shape)]),
    "gelu": lambda *shape: (functional.gelu, [normal(*shape)]),
    "silu": lambda *shape: (functional.silu, [normal(*shape)]),
    "dropout": lambda *shape: (lambda x: functional.dropout(x, 0.1), [normal(*shape)]),
    "embedding": lambda classes, d, n: (lambda w, i: functional.embedding(i, w), [normal(classes, d), ids(classes, n)]),
    "cross_entropy": lambda n, classes: (functional.cross_entropy, [normal(n, classes), ids(classes, n)]),
}


def pair(d: int) -> list[torch.Tensor]:
    """Weight and bias of a norm."""
    return [normal(d), normal(d)]


def differentiated(case: OpCase, budget: float) -> dict[str, float]:
    """Seconds of the forward and the backward pass."""
    function, arguments = BUILD[case.name](*case.shape)
    gradient = torch.ones_like(function(*arguments))

    def fresh() -> tuple:
        for argument in arguments:
            argument.grad = None
        return (function(*arguments),)

    backward = median_seconds(lambda y: y.backward(gradient), budget, prepare=fresh)
    return {"forward": median_seconds(lambda: function(*arguments), budget), "backward": backward}


def head_and_loss(case: OpCase, budget: float) -> dict[str, float]:
    """Seconds of both passes together."""
    rows, classes, d = case.shape
    x, weight, targets = normal(rows, d), normal(classes, d), ids(classes, rows)

    def both() -> None:
        x.grad = weight.grad = None
        functional.cross_entropy(functional.linear(x, weight), targets).backward()

    return {"forward": median_seconds(both, budget)}


def adamw(case: OpCase, budget: float) -> dict[str, float]:
    """Seconds of clipping and the fused step."""
    params = [nn.Parameter(torch.full(shape, 0.1)) for shape in GPT2]
    for p in params:
        p.grad = torch.full(p.shape, 1e-3)
    optimizer = torch.optim.AdamW(params, lr=1e-4, weight_decay=0.1, fused=True)

    def step() -> None:
        nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()

    return {"forward": median_seconds(step, budget)}


def measure(quick: bool) -> dict:
    """Seconds of every pass."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    seconds = {}
    for case in CASES:
        special = {"head and loss": head_and_loss, "clip and AdamW": adamw}
        measured = special.get(case.name, differentiated)(case, 0.02 if quick else 0.4)
        seconds |= {f"{case.key} {name}": measured[name] for name in case.passes()}
    return {"seconds": seconds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(measure(parser.parse_args().quick)))
