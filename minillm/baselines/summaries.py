"""Lead-k: the first sentences or words of a text as its summary. For news, hard to beat (Nenkova 2005).

English and Chinese ends of sentences are known. A full stop after a title or an initial ("Dr.", "J.") ends none, nor
does an English mark that no space or a small letter follows ("3.14", '"No!" he said'). Other abbreviations are taken
for ends if a capital follows.
"""

import re

from minillm.errors import ConfigError
from minillm.metrics.words import WORDS

CLOSING = "\"'”’»)\\]」』）】》"
END = re.compile(rf"[。！？…]+[{CLOSING}]*|(?P<stop>[.!?]+)[{CLOSING}]*(?=\s|$)|\n\s*\n")
"""Chinese marks end a sentence wherever they stand, others before white space; quotation marks and brackets that close
after them still belong to it. An empty line ends one, too: headings have no mark."""
ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|[A-Z])\.$")


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, without white space around them.

    >>> sentences("Dr. Li came. 他来了。她也来了！")
    ['Dr. Li came.', '他来了。', '她也来了！']
    """
    found, start = [], 0
    for end in END.finditer(text):
        if end["stop"] and _goes_on(text[: end.end("stop")], text[end.end() :]):
            continue
        found.append(text[start : end.end()].strip())
        start = end.end()
    return [sentence for sentence in [*found, text[start:].strip()] if sentence]


def lead_sentences(text: str, k: int) -> str:
    """The first k sentences, each after a space (none after Chinese marks); all of them, if they are fewer."""
    summary = ""
    for sentence in sentences(text)[: _checked(k)]:
        summary += (" " if summary and summary[-1].isascii() else "") + sentence
    return summary


def lead_words(text: str, k: int) -> str:
    """The text up to the end of its k-th word; a Chinese character is a word. All of it, if there are fewer."""
    for i, word in enumerate(WORDS.finditer(text), 1):
        if i == _checked(k):
            return text[: word.end()].strip()
    return text.strip()


def _goes_on(before: str, after: str) -> bool:
    """Whether the mark that ends `before` is an abbreviation's, or what comes after begins with a small letter."""
    return bool(ABBREVIATION.search(before[-6:])) or after.lstrip()[:1].islower()


def _checked(k: int) -> int:
    if k < 1:
        raise ConfigError(f"k={k} must be at least 1")
    return k
