"""bfloat16: matrix products of numbers rounded to it, summed in float32.

A bfloat16 is the upper half of a float32: its sign and exponent, and 7 of its 23 fraction bits. It keeps float32's
range and 2 to 3 decimal digits, which is enough for the operands of products (Kalamkar et al. 2019, section 3) and
lets a processor multiply two or four times as many of them at a time. Arrays stay float32 everywhere.
"""

import numpy as np

from minillm.errors import ConfigError


def product(xp, a, b, precision):
    """A B, of operands as they are (precision None) or rounded to bfloat16; sums in the arrays' own type."""
    return a @ b if precision is None else round_bfloat16(xp, a) @ round_bfloat16(xp, b)


def round_bfloat16(xp, x):
    """x to the nearest bfloat16, ties to the even one, in x's own dtype; NaN and infinity stay.

    The 16 bits dropped count as a fraction: adding just under a half, or a half where the last bit kept is odd,
    carries into it exactly when the number must be rounded up.
    """
    bits = x.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return xp.where(xp.isnan(x), x, rounded.view(np.float32).astype(x.dtype))


def check_precision(name, precision):
    """ConfigError unless `precision` is None or "bfloat16"."""
    if precision not in (None, "bfloat16"):
        raise ConfigError(f"{name}: precision={precision!r} must be None (the arrays' own type) or 'bfloat16'")
