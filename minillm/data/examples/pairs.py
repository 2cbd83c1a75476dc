"""Parallel text: sentences and their translations.

Two files whose lines belong together, as Multi30k's train.en and train.de, or one file with a pair a line, the columns
separated by tabs, as Tatoeba's "English<TAB>Chinese<TAB>who wrote it". Both UTF-8.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from minillm.data.examples.reading import Path_, check_filled, read_lines, read_tab_separated
from minillm.data.examples.splitting import split
from minillm.errors import ConfigError, DataError


@dataclass(frozen=True)
class Pair:
    """A text and what it is to become."""

    source: str
    target: str


def read_aligned(source: Path_, target: Path_) -> list[Pair]:
    """Pairs from two files: line n of `target` translates line n of `source`. DataError for files of unequal length,
    an empty line, or bytes that aren't UTF-8."""
    sources, targets = read_lines(source), read_lines(target)
    if len(sources) != len(targets):
        raise DataError(
            f"{source} has {len(sources)} lines and {target} has {len(targets)}: line n of one must translate line n "
            "of the other; take both from the same release, or find the line that is missing"
        )
    return [Pair(*pair) for pair in zip(sources, targets, strict=True)]


def read_table(path: Path_, source: int = 1, target: int = 2) -> list[Pair]:
    """Pairs from one file: the columns with the numbers `source` and `target`, counted from 1; others are left alone.

    DataError for a line with fewer columns, an empty source or target, or bytes that aren't UTF-8.
    """
    if min(source, target) < 1 or source == target:
        raise ConfigError(f"source={source} and target={target} must be two columns, counted from 1")
    rows = read_tab_separated(path, max(source, target))
    check_filled(path, rows, (source - 1, target - 1))
    return [Pair(fields[source - 1], fields[target - 1]) for _, fields in rows]


def split_pairs(pairs: Sequence[Pair], n_validation: int, seed: int = 0) -> tuple[list[Pair], list[Pair]]:
    """Training and validation pairs, for a corpus that comes as one file; all translations of a source on one side."""
    return split(pairs, n_validation, seed=seed, key=lambda pair: pair.source)
