"""Text classification without a neural network: the majority class, and linear models on bags of words.

A bag of words is a vector with a number for each word of the training texts, whatever the order of the text:

    counts   x_w = how often w occurs in the text
    TF-IDF   x_w = counts · (ln((1 + N) / (1 + N_w)) + 1), scaled to length 1;  N_w of the N training texts hold w

Naive Bayes takes words as independent given the class: log P(class) + Σ_w x_w log P(w | class), with 1 added to each
count. Logistic regression is one linear layer and a softmax, trained with weight decay. scikit-learn does both.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minillm.errors import DataError
from minillm.metrics.classification import accuracy, macro_scores
from minillm.metrics.extra import library
from minillm.metrics.words import words


class Prediction(NamedTuple):
    """A classifier's classes for the test texts, (texts,) int64, and how good they are."""

    predicted: np.ndarray
    accuracy: float
    macro_f1: float


def classify(
    train_texts: Sequence[str], train_labels: Any, test_texts: Sequence[str], test_labels: Any
) -> dict[str, Prediction]:
    """Train every baseline and try it on the test texts; by name, the majority class first.

    labels: integers from 0, one a text. Words are those of `metrics.words`: a Chinese character is one.
    Raises DataError for labels that don't fit the texts, or of fewer than two classes; ConfigError without
    scikit-learn.
    """
    train, test = _checked(train_texts, train_labels, "training"), _checked(test_texts, test_labels, "test")
    if len(np.unique(train)) < 2:
        raise DataError("the training texts are all of one class; there is nothing to tell apart")
    n_classes = int(max(train.max(), test.max())) + 1
    predictions = {"majority class": majority_class(train, len(test))}
    for name, model in _models().items():
        predictions[name] = model.fit(train_texts, train).predict(test_texts)
    return {
        name: Prediction(predicted, accuracy(test, predicted), macro_scores(test, predicted, n_classes).f1)
        for name, predicted in predictions.items()
    }


def majority_class(train_labels: Any, n: int) -> np.ndarray:
    """The most frequent training class (of equals the lowest) n times, (n,) int64: what a text's content must beat."""
    return np.full(n, np.bincount(train_labels).argmax(), np.int64)


def _models() -> dict[str, Any]:
    text = library("sklearn.feature_extraction.text", "scikit-learn")
    linear = library("sklearn.linear_model", "scikit-learn")
    bayes = library("sklearn.naive_bayes", "scikit-learn")
    pipeline = library("sklearn.pipeline", "scikit-learn").make_pipeline
    bags = {"counts": text.CountVectorizer, "TF-IDF": text.TfidfVectorizer}
    models = {
        "naive Bayes": bayes.MultinomialNB,
        "logistic regression": lambda: linear.LogisticRegression(max_iter=1000),
    }
    return {f"{model}, {bag}": pipeline(bags[bag](analyzer=words), models[model]()) for model in models for bag in bags}


def _checked(texts: Sequence[str], labels: Any, part: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (len(texts),) or not len(texts) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise DataError(
            f"{part} labels must be integers from 0, one a text; got {labels.dtype} of shape {labels.shape} for "
            f"{len(texts)} texts"
        )
    return labels.astype(np.int64)
