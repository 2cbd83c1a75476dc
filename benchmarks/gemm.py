"""Matrix products of the models' layers, forward and backward: ours, PyTorch's and NumPy's.

    python -m benchmarks gemm

Each side in a process of its own, in turn; GFLOP/s are medians. The fraction is of the multiply-add loop's speed,
measured just before and after each product. PyTorch's bfloat16 is left out where the processor doesn't multiply it.
"""

from typing import Any, NamedTuple

from benchmarks.machine import multiplies_bfloat16
from benchmarks.pairs import PEERS, alternate, have_torch, median, ratio, run
from benchmarks.tables import Table

TOKENS = 1024


class Product(NamedTuple):
    """C (m, n) = A (m, k) B (k, n): its name and sizes."""

    layer: str
    what: str
    m: int
    n: int
    k: int

    @property
    def key(self) -> str:
        """How processes name it to each other."""
        return f"{self.layer} {self.what}"

    @property
    def flops(self) -> int:
        """A multiplication and an addition for each i, j and k."""
        return 2 * self.m * self.n * self.k


def layer_products(d_in: int, d_out: int) -> list[Product]:
    """The three products of a linear layer, x (tokens, d_in), W (d_out, d_in)."""
    name = f"{TOKENS}x{d_out}x{d_in}"
    return [
        Product(name, "y = x Wᵀ", TOKENS, d_out, d_in),
        Product(name, "dx = dy W", TOKENS, d_in, d_out),
        Product(name, "dW = dyᵀ x", d_out, d_in, TOKENS),
    ]


PRODUCTS = layer_products(768, 3072) + layer_products(768, 50304)
PRECISIONS = ("float32", "bfloat16")


def operands(product: Product, x: Any, w: Any, dy: Any) -> tuple[Any, Any]:
    """A and B, transposed where the formula says so; the same expressions for NumPy's and torch's arrays."""
    return {"y": (x, w.T), "dx": (dy, w), "dW": (dy.T, x)}[product.what.split()[0]]


def rows(results: dict[str, list[dict]]) -> list[dict[str, Any]]:
    """A row for each product and precision. results: each side's runs, as its process printed them."""
    found = []
    for precision in PRECISIONS:
        for product in PRODUCTS:
            key = f"{product.key} {precision}"
            runs = {side: [r["seconds"][key] for r in results[side] if key in r["seconds"]] for side in results}
            if not runs["ours"]:
                continue
            peak = median([r["peaks"][key] for r in results["ours"]])
            rate = {side: product.flops / median(times) / 1e9 for side, times in runs.items() if times}
            found.append(
                {
                    "product": product.layer,
                    "formula": product.what,
                    "type": precision,
                    "ours GFLOP/s": rate["ours"],
                    "of peak": rate["ours"] * 1e9 / peak,
                    "torch GFLOP/s": rate.get("torch"),
                    "NumPy GFLOP/s": rate.get("numpy"),
                    "torch / ours": ratio(runs["ours"], runs.get("torch", [])),
                }
            )
    return found


COLUMNS = {
    "product": "",
    "formula": "",
    "type": "",
    "ours GFLOP/s": ".0f",
    "of peak": ".0%",
    "torch GFLOP/s": ".0f",
    "NumPy GFLOP/s": ".0f",
    "torch / ours": ".2x",
}


def tables(quick: bool) -> list[Table]:
    """One table, a row for each product and precision."""
    options = ["--quick"] if quick else []
    sides = {"ours": lambda: run(["-m", "benchmarks.gemm_ours", *options])}
    if have_torch():
        precisions = PRECISIONS if multiplies_bfloat16() else PRECISIONS[:1]
        sides["torch"] = lambda: run([str(PEERS / "torch_gemm.py"), *options, "--precisions", *precisions])
    sides["numpy"] = lambda: run([str(PEERS / "numpy_gemm.py"), *options])
    pairs = 1 if quick else 3
    results = alternate(sides, pairs)
    note = f"Medians of {pairs} paired runs; torch / ours: the median of the pairs' ratios of times."
    return [Table("Matrix products", COLUMNS, rows(results), note)]
