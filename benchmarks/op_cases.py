"""The ops that are measured, at sizes of the models, and the least work that each must do.

Operations: additions, multiplications, divisions, roots and exponentials of the formula, each counted as one.
Bytes: every input read once and every output written once, float32; whatever more an implementation moves is its loss.
"""

from typing import NamedTuple

VOCABULARY, WIDTH, HIDDEN, TOKENS = 50304, 768, 3072, 1024  # GPT-2 124M, one text of its full context
GPT2 = [(VOCABULARY, WIDTH), (TOKENS, WIDTH), (WIDTH,), (WIDTH,)] + 12 * [
    *4 * [(WIDTH, WIDTH), (WIDTH,)],
    *[(HIDDEN, WIDTH), (HIDDEN,), (WIDTH, HIDDEN), (WIDTH,)],
    *4 * [(WIDTH,)],
]


class Work(NamedTuple):
    """Operations and bytes of one pass."""

    operations: int
    bytes: int


class OpCase(NamedTuple):
    """One op at one size. `backward` is None where one pass does both, or there is nothing to differentiate."""

    name: str
    shape: tuple[int, ...]
    forward: Work
    backward: Work | None

    @property
    def key(self) -> str:
        """How processes name it to each other."""
        return f"{self.name} {self.shape}"

    def passes(self) -> dict[str, Work]:
        """Work by the name of the pass."""
        both = {"forward": self.forward, "backward": self.backward}
        return {name: work for name, work in both.items() if work}


def elementwise(name: str, shape: tuple[int, ...], forward: int, backward: int, reread: int = 1) -> OpCase:
    """An op of so many operations an element; its backward reads dy and `reread` more arrays and writes dx."""
    n = 1
    for size in shape:
        n *= size
    return OpCase(name, shape, Work(forward * n, 8 * n), Work(backward * n, 4 * (2 + reread) * n))


def linear(rows: int, d_out: int, d_in: int) -> OpCase:
    """y = x Wᵀ + b; backward dx, dW, db."""
    product, x, w, y = 2 * rows * d_out * d_in, rows * d_in, d_out * d_in, rows * d_out
    backward = Work(2 * product + y, 4 * (y + 2 * x + 2 * w))
    return OpCase("linear", (rows, d_out, d_in), Work(product + y, 4 * (x + w + y)), backward)


def head_and_loss(rows: int, classes: int, d: int) -> OpCase:
    """The output head with its cross-entropy, both passes: three products, and 5 operations a logit."""
    operations = 3 * 2 * rows * classes * d + 5 * rows * classes
    return OpCase("head and loss", (rows, classes, d), Work(operations, 4 * (2 * rows * d + 2 * classes * d)), None)


def attention(batch: int, heads: int, time: int, d: int) -> OpCase:
    """Causal: half of the scores. Forward is two products and 5 operations a score, backward five products and 7."""
    scores, array = batch * heads * time * time // 2, batch * heads * time * d
    forward, backward = Work(scores * (4 * d + 5), 4 * 4 * array), Work(scores * (10 * d + 7), 4 * 8 * array)
    return OpCase("attention", (batch, heads, time, d), forward, backward)


def cross_entropy(rows: int, classes: int) -> OpCase:
    """Forward reads the logits, backward reads them again and writes their gradient."""
    n = rows * classes
    return OpCase("cross_entropy", (rows, classes), Work(4 * n, 4 * n), Work(3 * n, 8 * n))


def embedding(classes: int, d: int, rows: int) -> OpCase:
    """Rows copied; backward writes the whole gradient, zeros where no token was."""
    return OpCase("embedding", (classes, d, rows), Work(0, 8 * rows * d), Work(rows * d, 4 * (rows * d + classes * d)))


def adamw(shapes: list[tuple[int, ...]]) -> OpCase:
    """Norm of the gradients and one step: 14 operations an element; g read twice, θ, m and v read and written."""
    n = sum(shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in shapes)
    return OpCase("clip and AdamW", (n,), Work(14 * n, 4 * 8 * n), None)


CASES = [
    linear(TOKENS, HIDDEN, WIDTH),
    head_and_loss(TOKENS, VOCABULARY, WIDTH),
    attention(1, 12, TOKENS, 64),
    attention(16, 6, 256, 64),
    elementwise("layer_norm", (TOKENS, WIDTH), 7, 11),
    elementwise("rms_norm", (TOKENS, WIDTH), 4, 8),
    elementwise("softmax", (12 * TOKENS, TOKENS), 5, 4),
    elementwise("gelu_tanh", (TOKENS, HIDDEN), 9, 16),
    elementwise("gelu", (TOKENS, HIDDEN), 16, 24),
    elementwise("silu", (TOKENS, HIDDEN), 4, 9),
    elementwise("dropout", (TOKENS, WIDTH), 1, 1, reread=0),
    embedding(VOCABULARY, WIDTH, TOKENS),
    cross_entropy(TOKENS, VOCABULARY),
    adamw(GPT2),
]
