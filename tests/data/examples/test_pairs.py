"""Parallel text: two files line by line, one file by columns, and a split that leaks no source."""

import pytest

from minillm.data.examples import Pair, read_aligned, read_table, split_pairs
from minillm.errors import ConfigError, DataError
from tests.data.examples.files import write
from tests.data_files import real_file


def test_lines_of_two_files_are_pairs(tmp_path):
    en, zh = write(tmp_path / "a.en", "Hi.\nGood night.\n"), write(tmp_path / "a.zh", "嗨。\r\n晚安。")
    assert read_aligned(en, zh) == [Pair("Hi.", "嗨。"), Pair("Good night.", "晚安。")]


def test_files_of_unequal_length_are_named_with_both(tmp_path):
    en, de = write(tmp_path / "a.en", "one\ntwo\n"), write(tmp_path / "a.de", "eins\n")
    with pytest.raises(DataError, match=r"a\.en has 2 lines and .*a\.de has 1: line n of one must translate line n"):
        read_aligned(en, de)


def test_an_empty_line_would_shift_nothing_but_is_refused(tmp_path):
    en, de = write(tmp_path / "a.en", "one\n\nthree\n"), write(tmp_path / "a.de", "eins\nzwei\ndrei\n")
    with pytest.raises(DataError, match=r"a\.en, line 2: is empty; delete it \(in a file aligned with it, too\)"):
        read_aligned(en, de)


def test_columns_beyond_the_pair_are_left_alone(tmp_path):
    path = write(tmp_path / "a.tsv", "Hi.\t嗨。\tCC-BY 2.0 (France) #538123\nRun.\t跑。\n")
    assert read_table(path) == [Pair("Hi.", "嗨。"), Pair("Run.", "跑。")]
    assert read_table(path, source=2, target=1)[0] == Pair("嗨。", "Hi.")
    with pytest.raises(DataError, match="line 2: has 2 of at least 3 columns"):
        read_table(path, 1, 3)


@pytest.mark.parametrize("columns", [(0, 1), (1, 1)])
def test_columns_that_make_no_pair_are_refused(tmp_path, columns):
    with pytest.raises(ConfigError, match=r"must be two columns, counted from 1"):
        read_table(write(tmp_path / "a.tsv", "a\tb\n"), *columns)


def test_all_translations_of_a_source_are_on_one_side():
    pairs = [Pair(f"s{i // 3}", f"t{i}") for i in range(90)]
    train, validation = split_pairs(pairs, 30)
    assert len(validation) == 30 and len(train) == 60
    assert not {p.source for p in train} & {p.source for p in validation}


@pytest.mark.parametrize(("part", "size"), [("train", 29_000), ("val", 1014), ("test_2016_flickr", 1000)])
def test_multi30k(part, size):
    pairs = read_aligned(real_file(f"multi30k.{part}.en"), real_file(f"multi30k.{part}.de"))
    assert len(pairs) == size


def test_multi30k_begins_as_its_authors_publish_it():
    first = read_aligned(real_file("multi30k.train.en"), real_file("multi30k.train.de"))[0]
    assert first.source == "Two young, White males are outside near many bushes."
    assert first.target == "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche."


def test_tatoeba_splits_without_a_shared_source():
    pairs = read_table(real_file("tatoeba.en-zh.tsv"))
    assert len(pairs) == 20_133 and pairs[0] == Pair("Hi.", "嗨。")
    train, validation = split_pairs(pairs, 1000, seed=7)
    assert len(validation) == 1000 and len(train) == 19_133
    assert not {p.source for p in train} & {p.source for p in validation}
