"""PyTorch's side of the GPU kernels: the ops that do the same, timed by CUDA events, the L2 cache filled before each.

Run in a process of its own; prints one JSON line. --device cpu (with --sizes tiny) only shows that it runs.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from benchmarks.gpu.sizes import BY_NAME, Sizes
from benchmarks.gpu.work import KERNELS, parameter_shapes

WARM_UPS, WRITES = 3, 2  # as in benchmarks/gpu/timing.py
BFLOAT16, FLOAT32 = torch.bfloat16, torch.float32
Passes = dict[str, Callable[[], object]]


def normal(*shape: int, dtype: torch.dtype = BFLOAT16, scale: float = 1.0, wanted: bool = True) -> torch.Tensor:
    """N(0, scale²); `wanted`: its gradient."""
    drawn = torch.randn(shape, dtype=FLOAT32, device=torch.get_default_device()) * scale
    return drawn.to(dtype).requires_grad_(wanted)


def passes(function: Callable, *arguments: torch.Tensor) -> Passes:
    """Forward with what autograd saves, and backward."""
    y = function(*arguments)
    dy = torch.randn_like(y)
    wanted = [a for a in arguments if a.requires_grad]
    return {
        "forward": lambda: function(*arguments),
        "backward": lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True),
    }


def layer_norm(s: Sizes) -> Passes:
    def function(x, residual, weight, bias):
        return functional.layer_norm(x + residual, (s.width,), weight, bias)

    parameters = [normal(s.width) for _ in range(2)]
    return passes(function, normal(s.tokens, s.width), normal(s.tokens, s.width), *parameters)


def gelu_bias(s: Sizes) -> Passes:
    def function(x, bias):
        return functional.gelu(x + bias, approximate="tanh")

    return passes(function, normal(s.tokens, s.hidden), normal(s.hidden))


def cross_entropy(s: Sizes) -> Passes:
    logits = normal(s.loss_rows, s.vocabulary)
    targets = torch.randint(0, s.vocabulary, (s.loss_rows,))

    def both():
        return torch.autograd.grad(functional.cross_entropy(logits, targets), logits)

    return {"whole": both}


def embedding(s: Sizes) -> Passes:
    ids = torch.randint(0, s.vocabulary, (s.tokens,))
    return passes(lambda weight: functional.embedding(ids, weight), normal(s.vocabulary, s.width, dtype=FLOAT32))


def parameters(s: Sizes) -> list[nn.Parameter]:
    """With gradients."""
    made = [nn.Parameter(normal(*shape, dtype=FLOAT32, scale=1e-2, wanted=False)) for shape in parameter_shapes(s)]
    for p in made:
        p.grad = torch.randn_like(p) * 1e-2
    return made


def adamw(s: Sizes) -> Passes:
    optimizer = torch.optim.AdamW(parameters(s), lr=1e-6, weight_decay=0.1, fused=True)
    return {"whole": optimizer.step}


def global_norm(s: Sizes) -> Passes:
    gradients = [p.grad for p in parameters(s)]
    return {"whole": lambda: torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))}


def cast(s: Sizes, before: torch.dtype, after: torch.dtype) -> Passes:
    x = normal(s.vocabulary, s.width, dtype=before, wanted=False)
    return {"whole": lambda: x.to(after)}


def attention(s: Sizes) -> Passes:
    def function(q, k, v):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    heads = [
        normal(s.batch, s.time, s.heads, s.d_head, wanted=False).transpose(1, 2).requires_grad_() for _ in range(3)
    ]
    return passes(function, *heads)


def head_and_loss(s: Sizes) -> Passes:
    x, weight = normal(s.loss_rows, s.width), normal(s.vocabulary, s.width, dtype=FLOAT32, scale=0.02)
    targets = torch.randint(0, s.vocabulary, (s.loss_rows,))

    def both():
        loss = functional.cross_entropy(functional.linear(x, weight.to(BFLOAT16)), targets)
        return torch.autograd.grad(loss, [x, weight])

    return {"whole": both}


CASES: dict[str, Callable[[Sizes], Passes]] = {
    "layer_norm + residual": layer_norm,
    "gelu_tanh + bias": gelu_bias,
    "softmax": lambda s: passes(lambda x: functional.softmax(x, -1), normal(s.tokens * s.heads, s.time)),
    "cross_entropy rows": cross_entropy,
    "embedding": embedding,
    "dropout": lambda s: passes(lambda x: functional.dropout(x, 0.1), normal(s.tokens, s.width)),
    "AdamW": adamw,
    "global norm": global_norm,
    "cast float32 to bfloat16": lambda s: cast(s, FLOAT32, BFLOAT16),
    "cast bfloat16 to float32": lambda s: cast(s, BFLOAT16, FLOAT32),
    "attention": attention,
    "head and loss": head_and_loss,
}


def milliseconds(work: Callable[[], object], repeats: int, flush: Callable[[], object], device: str) -> float:
    """The median; by events on a GPU."""
    for _ in range(WARM_UPS):
        flush()
        work()
    if device == "cpu":
        return statistics.median(wall_milliseconds(work) for _ in range(repeats))
    torch.cuda.synchronize()
    events = []
    for _ in range(repeats):
        flush()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        events.append((start, end))
    torch.cuda.synchronize()
    return statistics.median(start.elapsed_time(end) for start, end in events)


def wall_milliseconds(work: Callable[[], object]) -> float:
    """Of one run, on the CPU."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def measure(sizes: Sizes, device: str) -> dict:
    """Every kernel that runs; what the others said."""
    torch.set_default_device(device)
    scratch = torch.empty(max(sizes.flushed // 4, 1))

    def flush() -> None:
        for _ in range(WRITES):
            scratch.zero_()

    found: dict[str, dict[str, float]] = {}
    errors = {}
    for name in KERNELS:
        try:
            of = CASES[name](sizes)
            found[name] = {one: milliseconds(work, sizes.repeats, flush, device) for one, work in of.items()}
        except RuntimeError as error:
            errors[name] = str(error)
    return {"peer": f"torch {torch.__version__}", "milliseconds": found, "errors": errors}


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", choices=BY_NAME, default="full")
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    print(json.dumps(measure(BY_NAME[arguments.sizes], arguments.device)))


if __name__ == "__main__":
    main()
