"""Every exercise accepts its solution, refuses at least three plausible wrong answers, and says why."""

import importlib
import re

import numpy as np
import pytest

from minillm.book import cells, chapter, chapters
from minillm.errors import ConfigError
from minillm.exercises import Exercise, all_exercises, check, given, hint, shelf, solution

EXERCISES = all_exercises()
NUMBERS = sorted({id[:2] for id in EXERCISES})


def wrong_answers(number):
    return importlib.import_module(f"tests.exercises.wrong_{number}").WRONG


@pytest.mark.parametrize("id", EXERCISES)
def test_three_plausible_wrong_answers_are_refused(id):
    answers = wrong_answers(id[:2])[id]
    assert len(answers) >= 3
    for answer in answers:
        result = check(id, answer)
        assert not result and result.answered, answer
        assert re.search("expected|isn't it|raises|changes what it was given|not right yet", result.text)


@pytest.mark.parametrize("number", NUMBERS)
def test_solutions_are_accepted(number):
    """The solutions' notebook is run: it asserts every check, and has a tagged cell for each exercise."""
    path = chapter(number, "solutions")
    code = "\n".join(cell.text for cell in cells(path) if not cell.markdown)
    ids = [id for id in EXERCISES if id.startswith(number)]
    for id in ids:
        assert f'assert check("{id}"' in code
        assert solution(id)
    exec(compile(code, str(path), "exec"), {"__name__": f"solutions_{number}"})


@pytest.mark.parametrize("number", NUMBERS)
def test_a_chapter_asks_each_of_its_exercises_once(number):
    text = "\n".join(cell.text for cell in cells(chapter(number)))
    asked = re.findall(r'^check\("([\d.]+)"', text, re.MULTILINE)
    assert asked == [id for id in EXERCISES if id.startswith(number)]
    assert 3 <= len(asked) <= 5


def test_every_chapter_has_exercises_but_the_map():
    assert [path.name[:2] for path in chapters() if path.name[:2] != "00"] == NUMBERS


@pytest.mark.parametrize("id", EXERCISES)
def test_hints_come_one_at_a_time_and_then_again(id):
    texts = [hint(id) for _ in range(len(EXERCISES[id].hints) + 1)]
    assert len(EXERCISES[id].hints) >= 2
    assert len(set(texts)) == len(texts) - 1 and texts[0] == texts[-1]
    assert f'solution("{id}")' in texts[-2]


# ---- the checker itself ----


@pytest.fixture
def ask(monkeypatch):
    """Put a question on the shelf: doubling an array."""

    def inputs(rng):
        yield given(np.arange(20.0), note="large")
        yield given(np.array([0.0]))
        yield given(np.array([1.0, 2.0]))

    one = Exercise("99.1", "doubling", ("a", "b"), expected=lambda x: 2 * x, inputs=inputs)
    monkeypatch.setattr(shelf, "all_exercises", lambda: {"99.1": one})
    return lambda answer: check("99.1", answer)


def test_a_right_answer_is_right(ask):
    assert ask(lambda x: x + x)
    assert ask(lambda x: (x + x).tolist())  # a list of numbers is as good


def test_the_smallest_failing_input_is_shown_with_both_values(ask):
    def square(x):
        return x**2

    result = ask(square)
    assert not result
    assert "right on 1 smaller" in result.text
    assert "square([1., 2.])" in result.text
    assert "expected [2., 4.], got [1., 4.]" in result.text


def test_an_answer_that_raises_is_told_where(ask):
    def broken(x):
        return x / {}

    assert "raises TypeError" in ask(broken).text and "return x / {}" in ask(broken).text
    too_few = ask(lambda: 1).text  # the checker's own call raises: none of the reader's lines is to blame
    assert "takes 0 positional arguments" in too_few and "(line" not in too_few


def test_an_answer_that_changes_its_argument_is_told_so(ask):
    def doubled(x):
        x *= 2
        return x

    assert "changes what it was given" in ask(doubled).text


def test_a_shape_and_a_type_that_differ_are_named(ask):
    assert "shape (1, 1)" in ask(lambda x: 2 * x[None]).text
    assert "got 'x'" in ask(lambda x: "x").text


@pytest.mark.parametrize("answer", [None, ..., lambda x: None])
def test_no_answer_yet_is_no_wrong_answer(ask, answer):
    result = ask(answer)
    assert not result and not result.answered and "doubling" in result.text


def test_something_else_than_a_function_is_refused(ask):
    assert "asks for a function" in ask(3).text


@pytest.mark.parametrize("short", ["4.1", 4.1])
def test_a_number_without_its_zero_is_recognised(short):
    with pytest.raises(ConfigError, match="did you mean 04.1[?]"):
        check(short, None)


def test_an_unknown_exercise_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 04.1"):
        check("04.11", None)
