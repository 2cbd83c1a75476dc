"""What this GPU can do at most, by work that does nothing else: bytes copied and added, square products."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu.arrays import BFLOAT16, normal
from benchmarks.gpu.machine import ask
from benchmarks.gpu.sizes import Sizes
from benchmarks.gpu.timing import flushing, measured
from benchmarks.gpu.work import add_bytes, copy_bytes, product_flops
from minillm.cuda.driver import array_module
from minillm.kernels.cuda import gemm

MEMORY = ("copy", "add")
PRODUCTS = ("bfloat16 product", "TF32 product", "float32 product")
NAMES = (*MEMORY, *PRODUCTS)
LOAD = ("clocks.current.sm", "clocks.current.memory", "power.draw", "temperature.gpu")  # MHz, MHz, W, °C
LOAD_MILLISECONDS, MOST_LAUNCHES = 1500, 900  # a launch waits where about a thousand are waiting already


def memory(xp: Any, name: str, sizes: Sizes) -> tuple[Callable[[], object], int]:
    """Arrays of a GB, and the bytes that are moved."""
    a, b, c = (normal(xp, sizes.copied // 4, dtype=np.float32, seed=seed) for seed in range(3))
    if name == "copy":
        return lambda: b.__setitem__(Ellipsis, a), copy_bytes(a.nbytes)
    return lambda: xp.add(a, b, out=c), add_bytes(a.nbytes)


def product(xp: Any, name: str, sizes: Sizes) -> tuple[Callable[[], object], int]:
    """As the layers multiply: sums in float32, the result in the operands' type."""
    dtype = BFLOAT16 if name.startswith("bfloat16") else np.dtype(np.float32)
    os.environ["MINILLM_TF32"] = str(int(name.startswith("TF32")))
    gemm.uses_tf32.cache_clear()
    a, b = (normal(xp, sizes.product, sizes.product, dtype=dtype, seed=seed) for seed in (0, 1))
    return lambda: gemm.product(xp, a, b, dtype), product_flops(sizes.product)


def item(name: str, sizes: Sizes) -> dict[str, Any]:
    """One limit: how long it took, and the bytes or operations a second."""
    xp = array_module()
    work, amount = (memory if name in MEMORY else product)(xp, name, sizes)
    times = measured(xp, work, sizes.repeats, flushing(xp, sizes.flushed))
    found = {**times, "amount": amount, "rate": amount / (times["ms"] / 1000)}
    return found if name in MEMORY else {**found, "under load": under_load(work, times["ms"])}


def under_load(work: Callable[[], object], milliseconds: float) -> dict[str, str]:
    """What nvidia-smi says of the clocks while the GPU does nothing but this; empty without nvidia-smi."""
    for _ in range(min(int(LOAD_MILLISECONDS / milliseconds) + 1, MOST_LAUNCHES)):
        work()
    return dict(zip(LOAD, ask(LOAD) or (), strict=False))


def limits(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The most bytes and the most operations (of bfloat16 products) a second, of what could be measured."""
    rates = {name: values["rate"] for name, values in found.items()}
    bytes_a_second = [rates[name] for name in MEMORY if name in rates]
    most = {"bytes": max(bytes_a_second)} if bytes_a_second else {}
    return most | ({"flops": rates[PRODUCTS[0]]} if PRODUCTS[0] in rates else {})
