"""Masked language modelling from the command line: learnt, scored against closed forms, resumed, filled in."""

import json
import math
import shlex
from pathlib import Path

import numpy as np
import pytest

from minillm import evaluate
from minillm.errors import DataError
from minillm.metrics import masked_token_accuracy
from minillm.tasks import TASKS, MaskedLM, open_run
from minillm.tasks.masked_lm import passages
from minillm.tokenizers import CharTokenizer
from minillm.training.run import RunFolder
from tests.tasks.commands import check_equal, last_weights, train, train_and_stop

SMALL = shlex.split(
    "--vocab-size 280 --context-length 16 --n-layer 1 --n-head 2 --d-model 32 --dropout 0 --batch-size 16 "
    "--learning-rate 1e-2 --warmup-steps 10 --checkpoint-interval 1000"
)


@pytest.fixture
def corpus(tmp_path: Path) -> list[object]:
    """Words that are repeated for a while, so that each is told by those around it."""
    path, order = tmp_path / "text.txt", np.random.default_rng(0)
    words = ["one", "two", "three", "four", "六", "七"]
    path.write_text("".join(f" {words[i]}" * 40 for i in order.integers(6, size=80)), encoding="utf-8")
    return ["--corpus", path]


def opened(path: Path) -> MaskedLM:
    task = open_run(RunFolder(path), TASKS)
    assert isinstance(task, MaskedLM)
    return task


def test_a_text_that_repeats_is_learnt_scored_and_filled_in(tmp_path, corpus, capsys):
    out = tmp_path / "run"
    train("masked_lm", *corpus, *SMALL, "--steps", 200, "--eval-interval", 100, "--out", out)
    assert evaluate.main([str(out)]) == 0
    scores = json.loads((out / "report.json").read_text())["scores"]
    ours = scores["this model, step 200"]
    assert ours["accuracy"] > 0.9 > 2 * scores["most frequent token"]["accuracy"]
    assert ours["cross-entropy"] < 0.5 < 1 < scores["unigram"]["cross-entropy"]
    assert 1 <= ours["pseudo-perplexity"] < 3 < scores["unigram"]["pseudo-perplexity"]
    (tmp_path / "new.txt").write_text(" three three[MASK] three[MASK]\n 六[MASK] 六\nnothing\n", encoding="utf-8")
    capsys.readouterr()
    evaluate.main([str(out), "--input", str(tmp_path / "new.txt")])
    assert capsys.readouterr() == (" three three three three three\n 六 六 六\nnothing\n", "")
    (tmp_path / "new.txt").write_text("nothing " * 300 + "\nnothing\n", encoding="utf-8")
    evaluate.main([str(out), "--input", str(tmp_path / "new.txt"), "--truncate"])
    assert "1 of 2 texts are longer than the context" in capsys.readouterr().err


def test_a_run_that_was_stopped_ends_as_one_that_wasnt(tmp_path, corpus):
    settings = [*corpus, *SMALL, "--dropout", "0.1", "--steps", "6", "--eval-interval", "3"]
    train("masked_lm", *settings, "--out", tmp_path / "whole")
    train_and_stop(MaskedLM, 3, *settings, "--out", tmp_path / "stopped")
    train("masked_lm", "--out", tmp_path / "stopped", "--resume")
    check_equal(last_weights(tmp_path / "whole"), last_weights(tmp_path / "stopped"))


def test_training_masks_are_new_at_each_step_and_validation_masks_are_not(tmp_path, corpus):
    train("masked_lm", *corpus, *SMALL, "--steps", 0, "--out", tmp_path / "run")
    train("masked_lm", *corpus, *SMALL, "--steps", 0, "--batch-size", 3, "--seed", 5, "--out", tmp_path / "other")
    task, other = opened(tmp_path / "run"), opened(tmp_path / "other")
    epoch = task.steps_per_epoch
    one, again, later = task.batch(1), task.batch(1), [task.batch(1 + epoch * n)["targets"] for n in (0, 1, 2, 3)]
    np.testing.assert_array_equal(one["ids"], again["ids"])
    places = {(targets[:8] != -100).tobytes() for targets in later}
    assert len(places) == 4
    hidden = [
        sorted(map(tuple, np.concatenate([b["targets"] for b in t.batches("validation")]))) for t in (task, other)
    ]
    assert hidden[0] == hidden[1]  # whatever the batches and the seed
    chosen = np.mean([(task.batch(step)["targets"] != -100).mean() for step in range(40)])
    assert chosen == pytest.approx(0.15 * 14 / 16, abs=0.01)  # [CLS] and [SEP] never are


def test_whole_words_are_hidden_with_all_their_tokens(tmp_path, corpus):
    train("masked_lm", *corpus, *SMALL, "--vocab-size", 262, "--whole-words", "--steps", 0, "--out", tmp_path / "run")
    task = opened(tmp_path / "run")
    for batch in (task.batch(step) for step in range(5)):
        hidden = batch["targets"] != -100
        original = np.where(hidden, batch["targets"], batch["ids"])
        starts = task.vocabulary.word_starts(original)
        inside = ~starts[:, 2:] & task.vocabulary.ordinary[original[:, 2:]]  # the first may be a word's second half
        assert inside.any()
        np.testing.assert_array_equal(hidden[:, 2:][inside], hidden[:, 1:-1][inside])


def test_scores_are_those_of_the_definitions(tmp_path, corpus):
    train("masked_lm", *corpus, *SMALL, "--steps", 3, "--out", tmp_path / "run")
    task, model, _ = evaluate.load_trained(RunFolder(tmp_path / "run"))
    scores, baselines = task.scores(model, "validation"), task.baseline_scores("validation")
    batches = list(task.batches("validation"))
    weights = [(b["targets"] != -100).sum() for b in batches]
    right = [masked_token_accuracy(model.eval()(b["ids"], mask=b["mask"])[0], b["targets"]) for b in batches]
    assert scores["accuracy"] == pytest.approx(np.average(right, weights=weights), rel=1e-9)
    losses = [model.eval().loss(**batch).item() for batch in batches]
    assert scores["cross-entropy"] == pytest.approx(np.average(losses, weights=weights), rel=1e-5)
    assert task.evaluate(model, lambda: False).loss == scores["cross-entropy"]
    # The unigram model, token by token
    tokens = [i for passage in task.examples["train"] for i in passage.ids]
    p = {i: (tokens.count(i) + 1) / (len(tokens) + task.tokenizer.vocab_size) for i in range(task.tokenizer.vocab_size)}
    hidden = [i for b in batches for i in b["targets"].ravel().tolist() if i != -100]
    assert baselines["unigram"]["cross-entropy"] == pytest.approx(-np.mean([math.log(p[i]) for i in hidden]), rel=1e-9)
    assert baselines["most frequent token"]["accuracy"] == hidden.count(max(p, key=p.get)) / len(hidden)
    sample = [i for passage in task.examples["validation"][:8] for i in passage.ids]
    assert baselines["unigram"]["pseudo-perplexity"] == pytest.approx(
        math.exp(-np.mean([math.log(p[i]) for i in sample])), rel=1e-9
    )
    size = len(task.tokenizer.decode(sample).encode())
    bits = -sum(math.log2(p[i]) for i in sample) / size
    assert baselines["unigram"]["bits/byte"] == pytest.approx(bits, rel=1e-9)
    assert baselines["5-gram, Kneser-Ney"]["bits/byte"] < bits  # the corpus repeats itself


def test_a_model_that_knows_nothing_has_the_vocabulary_s_pseudo_perplexity(tmp_path, corpus):
    train("masked_lm", *corpus, *SMALL, "--steps", 0, "--out", tmp_path / "run")
    task, model, _ = evaluate.load_trained(RunFolder(tmp_path / "run"))
    model.token_embedding.weight.mutable()[...] = 0
    assert task.scores(model, "validation")["pseudo-perplexity"] == pytest.approx(task.tokenizer.vocab_size, rel=1e-4)


def test_passages_are_the_text_in_pieces():
    tokenizer = CharTokenizer.train(["abcdefg"])
    pieces = passages(tokenizer, ["abc", "defg"], 3)
    assert [tokenizer.decode(piece.ids) for piece in pieces] == ["abc", "def", "g"]


def test_a_text_too_short_to_mask_is_refused(tmp_path):
    (tmp_path / "short.txt").write_text("abcdefgh" * 5)
    with pytest.raises(DataError, match="validation text is so short that no token of it was masked"):
        train(
            "masked_lm",
            "--corpus",
            tmp_path / "short.txt",
            *SMALL,
            "--vocab-size",
            270,
            "--steps",
            0,
            "--out",
            tmp_path / "r",
        )
