"""Multiple choice in a file of one's own: JSON Lines, an object a question."""

import json
from typing import Any

from minillm.data.examples.questions import Choice
from minillm.data.examples.reading import Path_, read_lines, wrong
from minillm.errors import DataError

LAYOUT = '{"context": TEXT, "question": TEXT, "options": [TEXT, ...], "answer": INDEX}'


def read_choices(path: Path_) -> list[Choice]:
    """The questions of a file with an object {"context", "question", "options", "answer"} a line.

    options: two or more; answer: the right one's index from 0, or left out. DataError with the line for anything else.
    """
    choices = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            choices.append(parse_choice(line))
        except DataError as error:
            raise wrong(path, number, str(error)) from None
    return choices


def parse_choice(line: str) -> Choice:
    """A question from its JSON object; keys other than the four are left alone. DataError where it isn't one."""
    try:
        given: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"isn't JSON ({error}); a question is {LAYOUT}") from None
    if not isinstance(given, dict):
        raise DataError(f"is no JSON object; a question is {LAYOUT}")
    options, answer = given.get("options"), given.get("answer")
    if not all(isinstance(given.get(name), str) for name in ("context", "question")):
        raise DataError(f"lacks a text for context or question; a question is {LAYOUT}")
    if not isinstance(options, list) or len(options) < 2 or not all(isinstance(each, str) for each in options):
        raise DataError(f"options must be a list of two texts or more; a question is {LAYOUT}")
    if answer is not None and (type(answer) is not int or not 0 <= answer < len(options)):
        raise DataError(f"answer is {answer!r}, not the index of one of {len(options)} options, counted from 0")
    return Choice(given["context"], given["question"], tuple(options), answer)
