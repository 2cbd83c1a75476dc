"""Corpora: where the text comes from. A registered name, or any file, folder or glob of UTF-8 text.

A corpus is a sequence of documents read one after the other, never as a whole, so it may be larger than memory.
Its text is its documents joined end to end: each brings its own line ends.

To add one: write a function that returns a `Corpus`, and name it in `CORPORA`.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from minillm.data import python_docs, shakespeare, stories, text_files
from minillm.errors import DataError


@dataclass(frozen=True)
class Corpus:
    """A named text that can be read again and again, the same each time."""

    name: str
    description: str
    read: Callable[[], Iterable[str]]
    """Starts a new reading; gives the documents in order."""
    entropy_bits_per_byte: float | None = None
    """The least loss any model can reach, in bits per UTF-8 byte; None where nobody knows it, as for all human text."""

    def documents(self) -> Iterator[str]:
        """The documents, none of them empty. Raises DataError while reading, where the text isn't UTF-8."""
        return (document for document in self.read() if document)


def _python_docs() -> Corpus:
    return Corpus("python-docs", "the documentation of the Python that is running", python_docs.documents)


def _stories() -> Corpus:
    return Corpus(
        "stories",
        "short stories drawn from a grammar whose entropy is known",
        stories.documents,
        stories.entropy_bits_per_byte(),
    )


def _shakespeare() -> Corpus:
    path = shakespeare.fetch()
    return Corpus("shakespeare", "tiny Shakespeare, 1.1 MB of his plays", lambda: text_files.read(path))


DEFAULT = "python-docs"
CORPORA: dict[str, Callable[[], Corpus]] = {DEFAULT: _python_docs, "stories": _stories, "shakespeare": _shakespeare}


def load(name_or_path: str | Path) -> Corpus:
    """The corpus of that name, or the text at that path.

    A registered name comes first; `./stories` is the folder. A path is a file (any ending), a folder (all files below
    it that end in one of `text_files.SUFFIXES`, hidden ones left out), or a glob such as `books/**/*.txt`.
    Raises DataError for an unknown name, a path that isn't there, or one without text files.
    """
    given = str(name_or_path)
    if given in CORPORA:
        return CORPORA[given]()
    paths = text_files.find(given)
    if paths is None:
        raise DataError(_unknown(given))
    number = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    return Corpus(given, f"{number} from {given}", lambda: text_files.read_all(paths))


def _unknown(given: str) -> str:
    close = difflib.get_close_matches(given.lower(), CORPORA, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"{given!r} is neither a corpus nor a file, folder or glob that is there.{hint} "
        f"Known corpora: {', '.join(CORPORA)}; {DEFAULT!r} needs no download"
    )
