"""Multiple choice from the command line: learnt, scored, answered; which part of a text is read; what it refuses."""

import json
import math
import shlex
from pathlib import Path

import numpy as np
import pytest

from minillm import evaluate
from minillm.baselines import choose
from minillm.errors import ConfigError, DataError
from minillm.tasks import TASKS, open_run
from minillm.tasks.questions import Questions, QuestionsSettings, best_window, read
from minillm.training.run import RunFolder
from tests.data_files import real_file
from tests.tasks.commands import check_equal, last_weights, train, train_and_stop

SMALL = shlex.split(
    "--vocab-size 330 --context-length 24 --n-layer 1 --n-head 2 --d-model 32 --dropout 0 --batch-size 16 "
    "--learning-rate 1e-2 --warmup-steps 5 --checkpoint-interval 1000"
)
WEATHER = {"rain": "wet", "sun": "warm", "snow": "white", "雪": "冷"}


@pytest.fixture
def data(tmp_path: Path) -> list[object]:
    """What the weather makes of the ground: no option's word is in the text, and every option is right at times."""
    words, lines = list(WEATHER.values()), []
    for i in range(160):
        sky, shift = list(WEATHER)[i % 4], i // 7 % 4
        options = words[shift:] + words[:shift]
        if i % 3 == 0:  # not every question has four
            options.remove(words[(i + 1) % 4])
        line = {"context": f"{sky} {i}", "question": "how is it?", "options": options}
        lines.append(json.dumps({**line, "answer": options.index(WEATHER[sky])}, ensure_ascii=False))
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["--data", path]


def test_questions_are_learnt_scored_and_answered(tmp_path, data, capsys):
    out = tmp_path / "run"
    train("multiple_choice", *data, *SMALL, "--steps", 200, "--eval-interval", 100, "--out", out)
    assert evaluate.main([str(out)]) == 0
    scores = json.loads((out / "report.json").read_text(encoding="utf-8"))["scores"]
    assert scores["this model, step 200"]["accuracy"] == 1  # 16 texts it has never seen
    examples = open_run(RunFolder(out), TASKS).examples["test"]
    assert scores["chance"]["accuracy"] == pytest.approx(sum(1 / len(c.options) for c in examples) / len(examples))
    for name, distance in (("sliding window", False), ("sliding window and distance", True)):
        right = [choose(c.context, c.question, c.options, distance) == c.answer for c in examples]
        assert scores[name]["accuracy"] == pytest.approx(sum(right) / len(right))
    asked = {"context": "雪 7", "question": "how is it?", "options": ["wet", "冷"]}
    (tmp_path / "new.txt").write_text(json.dumps(asked) + "\n", encoding="utf-8")
    capsys.readouterr()
    assert evaluate.main([str(out), "--input", str(tmp_path / "new.txt")]) == 0
    assert capsys.readouterr().out == "冷\n"
    (tmp_path / "new.txt").write_text("Who came?\n", encoding="utf-8")
    with pytest.raises(DataError, match="'Who came[?]' isn't JSON"):
        evaluate.main([str(out), "--input", str(tmp_path / "new.txt")])


def test_a_run_that_was_stopped_ends_as_one_that_wasnt(tmp_path, data):
    settings = [*data, *SMALL, "--dropout", "0.1", "--steps", "4", "--eval-interval", "2"]
    train("multiple_choice", *settings, "--out", tmp_path / "whole")
    train_and_stop(Questions, 2, *settings, "--out", tmp_path / "stopped")
    train("multiple_choice", "--out", tmp_path / "stopped", "--resume")
    check_equal(last_weights(tmp_path / "whole"), last_weights(tmp_path / "stopped"))


def test_inputs_are_text_and_statement_and_the_first_loss_is_chance(tmp_path, data):
    train("multiple_choice", *data, *SMALL, "--steps", 0, "--out", tmp_path / "run")
    task, model, _ = evaluate.load_trained(RunFolder(tmp_path / "run"))
    four = next(c for c in task.examples["train"] if len(c.options) == 4)
    three = next(c for c in task.examples["train"] if len(c.options) == 3)
    batch = task.collate([task.encode(four), task.encode(three)])
    special, encode = task.tokenizer.special_tokens, task.tokenizer.encode
    for row, choice in enumerate((four, three)):
        assert batch["targets"][row] == choice.answer
        for n, option in enumerate(choice.options):
            first = [special["[CLS]"], *encode(choice.context), special["[SEP]"]]
            second = [*encode(f"how is it? {option}"), special["[SEP]"]]
            kept = batch["mask"][row, n]
            assert batch["ids"][row, n][kept].tolist() == first + second
            assert batch["segments"][row, n][kept].tolist() == [0] * len(first) + [1] * len(second)
    assert not batch["mask"][1, 3].any()
    found = task.evaluate(model, lambda: False)
    assert found.loss == pytest.approx(task.baselines["chance"], abs=0.05)
    assert math.log(3) < task.baselines["chance"] < math.log(4)
    losses = [model.loss(**task.collate([encoded])).item() for encoded in task._encoded["validation"]]
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert task.evaluate(model, lambda: True) is None


def test_the_window_that_is_read_is_the_best_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(50):
        context, statement = rng.integers(0, 12, 40).tolist(), rng.integers(0, 20, 4).tolist()
        size = int(rng.integers(1, 40))
        worth = [math.log(1 + 1 / context.count(t)) if t in statement else 0 for t in context]
        sums = [math.fsum(worth[i : i + size]) for i in range(40 - size + 1)]
        best = next(i for i, each in enumerate(sums) if each > max(sums) - 1e-9)
        assert best_window(context, statement, size) == context[best : best + size]
    assert best_window([1, 2, 3], [9], 3) == [1, 2, 3]


def test_a_window_leaves_the_rest_of_a_long_text_unread(tmp_path):
    line = {"context": "x " * 60 + "ice is cold " + "x " * 60, "question": "what is cold?", "options": ["ice", "fire"]}
    path = tmp_path / "long.jsonl"
    lines = [json.dumps({**line, "context": f"{i} {line['context']}", "answer": 0}) + "\n" for i in range(20)]
    path.write_text("".join(lines), encoding="utf-8")
    train("multiple_choice", "--data", path, *SMALL, "--window", 6, "--steps", 0, "--out", tmp_path / "run")
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    inputs, starts, _ = task._encoded["train"][0]
    assert starts == [8, 8] and "cold" in task.tokenizer.decode(inputs[0][1:7])


def test_mctest_s_files_are_read_with_their_answers(tmp_path):
    statements = real_file("mctest/mc160.dev.statements.tsv")
    answers = tmp_path / "made-up.ans"
    answers.write_text("A\tB\tC\tD\n" * 30)
    splits = read(QuestionsSettings(data=(str(statements),), answers=(str(answers),), n_validation=12, n_test=0))
    assert {split: len(part) for split, part in splits.items()} == {"train": 108, "validation": 12}
    stories = {split: {choice.context for choice in part} for split, part in splits.items()}
    assert not stories["train"] & stories["validation"]
    assert [choice.answer for choice in splits["validation"]] == [0, 1, 2, 3] * 3
    wanted = r"1 files of MCTest's statements need as many of answers.*\.ans files.*letters A to D"
    with pytest.raises(ConfigError, match=wanted):
        read(QuestionsSettings(data=(str(statements),)))


def test_what_is_refused(tmp_path, data):
    with pytest.raises(ConfigError, match="needs --data FILE"):
        train("multiple_choice", *SMALL, "--out", tmp_path / "run")
    with pytest.raises(DataError, match="are longer than the context of 2 tokens.*; leave them out, or"):
        train("multiple_choice", *data, *SMALL, "--context-length", 6, "--out", tmp_path / "run")
    open_question = tmp_path / "open.jsonl"
    open_question.write_text('{"context": "c", "question": "q", "options": ["a", "b"]}\n' * 30)
    with pytest.raises(DataError, match="30 of 30 questions .* have no answer"):
        train("multiple_choice", "--data", open_question, *SMALL, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
