"""Values and tokens as a person can read them: numbers to three digits, spaces and stray bytes made visible."""

import unicodedata
from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np

DIGITS = 3
_NARROW = frozenset(" .,:;|!'()[]ijlftr")
_VISIBLE = {" ": "␣", "\n": "↵", "\t": "⇥"}


def number(value: float) -> str:
    """`value` to three significant digits: 0.500, 12.3, −1,234 as −1230, 1.20e−7, ∞, NaN; zero is 0."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    digits, _, exponent = f"{value:.{DIGITS - 1}e}".partition("e")
    power = int(exponent)
    if -4 <= power < 5:
        rounded = float(f"{digits}e{power}")
        shown = f"{rounded:.{max(0, DIGITS - 1 - power)}f}"
    else:
        shown = f"{digits}e{power}"
    return shown.replace("-", "−")


def numbers(values: Any, most: int = 6) -> str:
    """A small array's numbers, 0.500 or [1.00, 2.00]; of a large one only the norm, ‖·‖ = 3.20."""
    array = np.asarray(values, np.float64)
    if array.size > most:
        return f"‖·‖ = {number(float(np.linalg.norm(array)))}"
    return _nested(array)


def number_lines(label: str, values: Any) -> list[str]:
    """`numbers`, behind its label, a line for each row of a matrix."""
    return f"{label} {numbers(values)}".replace("], [", "],\n[").split("\n")


def _nested(array: np.ndarray) -> str:
    if array.ndim == 0:
        return number(float(array))
    return f"[{', '.join(_nested(part) for part in array)}]"


def visible(token: str | bytes) -> str:
    """A token with what can't be seen written out: "␣the", "↵", ⟨E4⟩ for a byte that is no whole character.

    bytes: read as UTF-8 as far as they are UTF-8.
    """
    text = token.decode("utf-8", "surrogateescape") if isinstance(token, bytes) else token
    return "".join(map(_visible_character, text))


def _visible_character(character: str) -> str:
    if character in _VISIBLE:
        return _VISIBLE[character]
    if "\udc80" <= character <= "\udcff":  # a byte that decode put aside
        return f"⟨{ord(character) - 0xDC00:02X}⟩"
    kind = unicodedata.category(character)
    if kind[0] == "C" or kind[0] == "Z":
        return f"⟨U+{ord(character):04X}⟩"
    return f"◌{character}" if kind[0] == "M" else character


def width(text: str, size: float) -> float:
    """About how many pixels wide `text` is at a font size of `size` pixels: Chinese characters are square."""
    return size * sum(map(_em, text))


def _em(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    return 0.4 if character in _NARROW else 0.65


def clipped(text: str, pixels: float, size: float) -> str:
    """`text`, or as much of its beginning as fits into `pixels`, with … at the end."""
    if width(text, size) <= pixels:
        return text
    while text and width(text + "…", size) > pixels:
        text = text[:-1]
    return text + "…"


def table(caption: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """An HTML table of plain texts; the first cell of each row is its heading."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = []
    for first, *rest in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return (
        f'<table class="mv-table"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )
