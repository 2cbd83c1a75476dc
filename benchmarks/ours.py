"""Our side of the training-step benchmark, in a process of its own: python -m benchmarks.ours --shape char

Prints one JSON line: median and minimum seconds a step (forward, backward, clipping, AdamW), peak memory, loss.
"""

import argparse
import json
import statistics
import time

import numpy as np

import minillm as ml
from benchmarks.shapes import SHAPES
from benchmarks.timing import peak_megabytes
from minillm.backend import current_backend
from minillm.memory import keep_freed_memory
from minillm.models import GPT, GPTConfig
from minillm.optim import clip_factor, grad_norm


def measure(shape_name: str, steps: int, warmup: int, dtype: str) -> dict:
    """Time `steps` training steps on random tokens."""
    shape = SHAPES[shape_name]
    ml.seed(0)
    context = max(shape.context, 1024) if shape.vocabulary > 1000 else shape.context
    config = GPTConfig(
        vocab_size=shape.vocabulary,
        context_length=context,
        n_layer=shape.layers,
        n_head=shape.heads,
        d_model=shape.width,
        dtype=dtype,
    )
    model = GPT(config)
    optimizer = ml.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1)
    rng = np.random.default_rng(0)
    ids, targets = rng.integers(0, shape.vocabulary, (2, shape.batch, shape.context))

    seconds = []
    for _ in range(warmup + steps):
        start = time.perf_counter()
        loss = model.loss(ids, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(scale=clip_factor(grad_norm(optimizer.params), 1.0))
        seconds.append(time.perf_counter() - start)
    timed = seconds[warmup:]
    median = statistics.median(timed)
    return {
        "peer": f"minillm {ml.__version__} (NumPy {np.__version__})",
        "shape": shape_name,
        "median_s": median,
        "min_s": min(timed),
        "tokens_per_s": shape.batch * shape.context / median,
        "loss": loss.item(),
        "peak_mb": peak_megabytes(),
        "dtype": dtype,
        "backend": current_backend().name,
    }


def main() -> None:
    """Parse the command line and print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="char")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    arguments = parser.parse_args()
    keep_freed_memory()
    print(json.dumps(measure(arguments.shape, arguments.steps, arguments.warmup, arguments.dtype)))


if __name__ == "__main__":
    main()
