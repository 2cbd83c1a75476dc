"""How text is cut into chunks before BPE: no token ever spans two chunks.

So merges can't be wasted on "dog.", "dog!" and "dog?", and a chunk met before needs no work again. Both patterns are
those of the models they are named for: a vocabulary learnt with one gives wrong ids with another.
\\p{L} is any letter of any script (Chinese characters too), \\p{N} any digit or number sign, \\s white space;
`++`, `*+` and `?+` never give back what they took, which changes nothing here but the speed.
"""

from functools import cache
from typing import Any

from minillm.errors import ConfigError

GPT2 = (
    r"'(?:[sdmt]|ll|ve|re)",  # the end of an English contraction ('s 'd 'm 't 'll 've 're), in lower case only
    r" ?\p{L}+",  # letters, with one space before
    r" ?\p{N}+",  # digits, as many as there are, with one space before
    r" ?[^\s\p{L}\p{N}]+",  # other signs, with one space before
    r"\s+(?!\S)",  # white space, but for its last character where text follows: that goes with the text
    r"\s+",  # white space that is left: a single line end or tab before text
)

GPT4 = (
    r"'(?i:[sdmt]|ll|ve|re)",  # the end of a contraction, in either case
    r"[^\r\n\p{L}\p{N}]?+\p{L}++",  # letters, with one sign of any kind before that isn't a line end: "(word", "\tword"
    r"\p{N}{1,3}+",  # digits by threes, from the left and without a space: every number is made of few tokens
    r" ?[^\s\p{L}\p{N}]++[\r\n]*+",  # signs, with one space before and the line ends after
    r"\s++$",  # white space that ends the text
    r"\s*[\r\n]",  # white space up to and with the last line end in it
    r"\s+(?!\S)",  # white space, but for its last character
    r"\s",  # the single white space that is left
)

PATTERNS = {"gpt2": "|".join(GPT2), "gpt4": "|".join(GPT4)}


@cache
def compile_pattern(pattern: str) -> Any:
    """The compiled split pattern: a name of PATTERNS, or a regular expression of one's own. ConfigError if invalid."""
    import regex

    try:
        return regex.compile(PATTERNS.get(pattern, pattern))
    except (regex.error, OverflowError, RecursionError, TypeError) as error:
        raise ConfigError(
            f"split pattern {pattern!r} is neither {' nor '.join(PATTERNS)} nor a valid expression: {error}"
        ) from None


def chunks(pattern: str, text: str) -> list[str]:
    """`text` in chunks; joined they are the text, for what the pattern passes over is a chunk, too."""
    found, end = [], 0
    for match in compile_pattern(pattern).finditer(text):
        if match.start() > end:
            found.append(text[end : match.start()])
        if match.end() > match.start():
            found.append(match.group())
        end = match.end()
    if end < len(text):
        found.append(text[end:])
    return found
