"""Where sentences end in English and Chinese, and what the lead of a text is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.baselines import lead_sentences, lead_words, sentences
from minillm.errors import ConfigError
from minillm.metrics import words
from tests.data_files import real_file


@pytest.mark.parametrize(
    "expected",
    [
        ["It rained.", "We stayed in!", "Why?"],
        ["Dr. Li met J. Smith at 3.15 p.m. today.", "He left."],
        ['He said "stop." and ran.', '"Stop!"', "(It was late.)", "End"],
        ["What?!", "Well... fine.", '"No!" he said.', "Yes."],
        ["Visit example.com now.", "Version 1.2.3 is out."],
    ],
)
def test_english_sentences(expected):
    assert sentences(" ".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [
        ["今天下雨。", "我们在家！", "为什么？"],
        ["他说：“走吧！”", "她没有回答……", "天黑了。"],
        ["圆周率是3.14。", "对吗？！", "没有句号"],
    ],
)
def test_chinese_sentences(expected):
    assert sentences("".join(expected)) == expected


def test_both_in_one_text_and_an_empty_line():
    assert sentences("A heading\n\nHello. 你好。Bye.") == ["A heading", "Hello.", "你好。", "Bye."]
    assert sentences(" \n\n ") == []


@given(st.text("ab 。.!\n”", max_size=30))
def test_nothing_but_white_space_is_lost(text):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_lead_sentences():
    assert lead_sentences("One. Two! Three?", 2) == "One. Two!"
    assert lead_sentences("一。二！三？", 2) == "一。二！"
    assert lead_sentences("One.", 3) == "One."
    assert lead_sentences("", 1) == ""


def test_lead_words():
    assert lead_words("The cat, the hat; the mat.", 3) == "The cat, the"
    assert lead_words("我爱北京，天安门。", 5) == "我爱北京，天"
    assert lead_words("我用Python写程序", 3) == "我用Python"
    assert lead_words("short!", 5) == "short!"


@given(st.text(max_size=40), st.integers(1, 5))
def test_the_lead_begins_the_text_and_has_k_words_where_there_are_so_many(text, k):
    lead = lead_words(text, k)
    assert text.strip().startswith(lead)
    assert len(words(lead)) == min(k, len(words(text)))


def test_a_real_text_is_cut_whole():
    text = real_file("tang300.txt").read_text(encoding="utf-8")
    parts = sentences(text)
    assert len(parts) > 1000
    assert max(map(len, parts)) < 200


def test_bad_input_is_named():
    for lead in (lead_sentences, lead_words):
        with pytest.raises(ConfigError, match="k=0 must be at least 1"):
            lead("One. Two.", 0)
