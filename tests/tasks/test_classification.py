"""Classification from the command line: learnt, scored, resumed, begun with another model; and what it refuses."""

import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from minillm import evaluate
from minillm.data.examples import read_csv, stratified
from minillm.errors import CheckpointError, ConfigError, DataError
from minillm.metrics.classification import cross_entropy
from minillm.tasks import TASKS, Classification, open_run
from minillm.tasks.classification import ClassificationSettings, Item, read
from minillm.training.run import RunFolder
from minillm.training.trained import load_run
from tests.data_files import real_file
from tests.tasks.commands import check_equal, last_weights, pretrain, train, train_and_stop

SMALL = shlex.split(
    "--vocab-size 300 --context-length 32 --n-layer 1 --n-head 2 --d-model 16 --dropout 0 --batch-size 16 "
    "--learning-rate 1e-2 --warmup-steps 5 --checkpoint-interval 1000"
)
ADJECTIVES = {"好": ["good", "fine", "很好"], "bad": ["awful", "dull", "不行"]}


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Two class files, told apart by a word that stands anywhere."""
    nouns = ["film", "play", "book", "song", "片", "actor", "plot", "scene"]
    for name, words in ADJECTIVES.items():
        texts = [f"{a} {noun} {b}" for a in nouns for noun in nouns for b in words if a != noun]
        (tmp_path / f"{name}.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return ["--data", *(f"{name}={tmp_path / name}.txt" for name in ADJECTIVES)]


def test_two_classes_are_learnt_scored_and_answered(tmp_path, data, capsys):
    pytest.importorskip("sklearn", reason="the baselines are scikit-learn's")
    out = tmp_path / "run"
    train("classification", *data, *SMALL, "--steps", 60, "--eval-interval", 30, "--out", out)
    assert evaluate.main([str(out)]) == 0
    with pytest.raises(DataError, match="no valid examples; it has train, validation, test"):
        evaluate.main([str(out), "--split", "valid"])
    with pytest.raises(ConfigError, match="is a run of classification, not of translation; go on with it: python -m"):
        train("translation", "--out", out, "--resume")
    scores = json.loads((out / "report.json").read_text())["scores"]
    ours = scores["this model, step 60"]
    assert ours["accuracy"] == ours["macro-F1"] == 1  # 33 texts it has never seen
    assert scores["majority class"] == {
        "accuracy": pytest.approx(0.5, abs=0.02),
        "macro-F1": pytest.approx(1 / 3, abs=0.01),
    }
    assert scores["naive Bayes, counts"]["accuracy"] == 1
    (tmp_path / "new.txt").write_text("film plot 很好\nplot film awful\n", encoding="utf-8")
    capsys.readouterr()
    evaluate.main([str(out), "--input", str(tmp_path / "new.txt")])
    assert capsys.readouterr() == ("好\nbad\n", "")
    (tmp_path / "new.txt").write_text(f"film plot 很好\n{'awful ' * 300}\n", encoding="utf-8")
    with pytest.raises(DataError, match="1 of 2 texts are longer than .*, or cut them there with --truncate"):
        evaluate.main([str(out), "--input", str(tmp_path / "new.txt")])
    evaluate.main([str(out), "--input", str(tmp_path / "new.txt"), "--truncate"])
    assert re.search("^1 of 2 texts are longer than the context of [0-9]+ tokens: cut", capsys.readouterr().err, re.M)
    assert "  reference 好" in (out / "report.md").read_text(encoding="utf-8")


def test_a_run_that_was_stopped_ends_as_one_that_wasnt(tmp_path, data):
    settings = [*data, *SMALL, "--dropout", "0.1", "--steps", "6", "--eval-interval", "3"]
    train("classification", *settings, "--out", tmp_path / "whole")
    train_and_stop(Classification, 3, *settings, "--out", tmp_path / "stopped")
    train("classification", "--out", tmp_path / "stopped", "--resume")
    check_equal(last_weights(tmp_path / "whole"), last_weights(tmp_path / "stopped"))


def test_a_masked_lm_run_is_begun_with_and_gives_shape_tokenizer_and_weights(tmp_path, data):
    corpus = tmp_path / "bad.txt"
    small = shlex.split("--vocab-size 280 --context-length 24 --n-layer 1 --n-head 2 --d-model 8 --steps 2")
    train("masked_lm", "--corpus", corpus, *small, "--out", tmp_path / "bert")
    train(
        "classification", *data, "--from", tmp_path / "bert", "--steps", 0, "--dropout", 0.2, "--out", tmp_path / "run"
    )
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    begun = last_weights(tmp_path / "bert")
    assert (task.config.model.d_model, task.config.model.context_length, task.config.model.dropout) == (8, 24, 0.2)
    assert task.tokenizer.fingerprint() == open_run(RunFolder(tmp_path / "bert"), TASKS).tokenizer.fingerprint()
    encoder = {
        name.removeprefix("encoder."): w for name, w in last_weights(tmp_path / "run").items() if "encoder" in name
    }
    check_equal(encoder, {name: w for name, w in begun.items() if not name.startswith("head.")})
    with pytest.raises(ConfigError, match="d_model=8; leave out --d-model 16"):
        train("classification", *data, "--from", tmp_path / "bert", "--d-model", 16, "--out", tmp_path / "other")


def test_a_gpt_is_begun_with_and_its_tokenizer_gets_an_end(tmp_path, data):
    """The way of Radford et al. (2018): the pre-trained decoder, its text's last token, one new layer."""
    gpt = shlex.split("--vocab-size 270 --context-length 24 --n-layer 1 --n-head 2 --d-model 8 --steps 2")
    pretrain("--corpus", tmp_path / "bad.txt", *gpt, "--out", tmp_path / "gpt")
    with pytest.raises(CheckpointError, match="is a GPT .*classification takes it with --encoder gpt"):
        train("classification", *data, "--from", tmp_path / "gpt", "--out", tmp_path / "other")
    flags = ["--encoder", "gpt", "--from", tmp_path / "gpt", "--pooling", "last"]
    train("classification", *data, *flags, "--steps", 0, "--out", tmp_path / "run")
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    begun = load_run(tmp_path / "gpt")
    assert task.tokenizer.vocab_size == begun.tokenizer.vocab_size + 2  # <|pad|> and <|end|>
    encoded, _ = task.encode(Item("good film", "好"))
    assert encoded == [*begun.tokenizer.encode("good film"), task.tokenizer.special_tokens["<|end|>"]]
    saved = last_weights(tmp_path / "run")
    for name, weight in begun.model.state_dict().items():
        np.testing.assert_array_equal(saved[f"encoder.{name}"][: len(weight)], weight)
    with pytest.raises(ConfigError, match="d_model=8; leave out --d-model 16"):
        train("classification", *data, *flags, "--d-model", 16, "--out", tmp_path / "other")


def test_a_gpt_learns_two_classes_as_a_bert_does(tmp_path, data):
    flags = ["--encoder", "gpt", "--pooling", "last", "--steps", 60, "--eval-interval", 30]
    train("classification", *data, *SMALL, *flags, "--out", tmp_path / "run")
    task, model, _ = evaluate.load_trained(RunFolder(tmp_path / "run"))
    assert task.scores(model, "test")["accuracy"] == 1
    with pytest.raises(ConfigError, match="--pooling cls doesn't suit --encoder gpt"):
        ClassificationSettings(encoder="gpt", pooling="cls")  # its first token has seen nothing of the text


def test_the_first_loss_is_that_of_two_equal_classes_and_baselines_know_the_frequencies(tmp_path, data):
    train("classification", *data, *SMALL, "--steps", 0, "--out", tmp_path / "run")
    task, model, _ = evaluate.load_trained(RunFolder(tmp_path / "run"))
    assert task.scores(model, "validation")["cross-entropy"] == pytest.approx(math.log(2), abs=0.1)
    assert task.baselines["class frequencies"] == pytest.approx(math.log(2), abs=1e-3)
    assert task.evaluate(model, lambda: False).loss == task.scores(model, "validation")["cross-entropy"]
    batches = list(task.batches("validation"))
    expected = sum(model.loss(**batch).item() * len(batch["targets"]) for batch in batches)
    assert task.scores(model, "validation")["cross-entropy"] == pytest.approx(
        expected / len(task.examples["validation"]), rel=1e-5
    )


def test_cross_entropy_by_hand():
    logits = np.log(np.array([[0.2, 0.8], [0.5, 0.5]], np.float32)) + np.array([[3], [-500]], np.float32)
    assert cross_entropy(logits, np.array([1, 0])) == pytest.approx(-(math.log(0.8) + math.log(0.5)) / 2, rel=1e-5)


def test_ag_news_s_test_items_are_those_of_the_documented_split():
    path = real_file("ag_news.7600.csv")
    splits = read(ClassificationSettings(data=(str(path),), n_test=1600, n_validation=300))
    _, expected = stratified(read_csv(path).examples, 1600)
    assert [item.text for item in splits["test"]] == [example.text for example in expected]
    assert {split: len(items) for split, items in splits.items()} == {"train": 5700, "validation": 300, "test": 1600}


def test_files_of_their_own_for_validation_and_test(tmp_path):
    for name, content in {"a": "x\tone\ny\ttwo\n", "b": "y\tthree\nx\tfour\n", "c": "y\tfive\nx\tsix\n"}.items():
        (tmp_path / f"{name}.tsv").write_text(content)
    a, b, c = (str(tmp_path / f"{name}.tsv") for name in "abc")
    splits = read(ClassificationSettings(data=(a,), validation=(b,), test=(c,)))
    found = {split: [(item.text, item.label) for item in items] for split, items in splits.items()}
    assert found == {
        "train": [("one", "x"), ("two", "y")],
        "validation": [("three", "y"), ("four", "x")],
        "test": [("five", "y"), ("six", "x")],
    }
    assert "test" not in read(ClassificationSettings(data=(a,), validation=(b,), n_test=0))


def test_a_class_with_too_few_texts_is_called_by_its_name(tmp_path):
    (tmp_path / "a.csv").write_text("label,text\n" + "".join(f"{c},{c} {n}\n" for c in "xy" for n in range(20)))
    with pytest.raises(DataError, match="class 'label' has 1 example: "):
        read(ClassificationSettings(data=(str(tmp_path / "a.csv"),)))


def test_what_is_refused(tmp_path, data, capsys):
    with pytest.raises(ConfigError, match="one table .* got nothing"):
        train("classification", *SMALL, "--out", tmp_path / "run")
    with pytest.raises(DataError, match="are longer than the context of 2 tokens"):
        train("classification", *data, *SMALL, "--context-length", 4, "--out", tmp_path / "run")
    with pytest.raises(ConfigError, match="--tokenizer none.txt: no such file"):
        train("classification", *data, *SMALL, "--tokenizer", "none.txt", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train("classification", *data, *SMALL, "--context-length", 4, "--truncate", "--steps", 0, "--out", tmp_path / "run")
    assert re.search("^train: [1-9][0-9]* of [0-9]+ texts are cut after 2 tokens$", capsys.readouterr().err, re.M)
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    assert {len(ids) for ids, _ in task._encoded["train"]} == {4}
