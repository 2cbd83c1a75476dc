"""Our side of the matrix products, in a process of its own: prints one JSON line of seconds and peaks."""

import argparse
import json

import numpy as np

from benchmarks import peaks
from benchmarks.gemm import PRECISIONS, PRODUCTS, TOKENS, operands
from benchmarks.timing import median_seconds
from minillm import Tensor, no_grad, ops
from minillm.memory import keep_freed_memory


def measure(quick: bool) -> dict:
    """Median seconds of each product through ops.matmul, and the speed of the multiply-add loop beside it."""
    rng = np.random.default_rng(0)
    seconds, limits, layers = {}, {}, {}
    for product in PRODUCTS[:3] if quick else PRODUCTS:
        if product.layer not in layers:
            _, d_out, d_in = map(int, product.layer.split("x"))
            shapes = (TOKENS, d_in), (d_out, d_in), (TOKENS, d_out)
            layers[product.layer] = [rng.standard_normal(shape, np.float32) for shape in shapes]
        a, b = (Tensor(array) for array in operands(product, *layers[product.layer]))
        for precision in PRECISIONS:
            key = f"{product.key} {precision}"
            option = None if precision == "float32" else precision
            before = peaks.flops(precision)
            seconds[key] = median_seconds(
                lambda a=a, b=b, option=option: ops.matmul(a, b, precision=option), 0.05 if quick else 0.5
            )
            limits[key] = max(before, peaks.flops(precision))
    return {"seconds": seconds, "peaks": limits}


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    keep_freed_memory()
    with no_grad():
        print(json.dumps(measure(parser.parse_args().quick)))


if __name__ == "__main__":
    main()
