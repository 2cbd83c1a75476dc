"""The bag-of-words baselines: naive Bayes by its formula, what a bag can't tell, and real texts."""

import math
from collections import Counter

import numpy as np
import pytest

from minillm.baselines import classify, majority_class
from minillm.data.examples import read_class_files, stratified
from minillm.errors import DataError
from minillm.metrics import accuracy, macro_scores, words
from tests.data_files import real_file

NAMES = [
    "majority class",
    "naive Bayes, counts",
    "naive Bayes, TF-IDF",
    "logistic regression, counts",
    "logistic regression, TF-IDF",
]
TRAIN = ["good film, good cast", "a fine film", "a dull film", "bad, bad plot", "dull and bad", "no plot"]
LABELS = [1, 1, 0, 0, 0, 0]
TEST, TRUE = ["good plot", "fine cast", "bad film", "dull"], [1, 1, 0, 0]


@pytest.fixture(autouse=True)
def sklearn():
    pytest.importorskip("sklearn", reason="the linear models are scikit-learn's; install the extra `evaluate`")


def naive_bayes(texts, labels, text):
    """argmax of log P(class) + Σ log (count + 1) / (words of the class + vocabulary), from the definition."""
    vocabulary = {w for t in texts for w in words(t)}

    def score(label):
        own = Counter(w for t, c in zip(texts, labels, strict=True) if c == label for w in words(t))
        known = [w for w in words(text) if w in vocabulary]
        size = own.total() + len(vocabulary)
        return math.log(labels.count(label) / len(labels)) + sum(math.log((own[w] + 1) / size) for w in known)

    return max(set(labels), key=score)


def test_naive_bayes_is_the_formula():
    predicted = classify(TRAIN, LABELS, TEST, TRUE)["naive Bayes, counts"].predicted
    assert predicted.tolist() == [naive_bayes(TRAIN, LABELS, text) for text in TEST]
    assert set(predicted) == {0, 1}


def test_each_has_a_name_and_scores_of_its_own_predictions():
    results = classify(TRAIN, LABELS, TEST, TRUE)
    assert list(results) == NAMES
    for prediction in results.values():
        assert prediction.accuracy == accuracy(TRUE, prediction.predicted)
        assert prediction.macro_f1 == macro_scores(TRUE, prediction.predicted).f1


def test_the_majority_class_is_the_training_texts_():
    assert majority_class([2, 0, 2, 1], 3).tolist() == [2, 2, 2]
    assert majority_class([1, 0, 1, 0], 1).tolist() == [0]
    assert classify(TRAIN, LABELS, TEST, TRUE)["majority class"].accuracy == 0.5


def test_a_bag_does_not_see_the_order_of_words():
    results = classify(["a b"] * 5 + ["b a"] * 5, [0] * 5 + [1] * 5, ["a b", "b a"], [0, 1])
    assert {prediction.accuracy for prediction in results.values()} == {0.5}


def test_chinese_characters_are_words():
    train = ["这部电影很好看", "演员很好", "这部电影太差", "情节很差"]
    results = classify(train, [1, 1, 0, 0], ["好", "差"], [1, 0])
    assert all(results[name].accuracy == 1 for name in NAMES[1:])


def test_film_reviews_are_told_apart_better_than_by_guessing():
    """Pang and Lee 2005's sentences, half of each kind."""
    reviews = read_class_files({name: real_file(f"rt-polarity.{name}") for name in ("neg", "pos")})
    train, test = stratified(reviews.examples, 2000)
    columns = [([e.text for e in part], [e.label for e in part]) for part in (train, test)]
    results = classify(*columns[0], *columns[1])
    assert 0.45 < results["majority class"].accuracy < 0.55
    for name in NAMES[1:]:
        assert 0.73 < results[name].accuracy < 0.81, name
        assert results[name].macro_f1 == pytest.approx(results[name].accuracy, abs=0.01)


def test_bad_input_is_named():
    with pytest.raises(DataError, match=r"training labels .* got int64 of shape \(1,\) for 2 texts"):
        classify(["a", "b"], [0], ["a"], [0])
    with pytest.raises(DataError, match="test labels must be integers from 0"):
        classify(["a", "b"], [0, 1], ["a"], [0.5])
    with pytest.raises(DataError, match="all of one class"):
        classify(["a", "b"], np.array([1, 1]), ["a"], [1])
