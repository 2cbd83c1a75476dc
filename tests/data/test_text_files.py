"""Files as documents: order, blocks, encodings, and what is said when there is no text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.data import text_files
from minillm.data.corpora import load
from minillm.errors import DataError


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.integers(1, 20))
def test_blocks_joined_are_the_file(tmp_path_factory, text, block):
    path = write(tmp_path_factory.mktemp("blocks") / "a.txt", text)
    assert "".join(text_files.read(path, block)) == text.removeprefix("\ufeff")


def test_blocks_end_with_a_line_and_stay_small(tmp_path):
    path = write(tmp_path / "a.txt", "白日依山尽，\n" * 500)
    blocks = [block for block in text_files.read(path, 100) if block]
    assert all(block.endswith("\n") for block in blocks)
    assert max(len(block) for block in blocks) <= 100


def test_a_line_longer_than_a_block_is_cut_between_characters(tmp_path):
    path = write(tmp_path / "a.txt", "黄河入海流" * 1000)
    blocks = list(text_files.read(path, 64))
    assert "".join(blocks) == "黄河入海流" * 1000
    assert max(map(len, blocks)) <= 128


def test_a_bom_is_dropped_at_the_start_only(tmp_path):
    assert "".join(text_files.read(write(tmp_path / "a.txt", "\ufeffa\ufeffb"))) == "a\ufeffb"


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1000])
def test_bytes_that_are_not_utf8_are_named_with_file_and_offset(tmp_path, block):
    path = write(tmp_path / "latin.txt", "日本 caf".encode() + b"\xe9 au lait")
    with pytest.raises(DataError, match=r"latin\.txt isn't UTF-8: byte 0xe9 at offset 10 "):
        list(text_files.read(path, block))


def test_a_character_cut_off_at_the_end_is_named(tmp_path):
    path = write(tmp_path / "cut.txt", "abc日".encode()[:-1])
    with pytest.raises(DataError, match=r"byte 0xe6 at offset 3 \(unexpected end of data\)"):
        list(text_files.read(path, 2))


def test_utf16_is_recognised(tmp_path):
    with pytest.raises(DataError, match="looks like UTF-16"):
        list(text_files.read(write(tmp_path / "a.txt", "hello".encode("utf-16"))))


def test_a_folder_gives_its_texts_in_order_and_no_others(tmp_path):
    for name in ("b.txt", "a/z.md", "c.HTML", "image.png", ".git/x.txt", "a/.hidden.txt"):
        write(tmp_path / name, f"{name}\n")
    assert "".join(load(tmp_path).documents()) == "a/z.md\nb.txt\nc.HTML\n"


def test_a_line_end_is_added_between_files_that_lack_one(tmp_path):
    write(tmp_path / "a.txt", "one")
    write(tmp_path / "b.txt", "")
    write(tmp_path / "c.txt", "two\n")
    write(tmp_path / "d.txt", "three")
    assert "".join(load(tmp_path).documents()) == "one\ntwo\nthree"


def test_a_glob_takes_any_ending(tmp_path):
    write(tmp_path / "x/a.dat", "A")
    write(tmp_path / "x/y/b.dat", "B")
    write(tmp_path / "x/c.txt", "C")
    assert "".join(load(str(tmp_path / "**/*.dat")).documents()) == "A\nB"


def test_a_corpus_can_be_read_twice(tmp_path):
    corpus = load(write(tmp_path / "a.txt", "again\n"))
    assert list(corpus.documents()) == list(corpus.documents()) == ["again\n"]


def test_places_without_text_are_named(tmp_path):
    with pytest.raises(DataError, match=r"has no text files: none below it ends in \.txt, \.md"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"no file matches .*\*\.txt"):
        load(str(tmp_path / "*.txt"))


@pytest.mark.parametrize(
    ("given", "meant"), [("storys", "stories"), ("python_docs", "python-docs"), ("Shakespear", "shakespeare")]
)
def test_a_misspelt_name_gets_a_suggestion(given, meant):
    with pytest.raises(DataError, match=f"'{given}' is neither .* Did you mean '{meant}'"):
        load(given)


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(DataError, match="Known corpora: python-docs, stories, shakespeare; 'python-docs' needs no"):
        load("no/such/file.xyz")
