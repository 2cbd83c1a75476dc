"""NumPy's side of the matrix products: its BLAS, with as many threads as the others, into arrays that are there."""

import argparse
import json

import numpy as np

from benchmarks.gemm import PRODUCTS, TOKENS, operands
from benchmarks.timing import median_seconds


def measure(quick: bool) -> dict:
    """Median seconds of each product in float32."""
    rng = np.random.default_rng(0)
    seconds = {}
    for product in PRODUCTS[:3] if quick else PRODUCTS:
        _, d_out, d_in = map(int, product.layer.split("x"))
        x, w, dy = (rng.standard_normal(s, np.float32) for s in ((TOKENS, d_in), (d_out, d_in), (TOKENS, d_out)))
        a, b = operands(product, x, w, dy)
        out = np.empty((product.m, product.n), np.float32)
        seconds[f"{product.key} float32"] = median_seconds(
            lambda a=a, b=b, out=out: np.matmul(a, b, out=out), 0.05 if quick else 0.5
        )
    return {"seconds": seconds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(measure(parser.parse_args().quick)))
