"""Cleaning: noise out of collected text, in a fixed order of small steps.  (document section 3.2.1)"""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator

from minillm.data.cleaning import characters, markup
from minillm.data.cleaning.duplicates import DuplicateLines, NearDuplicateLines
from minillm.data.cleaning.report import CleaningReport
from minillm.data.cleaning.step import Step
from minillm.data.corpora import Corpus
from minillm.errors import ConfigError

# Each makes a fresh step: those that look for repetition begin with an empty memory.
STEPS: dict[str, Callable[[], Step]] = {
    "tags": lambda: markup.strip_tags,
    "entities": lambda: markup.decode_entities,
    "mojibake": lambda: characters.repair_mojibake,
    "control": lambda: characters.remove_control,
    "special": lambda: characters.remove_special,
    "line-ends": lambda: characters.unify_line_ends,
    "nfc": lambda: characters.normalise,
    "nfkc": lambda: characters.normalise_compatibility,
    "duplicates": DuplicateLines,
    "near-duplicates": NearDuplicateLines,
    "whitespace": lambda: characters.tidy_whitespace,
}
# Mojibake first among the characters, since what it repairs is made of controls and specials. Whitespace last: removed
# lines leave gaps.
_TEXT = ("mojibake", "control", "special", "line-ends", "nfc", "duplicates", "near-duplicates", "whitespace")
PRESETS: dict[str, tuple[str, ...]] = {"none": (), "text": _TEXT, "html": ("tags", "entities", *_TEXT)}


def clean(text: str, steps: str | Iterable[str] = "html") -> tuple[str, CleaningReport]:
    """Clean one text by a preset ("text", "html") or by steps named in order. Raises ConfigError for unknown names."""
    report = CleaningReport()
    return "".join(_clean_all([text], _names(steps), report)), report


def cleaned(corpus: Corpus, steps: str | Iterable[str]) -> tuple[Corpus, CleaningReport]:
    """The corpus with every document cleaned as it is read; lines count as duplicates across documents.

    The report is filled as the corpus is read, anew at each reading, and is whole after a whole one.
    A document that lost its last line end gets one back, so that the next begins on a line of its own.
    """
    names, report = _names(steps), CleaningReport()
    described = f"{corpus.description}, cleaned ({', '.join(names)})"

    def read() -> Iterator[str]:
        for text in _clean_all(corpus.documents(), names, report):
            yield text if text.endswith("\n") or not text.strip() else text + "\n"

    return dataclasses.replace(corpus, description=described, read=read, entropy_bits_per_byte=None), report


def _clean_all(texts: Iterable[str], names: tuple[str, ...], report: CleaningReport) -> Iterator[str]:
    report.start(names)
    steps = {name: STEPS[name]() for name in names}
    for text in texts:
        report.characters_before += len(text)
        for name, step in steps.items():
            result = step(text)
            report.steps[name].add(result)
            text = result.text
        report.characters_after += len(text)
        yield text


def _names(steps: str | Iterable[str]) -> tuple[str, ...]:
    if isinstance(steps, str):
        if steps not in PRESETS:
            raise ConfigError(f"no cleaning preset {steps!r}; there are {', '.join(PRESETS)}{_hint(steps, PRESETS)}")
        return PRESETS[steps]
    names = tuple(steps)
    for name in names:
        if name not in STEPS:
            raise ConfigError(f"no cleaning step {name!r}; there are {', '.join(STEPS)}{_hint(name, STEPS)}")
    return names


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
