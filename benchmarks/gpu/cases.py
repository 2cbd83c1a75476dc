"""Cases of an op as large as a language model has them, beside the small ones that the op brings."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.gpu.sizes import Sizes
from minillm.registry import Case, Op

Cases = Iterator[Case]


def rows_of_each_width(rng: np.random.Generator, sizes: Sizes) -> Cases:
    for width in sizes.widths:
        yield Case((3 * rng.normal(size=(sizes.rows, width)),), note=f"{sizes.rows} x {width}")


def astype(rng: np.random.Generator, sizes: Sizes) -> Cases:
    for width in sizes.widths:
        yield Case((rng.normal(size=(sizes.rows, width)),), {"dtype": "bfloat16"}, note=f"{sizes.rows} x {width}")


def norm(rng: np.random.Generator, sizes: Sizes, parameters: int) -> Cases:
    for width in sizes.widths:
        x, residual = rng.normal(size=(2, sizes.rows, width))
        weights = tuple(rng.normal(size=(parameters, width)))
        yield Case((x, *weights), note=f"{sizes.rows} x {width}")
        yield Case((x, *weights, residual), note=f"{sizes.rows} x {width}, residual")


def dropout(rng: np.random.Generator, sizes: Sizes) -> Cases:
    for width in sizes.widths:
        yield Case((rng.normal(size=(sizes.rows, width)),), {"p": 0.1, "key": (1, 2)}, note=f"{sizes.rows} x {width}")


def embedding(rng: np.random.Generator, sizes: Sizes) -> Cases:
    n, width = sizes.widths[-1], sizes.widths[0]
    ids = rng.integers(0, n, size=(sizes.rows, 31))
    ids[:, ::8] = 5  # often, as padding is
    yield Case((rng.normal(size=(n, width)), ids), note=f"{ids.size} of {n} x {width}")


def cross_entropy(rng: np.random.Generator, sizes: Sizes) -> Cases:
    for width in sizes.widths:
        targets = rng.integers(0, width, size=sizes.rows)
        targets[1] = -100
        yield Case((3 * rng.normal(size=(sizes.rows, width)), targets), note=f"{sizes.rows} x {width}")


def linear_cross_entropy(rng: np.random.Generator, sizes: Sizes) -> Cases:
    n, width = sizes.widths[-1], sizes.widths[0]
    targets = rng.integers(0, n, size=sizes.rows)
    weight = rng.normal(size=(n, width)) / 16
    yield Case((rng.normal(size=(sizes.rows, width)), weight, targets), note=f"{sizes.rows} x {width}, {n} classes")


def linear(rng: np.random.Generator, sizes: Sizes) -> Cases:
    rows, d_out, d_in = sizes.linear
    x, weight, bias = rng.normal(size=(rows, d_in)), rng.normal(size=(d_out, d_in)) / 16, rng.normal(size=d_out)
    yield Case((x, weight), note=f"{rows} x {d_out} x {d_in}")
    for activation in ("gelu", "gelu_tanh", "silu"):
        yield Case((x, weight, bias), {"activation": activation}, note=f"{rows} x {d_out} x {d_in}, {activation}")
    yield Case((x, weight, bias, rng.normal(size=(rows, d_out))), note=f"{rows} x {d_out} x {d_in}, residual")


def matmul(rng: np.random.Generator, sizes: Sizes) -> Cases:
    n, m, k = sizes.linear
    yield Case((rng.normal(size=(n, k)), rng.normal(size=(k, m))), note=f"{n} x {m} x {k}")


def attention(rng: np.random.Generator, sizes: Sizes) -> Cases:
    batch, heads, time, d = sizes.attention
    for length in (time, time - 3):  # a whole number of tiles, and not
        heads_of = rng.normal(size=(3, batch, heads, length, d))
        yield Case(tuple(heads_of), {"causal": True}, note=f"{batch} x {heads} x {length} x {d}, causal")


LARGE: dict[str, Callable[[np.random.Generator, Sizes], Cases]] = {
    **dict.fromkeys(("gelu", "gelu_tanh", "silu", "softmax", "log_softmax"), rows_of_each_width),
    "layer_norm": lambda rng, sizes: norm(rng, sizes, 2),
    "rms_norm": lambda rng, sizes: norm(rng, sizes, 1),
    "astype": astype,
    "dropout": dropout,
    "embedding": embedding,
    "cross_entropy": cross_entropy,
    "linear_cross_entropy": linear_cross_entropy,
    "linear": linear,
    "matmul": matmul,
    "attention": attention,
}


def large_cases(name: str, sizes: Sizes) -> list[Case]:
    """In float64; none for an op that only moves elements or computes each from its own."""
    return list(LARGE[name](np.random.default_rng(1), sizes)) if name in LARGE else []


class OnCases:
    """An op with other cases than its own, for `minillm.testing.agree`."""

    def __init__(self, op: Op, cases: list[Case]):
        self.name, self.reference, self.pick = op.name, op.reference, op.pick
        self._cases = cases

    def cases(self, rng: np.random.Generator) -> list[Any]:
        return self._cases
