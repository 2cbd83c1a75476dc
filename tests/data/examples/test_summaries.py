"""Summaries: columns found by name, and AG News's titles."""

import pytest

from minillm.data.examples import Pair, read_summaries, read_titles
from minillm.errors import DataError
from tests.data.examples.files import write
from tests.data_files import real_file


def test_columns_are_found_by_name(tmp_path):
    path = write(tmp_path / "a.tsv", 'synopsis\tpackage\tdescription\nshort\tp\ta "long" text\n短\tq\t长的文本\n')
    assert read_summaries(path) == [Pair('a "long" text', "short"), Pair("长的文本", "短")]
    assert read_summaries(path, text="package", summary="synopsis")[0] == Pair("p", "short")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("package\tsynopsis\na\tb\n", "line 1: no column is called 'description'; the columns are package, synopsis"),
        ("description\tsynopsis\n", "has its header alone"),
        ("description\tsynopsis\tsection\na\tb\n", "line 2: has 2 columns, the header 3"),
        ("description\tsynopsis\tsection\na\tb\tc\n\tb\tc\n", "line 3: column 1 is empty"),
        ("package\tdescription\tsynopsis\n\ta\tb\n\ta\t \n", "line 3: column 3 is empty"),
        ("package\tsection\tdescription\tsynopsis\na\tb\tc\t\n", "line 2: column 4 is empty"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_summaries(write(tmp_path / "a.tsv", content))


def test_titles_are_the_second_column(tmp_path):
    path = write(tmp_path / "a.csv", '"1","A title","A ""long"" text"\n')
    assert read_titles(path) == [Pair('A "long" text', "A title")]
    with pytest.raises(DataError, match="line 1: has 2 of at least 3 columns"):
        read_titles(write(tmp_path / "a.csv", "1,title\n"))


def test_the_12000_descriptions_of_debian():
    pairs = read_summaries(real_file("debian_summaries.tsv"))
    assert len(pairs) == 12_000
    assert pairs[1].target == "detect and analyze structural variants from a genome assembly"
    assert pairs[1].source.startswith("Assemblytics incorporates a unique anchor filtering approach")


def test_the_7600_titles_of_ag_news():
    pairs = read_titles(real_file("ag_news.7600.csv"))
    assert len(pairs) == 7600 and pairs[0].target == "Fears for T N pension after talks"
