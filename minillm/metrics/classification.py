"""How good predicted classes are: accuracy, cross-entropy, confusion, precision, recall, F1.  (document section 9.5)

Classes are numbered from 0. A ratio whose denominator is 0 counts as 0: the precision of a class never predicted, the
recall of one that never occurs, the F1 of one that does neither.
"""

from typing import Any, NamedTuple

import numpy as np

from minillm.errors import DataError


class ClassScores(NamedTuple):
    """Precision, recall and F1 of every class, (classes,) float64, and how often it occurs, (classes,) int64."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


class MeanScores(NamedTuple):
    """Precision, recall and F1 over all classes."""

    precision: float
    recall: float
    f1: float


def accuracy(true: Any, predicted: Any) -> float:
    """The share of predictions that are right: (1/N) Σ [predicted_i = true_i]. true, predicted: integers, (N,).

    Raises DataError for unequal lengths, no examples at all, or a class below 0.
    """
    true, predicted = _checked(true, predicted)
    return float((true == predicted).mean())


def cross_entropy(logits: Any, true: Any) -> float:
    """The mean of −ln softmax(logits)[true], in nats. logits: (N, classes); true: integers, (N,).

    Raises DataError for other shapes, no examples at all, or a class outside 0..classes-1.
    """
    logits, true = np.asarray(logits, np.float64), np.asarray(true)
    if logits.ndim != 2 or true.shape != logits.shape[:1] or not true.size:
        raise DataError(
            f"logits must be (N, classes) and true classes (N,), at least one; got {logits.shape} and {true.shape}"
        )
    true = _integers("true", true)
    if true.max() >= logits.shape[1]:
        raise DataError(f"class {true.max()} is outside 0..{logits.shape[1] - 1}, the classes of the logits")
    return float((np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(true)), true]).mean())


def confusion_matrix(true: Any, predicted: Any, n_classes: int | None = None) -> np.ndarray:
    """How often each class is taken for each: C[i, j] = #{true = i, predicted = j}, (classes, classes) int64.

    true, predicted: integers, (N,). n_classes: one more than the largest number in them, if not given.
    Raises DataError for unequal lengths, no examples at all, or a class outside 0..n_classes-1.
    """
    true, predicted = _checked(true, predicted)
    largest = int(max(true.max(), predicted.max()))
    n = largest + 1 if n_classes is None else n_classes
    if largest >= n:
        raise DataError(f"class {largest} is outside 0..{n - 1}; give n_classes={largest + 1} or more")
    return np.bincount(true * n + predicted, minlength=n * n).reshape(n, n)


def class_scores(true: Any, predicted: Any, n_classes: int | None = None) -> ClassScores:
    """Precision, recall and F1 of each class, arguments and errors as those of `confusion_matrix`.

    precision = TP / (TP + FP)   of those predicted to be of the class, the share that are
    recall = TP / (TP + FN)      of those that are of the class, the share that were found
    """
    matrix = confusion_matrix(true, predicted, n_classes)
    right, support = matrix.diagonal(), matrix.sum(axis=1)
    precision, recall = _ratio(right, matrix.sum(axis=0)), _ratio(right, support)
    return ClassScores(precision, recall, f1_score(precision, recall), support)


def f1_score(precision: Any, recall: Any) -> Any:
    """F1 = 2 P R / (P + R), the harmonic mean of precision and recall: near the smaller one. Numbers or arrays."""
    f1 = _ratio(2 * np.multiply(precision, recall), np.add(precision, recall))
    return f1 if f1.ndim else float(f1)


def macro_scores(true: Any, predicted: Any, n_classes: int | None = None) -> MeanScores:
    """The mean over classes, each counting the same however rare it is; so F1 is a mean of F1s.

    All n_classes count, with 0 for one that neither occurs nor is predicted. Errors: those of `confusion_matrix`.
    """
    scores = class_scores(true, predicted, n_classes)
    return MeanScores(*(float(values.mean()) for values in (scores.precision, scores.recall, scores.f1)))


def micro_scores(true: Any, predicted: Any) -> MeanScores:
    """The ratios of counts summed over classes: P = ΣTP / Σ(TP + FP), R = ΣTP / Σ(TP + FN).

    With one class an example, every false positive of one class is a false negative of another: all three are the
    accuracy. Errors: those of `confusion_matrix`.
    """
    matrix = confusion_matrix(true, predicted)
    right = matrix.trace()
    precision, recall = float(right / matrix.sum(axis=0).sum()), float(right / matrix.sum(axis=1).sum())
    return MeanScores(precision, recall, f1_score(precision, recall))


def _ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """numerator / denominator, 0 where the denominator is 0."""
    zero = np.equal(denominator, 0)
    return np.where(zero, 0.0, np.divide(numerator, np.where(zero, 1, denominator)))


def _checked(true: Any, predicted: Any) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.ndim != 1 or true.shape != predicted.shape or not true.size:
        raise DataError(
            f"true and predicted classes must both be (N,), at least one; got {true.shape} and {predicted.shape}"
        )
    return _integers("true", true), _integers("predicted", predicted)


def _integers(name: str, classes: np.ndarray) -> np.ndarray:
    if classes.dtype.kind not in "iu" or classes.min() < 0:
        raise DataError(f"{name} classes must be integers from 0; got {classes.dtype} from {classes.min()}")
    return classes.astype(np.int64)
