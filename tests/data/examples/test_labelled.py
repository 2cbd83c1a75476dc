"""Texts with a class: four file formats, labels by name or number, a split that keeps the classes' shares."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.data.examples import (
    Labelled,
    read_class_files,
    read_class_folders,
    read_csv,
    read_labelled,
    read_tsv,
    stratified,
)
from minillm.data.examples.labelled import AG_NEWS, AG_NEWS_VALIDATION, shares
from minillm.errors import ConfigError, DataError
from tests.data.examples.files import write
from tests.data_files import real_file


def test_csv_has_the_class_first_and_the_rest_is_the_text(tmp_path):
    path = write(tmp_path / "a.csv", '"2","A title","A ""quoted"", text"\n"1","标题","正文"\n"2","No more",""\n')
    examples, names = read_csv(path)
    assert names == ["1", "2"]
    assert examples == [Labelled('A title A "quoted", text', 1), Labelled("标题 正文", 0), Labelled("No more", 1)]


def test_a_label_is_a_name_or_its_number_from_1(tmp_path):
    path = write(tmp_path / "a.csv", "2,x\nWorld,y\n")
    examples, names = read_csv(path, ["World", "Sports"])
    assert [e.label for e in examples] == [1, 0] and names == ["World", "Sports"]


def test_names_that_are_numbers_are_names_only(tmp_path):
    assert [e.label for e in read_csv(write(tmp_path / "a.csv", "0,x\n1,y\n"), ["0", "1"]).examples] == [0, 1]
    with pytest.raises(DataError, match="line 3: '2' is no class; known are 0, 1"):
        read_csv(write(tmp_path / "a.csv", "0,x\n1,y\n2,z\n"), ["0", "1"])


def test_labels_found_are_in_order_of_number_or_alphabet(tmp_path):
    assert read_tsv(write(tmp_path / "a.tsv", "10\tx\n9\ty\n")).names == ["9", "10"]
    assert read_tsv(write(tmp_path / "a.tsv", "spam\tx\nham\ty\n")).names == ["ham", "spam"]


def test_an_unknown_label_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "a.csv", '1,"two\nlines"\nSprots,b\n')
    with pytest.raises(DataError, match=r"a\.csv, line 3: 'Sprots' is no class; known are World, Sports, 1, 2"):
        read_csv(path, ["World", "Sports"])


def test_a_record_without_text_is_named(tmp_path):
    with pytest.raises(DataError, match="line 2: has a class and no text"):
        read_csv(write(tmp_path / "a.csv", '1,a,\n2,"",\n'))


def test_a_record_without_a_label_is_named(tmp_path):
    path = write(tmp_path / "a.tsv", "1\ta\n\tb\n")
    with pytest.raises(DataError, match="line 2: column 1 is empty"):
        read_tsv(path)


def test_a_class_without_examples_is_named(tmp_path):
    path = write(tmp_path / "a.tsv", "1\ta\n")
    with pytest.raises(DataError, match=r"a\.tsv: class 'Sports' has no examples"):
        read_tsv(path, ["World", "Sports"])
    with pytest.raises(DataError, match="only the class '1'"):
        read_tsv(path)


@pytest.mark.parametrize("names", [["a"], ["a", "a"]])
def test_names_must_be_two_or_more_and_differ(tmp_path, names):
    with pytest.raises(ConfigError, match="must be two or more, each with a name of its own"):
        read_tsv(write(tmp_path / "a.tsv", "a\tx\n"), names)


def test_a_file_a_class_has_a_text_a_line(tmp_path):
    files = {"neg": write(tmp_path / "b.neg", "bad \n坏\n"), "pos": write(tmp_path / "a.pos", "good \x85\n")}
    examples, names = read_class_files(files)
    assert names == ["neg", "pos"]
    assert examples == [Labelled("bad", 0), Labelled("坏", 0), Labelled("good \x85", 1)]


def test_a_folder_a_class_has_a_text_a_file(tmp_path):
    for name in ("pos/2.txt", "pos/1.txt", "neg/deep/3.txt", ".git/x.txt"):
        write(tmp_path / name, f"{name}\nsecond line\n")
    examples, names = read_class_folders(tmp_path)
    assert names == ["neg", "pos"]
    assert [(e.text.split("\n")[0], e.label) for e in examples] == [
        ("neg/deep/3.txt", 0), ("pos/1.txt", 1), ("pos/2.txt", 1)
    ]  # fmt: skip
    assert examples[0].text.endswith("\nsecond line")


def test_an_empty_class_folder_and_an_empty_file_are_named(tmp_path):
    write(tmp_path / "pos/1.txt", "good")
    with pytest.raises(DataError, match="has 1 folders; it needs one for each of two classes"):
        read_class_folders(tmp_path)
    (tmp_path / "neg").mkdir()
    with pytest.raises(DataError, match=r"folder .*neg has no text files"):
        read_class_folders(tmp_path)
    write(tmp_path / "neg/1.txt", " \n")
    with pytest.raises(DataError, match=r"1\.txt is empty; delete it"):
        read_class_folders(tmp_path)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.data())
def test_shares_add_up_and_are_within_one_of_the_exact_proportion(counts, data):
    total = data.draw(st.integers(0, sum(counts)))
    given_shares = shares(counts, total)
    assert sum(given_shares) == total
    assert all(abs(s - Fraction(total * c, sum(counts))) < 1 for s, c in zip(given_shares, counts, strict=True))


def test_a_stratified_split_keeps_each_class_in_proportion():
    examples = [Labelled(f"{i}", 0 if i % 4 else 1) for i in range(100)]
    train, validation = stratified(examples, 20, seed=3)
    assert Counter(e.label for e in validation) == {0: 15, 1: 5}
    assert sorted(train + validation, key=lambda e: int(e.text)) == examples
    assert stratified(examples, 20, seed=3) == (train, validation) != stratified(examples, 20, seed=4)


def test_equal_texts_of_a_class_stay_on_one_side():
    examples = [Labelled(f"{i // 2}", i // 20) for i in range(40)]
    train, validation = stratified(examples, 20)
    assert not {e.text for e in train} & {e.text for e in validation} and len(validation) == 20


def test_a_class_too_small_for_both_sides_is_named():
    examples = [Labelled(str(i), 0) for i in range(99)] + [Labelled("rare", 1)]
    with pytest.raises(DataError, match="^class 'odd' has 1 example: 0 to hold out, 1 to train on"):
        stratified(examples, 10, names=["even", "odd"])
    with pytest.raises(DataError, match="^label 1 has 1 example: 0 to hold out"):
        stratified(examples, 10)
    with pytest.raises(ConfigError, match="n_validation=100 of 100"):
        stratified(examples, 100)


def test_ag_news_is_balanced_and_splits_into_6000_and_1600():
    examples, names = read_csv(real_file("ag_news.7600.csv"), AG_NEWS)
    assert len(examples) == 7600 and names == ["World", "Sports", "Business", "Sci/Tech"]
    train, validation = stratified(examples, AG_NEWS_VALIDATION)
    assert Counter(e.label for e in train) == dict.fromkeys(range(4), 1500)
    assert Counter(e.label for e in validation) == dict.fromkeys(range(4), 400)
    assert not {e.text for e in train} & {e.text for e in validation}
    assert examples[0].label == 2 and examples[0].text.startswith("Fears for T N pension after talks Unions rep")


def test_rt_polarity_is_utf8_with_5331_lines_a_class():
    examples, _ = read_class_files({"neg": real_file("rt-polarity.neg"), "pos": real_file("rt-polarity.pos")})
    assert Counter(e.label for e in examples) == {0: 5331, 1: 5331}
    assert sum("\x85" in e.text for e in examples) > 0  # where str.splitlines would have cut
    assert any("é" in e.text for e in examples)


def test_what_a_command_line_names_is_read_by_its_kind(tmp_path):
    one, two = Labelled("x", 0), Labelled("y", 1)
    table, tabs = write(tmp_path / "a.csv", "1,x\n2,y\n"), write(tmp_path / "a.tsv", "1\tx\n2\ty\n")
    (tmp_path / "f" / "neg").mkdir(parents=True)
    (tmp_path / "f" / "pos").mkdir()
    neg, pos = write(tmp_path / "f" / "neg" / "1.txt", "x\n"), write(tmp_path / "f" / "pos" / "1.txt", "y\n")
    assert read_labelled([str(table)]) == ([one, two], ["1", "2"])
    assert read_labelled([str(tabs)], ["no", "yes"]) == ([one, two], ["no", "yes"])
    assert read_labelled([str(tmp_path / "f")]) == ([one, two], ["neg", "pos"])
    assert read_labelled([f"neg={neg}", f"pos={pos}"]) == ([one, two], ["neg", "pos"])
    swapped = read_labelled([f"neg={neg}", f"pos={pos}"], ["pos", "other", "neg"])
    assert swapped == ([Labelled("x", 2), Labelled("y", 0)], ["pos", "other", "neg"])


def test_a_command_line_that_names_no_texts_is_refused(tmp_path):
    table = str(write(tmp_path / "a.csv", "1,x\n2,y\n"))
    for wrong in ([], [table, table], ["a=x", "a=y"], [str(write(tmp_path / "a.txt", "1,x\n"))]):
        with pytest.raises(ConfigError, match=r"one table \(.csv or .tsv: label, text\), .* got "):
            read_labelled(wrong)
    with pytest.raises(DataError, match="pos: no such class; known are neg, other"):
        read_labelled([f"neg={table}", f"pos={table}"], ["neg", "other"])
