"""Summaries: a text (`source`) and the short one it is to become (`target`), read as pairs."""

from minillm.data.examples.pairs import Pair
from minillm.data.examples.reading import (
    Path_,
    check_filled,
    column_numbers,
    read_comma_separated,
    read_tab_separated,
    wrong,
)
from minillm.errors import DataError


def read_summaries(path: Path_, text: str = "description", summary: str = "synopsis") -> list[Pair]:
    """Pairs from a table whose first line names its columns, separated by tabs; a quotation mark is a plain character.

    text, summary: the names of the two columns; the defaults are those of Debian's package descriptions.
    DataError for a name that isn't there, a line with too few columns, an empty text or summary, no line but the
    first, or bytes that aren't UTF-8.
    """
    (_, header), *rows = read_tab_separated(path, 2)
    places = column_numbers(path, header, (text, summary))
    if not rows:
        raise DataError(f"{path} has its header alone; it needs a line for each summary")
    for line, fields in rows:
        if len(fields) != len(header):
            raise wrong(path, line, f"has {len(fields)} columns, the header {len(header)}; complete or delete it")
    check_filled(path, rows, places)
    return [Pair(*(fields[i] for i in places)) for _, fields in rows]


def read_titles(path: Path_) -> list[Pair]:
    """Pairs of an article and its title, from AG News's CSV: class, title, text. Errors as for `labelled.read_csv`."""
    rows = read_comma_separated(path, 3)
    check_filled(path, rows, (1, 2))
    return [Pair(article, title) for _, (_, title, article, *_) in rows]
