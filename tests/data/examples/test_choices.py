"""Questions of one's own as JSON Lines: read as written, and refused with the line and the rule."""

import json

import pytest

from minillm.data.examples import Choice
from minillm.data.examples.choices import parse_choice, read_choices
from minillm.errors import DataError

GOOD = {"context": "天空是蓝色的。", "question": "什么颜色？", "options": ["蓝", "红"], "answer": 0}


def test_questions_are_read_as_written(tmp_path):
    path = tmp_path / "questions.jsonl"
    lines = [json.dumps(GOOD, ensure_ascii=False), json.dumps({**GOOD, "answer": None, "id": 7})]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert read_choices(path) == [
        Choice("天空是蓝色的。", "什么颜色？", ("蓝", "红"), 0),
        Choice("天空是蓝色的。", "什么颜色？", ("蓝", "红"), None),
    ]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", "isn't JSON"),
        ("[1]", "is no JSON object"),
        (json.dumps({**GOOD, "context": 3}), "lacks a text for context or question"),
        (json.dumps({**GOOD, "options": ["one"]}), "options must be a list of two texts or more"),
        (json.dumps({**GOOD, "options": "ab"}), "options must be a list of two texts or more"),
        (json.dumps({**GOOD, "answer": 2}), "answer is 2, not the index of one of 2 options"),
        (json.dumps({**GOOD, "answer": True}), "answer is True, not the index"),
        (json.dumps({**GOOD, "answer": "A"}), "answer is 'A', not the index"),
    ],
)
def test_what_is_no_question_is_refused_with_its_line(tmp_path, line, rule):
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"questions\.jsonl, line 2: {rule}"):
        read_choices(path)
    with pytest.raises(DataError, match=rule):
        parse_choice(line)
