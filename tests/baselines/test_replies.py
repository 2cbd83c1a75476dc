"""Answers without a model: the most frequent one, and that to the nearest question."""

import pytest

from minillm.baselines import most_frequent, nearest_question
from minillm.errors import DataError


def test_the_answer_given_most_often_the_first_of_equals():
    assert most_frequent(["no", "yes", "yes", "no", "maybe"]) == "no"
    assert most_frequent(["no", "好", "好"]) == "好"


def test_the_nearest_question_shares_the_largest_part_of_its_words():
    questions = ["where are you", "where are you from and why", "who", "你叫什么名字"]
    answers = ["here", "Ulm", "me", "小明"]
    asked = ["Where ARE you?", "and why you", "什么名字？", "nothing alike"]
    assert nearest_question(questions, answers, asked) == ["here", "Ulm", "小明", "here"]  # by hand: 3/3, 3/6, 4/6, 0


def test_equally_near_questions_give_the_first_one_s_answer():
    assert nearest_question(["a b", "a b", "b a"], ["1", "2", "3"], ["b a", "?"]) == ["1", "1"]


def test_what_is_refused():
    for call in (lambda: most_frequent([]), lambda: nearest_question([], [], ["a"])):
        with pytest.raises(DataError, match="no answers to choose from"):
            call()
    with pytest.raises(DataError, match="2 questions need as many answers; got 1"):
        nearest_question(["a", "b"], ["1"], ["a"])
