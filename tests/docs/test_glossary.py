"""The glossary: every term in both languages, with links that lead somewhere."""

import re
import tomllib

import pytest

from docs.website import glossary
from docs.website.places import ROOT
from minillm.book import chapter, chapters

TERMS = glossary.read()
ANCHORS = {term.anchor for term in TERMS}
FORMULAS = tomllib.loads((ROOT / "docs" / "equations.toml").read_text(encoding="utf-8"))
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.anchor)
def test_a_term_is_whole(term):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", term.anchor)
    assert CHINESE.search(term.zh) and not CHINESE.search(term.en)
    assert len(CHINESE.findall(term.zh_text)) > 5 and term.zh_text.endswith("。")
    assert not CHINESE.search(term.en_text) and re.fullmatch(r"[A-Z(½].*\.", term.en_text)
    assert set(term.see) <= ANCHORS - {term.anchor}
    assert not term.formula or term.formula in FORMULAS


def test_no_term_stands_twice():
    for names in ([term.en.lower() for term in TERMS], [term.zh for term in TERMS]):
        assert len(set(names)) == len(names) > 80


def test_both_pages_have_every_term_once():
    for page, prefix in ((glossary.english_page(TERMS), "term"), (glossary.chinese_page(TERMS), "zh")):
        anchors = re.findall(rf"^\({prefix}-([\w-]+)\)=$", page, re.MULTILINE)
        assert sorted(anchors) == sorted(ANCHORS)


def test_the_chapters_that_the_pages_name_exist():
    there = {int(path.name[:2]) for path in chapters()}
    named = {int(n) for n in re.findall(r"\[chapter (\d+)\]", glossary.english_page(TERMS))}
    assert named <= there


def test_a_chapter_that_introduces_a_term_has_the_word():
    for term in TERMS:
        if term.chapter:
            text = chapter(term.chapter).read_text(encoding="utf-8").lower()
            assert any(word.lower() in text for word in term.words or (term.en,)), term.anchor


def test_the_chinese_page_is_in_the_order_of_pronunciation():
    page = glossary.chinese_page(TERMS)
    places = [page.index(f"**{word}**") for word in ("BLEU 分数", "编码器", "词元", "交叉熵", "注意力")]  # B b c j z
    assert places == sorted(places)
