"""How text is cut into chunks before BPE: no token ever spans two chunks."""

from functools import cache
from typing import Any

from minillm.errors import ConfigError

PATTERNS = {
    # GPT-2: an English contraction; letters, digits or other signs, each with one space before; white space,
    # of which the last space is left to the word that follows.
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # GPT-4 (cl100k): contractions in either case; letters with any one sign before; at most three digits at a time;
    # signs with the line ends after them; line ends with the white space before them.
    "gpt4": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
    r"\s+(?!\S)|\s",
}


@cache
def compile_pattern(pattern: str) -> Any:
    """The compiled split pattern: a name of PATTERNS, or a regular expression of one's own."""
    import regex

    try:
        compiled = regex.compile(PATTERNS.get(pattern, pattern))
    except regex.error as error:
        raise ConfigError(
            f"split pattern {pattern!r} is neither {' nor '.join(PATTERNS)} nor a valid expression: {error}"
        ) from None
    return compiled


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
