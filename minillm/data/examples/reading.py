"""Files of examples, read whole and checked: UTF-8, lines, tables, JSON. Every error names the file and the line.

A line ends with "\\n" or "\\r\\n" and with nothing else. `str.splitlines` would also cut at U+0085, U+2028 and their
kin, which real corpora hold inside a sentence (rt-polarity in 23 places), and two aligned files would drift apart.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from minillm.data import text_files
from minillm.errors import DataError

Path_ = str | Path
Row = tuple[int, list[str]]
"""The line a row of a table ends on, counted from 1, and its fields."""
BLANKS = " \t\r\n"
"""What is taken off both ends of a text: not U+0085, which stands for "…" where a file was decoded wrongly."""


def wrong(path: Path_, line: int, what: str) -> DataError:
    """The error to raise for a line (counted from 1) that breaks the format; `what` gives the rule and the fix."""
    return DataError(f"{path}, line {line}: {what}")


def read_text(path: Path_) -> str:
    """The whole text of a file. DataError where it isn't there or isn't UTF-8."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"{path} is no file; check the path")
    return "".join(text_files.read(path))


def read_lines(path: Path_) -> list[str]:
    """The lines of a file, blanks at both ends taken off; none of them may be empty. DataError also for no line."""
    lines = _split(read_text(path))
    if not lines:
        raise DataError(f"{path} is empty; it needs at least one line")
    for number, line in enumerate(lines, 1):
        if not line.strip(BLANKS):
            raise wrong(path, number, "is empty; delete it (in a file aligned with it, too)")
    return [line.strip(BLANKS) for line in lines]


def read_tab_separated(path: Path_, columns: int) -> list[Row]:
    """The fields of each line, at least `columns` of them (else DataError); a quotation mark is a plain character."""
    lines = _split(read_text(path))
    table = [(number, line.split("\t")) for number, line in enumerate(lines, 1)]
    return _checked(path, table, columns, "separated by tabs")


def read_comma_separated(path: Path_, columns: int) -> list[Row]:
    """The fields of each record of a CSV file (RFC 4180: a field in quotes may hold commas, line ends, and "" for ").

    Errors as for `read_tab_separated`, also for a quoted field that doesn't end. The line is where the record ends.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    table = []
    try:
        for fields in reader:
            table.append((reader.line_num, fields))
    except csv.Error as error:
        raise wrong(path, reader.line_num, f'isn\'t CSV: {error}; write a " inside a quoted field as ""') from None
    return _checked(path, table, columns, "separated by commas")


def check_filled(path: Path_, rows: Iterable[Row], places: Iterable[int]) -> None:
    """DataError for a row in which one of the columns `places` (from 0) is empty."""
    places = list(places)
    for line, fields in rows:
        for i in places:
            if not fields[i]:
                raise wrong(path, line, f"column {i + 1} is empty; fill it or delete the line")


def column_numbers(path: Path_, header: Sequence[str], names: Sequence[str]) -> list[int]:
    """Where the columns called `names` are, by the first line of a table. DataError for a name that isn't there."""
    for name in names:
        if name not in header:
            raise wrong(path, 1, f"no column is called {name!r}; the columns are {', '.join(header)}")
    return [header.index(name) for name in names]


def read_json(path: Path_) -> Any:
    """What a JSON file holds. DataError, with line and column, where it isn't JSON."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise wrong(path, error.lineno, f"isn't JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise DataError(f"{path} is nested without end; a file of examples is a few levels deep") from None


def _split(text: str) -> list[str]:
    lines = text.split("\n")
    return lines[:-1] if not lines[-1] else lines


def _checked(path: Path_, table: list[Row], columns: int, how: str) -> list[Row]:
    if not table:
        raise DataError(f"{path} is empty; it needs at least one line of {columns} columns {how}")
    for line, fields in table:
        if len(fields) < columns:
            raise wrong(path, line, f"has {len(fields)} of at least {columns} columns {how}; complete or delete it")
    return [(line, [field.strip(BLANKS) for field in fields]) for line, fields in table]
