"""Axes: round numbers for ticks, and the lines and labels drawn at them."""

import math

from minillm.views import svg


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Up to `most` multiples of 1, 2 or 5 times a power of ten from `low` to `high`."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= most - 1 + 1e-9)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> tuple[int, int]:
    """Powers of ten around positive numbers, at least one apart: 0.03 and 2 give −2 and 1."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return first, max(last, first + 1)


def plain(value: float) -> str:
    """A tick's number: as short as it can be."""
    return f"{value:g}".replace("-", "−")


def power_of_ten(power: int) -> str:
    """10⁻⁴, 0.001, 1, 10, 10⁴."""
    if -3 <= power <= 3:
        return plain(10.0**power)
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def titles(left: float, top: float, w: float, h: float, x_title: str, y_title: str) -> str:
    """The names of both axes of a plot at (left, top)."""
    below = svg.text(left + w / 2, top + h + 40, x_title, "mv-quiet", anchor="middle")
    return below + svg.text(left - 60, top + h / 2, y_title, "mv-quiet", anchor="middle", turn=-90)
