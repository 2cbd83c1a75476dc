"""The map agrees with the chapters: all are on it, each needs earlier ones, code that is taken counts as needed."""

import re

import pytest

from minillm.book import chapters, contents
from minillm.book.cells import root
from minillm.errors import DataError

HEAD = "# %% [markdown]\n# # 09 A chapter\n#\n"


def written(tmp_path, text):
    path = tmp_path / "09_a_chapter.py"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text, needs",
    [
        ("# You need: chapter 04, whose engine walks back.", ("04",)),
        (
            "# You need: chapters 04 (the engine), 05 (losses)\n# and 06. 01 has the n-grams to beat.",
            ("04", "05", "06"),
        ),
        ("# You need: chapters 01 to 03 for the words, some mathematics.", ("01", "02", "03")),
        ("# You need: perplexity from chapter 01\n#\n# Chapter 02 is another paragraph.", ("01",)),
        ("# You need: logarithms; chapter 10 comes later, chapter 08 isn't there.", ()),
        ("# Chapter 04 is named, but nothing is needed.", ()),
        ('# No such line.\n\n# %%\nengine = module("04", "engine")', ("04",)),
        ('# You need: chapter 01.\n\n# %%\nlosses = module("05", "losses")', ("01", "05")),
    ],
)
def test_what_a_chapter_needs_is_read_from_it(tmp_path, text, needs):
    there = ["01", "02", "03", "04", "05", "06", "09", "10"]
    assert contents.needed(written(tmp_path, text), there) == needs


def test_every_chapter_is_on_the_map_with_what_it_builds():
    found = contents.contents()
    assert [chapter.path for chapter in found] == [path for path in chapters() if path.name[:2] != "00"]
    for chapter in found:
        assert chapter.title and chapter.built and all(number < chapter.number for number in chapter.needs)
    needs = {chapter.number: chapter.needs for chapter in found}
    assert needs["04"] == ("01", "02", "03") and needs["05"] == ("04",)


def test_the_list_of_chapters_is_complete_and_in_order():
    """notebooks/README.md: rows in order of their numbers, which are those of the files."""
    text = (root() / "notebooks" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d\d) .*\]\((\d\d)_\w+\.ipynb\) \|", text, re.MULTILINE)
    assert rows == sorted(rows) and all(number == stem for number, stem in rows)
    assert {path.name[:2] for path in chapters()} - {"00"} <= {number for number, _ in rows}


def test_a_chapter_that_is_not_listed_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(contents, "chapters", lambda: [written(tmp_path, "")])
    with pytest.raises(DataError, match="no row for 09_a_chapter"):
        contents.contents()


def test_links_of_the_table_lead_to_files():
    table = contents.contents_table()
    targets = re.findall(r"\]\(([^)]+)\)", table)
    assert len(targets) >= len(contents.contents())
    for target in targets:
        assert (root() / "notebooks" / target).with_suffix(".py").exists(), target
    assert "[4.2.1]" in next(line for line in table.split("\n") if "06_attention" in line)


def test_lines_that_follow_from_others_are_left_out():
    # 1 needs 0; 2 needs 0 and 1; 3 needs 0 and 2: only 0-1, 1-2 and 2-3 are left. 4 needs nothing.
    assert contents._unimplied([set(), {0}, {0, 1}, {0, 2}, set()]) == [(0, 1), (1, 2), (2, 3)]


def test_the_map_has_a_step_for_all_and_one_for_each():
    found, view = contents.contents(), contents.contents_map()
    assert [step.title for step in view.steps[1:]] == [f"{c.number} {c.title}" for c in found]
    five = view.steps[1 + [c.number for c in found].index("05")]
    assert "Needs 04." in five.text
    # Of the lines those to and from 05 are drawn, each with its head.
    touching = sum("05" in c.needs for c in found) + len(found[4].needs)
    assert five.body.count("mv-head-active") == touching
    assert five.body.count("mv-box-active") == 1
    assert all(chapter.built in str(view) for chapter in found)
