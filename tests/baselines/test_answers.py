"""The sliding window and the distance by MCTest's algorithms, by hand, by brute force, and on its stories."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.baselines import choose, distance_scores, sliding_window_scores
from minillm.data.examples import read_mctest
from minillm.errors import DataError
from tests.data_files import real_file

STORY = "Tom has a red ball. Ann has a blue kite. The ball is new."
texts = st.lists(st.sampled_from("abcdef"), max_size=12).map(" ".join)


def test_the_window_by_hand():
    # "has" and "a" occur twice, "red" once. Of "red has a" (3 words) the window "has a red" holds all, of "old has a"
    # it holds two.
    twice, once = math.log(1 + 1 / 2), math.log(1 + 1 / 1)
    scores = sliding_window_scores(STORY, "has a", ["red", "old"])
    assert scores == pytest.approx([2 * twice + once, 2 * twice])


def test_the_distance_by_hand():
    # "Tom": ball is 4 words on, kite 9; the text has 14 words.
    assert distance_scores(STORY, "Tom", ["ball", "kite", "car", "the"]) == pytest.approx([4 / 13, 9 / 13, 1, 1])
    assert distance_scores(STORY, "is", ["new"]) == [1]  # a stop word tells no place ...
    assert distance_scores(STORY, "is", ["new"], stop_words=()) == pytest.approx([1 / 13])  # ... unless it may


@given(texts, texts, texts)
def test_both_algorithms_as_they_are_printed(story, question, option):
    passage, asked, wanted = story.split(), set(question.split()), set(option.split())
    union, best = asked | wanted, 0.0
    for j in range(len(passage)):
        window = [passage[j + w] for w in range(len(union)) if j + w < len(passage)]
        best = max(best, sum(math.log(1 + 1 / passage.count(w)) for w in window if w in union))
    assert sliding_window_scores(story, question, [option]) == pytest.approx([best])

    stop = {"a"}
    q = (asked & set(passage)) - stop
    a = ((wanted & set(passage)) - asked) - stop
    places = [abs(i - j) for i, v in enumerate(passage) for j, w in enumerate(passage) if v in q and w in a]
    expected = min(places) / (len(passage) - 1) if places else 1
    assert distance_scores(story, question, [option], stop) == pytest.approx([expected])


def test_the_option_near_the_questions_words_is_chosen():
    assert choose(STORY, "Who has a blue kite?", ["Tom", "Ann"]) == 1
    assert choose(STORY, "Who has a blue kite?", ["Ann", "Tom"]) == 0


def test_the_distance_can_be_left_out():
    story = "the key x x x x fell the door x x x"
    question, options = "key", ["door", "fell"]
    assert choose(story, question, options, distance=False) == 0  # both in a window of two words, once: the first
    assert choose(story, question, options) == 1  # but "fell" is nearer to "key"


def test_chinese_is_compared_by_characters():
    assert choose("小明有红球。小花有风筝。", "谁有风筝？", ["小明", "小花"]) == 1


def test_without_options_there_is_nothing_to_choose():
    with pytest.raises(DataError, match="no options"):
        choose(STORY, "Who?", [])


@pytest.mark.parametrize(("part", "window", "both"), [("mc160.test", 0.60, 0.64), ("mc500.test", 0.52, 0.55)])
def test_on_mctest_it_is_far_better_than_guessing_and_the_distance_helps(part, window, both):
    """A quarter would be right by guessing."""
    choices = read_mctest(real_file(f"mctest/{part}.statements.tsv"), real_file(f"mctest/{part}.ans"))

    def share(distance):
        return sum(choose(c.context, c.question, c.options, distance) == c.answer for c in choices) / len(choices)

    assert window < share(False) < share(True)
    assert share(True) > both
