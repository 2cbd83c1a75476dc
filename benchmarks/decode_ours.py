"""Our side of the generation benchmark, in a process of its own: python -m benchmarks.decode_ours --batch 1

Prints one JSON line: seconds a token of greedy decoding with a GPT-2-shaped model of random weights, and the memory
bandwidth it reaches beside that of a loop that only reads.
"""

import argparse
import json
import statistics
import time

import numpy as np

import minillm as ml
from minillm import _native
from minillm.memory import keep_freed_memory
from minillm.models import GPT, GPTConfig
from minillm.nn import QuantizedLinear, quantize
from minillm.nn.layers import Linear

PROMPT = 16


def weight_bytes(model: GPT) -> int:
    """Bytes of the matrices that each token is multiplied with."""
    linear = [m.weight.numpy() for m in model.modules() if isinstance(m, Linear)]
    stored = [m.stored for m in model.modules() if isinstance(m, QuantizedLinear)]
    return sum(matrix.nbytes for matrix in linear + stored)


def read_bandwidth() -> float:
    """Bytes a second that all threads together read from 256 MB: the best of many passes."""
    data = np.ones(1 << 26, np.float32)
    best = min(_timed(lambda: _native.read_floats(data)) for _ in range(15))
    return data.nbytes / best


def _timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(batch: int, weights: str, tokens: int) -> dict:
    """Time `tokens` greedy steps after a short prompt."""
    ml.seed(0)
    model = GPT(GPTConfig(vocab_size=50304, context_length=1024, n_layer=12, n_head=12, d_model=768)).eval()
    quantize(model, weights)
    ids = np.random.default_rng(0).integers(0, 50304, (batch, PROMPT))
    cache, seconds = model.new_cache(), []
    with ml.no_grad():
        for _ in range(tokens + 1):
            start = time.perf_counter()
            logits, _ = model(ids, cache=cache)
            ids = logits.numpy()[:, -1].argmax(-1)[:, None]
            seconds.append(time.perf_counter() - start)
    timed, bandwidth = seconds[1:], read_bandwidth()
    median = statistics.median(timed)
    return {
        "peer": f"minillm {ml.__version__}",
        "median_s": median,
        "min_s": min(timed),
        "tokens_per_s": batch / median,
        "read_gb_s": bandwidth / 1e9,
        "weight_gb_s": weight_bytes(model) / min(timed) / 1e9,
        "of_read_bandwidth": weight_bytes(model) / min(timed) / bandwidth,
    }


def main() -> None:
    """Parse the command line and print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--weights", choices=["float32", "bfloat16", "int8"], default="float32")
    parser.add_argument("--tokens", type=int, default=30)
    arguments = parser.parse_args()
    keep_freed_memory()
    print(json.dumps(measure(arguments.batch, arguments.weights, arguments.tokens)))


if __name__ == "__main__":
    main()
