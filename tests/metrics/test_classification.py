"""Accuracy, confusion, precision, recall and F1 against scikit-learn, and by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.errors import DataError
from minillm.metrics import (
    accuracy,
    class_scores,
    confusion_matrix,
    cross_entropy,
    f1_score,
    macro_scores,
    micro_scores,
)

C = 5
pairs = st.lists(st.tuples(st.integers(0, C - 1), st.integers(0, C - 1)), min_size=1, max_size=40)
"""(true, predicted); with few examples some classes never occur, some are never predicted, some neither."""


@pytest.fixture(scope="module")
def sklearn():
    return pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference; install the extra `oracle`")


@settings(deadline=None)
@given(pairs)
def test_all_of_it_is_scikit_learns(sklearn, examples):
    true, predicted = np.array(examples).T
    options = {"labels": np.arange(C), "zero_division": 0}
    assert accuracy(true, predicted) == sklearn.accuracy_score(true, predicted)
    np.testing.assert_array_equal(
        confusion_matrix(true, predicted, C), sklearn.confusion_matrix(true, predicted, labels=np.arange(C))
    )
    theirs = sklearn.precision_recall_fscore_support(true, predicted, **options)
    for ours, other in zip(class_scores(true, predicted, C), theirs, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-14)
    for average, scores in (("macro", macro_scores(true, predicted, C)), ("micro", micro_scores(true, predicted))):
        theirs = sklearn.precision_recall_fscore_support(true, predicted, average=average, **options)[:3]
        np.testing.assert_allclose(scores, theirs, rtol=1e-14, err_msg=average)


def test_f1_is_the_harmonic_mean():
    assert f1_score(0.8, 0.5) == pytest.approx(0.6154, abs=5e-5)
    assert f1_score(0.8, 0.5) == pytest.approx(1 / ((1 / 0.8 + 1 / 0.5) / 2), rel=1e-15)
    assert f1_score(0, 0) == 0


def test_a_class_that_never_occurs_or_is_never_predicted_counts_as_zero_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = class_scores([0, 0, 1], [0, 2, 0], n_classes=4)
    np.testing.assert_array_equal(scores.precision, [0.5, 0, 0, 0])
    np.testing.assert_array_equal(scores.recall, [0.5, 0, 0, 0])
    np.testing.assert_array_equal(scores.support, [2, 1, 0, 0])
    assert macro_scores([0, 0, 1], [0, 2, 0], n_classes=4).f1 == 0.125


@given(pairs)
def test_with_one_class_an_example_all_micro_scores_are_the_accuracy(examples):
    true, predicted = np.array(examples).T
    np.testing.assert_allclose(micro_scores(true, predicted), accuracy(true, predicted), rtol=1e-14)


def test_cross_entropy_is_the_mean_surprise_of_the_softmax(sklearn):
    logits, true = np.random.default_rng(0).normal(size=(20, C)) * 3, np.arange(20) % C
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert cross_entropy(logits, true) == pytest.approx(sklearn.log_loss(true, p), rel=1e-12)
    assert cross_entropy([[1000.0, 0.0]], [1]) == 1000  # far beyond what exp can hold
    assert cross_entropy(np.array([[0.0, 0.0, -np.inf]]), [1]) == pytest.approx(np.log(2))


def test_bad_input_is_named():
    with pytest.raises(DataError, match=r"logits must be \(N, classes\) .* got \(3, 2\) and \(2,\)"):
        cross_entropy(np.zeros((3, 2)), [0, 1])
    with pytest.raises(DataError, match="at least one"):
        cross_entropy(np.zeros((0, 2)), [])
    with pytest.raises(DataError, match="class 2 is outside 0..1"):
        cross_entropy(np.zeros((2, 2)), [0, 2])
    with pytest.raises(DataError, match="true classes must be integers from 0; got int64 from -1"):
        cross_entropy(np.zeros((2, 2)), [0, -1])
    with pytest.raises(DataError, match=r"got \(2,\) and \(3,\)"):
        accuracy([0, 1], [0, 1, 1])
    with pytest.raises(DataError, match="at least one"):
        accuracy([], [])
    with pytest.raises(DataError, match="class 4 is outside 0..2; give n_classes=5"):
        confusion_matrix([0, 4], [0, 1], n_classes=3)
    with pytest.raises(DataError, match="true classes must be integers from 0; got int64 from -1"):
        confusion_matrix([-1], [0])
    with pytest.raises(DataError, match="predicted classes must be integers from 0; got float64"):
        confusion_matrix([1], [0.5])
