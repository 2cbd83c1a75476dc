"""The document's program from the command line: a toy language continued, scored, stopped and resumed."""

import csv
import io
import itertools
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from minillm import document, evaluate
from minillm.data.examples import Pair
from minillm.errors import ConfigError, DataError, ShapeError
from minillm.models import Seq2Seq
from minillm.models.seq2seq import SinusoidalPositions
from minillm.optim import AdamW
from minillm.tasks import TASKS, Document, open_run
from minillm.tasks.document import halved, read_texts
from minillm.training import checkpoints
from minillm.training.run import RunFolder
from tests.tasks import commands

WORDS = {"one": "eins", "two": "zwei", "cat": "Katze", "dog": "Hund", "red": "rot", "猫": "狗"}
SMALL = "--d-model 48 --d-ff 96 --n-head 2 --dropout 0 --batch-size 16 --learning-rate 3e-3 --min-learning-rate 3e-3"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Texts whose second half translates the first: three words and their translation."""
    firsts = list(itertools.product(WORDS, repeat=3))
    texts = [" ".join(first) + " " + " ".join(WORDS[word] for word in first) for first in firsts]
    order = np.random.default_rng(0).permutation(len(texts))
    mixed = [texts[i] for i in order]
    data = tmp_path / "data"
    data.mkdir()
    for name, part in (("train", mixed[:180]), ("valid", mixed[180:198]), ("test", mixed[198:])):
        (data / f"{name}.txt").write_text("\n".join(part) + "\n", encoding="utf-8")
    return data


def run(folder: Path, out: Path, *flags: str) -> int:
    return document.main(["--data", str(folder), *SMALL.split(), "--out", str(out), *flags])


def test_it_learns_to_write_the_second_half_and_stops_by_itself(folder: Path, tmp_path: Path, capsys) -> None:
    assert run(folder, tmp_path / "run", "--epochs", "25") == 0
    shown = capsys.readouterr().out
    first = halved((folder / "test.txt").read_text(encoding="utf-8").split("\n")[0])
    assert first is not None
    assert f"{first.source}\n  ours      {first.target.strip().lower()}\n" in shown  # and no word after the third
    assert evaluate.main([str(tmp_path / "run")]) == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["scores"]
    ours = next(scores for name, scores in report.items() if name.startswith("this model"))
    assert ours["accuracy"] > 0.9
    without_memory = math.exp(0.75 * math.log(6))  # three of four targets are then one of six words, the fourth the end
    assert ours["perplexity"] < 1.3 < without_memory / 2
    assert report["1-gram"]["perplexity"] > report["3-gram"]["perplexity"] > 0.9 * without_memory
    (tmp_path / "new.txt").write_text("eins " * 1000 + "\neins\n", encoding="utf-8")
    capsys.readouterr()
    evaluate.main([str(tmp_path / "run"), "--input", str(tmp_path / "new.txt"), "--truncate"])
    assert "1 of 2 texts are longer than the context" in capsys.readouterr().err


def test_the_programs_shape_and_training_are_the_documents() -> None:
    model, training = Document.model, Document.training
    assert (model.vocab_size, model.d_model, model.n_head, model.d_ff) == (25_000, 100, 4, 256)
    assert (model.n_encoder_layer, model.n_decoder_layer, model.dropout) == (2, 2, 0.1)
    assert (training.batch_size, training.learning_rate, Document.Settings().epochs) == (64, 1e-3, 10)
    assert Document.Settings().max_new_tokens == 20
    assert training.weight_decay == 0 and training.min_learning_rate == training.learning_rate  # AdamW is Adam then
    parameter = Seq2Seq(model).parameters()
    assert AdamW(parameter).betas == (training.beta1, training.beta2)


def test_the_first_word_of_a_text_is_the_same_word_as_elsewhere(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "run", "--steps", "1")
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    (cat_dog, _), (dog_cat, _) = (task.encode(Pair(text, " Hund")) for text in ("Cat dog", "dog cat"))
    assert cat_dog == dog_cat[::-1]


def test_a_context_shorter_than_the_longest_answer_is_no_error(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "run", "--context-length", "8", "--steps", "1")
    assert evaluate.main([str(tmp_path / "run")]) == 0


def test_ten_epochs_are_ten_times_the_batches_and_steps_replace_them(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "epochs", "--epochs", "2")
    task = open_run(RunFolder(tmp_path / "epochs"), TASKS)
    training = task.config.training
    assert (training.steps, training.eval_interval) == (2 * task.steps_per_epoch, task.steps_per_epoch)
    assert task.steps_per_epoch == math.ceil(180 / 16)  # all texts are equally long
    with pytest.raises(ConfigError, match="--epochs 3 and --steps 3 both"):
        run(folder, tmp_path / "both", "--steps", "3", "--epochs", "3")
    run(folder, tmp_path / "steps", "--steps", "3")
    assert open_run(RunFolder(tmp_path / "steps"), TASKS).config.training.steps == 3


def test_each_half_is_asked_for_as_a_decoder_should_be(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "run", "--steps", "1")
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    pad, start, end = (task.tokenizer.special_tokens[name] for name in ("<pad>", "<start>", "<end>"))
    word = {name: task.tokenizer.encode(f" {name}")[0] for name in ("one", "eins", "rot", "two")}
    batch = task.collate([task.encode(Pair(" one", " eins rot")), task.encode(Pair(" One two", " EINS"))])
    assert batch["source"].tolist() == [[word["one"], pad], [word["one"], word["two"]]]  # lower-cased
    assert batch["source_mask"].tolist() == [[True, False], [True, True]]
    assert batch["inputs"].tolist()[0] == [start, word["eins"], word["rot"]]
    assert batch["inputs"].tolist()[1][:2] == [start, word["eins"]]
    assert batch["targets"].tolist() == [[word["eins"], word["rot"], end], [word["eins"], end, -100]]
    assert isinstance(task.build().source_positions, SinusoidalPositions)


def test_the_baseline_is_the_counted_chance_of_the_second_halves_words(folder: Path, tmp_path: Path) -> None:
    """Unigram counts with Kneser-Ney's discount, computed here from the texts alone."""
    run(folder, tmp_path / "run", "--steps", "1")
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    train = Counter(
        token for pair in task.examples["train"] for half in task.encode(pair) for token in half
    )  # no word occurs once or twice, so the discount is a half
    asked = [token for pair in task.examples["test"] for token in task.encode(pair)[1]]
    total, size = sum(train.values()), task.tokenizer.vocab_size
    lost = 0.5 * len(train) / total
    chances = [max(train[token] - 0.5, 0) / total + lost / size for token in asked]
    expected = math.exp(-np.mean(np.log(chances)))
    assert task.baseline_scores("test")["1-gram"]["perplexity"] == pytest.approx(expected, rel=1e-9)


def test_word_vectors_are_where_the_embedding_begins(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = {word: 5 * rng.standard_normal(48) for word in ("one", "katze", "猫", "moon")}
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{w} {' '.join(map(str, v))}\n" for w, v in vectors.items()), encoding="utf-8")
    run(folder, tmp_path / "run", "--vectors", str(path), "--steps", "1")
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    path.unlink()  # a run goes on without the file
    weight = task.make_model().target_embedding.weight.numpy()
    for word in ("one", "katze", "猫"):
        row = weight[task.tokenizer.encode(f" {word}")[0]]
        cosine = row @ vectors[word] / (np.linalg.norm(row) * np.linalg.norm(vectors[word]))
        assert cosine == pytest.approx(1, abs=1e-6)
    assert weight.std() == pytest.approx(1 / math.sqrt(48), rel=0.15)
    with pytest.raises(ShapeError, match="d_model=32, the word vectors 48"):
        path.write_text("one " + " ".join(["0.5"] * 47) + " 1\n", encoding="utf-8")
        run(folder, tmp_path / "other", "--vectors", str(path), "--d-model", "32")


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("The cat sat.", "The cat", " sat."),
        ("a b c", "a", " b c"),
        ("举头望明月，低头思故乡。", "举头望明月，", "低头思故乡。"),
    ],
)
def test_a_text_is_halved_between_words(text: str, first: str, second: str) -> None:
    assert halved(text) == Pair(first, second)


def test_a_line_is_a_text_and_a_quoted_line_is_read_as_csv(tmp_path: Path) -> None:
    texts = ["plain, with a comma", 'he said "no", twice', '"go!" he said', "床前明月光，疑是地上霜"]
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([text] for text in texts)
    quoted = tmp_path / "quoted.txt"
    quoted.write_text(buffer.getvalue(), encoding="utf-8")
    assert read_texts(quoted) == texts
    bare = tmp_path / "bare.txt"
    bare.write_text("\n\n".join(texts), encoding="utf-8")
    assert read_texts(bare) == texts


def test_a_run_that_was_stopped_ends_as_one_that_wasnt(folder: Path, tmp_path: Path) -> None:
    flags = ["--dropout", "0.1", "--steps", "6", "--eval-interval", "3", "--checkpoint-interval", "2"]
    run(folder, tmp_path / "whole", *flags)
    data = ["--data", folder, *SMALL.split()]
    commands.train_and_stop(Document, 3, *data, *flags, "--out", tmp_path / "stopped")
    assert checkpoints.saved_steps(tmp_path / "stopped" / "checkpoints")[-1] == 4
    document.main(["--out", str(tmp_path / "stopped"), "--resume"])
    whole, resumed = (commands.last_weights(tmp_path / name) for name in ("whole", "stopped"))
    commands.check_equal(whole, resumed)


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs --data FOLDER"):
        document.main(["--epochs", "1", "--out", str(tmp_path / "run")])
    with pytest.raises(DataError, match="longer than the context of 2"):
        run(folder, tmp_path / "run", "--context-length", "3")
    run(folder, tmp_path / "cut", "--context-length", "3", "--truncate", "--max-new-tokens", "2", "--steps", "1")
    (folder / "test.txt").write_text("word\n\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"test\.txt has no text of two words"):
        run(folder, tmp_path / "run")
    (folder / "valid.txt").unlink()
    with pytest.raises(DataError, match=r"valid\.txt is no file"):
        run(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()  # nothing half-made is left
