"""What each kernel must do at least: bytes and floating-point operations, by formulas that the report shows, too.

Every input is read once and every output written once; whatever more a kernel moves is its loss. Neither minillm nor
PyTorch is imported here: both sides use it.
"""

from typing import NamedTuple

from benchmarks.gpu.sizes import Sizes
from benchmarks.op_cases import GPT2

HALF, SINGLE, INDEX = 2, 4, 8  # bytes of bfloat16, float32, int64


class Work(NamedTuple):
    """Of one pass. formula: how it was counted, in words."""

    bytes: int
    flops: int
    formula: str


def parameter_shapes(sizes: Sizes) -> list[tuple[int, ...]]:
    """Of GPT-2 124M; of a fraction of it in the emulator."""
    return (
        GPT2 if sizes.layers == 12 else [(sizes.vocabulary, sizes.width), (sizes.width,), (sizes.hidden, sizes.width)]
    )


def count(shapes: list[tuple[int, ...]]) -> int:
    """Elements of all of them."""
    total = 0
    for shape in shapes:
        size = 1
        for n in shape:
            size *= n
        total += size
    return total


def streamed(n: int, reads: int, writes: int, formula: str) -> Work:
    """So many bytes of an element read and written."""
    return Work(n * (reads + writes), 0, formula)


def layer_norm(s: Sizes) -> dict[str, Work]:
    n = s.tokens * s.width
    return {
        "forward": streamed(
            n, 2 * HALF, 2 * HALF, "x and residual read, y and x + residual written: 8 bytes an element"
        ),
        "backward": streamed(n, 2 * HALF, HALF, "x + residual and dy read, dx written: 6 bytes an element"),
    }


def gelu_bias(s: Sizes) -> dict[str, Work]:
    n = s.tokens * s.hidden
    return {
        "forward": streamed(n, HALF, 2 * HALF, "product read, product + bias and y written: 6 bytes an element"),
        "backward": streamed(n, 2 * HALF, HALF, "product + bias and dy read, dz written: 6 bytes an element"),
    }


def softmax(s: Sizes) -> dict[str, Work]:
    n = s.tokens * s.heads * s.time
    return {
        "forward": streamed(n, HALF, HALF, "x read, p written: 4 bytes an element"),
        "backward": streamed(n, 2 * HALF, HALF, "p and dp read, dx written: 6 bytes an element"),
    }


def cross_entropy(s: Sizes) -> dict[str, Work]:
    n = s.loss_rows * s.vocabulary
    return {"whole": streamed(n, HALF, HALF, "logits read, their gradient written over them: 4 bytes an element")}


def embedding(s: Sizes) -> dict[str, Work]:
    rows, table = s.tokens * s.width, s.vocabulary * s.width
    return {
        "forward": Work(rows * 2 * SINGLE + s.tokens * INDEX, 0, "ids and their rows read, y written, float32"),
        "backward": Work(
            (rows + table) * SINGLE + s.tokens * INDEX, 0, "ids and dy read, the whole gradient written, float32"
        ),
    }


def dropout(s: Sizes) -> dict[str, Work]:
    n = s.tokens * s.width
    return {
        "forward": streamed(n, HALF, HALF, "x read, y written: 4 bytes an element; the mask is drawn"),
        "backward": streamed(n, HALF, HALF, "dy read, dx written: 4 bytes an element; the mask is drawn again"),
    }


def adamw(s: Sizes) -> dict[str, Work]:
    n = count(parameter_shapes(s))
    return {"whole": streamed(n, 4 * SINGLE, 3 * SINGLE, "θ, g, m, v read, θ, m, v written: 28 bytes a parameter")}


def global_norm(s: Sizes) -> dict[str, Work]:
    n = count(parameter_shapes(s))
    return {"whole": streamed(n, SINGLE, 0, "g read: 4 bytes a parameter")}


def casts(s: Sizes) -> dict[str, Work]:
    n = s.vocabulary * s.width
    return {"whole": streamed(n, SINGLE, HALF, "one read, one written: 6 bytes an element")}


def attention(s: Sizes) -> dict[str, Work]:
    """Causal: half of the scores are needed. Operations of the products only."""
    scores, array = s.batch * s.heads * s.time * s.time // 2, s.batch * s.heads * s.time * s.d_head
    return {
        "forward": Work(4 * HALF * array, 4 * scores * s.d_head, "2 products of 2 d operations for half of T² scores"),
        "backward": Work(
            8 * HALF * array, 10 * scores * s.d_head, "5 products of 2 d operations for half of T² scores"
        ),
    }


def head_and_loss(s: Sizes) -> dict[str, Work]:
    product = 2 * s.loss_rows * s.vocabulary * s.width
    least = HALF * 2 * (s.loss_rows + s.vocabulary) * s.width
    return {"whole": Work(least, 3 * product, "3 products: logits, dx, dW")}


KERNELS = {
    "layer_norm + residual": layer_norm,
    "gelu_tanh + bias": gelu_bias,
    "softmax": softmax,
    "cross_entropy rows": cross_entropy,
    "embedding": embedding,
    "dropout": dropout,
    "AdamW": adamw,
    "global norm": global_norm,
    "cast float32 to bfloat16": casts,
    "cast bfloat16 to float32": casts,
    "attention": attention,
    "head and loss": head_and_loss,
}


def is_bound_by_products(name: str) -> bool:
    """Whether operations, not bytes, are what takes the time."""
    return name in ("attention", "head and loss")


def product_flops(n: int) -> int:
    """Of two square matrices: n³ multiply-adds."""
    return 2 * n**3


def copy_bytes(n_bytes: int) -> int:
    """An array read and another written."""
    return 2 * n_bytes


def add_bytes(n_bytes: int) -> int:
    """Two arrays read and a third written, as the triad does."""
    return 3 * n_bytes
