"""Our side of the training step on a GPU, in a process of its own: python -m benchmarks.gpu.ours --batch 16

Prints one JSON line: median and minimum seconds of whole updates (forward, backward, clipping, AdamW, and the loss read
back), tokens a second, the most memory that arrays took, and what is taken of the GPU's in the end. GPT-2 124M in
bfloat16 on backend "cuda", its gradients by a CUDA graph unless --eager.
"""

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np

import minillm as ml
from benchmarks.shapes import SHAPES, Shape
from minillm.backend import use_backend
from minillm.cuda.driver import array_module
from minillm.cuda.memory import measured
from minillm.models import GPT, GPTConfig
from minillm.optim import AdamW
from minillm.training import step


def prepared(shape: Shape, dtype: str) -> tuple[Any, Any, dict[str, np.ndarray]]:
    """Model, optimizer and a batch of random tokens."""
    ml.seed(0)
    config = GPTConfig(
        vocab_size=shape.vocabulary,
        context_length=shape.context,
        n_layer=shape.layers,
        n_head=shape.heads,
        d_model=shape.width,
        dtype=dtype,
    )
    model = GPT(config)
    optimizer = AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1)
    ids, targets = np.random.default_rng(0).integers(0, shape.vocabulary, (2, shape.batch, shape.context))
    return model, optimizer, {"ids": ids, "targets": targets}


def gradients(eager: bool) -> Any:
    """What computes them."""
    if eager:
        return step.accumulate_gradients
    from minillm.cuda.graph import CapturedGradients

    return CapturedGradients(step.accumulate_gradients)


def measure(shape: Shape, steps: int, warmup: int, dtype: str, eager: bool) -> dict[str, Any]:
    """Time `steps` updates, after `warmup` others, in which memory is counted: later ones take no more."""
    with measured() as meter:
        model, optimizer, batch = prepared(shape, dtype)
        options: dict[str, Any] = {"clip": 1.0, "parts": 1, "gradients": gradients(eager)}
        for _ in range(warmup):
            step.update(model, optimizer, batch, **options)
    seconds, result = [], None
    for _ in range(steps):
        begun = time.perf_counter()
        result = step.update(model, optimizer, batch, **options)  # waits for the loss, and so for all of the update
        seconds.append(time.perf_counter() - begun)
    median = statistics.median(seconds)
    free, total = array_module().cuda.runtime.memGetInfo()
    return {
        "peer": f"minillm {ml.__version__}",
        "batch": shape.batch,
        "dtype": dtype,
        "graph": not eager,
        "median_s": median,
        "min_s": min(seconds),
        "tokens_per_s": shape.batch * shape.context / median,
        "loss": result.loss,
        "skipped": result.skipped,
        "peak_mb": meter.most / 2**20,
        "taken_mb": (total - free) / 2**20,
    }


def main() -> None:
    """Parse the command line and print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="gpt2-long")
    parser.add_argument("--batch", type=int, help="texts of a batch; the shape's if not given")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--eager", action="store_true", help="without a CUDA graph")
    arguments = parser.parse_args()
    shape = SHAPES[arguments.shape]
    shape = shape._replace(batch=arguments.batch or shape.batch)
    with use_backend("cuda"):
        print(json.dumps(measure(shape, arguments.steps, arguments.warmup, arguments.dtype, arguments.eager)))


if __name__ == "__main__":
    main()
