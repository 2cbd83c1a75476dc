"""ROUGE by hand, and with Chinese, which rouge-score's own tokenizer deletes."""

import pytest

from minillm.errors import ConfigError, DataError
from minillm.metrics import rouge

pytest.importorskip("rouge_score", reason="these measures are rouge-score's; install the extra `evaluate`")


def test_english_by_hand():
    # "police kill the gunman" and "police killed the gunman" are the same after stemming.
    assert rouge(["police kill the gunman"], [["Police killed the gunman."]]) == dict.fromkeys(
        ("rouge1", "rouge2", "rougeL"), 1
    )
    # Lin 2004, section 3: all words but the third are shared, pairs: "the gunman" only; in order: "the gunman".
    scores = rouge(["the gunman kill police"], [["police killed the gunman"]])
    assert scores["rouge1"] == pytest.approx(1)
    assert scores["rouge2"] == pytest.approx(1 / 3)
    assert scores["rougeL"] == pytest.approx(2 / 4)


def test_the_score_is_f1():
    # 2 of 4 words of the summary, 2 of 3 of the reference: 2 · 2 / (4 + 3).
    assert rouge(["alpha beta gamma delta"], [["alpha beta omega"]])["rouge1"] == pytest.approx(4 / 7)


def test_chinese_by_hand():
    # 我爱北京 and 我在北京: 3 of 4 characters, of 3 pairs 北京, and 我北京 in order.
    scores = rouge(["我爱北京"], [["我在北京。"]], "zh")
    assert scores == pytest.approx({"rouge1": 3 / 4, "rouge2": 1 / 3, "rougeL": 3 / 4})
    assert rouge(["GPT模型"], [["gpt 模型！"]], "zh")["rouge2"] == 1


def test_the_best_reference_counts_and_texts_are_averaged():
    one = rouge(["red green"], [["blue", "red green"]])
    both = rouge(["red green", "red"], [["blue", "red green"], ["blue"]])
    assert one["rouge1"] == 1
    assert both["rouge1"] == 0.5


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="language='fr'"):
        rouge(["a"], [["a"]], "fr")
    with pytest.raises(DataError, match="1 texts and references for 2"):
        rouge(["a"], [["a"], ["b"]])


@pytest.mark.parametrize("text", ["Кошка сидела на ковре", "Η γάτα κάθισε", "Der Bär läuft über die Brücke"])
def test_a_perfect_summary_in_any_script_scores_1(text):
    assert rouge([text], [[text]]) == {"rouge1": 1, "rouge2": 1, "rougeL": 1}


def test_a_word_of_another_alphabet_among_english_ones_keeps_the_published_way():
    """Stems are compared: 'runs' is 'running'. One word in fifty may be anything."""
    references = [["the dog runs " * 20 + "café"]]
    assert rouge(["the dog running"], [["the dog runs"]])["rouge1"] == 1
    assert rouge(["the dog running " * 20 + "café"], references)["rouge1"] > 0.98
