"""Extractive answers from the command line: learnt by heart, with windows and silence; resumed; and what it refuses."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minillm import evaluate
from minillm.errors import ConfigError, DataError
from minillm.tasks import TASKS, open_run
from minillm.tasks.extraction import Extraction, nearest_sentence, parse
from minillm.training.run import RunFolder
from tests.tasks.commands import check_equal, last_weights, train, train_and_stop

SMALL = shlex.split(
    "--vocab-size 330 --context-length 48 --n-layer 1 --n-head 2 --d-model 32 --dropout 0 --batch-size 16 "
    "--learning-rate 1e-2 --warmup-steps 5 --checkpoint-interval 1000"
)
CONTEXTS = {
    "Zoë's café opened in 1990. 😀 It sells tea.": {"What opened?": "Zoë's café", "When?": "1990", "Who sang?": None},
    "北京是中国的首都。上海在东边。": {"首都在哪里？": "北京", "东边是什么？": "上海", "谁来了？": None},
    "Ann ran home. Bob, her brother, stayed at school.": {"Who ran?": "Ann", "Where is Bob?": "at school"},
    "The naïve Olga paid $3.50 for bread.": {"How much?": "$3.50", "Who paid?": "Olga", "Why?": None},
}


def squad(contexts: dict[str, dict[str, str | None]]) -> dict[str, Any]:
    """Questions as a file of SQuAD, version 2."""
    paragraphs = []
    for context, questions in contexts.items():
        qas = []
        for question, answer in questions.items():
            spans = [] if answer is None else [{"text": answer, "answer_start": context.index(answer)}]
            entry = {"id": f"{question} {context[:5]}", "question": question, "answers": spans}
            qas.append({**entry, "is_impossible": answer is None})
        paragraphs.append({"context": context, "qas": qas})
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}


@pytest.fixture
def data(tmp_path: Path) -> list[object]:
    path = tmp_path / "squad.json"
    path.write_text(json.dumps(squad(CONTEXTS), ensure_ascii=False), encoding="utf-8")
    return ["--data", path, "--validation", path]


def test_a_dozen_questions_are_learnt_by_heart_and_answered_exactly(tmp_path, data, capsys):
    out = tmp_path / "run"
    train("extraction", *data, *SMALL, "--steps", 150, "--eval-interval", 75, "--out", out)
    assert evaluate.main([str(out)]) == 0
    scores = json.loads((out / "report.json").read_text(encoding="utf-8"))["scores"]
    assert scores["this model, step 150"] == {"exact match": 1, "F1": 1}
    assert scores["the sentence with most shared words"]["exact match"] == 0
    asked = [(context, question) for context, questions in CONTEXTS.items() for question in questions]
    lines = [json.dumps({"context": context, "question": question}) + "\n" for context, question in asked]
    (tmp_path / "new.txt").write_text("".join(lines), encoding="utf-8")
    capsys.readouterr()
    assert evaluate.main([str(out), "--input", str(tmp_path / "new.txt")]) == 0
    assert capsys.readouterr().out.split("\n")[:-1] == [
        CONTEXTS[context][question] or "" for context, question in asked
    ]


def test_answers_are_found_in_any_window_of_a_long_text(tmp_path, data):
    out = tmp_path / "run"
    settings = [*data, *SMALL, "--window", 12, "--stride", 6, "--steps", 250, "--eval-interval", 250]
    train("extraction", *settings, "--out", out)
    task, model, _ = evaluate.load_trained(RunFolder(out), "last")
    assert sum(len(encoded.windows) for encoded in task._encoded["train"]) > 2 * len(task.examples["train"])
    assert task.scores(model, "validation") == {"exact match": 1, "F1": 1}


def test_targets_point_at_the_answer_in_the_windows_that_hold_all_of_it(tmp_path, data):
    train("extraction", *data, *SMALL, "--window", 8, "--stride", 3, "--steps", 0, "--out", tmp_path / "run")
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    special = task.tokenizer.special_tokens
    pointed = 0
    for item, encoded in zip(task.examples["train"], task._encoded["train"], strict=True):
        batch = task.collate([encoded])
        for row, window in enumerate(encoded.windows):
            first, last = batch["targets"][row]
            ids = batch["ids"][row]
            assert ids[0] == special["[CLS]"] and batch["allowed"][row, [first, last]].all()
            assert not batch["allowed"][row][(ids == special["[SEP]"]) | (ids == special["[PAD]"])].any()
            assert batch["allowed"][row].sum() == 1 + len(window.part)  # [CLS] and the part of the text
            if last:
                assert task.tokenizer.decode(ids[first : last + 1].tolist()).strip() == item.answers[0]
                pointed += 1
    assert pointed >= sum(bool(item.answers) for item in task.examples["train"]) / 2


def test_the_best_answer_of_all_windows_is_given_and_silence_only_where_it_was_learnt(tmp_path, data):
    train("extraction", *data, *SMALL, "--window", 12, "--stride", 6, "--steps", 0, "--out", tmp_path / "run")
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    item, encoded = next(zip(task.examples["train"], task._encoded["train"], strict=True))
    scores = [np.zeros((2, len(window.ids)), np.float32) for window in encoded.windows]
    target = encoded.text.tokens(item.context.index("tea"), item.context.index("tea") + 3)
    window = encoded.windows[-1]
    for kind in (0, 1):
        scores[-1][kind, window.begins + target[kind] - window.part.start] = 2
    assert task._best(scores, encoded, item.context) == "tea"
    for each in scores:
        each[:, 0] = 3  # [CLS] is higher in every window
    assert task._best(scores, encoded, item.context) == ""
    scores[0][:, 0] = 1  # but not in this one
    assert task._best(scores, encoded, item.context) == "tea"
    scores[0][:, 0] = 3
    task.examples = {"train": [each for each in task.examples["train"] if each.answers]}
    assert task._best(scores, encoded, item.context) == "tea"


def test_a_run_that_was_stopped_ends_as_one_that_wasnt(tmp_path, data):
    settings = [*data, *SMALL, "--dropout", "0.1", "--window", 12, "--steps", "4", "--eval-interval", "2"]
    train("extraction", *settings, "--out", tmp_path / "whole")
    train_and_stop(Extraction, 2, *settings, "--out", tmp_path / "stopped")
    train("extraction", "--out", tmp_path / "stopped", "--resume")
    check_equal(last_weights(tmp_path / "whole"), last_weights(tmp_path / "stopped"))


def test_the_baseline_s_sentence_shares_most_words():
    assert nearest_sentence("The cat sat. A dog ran home! 他来了。", "Who ran home?") == "A dog ran home!"
    assert nearest_sentence("猫坐着。他来了。", "谁来了？") == "他来了。"
    assert nearest_sentence("", "Who?") == ""


def test_what_is_refused(tmp_path, data):
    with pytest.raises(ConfigError, match="needs --data FILE"):
        train("extraction", *SMALL, "--out", tmp_path / "run")
    with pytest.raises(DataError, match="are longer than the context of 2 tokens.*; leave them out, or"):
        train("extraction", *data, *SMALL, "--context-length", 6, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for line in ("{", "[]", '{"context": "c"}', '{"context": "c", "question": 3}'):
        with pytest.raises(DataError, match='write {"context": TEXT, "question": TEXT}'):
            parse(line)
