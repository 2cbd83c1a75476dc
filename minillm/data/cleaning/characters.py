"""Characters that aren't text, text decoded wrongly, and one way to write what Unicode can write in two."""

import re
import unicodedata

from minillm.data.cleaning.step import Cleaned, by_line, substitute

# C0 and C1 controls, but for tab and the line ends, which `unify_line_ends` sees to.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
# Zero-width space, direction marks, word joiner and invisible operators, BOM, soft hyphen, object and replacement
# characters, half surrogate pairs, private use, noncharacters. Zero-width joiners (200C, 200D) stay: emoji and Persian
# need them.
_SPECIAL = re.compile(
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffd\ufdd0-\ufdef\ud800-\udfff\ue000-\uf8ff"
    "\ufffe\uffff\U000f0000-\U0010ffff]"
)
_LINE_END = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_INNER_BLANKS = re.compile(r"(?<=\S)[^\S\n]+(?=\S)")  # \s knows every Unicode blank
_END_BLANKS = re.compile(r"[^\S\n]+$", re.MULTILINE)
_EMPTY_LINES = re.compile(r"\n{3,}")


def repair_mojibake(text: str) -> Cleaned:
    """Undo text decoded with the wrong table ("schÃ¶n" for "schön"), where that is certain; counts lines. By ftfy."""
    from ftfy import fix_encoding

    return by_line(lambda line: line if line.isascii() else fix_encoding(line), text)


def remove_control(text: str) -> Cleaned:
    """Remove control characters, tab and line ends excepted; counts characters."""
    return substitute(_CONTROL, "", text)


def remove_special(text: str) -> Cleaned:
    """Remove characters that show nothing or stand for nothing (see the list above); counts characters."""
    return substitute(_SPECIAL, "", text)


def normalise(text: str) -> Cleaned:
    """Unicode NFC: an accented letter is one character, however it was typed; counts lines. "，" stays as it is."""
    return by_line(lambda line: unicodedata.normalize("NFC", line), text)


def normalise_compatibility(text: str) -> Cleaned:
    """Unicode NFKC: full-width forms, ligatures and superscripts become plain ("，" becomes ","); counts lines."""
    return by_line(lambda line: unicodedata.normalize("NFKC", line), text)


def unify_line_ends(text: str) -> Cleaned:
    """Windows', old Macs', printers' and Unicode's line ends become a newline; counts line ends."""
    return substitute(_LINE_END, "\n", text)


def tidy_whitespace(text: str) -> Cleaned:
    """One blank between words, none at line ends, at most one empty line in a row; counts places.

    Indentation stays, since in code and in Chinese paragraphs it means something.
    """
    total, example = 0, ""
    for pattern, new in ((_END_BLANKS, ""), (_INNER_BLANKS, " "), (_EMPTY_LINES, "\n\n")):
        text, removed, first = substitute(pattern, new, text)
        total, example = total + removed, example or first
    return Cleaned(text, total, example)
