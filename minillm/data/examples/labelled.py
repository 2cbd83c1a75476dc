"""Classification: texts with a label, from a table, from one file a class, or from one folder a class. All UTF-8.

CSV   "3","title","text"     AG News: the class first, everything after it is the text (with "\\" for its line ends)
TSV   label<TAB>text
files pos: a text a line     rt-polarity.pos and .neg (Pang and Lee 2005)
folders pos/1.txt pos/2.txt  a text a file, as in IMDB
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from minillm.data import text_files
from minillm.data.examples.reading import (
    BLANKS,
    Path_,
    Row,
    check_filled,
    read_comma_separated,
    read_lines,
    read_tab_separated,
    read_text,
    wrong,
)
from minillm.data.examples.splitting import check_count, divide, held_out
from minillm.errors import ConfigError, DataError

AG_NEWS = ("World", "Sports", "Business", "Sci/Tech")
"""AG News's classes 1 to 4."""
AG_NEWS_VALIDATION = 1600
"""Held out of the 7,600 items of AG News's test file, 400 a class, by seed 0: `stratified(examples, 1600)`."""


@dataclass(frozen=True)
class Labelled:
    """A text and the number of its class, from 0."""

    text: str
    label: int


class LabelledSet(NamedTuple):
    """Texts, and the name of each label."""

    examples: list[Labelled]
    names: list[str]


def read_csv(path: Path_, names: Sequence[str] | None = None) -> LabelledSet:
    """Records of a class and one text or more, which are joined by a space. No header line.

    names: the classes in order; the first column then holds a name, or its number from 1 (unless names are numbers
    themselves). Without them, the classes are the labels found, in order of number if all are, else of the alphabet.
    DataError, with the line, for a label that is none of them, fewer than two columns, no text, a class without
    examples, broken quotes, bytes that aren't UTF-8.
    """
    return _labelled(path, read_comma_separated(path, 2), names)


def read_tsv(path: Path_, names: Sequence[str] | None = None) -> LabelledSet:
    """As `read_csv`, with tabs between the columns, and quotation marks that mean nothing."""
    return _labelled(path, read_tab_separated(path, 2), names)


def read_class_files(files: Mapping[str, Path_]) -> LabelledSet:
    """One file a class, {name: path}, in which each line is a text. DataError for an empty file or line."""
    _check_names(list(files))
    return _numbered({name: read_lines(path) for name, path in files.items()})


def read_class_folders(folder: Path_) -> LabelledSet:
    """One folder a class, its name the class's, in which each file below is a text (see `text_files.SUFFIXES`).

    The classes are in alphabetical order; hidden folders are left out. DataError for a folder without text files, an
    empty file, or fewer than two folders.
    """
    folder = Path(folder).expanduser()
    classes = sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))
    if len(classes) < 2:
        raise DataError(f"{folder} has {len(classes)} folders; it needs one for each of two classes or more")
    return _numbered({path.name: [_whole(file) for file in text_files.find(str(path)) or ()] for path in classes})


def read_labelled(data: Sequence[str], names: Sequence[str] = ()) -> LabelledSet:
    """What a command line names: a table (.csv or .tsv), a folder of class folders, or "NAME=FILE" for each class.

    names: the classes in order, as for `read_csv`; class files and folders must have no others (DataError).
    ConfigError for a list that is none of these.
    """
    paths = [Path(given).expanduser() for given in data]
    pairs = [tuple(given.split("=", 1)) for given, path in zip(data, paths, strict=True) if not path.exists()]
    files = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    if data and len(files) == len(data):
        found = read_class_files(files)
    elif len(data) == 1 and paths[0].is_dir():
        found = read_class_folders(paths[0])
    elif len(data) == 1 and paths[0].suffix.lower() in TABLES:
        return TABLES[paths[0].suffix.lower()](paths[0], names or None)
    else:
        raise ConfigError(
            f"labelled texts are one table ({' or '.join(TABLES)}: label, text), one folder with a folder for each "
            f"class, or NAME=FILE for each class; got {' '.join(data) or 'nothing'}"
        )
    return _renumbered(found, names) if names else found


def stratified(
    examples: Sequence[Labelled], n_validation: int, seed: int = 0, names: Sequence[str] = ()
) -> tuple[list[Labelled], list[Labelled]]:
    """Training and validation examples, each class as frequent in both as the counts allow (see `shares`).

    Equal texts of a class stay on one side. ConfigError where a side would be empty, DataError where a class would be,
    which calls it by its place in `names`.
    """
    check_count(n_validation, len(examples))
    members: dict[int, list[int]] = {}
    for i, example in enumerate(examples):
        members.setdefault(example.label, []).append(i)
    labels = sorted(members)
    chosen: set[int] = set()
    for label, share in zip(labels, shares([len(members[label]) for label in labels], n_validation), strict=True):
        own = members[label]
        picked = held_out([examples[i].text for i in own], share, seed)
        if not 0 < len(picked) < len(own):
            called = f"class {names[label]!r}" if names else f"label {label}"
            raise DataError(
                f"{called} has {len(own)} {'example' if len(own) == 1 else 'examples'}: {len(picked)} to hold out, "
                f"{len(own) - len(picked)} to train on; each side needs one: add examples, or hold out another number"
            )
        chosen.update(own[i] for i in picked)
    return divide(examples, chosen)


def shares(counts: Sequence[int], total: int) -> list[int]:
    """`total` divided in proportion to `counts`: rounded down, what is missing given to the largest remainders."""
    whole = [total * count // sum(counts) for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda i: (-(total * counts[i] % sum(counts)), i))
    for i in by_remainder[: total - sum(whole)]:
        whole[i] += 1
    return whole


def _labelled(path: Path_, rows: list[Row], names: Sequence[str] | None) -> LabelledSet:
    check_filled(path, rows, (0,))
    names = _found(path, rows) if names is None else names
    _check_names(names)
    number = {name: i for i, name in enumerate(names)}
    if not any(name.isdecimal() for name in names):
        number |= {str(i + 1): i for i in range(len(names))}
    examples = []
    for line, (label, *texts) in rows:
        if label not in number:
            raise wrong(path, line, f"{label!r} is no class; known are {', '.join(number)}")
        text = " ".join(filter(None, texts))
        if not text:
            raise wrong(path, line, "has a class and no text; delete it")
        examples.append(Labelled(text, number[label]))
    found = {example.label for example in examples}
    for i, name in enumerate(names):
        if i not in found:
            raise DataError(f"{path}: class {name!r} has no examples; add some, or leave it out of names")
    return LabelledSet(examples, list(names))


def _found(path: Path_, rows: list[Row]) -> list[str]:
    labels = {fields[0] for _, fields in rows}
    if len(labels) < 2:
        raise DataError(f"{path} has only the class {labels.pop()!r}; telling classes apart takes two or more")
    return sorted(labels, key=int) if all(label.isdecimal() for label in labels) else sorted(labels)


def _numbered(texts: Mapping[str, list[str]]) -> LabelledSet:
    examples = [Labelled(text, label) for label, own in enumerate(texts.values()) for text in own]
    return LabelledSet(examples, list(texts))


def _renumbered(found: LabelledSet, names: Sequence[str]) -> LabelledSet:
    """The same texts, their classes numbered as in `names`."""
    if others := [name for name in found.names if name not in names]:
        raise DataError(f"{', '.join(others)}: no such class; known are {', '.join(names)}")
    return LabelledSet([Labelled(e.text, names.index(found.names[e.label])) for e in found.examples], list(names))


def _whole(path: Path) -> str:
    text = read_text(path).strip(BLANKS)
    if not text:
        raise DataError(f"{path} is empty; delete it, or put its text back")
    return text


def _check_names(names: Sequence[str]) -> None:
    if len(set(names)) != len(names) or len(names) < 2:
        raise ConfigError(f"the classes {list(names)} must be two or more, each with a name of its own")


TABLES = {".csv": read_csv, ".tsv": read_tsv}
"""The reader for a file's ending."""
