"""Summarisation from the command line: a toy one learnt and scored by hand; resumed; and what it refuses."""

import itertools
import json
import shlex
from pathlib import Path

import pytest

from minillm import evaluate
from minillm.errors import ConfigError, DataError
from minillm.metrics.words import words
from minillm.tasks import TASKS, open_run
from minillm.tasks.quotation import closest_quote
from minillm.tasks.summarisation import Summarisation, SummarisationSettings, read
from minillm.training.run import RunFolder
from tests.data_files import real_file
from tests.tasks.commands import check_equal, last_weights, train, train_and_stop

SMALL = shlex.split(
    "--vocab-size 300 --d-model 48 --d-ff 96 --n-head 2 --n-encoder-layer 1 --n-decoder-layer 1 --dropout 0 "
    "--label-smoothing 0 --quote-steps 0 --batch-size 32 --warmup-steps 10 "
    "--learning-rate 5e-3 --checkpoint-interval 1000"
)
THINGS = ["cat", "dog", "tree", "house", "river", "猫"]


@pytest.fixture
def data(tmp_path: Path) -> list[object]:
    """Texts of three sentences, whose summary is the thing of the second and the thing of the last."""
    lines = [
        f"p\tA {a} came. It saw the {b}. Then a {c} left!\t{b} {c}" for a, b, c in itertools.product(THINGS, repeat=3)
    ]
    path = tmp_path / "summaries.tsv"
    path.write_text("\n".join(["package\ttext\tshort", *lines]) + "\n", encoding="utf-8")
    return ["--data", path, "--text-column", "text", "--summary-column", "short"]


def test_a_toy_summary_is_learnt_and_scored_beside_the_text_s_beginning(tmp_path, data, capsys):
    pytest.importorskip("rouge_score", reason="ROUGE needs rouge-score")
    out = tmp_path / "run"
    train("summarisation", *data, *SMALL, "--steps", 200, "--eval-interval", 100, "--out", out)
    assert evaluate.main([str(out)]) == 0
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    ours, first, sentence = report["scores"].values()
    assert (report["split"], list(report["scores"])[1:]) == ("test", ["the first 2 words", "the first sentence"])
    assert ours["ROUGE-1"] > 0.9  # 21 texts it has never seen
    assert ours["words of the reference"] == 2 == pytest.approx(ours["words"], abs=0.2)
    assert sentence["words"] == 3
    # "a x" and "a x came" beside "y z": only x may be among y and z, and one of two or three words is right.
    examples = open_run(RunFolder(out), TASKS).examples["test"]
    hits = sum(pair.source.split()[1] in pair.target.split() for pair in examples)
    assert first["ROUGE-1"] == pytest.approx(hits * (2 * 1 / (2 + 2)) / len(examples))
    assert sentence["ROUGE-1"] == pytest.approx(hits * (2 * 1 / (3 + 2)) / len(examples))
    (tmp_path / "new.txt").write_text("A dog came. It saw the 猫. Then a tree left!\n", encoding="utf-8")
    capsys.readouterr()
    assert evaluate.main([str(out), "--input", str(tmp_path / "new.txt")]) == 0
    assert capsys.readouterr().out == "猫 tree\n"
    (tmp_path / "new.txt").write_text("A dog came. " * 200 + "\nA dog came.\n", encoding="utf-8")
    evaluate.main([str(out), "--input", str(tmp_path / "new.txt"), "--truncate"])
    assert "1 of 2 texts are longer than the context of 64 tokens: cut there" in capsys.readouterr().err


def test_a_run_that_was_stopped_ends_as_one_that_wasnt(tmp_path, data):
    settings = [*data, *SMALL, "--dropout", "0.1", "--steps", "4", "--eval-interval", "2"]
    train("summarisation", *settings, "--out", tmp_path / "whole")
    train_and_stop(Summarisation, 2, *settings, "--out", tmp_path / "stopped")
    train("summarisation", "--out", tmp_path / "stopped", "--resume")
    check_equal(last_weights(tmp_path / "whole"), last_weights(tmp_path / "stopped"))


@pytest.mark.parametrize("copying", ["--copying", "--no-copying"])
def test_the_first_targets_are_quotes(tmp_path, data, copying):
    """After such steps alone, the model writes two words in a row of texts it has never seen."""
    flags = ["--quote-steps", 150, "--steps", 150, "--eval-interval", 75, copying]
    train("summarisation", *data, *SMALL, *flags, "--out", tmp_path / "run")
    task, model, _ = evaluate.load_trained(RunFolder(tmp_path / "run"), "last")
    texts = [pair.source for pair in task.examples["test"]]
    answers = task.answer(model, texts)
    assert sum(answer in text for answer, text in zip(answers, texts, strict=True)) > 0.9 * len(texts)
    assert set(map(len, map(words, answers))) == {2}
    for step, among in ((0, [closest_quote(p.source, p.target, 2) for p in task.examples["train"]]), (150, None)):
        target = task.tokenizer.decode([i for i in task.batch(step)["targets"][0] if i >= 0])
        assert target.removesuffix("<|end|>").removeprefix(" ") in (among or task.targets("train"))


def test_a_quote_has_the_ids_it_has_in_its_text(tmp_path, data):
    train("summarisation", *data, *SMALL, "--steps", 2, "--quote-steps", 2, "--out", tmp_path / "run")
    task, _, _ = evaluate.load_trained(RunFolder(tmp_path / "run"), "last")
    for source, quote in task._quoting:
        body = quote[:-1]  # without the end
        assert any(source[i : i + len(body)] == body for i in range(len(source)))


def test_steps_that_would_all_be_quotes_are_refused(tmp_path, data):
    with pytest.raises(ConfigError, match="--quote-steps 3 of --steps 2"):
        train("summarisation", *data, *SMALL, "--steps", 2, "--quote-steps", 3, "--out", tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "summary", "k", "quote"),
    [
        ("One cat. Two dogs, and a cat sat!", "The cat and the dogs", 3, "cat. Two dogs"),
        ("One cat. Two dogs, and a cat sat!", "dogs and a Cat", 4, "dogs, and a cat"),
        ("a b a b", "x", 2, "a b"),
        ("a a b", "a b", 2, "a b"),  # the second a isn't in the summary
        ("我爱北京。我爱猫", "猫", 3, "我爱猫"),
        (" too short. ", "short", 3, "too short."),
        ("", "short", 3, ""),
    ],
)
def test_the_closest_quote_shares_most_words_and_is_the_first_that_does(text, summary, k, quote):
    assert closest_quote(text, summary, k) == quote


def test_articles_are_summarised_by_their_titles(tmp_path):
    path = tmp_path / "news.csv"
    path.write_text("".join(f'"1","Title {i}","Text, {i}"\n' for i in range(40)), encoding="utf-8")
    splits = read(SummarisationSettings(titles=str(path), n_test=8, n_validation=2))
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 30, "test": 8, "validation": 2}
    every = [pair for pairs in splits.values() for pair in pairs]
    assert {(pair.source, pair.target) for pair in every} == {(f"Text, {i}", f"Title {i}") for i in range(40)}
    assert "test" not in read(SummarisationSettings(titles=str(path), n_test=0))


def test_debian_s_descriptions_are_split_so_that_no_text_is_on_two_sides():
    splits = read(SummarisationSettings(data=str(real_file("debian_summaries.tsv"))))
    assert sum(map(len, splits.values())) == 12_000
    sources = {split: {pair.source for pair in pairs} for split, pairs in splits.items()}
    for one, other in itertools.combinations(sources, 2):
        assert not sources[one] & sources[other]


def test_what_is_refused(tmp_path, data):
    with pytest.raises(ConfigError, match="either --data TABLE or --titles CSV"):
        train("summarisation", *SMALL, "--out", tmp_path / "run")
    with pytest.raises(ConfigError, match="either --data TABLE or --titles CSV"):
        train("summarisation", *data, "--titles", "x.csv", *SMALL, "--out", tmp_path / "run")
    with pytest.raises(DataError, match="no column is called 'long'; the columns are package, text, short"):
        train("summarisation", *data, "--text-column", "long", *SMALL, "--out", tmp_path / "run")
    with pytest.raises(DataError, match="are longer than the context of 7 tokens"):
        train("summarisation", *data, *SMALL, "--context-length", 8, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    cut = ["--context-length", 8, "--truncate", "--steps", 0]
    train("summarisation", *data, *SMALL, *cut, "--out", tmp_path / "run")
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    assert max(len(source) for source, _ in task._encoded["train"]) == 8
