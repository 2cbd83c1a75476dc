"""What the C++ tokenizer (csrc/cpu/bpe) must know of the Python in this folder, whose results it repeats."""

from functools import cache

import numpy as np

from minillm.tokenizers.patterns import PATTERNS

CODE_POINTS = 0x110000
KINDS = {r"\p{L}": 1, r"\p{N}": 2, r"\s": 4}  # LETTER, NUMBER and SPACE of bpe/split.hpp


def known_pattern(pattern: str) -> str | None:
    """The name of a pattern that the native code can cut by; None for a regular expression of one's own."""
    return next((name for name, expression in PATTERNS.items() if pattern in (name, expression)), None)


@cache
def character_kinds() -> np.ndarray:
    """What each code point is, (CODE_POINTS,) uint8: asked of the module that cuts text in Python, so both agree."""
    import regex

    surrogates = range(0xD800, 0xE000)  # no text that is encoded holds them, and UTF-8 can't
    everything = "".join("?" if i in surrogates else chr(i) for i in range(CODE_POINTS))
    kinds = np.zeros(CODE_POINTS, np.uint8)
    for expression, bit in KINDS.items():
        for run in regex.finditer(f"{expression}+", everything):
            kinds[run.start() : run.end()] |= bit
    return kinds
