"""How large everything is: as in training a GPT-2 of 124 million parameters, or so tiny that an emulator can do it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Every size that a section uses."""

    # correctness
    widths: tuple[int, ...]  # of rows: GPT-2's width, a power of two, its vocabulary
    rows: int
    attention: tuple[int, int, int, int]  # batch, heads, time, d
    linear: tuple[int, int, int]  # rows, d_out, d_in
    ops: tuple[str, ...]  # all if none is named
    simulated: tuple[str, ...]  # of numba_cuda in its simulator, which is very slow
    # golden
    golden: dict[str, int]  # of a GPTConfig
    golden_batch: int
    golden_steps: int
    # kernels
    copied: int  # bytes of an array that is copied
    product: int  # rows and columns of a square matrix
    batch: int
    time: int
    width: int
    hidden: int
    heads: int
    d_head: int
    vocabulary: int
    loss_rows: int
    layers: int
    flushed: int  # bytes written between two runs, more than any L2 cache holds
    repeats: int

    @property
    def tokens(self) -> int:
        """Of a batch."""
        return self.batch * self.time


FULL = Sizes(
    widths=(768, 1024, 50304),
    rows=33,
    attention=(1, 2, 1024, 64),
    linear=(257, 3072, 768),
    ops=(),
    simulated=(),
    golden={"vocab_size": 64, "context_length": 64, "n_layer": 2, "n_head": 2, "d_model": 128},
    golden_batch=8,
    golden_steps=20,
    copied=1 << 30,
    product=8192,
    batch=16,
    time=1024,
    width=768,
    hidden=3072,
    heads=12,
    d_head=64,
    vocabulary=50304,
    loss_rows=8192,
    layers=12,
    flushed=1 << 30,
    repeats=30,
)

TINY = Sizes(
    widths=(24, 70),
    rows=3,
    attention=(1, 2, 33, 32),
    linear=(9, 16, 24),
    ops=("add", "attention", "embedding", "layer_norm", "linear", "softmax"),
    simulated=("gelu",),
    golden={"vocab_size": 16, "context_length": 8, "n_layer": 1, "n_head": 1, "d_model": 32},
    golden_batch=2,
    golden_steps=3,
    copied=1 << 12,
    product=16,
    batch=1,
    time=32,
    width=32,
    hidden=64,
    heads=1,
    d_head=32,
    vocabulary=96,
    loss_rows=4,
    layers=1,
    flushed=1 << 10,
    repeats=2,
)

BY_NAME = {"full": FULL, "tiny": TINY}
