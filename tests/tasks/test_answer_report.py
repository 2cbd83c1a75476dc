"""The report of what a fine-tuned model's answers are like."""

import numpy as np
import pytest

from minillm.metrics import self_bleu
from minillm.tasks.answer_report import WordModel, class_tables, text_table


def row(table, name):
    line = next(line for line in table.split("\n") if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_texts_are_measured_beside_the_references():
    pytest.importorskip("sacrebleu")
    ours, references = ["the cat sat", "the cat sat"], ["a dog ran off", "the cat sat"]
    table = text_table(ours, references, references * 2)
    assert row(table, "words") == ["3.000", "3.500"]
    assert row(table, "distinct-1") == ["0.500", "1.000"]
    assert row(table, "repeated 4-grams") == ["", "0.000"]  # ours have no four words in a row
    assert row(table, "self-BLEU of 2") == ["100.000", f"{self_bleu(references):.3f}"]
    perplexities = list(map(float, row(table, "fluency")))
    assert 1 < perplexities[0] < 10


def test_a_shuffled_text_is_less_fluent():
    texts = ["the cat sat on the mat"] * 4
    model = WordModel(texts)
    assert model.perplexity(["the cat sat on the mat"]) < model.perplexity(["mat the on sat cat the"]) / 2


def test_self_bleu_of_chinese_counts_characters():
    pytest.importorskip("sacrebleu")
    texts = ["我爱北京天安门上的太阳", "我爱北京天安门上的月亮"]
    value = float(row(text_table(texts, texts, texts), "self-BLEU of 2")[0])
    assert value == pytest.approx(self_bleu(texts, "zh"), abs=1e-3) and value > 50


def test_answers_without_a_word_are_no_error():
    table = text_table(["", "..."], ["a b c", "c d a"], ["a b", "c d"])
    assert row(table, "words") == ["0.000", "3.000"] and row(table, "distinct-1")[0] == ""


def test_classes_are_told_by_the_definition():
    table = class_tables(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ["neg", "pos"])
    assert row(table, "neg") == ["3", "1.000", "0.667", "0.800"]
    assert row(table, "pos") == ["1", "0.500", "1.000", "0.667"]
    assert "| neg | 2 | 1 |" in table and "| pos | 0 | 1 |" in table
