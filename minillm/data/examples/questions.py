"""Questions about a text: answers to choose from (MCTest), and answers to point at (SQuAD)."""

from dataclasses import dataclass
from typing import Any

from minillm.data.examples.reading import Path_, check_filled, read_json, read_tab_separated, wrong
from minillm.errors import DataError

LETTERS = "ABCD"


@dataclass(frozen=True)
class Choice:
    """A question about `context` and the options to choose from."""

    context: str
    question: str
    options: tuple[str, ...]
    answer: int | None
    """Index of the right option; None where it isn't known."""


@dataclass(frozen=True)
class Span:
    """A piece of a context: context[start:start + len(text)] == text, counted in characters (code points)."""

    text: str
    start: int


@dataclass(frozen=True)
class Extract:
    """A question whose answer is a piece of `context`."""

    context: str
    question: str
    answers: tuple[Span, ...]
    """Several people's answers, any of them right; empty where the text doesn't answer the question."""


def read_mctest(path: Path_, answers: Path_ | None = None) -> list[Choice]:
    """The questions of MCTest (Richardson, Burges and Renshaw 2013), four a story, whose options are statements.

    path, `mc160.dev.statements.tsv`: a story a line, 23 columns: its name, properties of its author, the story with
    "\\newline" and "\\tab" for line ends and tabs, then four times a question, marked "one: " or "multiple: " by how
    many sentences of the story answer it, and its four options.
    answers, `mc160.dev.ans`: for each story a line of four letters, A to D, separated by tabs. The right option is in
    that file alone: nothing in the statements tells it. Without it, `Choice.answer` is None.
    DataError, with the line, for other columns, marks, or letters, or unequal numbers of lines.
    """
    stories = read_tab_separated(path, 23)
    check_filled(path, stories, range(2, 23))
    keys: list[list[int | None]] = [[None] * 4 for _ in stories]
    if answers is not None:
        keys = [_indices(answers, *row) for row in read_tab_separated(answers, 4)]
        if len(keys) != len(stories):
            raise DataError(
                f"{path} has {len(stories)} stories and {answers} answers for {len(keys)}: line n of one belongs to "
                "line n of the other; take the files of the same part"
            )
    return [
        choice
        for (line, fields), key in zip(stories, keys, strict=True)
        for choice in _questions(path, line, fields, key)
    ]


def read_squad(path: Path_) -> list[Extract]:
    """The questions of a SQuAD file (Rajpurkar et al. 2016; version 2, with unanswerable ones: 2018).

    JSON: {"data": [{"paragraphs": [{"context": TEXT, "qas": [QUESTION, ...]}, ...]}, ...]}, where a question is
    {"id", "question", "answers": [{"text", "answer_start"}, ...]}, in version 2 also {"is_impossible": true} with no
    answers. Every answer is checked to stand in the context at its offset, in characters. DataError, with the
    question's id, where it doesn't, where answers and is_impossible contradict each other, or for another structure.
    """
    document, asked = read_json(path), "(none read yet)"
    extracts = []
    try:
        for article in document["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    asked = question["id"]
                    extracts.append(_extract(path, paragraph["context"], question))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} isn't laid out as SQuAD: {error!r} at or after question {asked}; it must be "
            '{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers"}]}]}]}'
        ) from None
    if not extracts:
        raise DataError(f"{path} has no questions; take a file with some")
    return extracts


def _indices(path: Path_, line: int, letters: list[str]) -> list[int | None]:
    if len(letters) != 4 or not all(len(letter) == 1 and letter in LETTERS for letter in letters):
        raise wrong(path, line, f"{letters} must be four letters from A to D")
    return [LETTERS.index(letter) for letter in letters]


def _questions(path: Path_, line: int, fields: list[str], key: list[int | None]) -> list[Choice]:
    if len(fields) != 23:
        raise wrong(path, line, f"has {len(fields)} columns instead of 23; a tab inside the story is written \\tab")
    story = fields[2].replace("\\newline", "\n").replace("\\tab", "\t")
    choices = []
    for start, answer in zip(range(3, 23, 5), key, strict=True):
        mark, _, question = fields[start].partition(": ")
        if mark not in ("one", "multiple") or not question:
            raise wrong(
                path, line, f"column {start + 1} is {fields[start][:40]!r}; a question begins 'one: ' or 'multiple: '"
            )
        choices.append(Choice(story, question, tuple(fields[start + 1 : start + 5]), answer))
    return choices


def _extract(path: Path_, context: str, question: dict[str, Any]) -> Extract:
    name, impossible = question["id"], question.get("is_impossible", False)
    spans = tuple(Span(answer["text"], answer["answer_start"]) for answer in question["answers"])
    if bool(spans) == impossible:
        raise DataError(
            f"{path}, question {name}: is_impossible is {str(impossible).lower()} with {len(spans)} answers; "
            "an answerable question has one or more, another none"
        )
    for span in spans:
        found = context[span.start : span.start + len(span.text)]
        if span.start < 0 or not span.text or found != span.text:
            raise DataError(
                f"{path}, question {name}: the answer {span.text!r} doesn't stand at character {span.start} of its "
                f"context, where {found!r} is; offsets count characters, not bytes"
            )
    return Extract(context, question["question"], spans)
