"""Questions: MCTest's stories with and without their answers, SQuAD's spans checked character by character."""

import json

import pytest

from minillm.data.examples import Choice, Extract, Span, read_mctest, read_squad
from minillm.errors import DataError
from tests.data.examples.files import write
from tests.data_files import real_file

QUESTIONS = [
    [f"{mark}: Question {q}?", *(f"S{q}{option}" for option in "abcd")]
    for q, mark in enumerate(("one", "multiple", "one", "multiple"))
]
STORY = "\t".join(["mc.0", "Author: 1", r"It rained.\newline\tabMax stayed \newlinein.", *sum(QUESTIONS, [])])


def test_a_story_has_four_questions_with_four_options(tmp_path):
    path = write(tmp_path / "a.tsv", STORY + "\r\n")
    choices = read_mctest(path)
    assert [c.question for c in choices] == [f"Question {q}?" for q in range(4)]
    assert choices[2] == Choice("It rained.\n\tMax stayed \nin.", "Question 2?", ("S2a", "S2b", "S2c", "S2d"), None)


def test_the_answer_is_the_letter_of_the_other_file(tmp_path):
    path, answers = (
        write(tmp_path / "a.tsv", f"{STORY}\n{STORY}\n"),
        write(tmp_path / "a.ans", "A\tC\tB\tD\nD\tD\tA\tA\n"),
    )
    assert [c.answer for c in read_mctest(path, answers)] == [0, 2, 1, 3, 3, 3, 0, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (STORY + "\textra", r"line 1: has 24 columns instead of 23; a tab inside the story is written \\tab"),
        (STORY.rpartition("\t")[0], r"line 1: has 22 of at least 23 columns"),
        (f"{STORY}\n{STORY.replace('one: Question 2', 'both: Question 2')}", r"line 2: column 14 is 'both: Question 2"),
        (STORY.replace("Question 1?", ""), r"line 1: column 9 is 'multiple:'; a question begins"),
    ],
)
def test_a_story_of_another_layout_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_mctest(write(tmp_path / "a.tsv", content))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("A\tB\tC\tE", r"a\.ans, line 1: \['A', 'B', 'C', 'E'\] must be four letters from A to D"),
        ("A\tB\tC\tAB", "line 1: .* must be four letters"),
        ("A\tB\tC", "line 1: has 3 of at least 4 columns"),
        ("A\tB\tC\tD\nA\tB\tC\tD", r"a\.tsv has 1 stories and .*a\.ans answers for 2"),
    ],
)
def test_answers_that_do_not_fit_are_named(tmp_path, answers, message):
    with pytest.raises(DataError, match=message):
        read_mctest(write(tmp_path / "a.tsv", STORY), write(tmp_path / "a.ans", answers))


def test_mctest_has_660_stories_of_four_questions():
    sizes = {
        "mc160.train": 70,
        "mc160.dev": 30,
        "mc160.test": 60,
        "mc500.train": 300,
        "mc500.dev": 50,
        "mc500.test": 150,
    }
    for part, stories in sizes.items():
        choices = read_mctest(real_file(f"mctest/{part}.statements.tsv"))
        assert len(choices) == 4 * stories and len({c.context for c in choices}) == stories
        assert all(len(c.options) == 4 and "\\newline" not in c.context for c in choices)


def test_mctest_with_the_answers_that_a_reader_of_the_story_gives(tmp_path):
    line = real_file("mctest/mc160.dev.statements.tsv").read_text().split("\n")[0]
    choices = read_mctest(write(tmp_path / "a.tsv", line), write(tmp_path / "a.ans", "A\tC\tB\tB\n"))
    assert [c.options[c.answer or 0] for c in choices] == [
        "Jessie Bear was having a birthday.",
        "Snake didn't come to the party.",
        "Jessie got ready for the party made cake and hung balloons.",
        "two friends came to Jessie's party.",
    ]
    assert choices[0].context.startswith("It was Jessie Bear's birthday.")


# ---- SQuAD ----

CONTEXT = "长城有 21,196 千米长。🙂 It is in China."


def squad(*questions):
    return json.dumps(
        {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": questions}]}]}
    )


def question(answers, **more):
    return {"id": "q7", "question": "多长？", "answers": [{"text": t, "answer_start": s} for t, s in answers], **more}


def test_version_1_has_answers_with_their_offsets(tmp_path):
    start = CONTEXT.index("China")
    path = write(tmp_path / "a.json", squad(question([("21,196 千米", 4), ("China", start)])))
    assert read_squad(path) == [Extract(CONTEXT, "多长？", (Span("21,196 千米", 4), Span("China", start)))]


def test_version_2_has_questions_that_the_text_does_not_answer(tmp_path):
    plausible = {"plausible_answers": [{"text": "China", "answer_start": 0}]}
    path = write(
        tmp_path / "a.json",
        squad(question([("长城", 0)], is_impossible=False), question([], is_impossible=True, **plausible)),
    )
    assert [e.answers for e in read_squad(path)] == [(Span("长城", 0),), ()]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            question([("China", len(CONTEXT.encode()) - 6)]),
            "question q7: the answer 'China' doesn't stand at character",
        ),
        (question([("。", -1)]), "doesn't stand at character -1"),
        (question([("China", -6)]), "doesn't stand at character -6"),  # where Python counts from the end
        (question([("", 3)]), "the answer '' doesn't stand"),
        (question([]), "is_impossible is false with 0 answers"),
        (question([("长城", 0)], is_impossible=True), "is_impossible is true with 1 answers"),
        ({"id": "q7", "question": "?"}, r"isn't laid out as SQuAD: KeyError\('answers'\) at or after question q7"),
        (question([("长城", "0")]), "isn't laid out as SQuAD: TypeError"),
    ],
)
def test_a_question_that_contradicts_itself_is_named(tmp_path, asked, message):
    with pytest.raises(DataError, match=message):
        read_squad(write(tmp_path / "a.json", squad(asked)))


@pytest.mark.parametrize("content", ["[]", '{"data": 3}', '{"data": [{"paragraphs": [[]]}]}', "null"])
def test_json_that_is_not_squad_is_named(tmp_path, content):
    with pytest.raises(DataError, match="isn't laid out as SQuAD"):
        read_squad(write(tmp_path / "a.json", content))


def test_a_file_without_questions_is_named(tmp_path):
    with pytest.raises(DataError, match="has no questions"):
        read_squad(write(tmp_path / "a.json", squad()))
