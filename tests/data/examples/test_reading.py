"""Files of examples: where lines end, what CSV means, and errors that name the line."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.data.examples.reading import check_filled, read_comma_separated, read_json, read_lines, read_tab_separated
from minillm.errors import DataError
from tests.data.examples.files import write


def test_unicode_line_separators_stand_inside_a_line(tmp_path):
    path = write(tmp_path / "a.txt", "one\x85more\r\ntwo\u2028more\n三\x0b完")
    assert read_lines(path) == ["one\x85more", "two\u2028more", "三\x0b完"]


def test_blanks_around_a_line_are_dropped_and_a_decoded_ellipsis_is_not(tmp_path):
    assert read_lines(write(tmp_path / "a.txt", " \tand then \x85 \n")) == ["and then \x85"]


def test_an_empty_line_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.txt, line 2: is empty; delete it"):
        read_lines(write(tmp_path / "a.txt", "one\n \nthree\n"))
    with pytest.raises(DataError, match=r"a\.txt is empty; it needs at least one line"):
        read_lines(write(tmp_path / "a.txt", ""))


def test_a_file_that_is_not_there_or_not_utf8_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no\.txt is no file"):
        read_lines(tmp_path / "no.txt")
    with pytest.raises(DataError, match=r"a\.txt isn't UTF-8: byte 0xe9 at offset 3"):
        read_lines(write(tmp_path / "a.txt", "café\n".encode("latin-1")))


field = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).map(
    lambda text: f"<{text}>"  # blanks inside the marks stay
)


@given(st.lists(st.lists(field, min_size=2, max_size=4), min_size=1, max_size=5))
def test_what_the_csv_module_writes_is_read_back_with_the_line_each_record_ends_on(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(records)
    rows = read_comma_separated(path, 2)
    assert [fields for _, fields in rows] == records


def test_the_line_of_a_record_counts_line_ends_inside_quotes(tmp_path):
    path = write(tmp_path / "a.csv", '"1","two\nlines"\n"2"\n')
    with pytest.raises(DataError, match=r"a\.csv, line 3: has 1 of at least 2 columns separated by commas"):
        read_comma_separated(path, 2)


@pytest.mark.parametrize("content", ['"1","never ends\n', '"1","a "word" here"\n'])
def test_broken_quotes_are_named(tmp_path, content):
    with pytest.raises(DataError, match=r"a\.csv, line 1: isn't CSV: .*; write a \" inside a quoted field as \"\""):
        read_comma_separated(write(tmp_path / "a.csv", content), 2)


def test_a_quotation_mark_between_tabs_is_a_character(tmp_path):
    path = write(tmp_path / "a.tsv", '"a\tb"c\r\n')
    assert read_tab_separated(path, 2) == [(1, ['"a', 'b"c'])]


def test_wrong_columns_are_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.tsv, line 2: has 1 of at least 2 columns separated by tabs"):
        read_tab_separated(write(tmp_path / "a.tsv", "a\tb\nc\n"), 2)
    rows = read_tab_separated(write(tmp_path / "a.tsv", "a\t \tc\n"), 2)
    check_filled(tmp_path / "a.tsv", rows, (0, 2))
    with pytest.raises(DataError, match=r"a\.tsv, line 1: column 2 is empty"):
        check_filled(tmp_path / "a.tsv", rows, (0, 1))
    with pytest.raises(DataError, match=r"a\.tsv is empty; it needs at least one line of 2 columns"):
        read_tab_separated(write(tmp_path / "a.tsv", ""), 2)


def test_json_errors_have_line_and_column(tmp_path):
    with pytest.raises(DataError, match=r"a\.json, line 3: isn't JSON: .* \(column 1\)"):
        read_json(write(tmp_path / "a.json", '[\n{"a": 1},\n]'))
    with pytest.raises(DataError, match=r"a\.json is nested without end"):
        read_json(write(tmp_path / "a.json", "[" * 200_000))
