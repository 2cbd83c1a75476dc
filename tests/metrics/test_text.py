"""Variety, repetition and length of texts, by hand and by what must hold."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.errors import ConfigError, DataError
from minillm.metrics import distinct_n, length_statistics, repetition_rate, words

texts = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=8).map(" ".join), min_size=1, max_size=4)


def test_words_are_lower_case_and_chinese_characters_stand_alone():
    assert words("The cat's 3 naïve hats, 我爱Python！") == ["the", "cat", "s", "3", "naïve", "hats", *"我爱", "python"]
    assert words("…!") == []


def test_distinct_by_hand():
    # 7 words, of which a b c are different; pairs ab ba ab, bc cb: ab ba bc cb are different.
    assert distinct_n(["a b a b", "b c b"], 1) == pytest.approx(3 / 7)
    assert distinct_n(["a b a b", "b c b"], 2) == pytest.approx(4 / 7)
    assert distinct_n(["好好学习"], 1) == pytest.approx(3 / 4)


def test_a_pair_does_not_span_two_texts():
    assert distinct_n(["a", "b"], 2) == 0


@given(texts)
def test_saying_everything_twice_halves_distinct(given_texts):
    assert distinct_n(given_texts * 2, 2) == pytest.approx(distinct_n(given_texts, 2) / 2)


def test_repetition_by_hand():
    # pairs of "a b a b a": ab ba ab ba, two of four repeat; of "a b c": none; the mean is a quarter. "a" has no pair.
    assert repetition_rate(["a b a b a", "a b c", "a"], 2) == pytest.approx(0.25)
    assert repetition_rate(["哈哈哈哈"], 2) == pytest.approx(2 / 3)
    assert repetition_rate(["a b c d", "a b c d"], 4) == 0  # within a text, not between texts


def test_a_loop_repeats_nearly_everything():
    assert repetition_rate(["and so on " * 100]) == pytest.approx(1 - 3 / 297)


@given(texts)
def test_lengths_are_those_of_the_statistics_module(given_texts):
    lengths = [len(text.split()) for text in given_texts]
    ours = length_statistics(given_texts)
    assert (ours.shortest, ours.longest) == (min(lengths), max(lengths))
    assert ours.mean == pytest.approx(statistics.mean(lengths))
    assert ours.median == statistics.median(lengths)
    assert ours.standard_deviation == pytest.approx(statistics.pstdev(lengths))


def test_bad_input_is_named():
    with pytest.raises(DataError, match="2 texts without a word"):
        distinct_n(["", "!"], 1)
    with pytest.raises(DataError, match="none of 1 texts has 4 words"):
        repetition_rate(["a b c"])
    with pytest.raises(DataError, match="no texts"):
        length_statistics([])
    with pytest.raises(ConfigError, match="n=0 must be at least 1"):
        distinct_n(["a"], 0)
