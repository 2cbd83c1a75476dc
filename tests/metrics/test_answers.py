"""Exact match and F1 by SQuAD's published rules, on answers worked out by hand and on random ones."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.errors import ConfigError, DataError
from minillm.metrics import exact_match, normalise, token_f1

words = st.lists(st.sampled_from(["the", "a", "Cat", "cat!", "sat", "An", "other"]), max_size=6).map(" ".join)


@pytest.mark.parametrize(
    ("answer", "normalised"),
    [
        ("The Cat", "cat"),
        ("  an   apple\n", "apple"),
        ("Theatre, a", "theatre"),
        ("U.S.A.", "usa"),
        ("a-b", "ab"),  # punctuation goes first, so no article is left
        ("the-end", "theend"),
        ("“quoted”", "“quoted”"),  # beyond ASCII nothing is punctuation: so it is defined
        ("$1,000", "1000"),
        ("the", ""),
    ],
)
def test_english_is_normalised_as_squad_does(answer, normalised):
    assert normalise(answer) == normalised


@given(st.text(max_size=30))
def test_the_four_steps_one_by_one(text):
    lower = text.lower()
    bare = lower.translate(dict.fromkeys(map(ord, string.punctuation)))
    without = re.sub(r"\b(a|an|the)\b", " ", bare)
    assert normalise(text) == " ".join(without.split())


@pytest.mark.parametrize(
    ("answer", "normalised"),
    [
        ("北京。", "北 京"),
        ("“北京”，中国", "北 京 中 国"),
        ("GPT-2 模型", "gpt2 模 型"),
        ("the 猫", "the 猫"),
        ("！？", ""),
    ],
)
def test_chinese_is_cut_into_characters(answer, normalised):
    assert normalise(answer, "zh") == normalised


def test_exact_match_takes_any_reference():
    assert exact_match("The Eiffel Tower!", ["Paris", "eiffel tower"]) == 1
    assert exact_match("Eiffel", ["Paris", "eiffel tower"]) == 0
    assert exact_match("北京", ["“北京”。"], "zh") == 1


def test_f1_by_hand():
    # "cat sat on mat": 4 tokens, the reference "cat lay on big mat": 5, shared 3: P = 3/4, R = 3/5, F1 = 2/3.
    assert token_f1("The cat sat on the mat", ["a cat lay on a big mat"]) == pytest.approx(2 / 3)
    assert token_f1("cat cat", ["cat"]) == pytest.approx(2 / 3)  # a token counts as often as the reference has it
    assert token_f1("dog", ["a cat", "the dog"]) == 1  # the best reference
    assert token_f1("dog", ["cat"]) == 0
    assert token_f1("北京市", ["北京"], "zh") == pytest.approx(0.8)


def test_no_answer_matches_only_no_answer():
    assert token_f1("", [""]) == token_f1("the", [""]) == exact_match("", [""]) == 1
    assert token_f1("cat", [""]) == token_f1("", ["cat"]) == 0


@given(words, words)
def test_f1_lies_between_0_and_1_is_symmetric_and_1_for_a_match(a, b):
    f1 = token_f1(a, [b])
    assert 0 <= f1 <= 1
    assert f1 == token_f1(b, [a])
    assert f1 >= exact_match(a, [b])


@given(words.filter(normalise), st.lists(words.filter(normalise), min_size=1, max_size=3))
def test_f1_is_the_harmonic_mean_of_the_shares_of_tokens_found(answer, references):
    def f1(given, wanted):
        left = list(wanted)
        found = [left.remove(token) for token in given if token in left]
        precision, recall = len(found) / len(given), len(found) / len(wanted)
        return 2 * precision * recall / (precision + recall) if found else 0

    tokens = [normalise(text).split() for text in (answer, *references)]
    assert token_f1(answer, references) == pytest.approx(max(f1(tokens[0], wanted) for wanted in tokens[1:]))


def test_bad_input_is_named():
    with pytest.raises(DataError, match=r"write \['Paris'\]"):
        exact_match("Paris", "Paris")
    with pytest.raises(DataError, match="no reference"):
        token_f1("Paris", [])
    with pytest.raises(ConfigError, match="language='de' must be 'en' or 'zh'"):
        normalise("Paris", "de")
