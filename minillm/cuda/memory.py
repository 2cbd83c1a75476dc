"""The GPU's memory: how much is free, how much this process has of it, and what to say when it is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minillm.cuda.driver import array_module


def free_and_total() -> tuple[int, int]:
    """Bytes of the GPU: free for this process (what its pool keeps for later included), and in all."""
    cupy = array_module()
    free, total = cupy.cuda.runtime.memGetInfo()
    return free + cupy.get_default_memory_pool().free_bytes(), total


def in_use() -> int:
    """Bytes of the GPU that this process has taken, for its arrays and for later ones."""
    return array_module().get_default_memory_pool().total_bytes()


class Meter:
    """Bytes of the arrays made since its start that are alive: now, and the most at one time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def took(self, size: int) -> None:
        """A block was handed out."""
        self.now += size
        self.most = max(self.most, self.now)

    def gave(self, size: int) -> None:
        """A block came back."""
        self.now -= size


@contextmanager
def measured() -> Iterator[Meter]:
    """Within it, the GPU's memory is counted as CuPy's pool hands it out and takes it back."""
    meter = Meter()

    def took(self: Any, **block: Any) -> None:
        meter.took(block["mem_size"])

    def gave(self: Any, **block: Any) -> None:
        meter.gave(block["mem_size"])

    hooks = {"name": "minillm", "malloc_postprocess": took, "free_postprocess": gave}
    with type("Counting", (array_module().cuda.MemoryHook,), hooks)():  # its base is known only once CuPy is there
        yield meter


def explanation(error: BaseException) -> str | None:
    """What to tell a person whose GPU ran out of memory; None for any other error."""
    if type(error).__name__ != "OutOfMemoryError":
        return None
    free, total = free_and_total()
    return (
        f"the GPU's memory is full: {error} Free: {free / 1e9:.2f} GB of {total / 1e9:.2f} GB. A smaller "
        "--batch-size, or more --gradient-accumulation parts, takes less; nvidia-smi lists what other programs take"
    )
