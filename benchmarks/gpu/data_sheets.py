"""What data sheets promise of GPUs: bfloat16 products (dense, sums in float32) and memory, by the name they give."""

from typing import NamedTuple


class Sheet(NamedTuple):
    """10¹² operations a second, 10⁹ bytes a second."""

    bfloat16: float
    memory: float


# The first whose words all occur in the GPU's name.
SHEETS = {
    ("H200",): Sheet(989.4, 4800),
    ("H100", "PCIe"): Sheet(756, 2000),
    ("H100", "NVL"): Sheet(835, 3900),
    ("H100", "HBM3"): Sheet(989.4, 3350),
    ("A100", "80GB", "SXM"): Sheet(312, 2039),
    ("A100", "80GB"): Sheet(312, 1935),
    ("A100",): Sheet(312, 1555),
}


def of(name: str) -> Sheet | None:
    """None for a GPU that isn't listed."""
    return next((sheet for words, sheet in SHEETS.items() if all(word in name for word in words)), None)
