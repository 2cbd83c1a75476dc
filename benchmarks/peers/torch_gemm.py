"""PyTorch's side of the matrix products: torch.mm in float32 and bfloat16, into tensors that are there."""

import argparse
import json
import os

import torch

from benchmarks.gemm import PRECISIONS, PRODUCTS, TOKENS, operands
from benchmarks.timing import median_seconds


def measure(quick: bool, precisions: list[str]) -> dict:
    """Median seconds of each product. bfloat16 tensors hold bfloat16 already: nothing is rounded while it is timed."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    seconds = {}
    for product in PRODUCTS[:3] if quick else PRODUCTS:
        _, d_out, d_in = map(int, product.layer.split("x"))
        for precision in precisions:
            dtype = getattr(torch, precision)
            shapes = (TOKENS, d_in), (d_out, d_in), (TOKENS, d_out)
            a, b = operands(product, *(torch.randn(shape).to(dtype) for shape in shapes))
            out = torch.empty(product.m, product.n, dtype=dtype)
            seconds[f"{product.key} {precision}"] = median_seconds(
                lambda a=a, b=b, out=out: torch.mm(a, b, out=out), 0.05 if quick else 0.5
            )
    return {"seconds": seconds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.quick, arguments.precisions)))
