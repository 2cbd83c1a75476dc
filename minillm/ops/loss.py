"""Losses: cross_entropy over a vocabulary, and mse_loss."""

import numpy as np

from minillm.backend import array_module, as_array
from minillm.errors import ConfigError, ShapeError, TokenError
from minillm.ops.common import max_or_lowest
from minillm.registry import Case, ErrorCase, op

IGNORED = -100
"""The usual target of a position that doesn't count: padding, or a token that wasn't masked."""


def cross_entropy_cases(rng):
    logits, targets = rng.normal(size=(6, 5)), np.array([0, 4, -100, 2, 2, -100])
    yield Case((logits, np.array([1, 0, 4, 2, 2, 3])))
    yield Case((logits.reshape(2, 3, 5), targets.reshape(2, 3)), note="two positions ignored")
    yield Case((logits, targets), {"label_smoothing": 0.1})
    yield Case((logits, targets, rng.uniform(0.5, 2, size=5)), note="class weights", constants=(2,))
    weight = rng.uniform(0.5, 2, size=5)
    yield Case((logits, targets, weight), {"label_smoothing": 0.2}, note="both", constants=(2,))
    yield Case((logits, targets), {"reduction": "sum"})
    yield Case((logits, np.array([1, 1, 1, 2, 2, 3])), {"ignore_index": 1}, note="another index ignored")
    yield Case((logits, np.full(6, -100)), note="all ignored", smooth=False)
    yield Case((logits * 1e4, np.array([1, 0, 4, 2, 2, 3])), note="scores far apart", smooth=False)


def cross_entropy_errors(rng):
    logits = np.zeros((2, 3, 5))
    yield ErrorCase((logits, np.zeros((2, 4), int)), ShapeError, r"targets of shape \(2, 4\) .* need \(2, 3\)")
    yield ErrorCase(
        (logits, np.array([[0, 1, 2], [3, 5, 0]])), TokenError, r"target 5 at position \(1, 1\) .* 5 classes"
    )
    yield ErrorCase((logits, np.zeros((2, 3))), TokenError, r"whole numbers")
    yield ErrorCase((logits, np.zeros((2, 3), int), np.ones(4)), ShapeError, r"class weights .* \(4,\), .* \(5,\)")
    yield ErrorCase((logits, np.zeros((2, 3), int)), ConfigError, r"label_smoothing=1.5", {"label_smoothing": 1.5})
    yield ErrorCase((logits, np.zeros((2, 3), int)), ConfigError, r"reduction='none'", {"reduction": "none"})


@op(cases=cross_entropy_cases, errors=cross_entropy_errors, ids="targets")
def cross_entropy(xp, logits, targets, weight=None, *, ignore_index=IGNORED, label_smoothing=0.0, reduction="mean"):
    """Cross-entropy, in nats.  [4.1.2-ce]  L = −Σ_i y_i ln p_i,  p = softmax(logits),  then the mean over tokens

    logits: (..., classes);  targets: (...) integers, the class where y is 1; y is one-hot, or with label smoothing ε
    (Szegedy et al. 2016, section 7) (1 − ε) one-hot + ε / classes. Where the target is `ignore_index`, nothing counts.
    weight: (classes,), a constant factor for each class; the mean then divides by the sum of the targets' weights.
    reduction: "mean", or "sum" (to divide by a count of one's own). With every target ignored the loss is 0.
    """
    targets = as_array(targets)
    check_cross_entropy(array_module(targets), logits.shape, targets, weight, ignore_index, label_smoothing, reduction)
    targets = xp.asarray(targets)
    n_classes = logits.shape[-1]
    rows = logits.reshape(-1, n_classes)
    kept = targets.reshape(-1) != ignore_index
    target = xp.where(kept, targets.reshape(-1), 0)
    class_weight = xp.ones(n_classes, rows.dtype) if weight is None else weight.astype(rows.dtype)
    row_weight = xp.where(kept, class_weight[target], xp.zeros((), rows.dtype))
    total = row_weight.sum() if reduction == "mean" else rows.dtype.type(1)
    divisor = xp.where(total == 0, 1, total).astype(rows.dtype)

    # -ln p_i = ln Σ_j exp(x_j − m) − (x_i − m),  m = max x: no digits are lost to a large m
    largest = max_or_lowest(xp, rows, -1)
    log_sum = xp.log(xp.exp(rows - largest).sum(-1, keepdims=True))
    nll = (log_sum - (xp.take_along_axis(rows, target[:, None], 1) - largest))[:, 0]
    nll = xp.where(kept, nll, xp.zeros((), rows.dtype))  # an ignored row counts for nothing, even an infinite one
    loss = (row_weight * nll).sum() * (1 - label_smoothing)
    if label_smoothing:
        spread = (class_weight * (log_sum - (rows - largest))).sum(-1) / n_classes
        loss = loss + label_smoothing * xp.where(kept, spread, xp.zeros((), rows.dtype)).sum()
    saved = (logits, largest, log_sum, target, kept, class_weight, row_weight, divisor, label_smoothing)
    return xp.asarray(loss / divisor, dtype=rows.dtype), saved


@cross_entropy.backward
def cross_entropy_backward(xp, dloss, saved):
    """dx = dL (p Σ_i y_i − y) / count,  y the (weighted, smoothed) target distribution: for a one-hot y, p − y"""
    logits, largest, log_sum, target, kept, class_weight, row_weight, divisor, smoothing = saved
    scale = dloss / divisor
    sum_y = (1 - smoothing) * row_weight + (smoothing * class_weight.mean()) * kept
    dx = logits.reshape(-1, logits.shape[-1]) - largest
    dx -= log_sum
    xp.exp(dx, out=dx)
    dx *= (sum_y * scale).astype(dx.dtype)[:, None]
    dx[xp.arange(len(target)), target] -= (1 - smoothing) * row_weight * scale
    if smoothing:
        dx -= (smoothing / len(class_weight) * scale) * class_weight * kept[:, None]
    return dx.reshape(logits.shape), None, None


def mse_cases(rng):
    y, prediction = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    yield Case((prediction, y))
    yield Case((prediction, y), {"reduction": "mean"})
    yield Case((np.zeros((0, 2)), np.zeros((0, 2))), note="no elements")


def mse_errors(rng):
    yield ErrorCase((np.zeros((2, 3)), np.zeros(3)), ShapeError, r"\(2, 3\) and .* \(3,\)")
    yield ErrorCase((np.zeros(2), np.zeros(2)), ConfigError, r"reduction='max'", {"reduction": "max"})
    yield ErrorCase((np.zeros(0), np.zeros(0)), ShapeError, r"mean of no elements", {"reduction": "mean"})


@op(cases=mse_cases, errors=mse_errors)
def mse_loss(xp, prediction, target, *, reduction="half_sum"):
    """Squared error.  [4.1.2-mse]  L = ½ Σ_i (y_i − ŷ_i)²;  with reduction="mean": 1/n Σ_i (y_i − ŷ_i)²

    prediction, target: arrays of one shape (no broadcasting: a column against a row is a common mistake).
    """
    if prediction.shape != target.shape:
        raise ShapeError(
            f"mse_loss: the prediction has shape {prediction.shape} and the target {target.shape}; they must agree"
        )
    if reduction not in ("half_sum", "mean"):
        raise ConfigError(f"mse_loss: reduction={reduction!r} must be 'half_sum' (the document's) or 'mean'")
    if reduction == "mean" and not prediction.size:
        raise ShapeError("mse_loss: the mean of no elements isn't defined")
    factor = 0.5 if reduction == "half_sum" else 1 / prediction.size
    difference = prediction - target
    return xp.asarray(factor * (difference * difference).sum(), dtype=difference.dtype), (difference, factor)


@mse_loss.backward
def mse_loss_backward(xp, dloss, saved):
    """dŷ = dL (ŷ − y),  dy = −dŷ;  for the mean, times 2/n"""
    difference, factor = saved
    dprediction = difference * (2 * factor * dloss)
    return dprediction, -dprediction


def check_cross_entropy(
    xp, shape, targets, weight=None, ignore_index=IGNORED, label_smoothing=0.0, reduction="mean", name="cross_entropy"
):
    """The errors of `cross_entropy` for logits of this shape."""
    if targets.shape != shape[:-1]:
        raise ShapeError(
            f"{name}: targets of shape {targets.shape} don't fit logits of shape {shape}, which need "
            f"{shape[:-1]}: one class index for each row"
        )
    if targets.dtype.kind not in "iu":
        raise TokenError(f"{name}: targets must be whole numbers (class indices); these are {targets.dtype}")
    n_classes = shape[-1]
    wrong = (targets != ignore_index) & ((targets < 0) | (targets >= n_classes))
    if wrong.any():
        where = tuple(int(i) for i in xp.argwhere(wrong)[0])
        raise TokenError(
            f"{name}: target {int(targets[where])} at position {where} is outside the {n_classes} classes "
            f"(and isn't ignore_index, {ignore_index})"
        )
    if weight is not None and weight.shape != (n_classes,):
        raise ShapeError(f"{name}: class weights have shape {weight.shape}, but logits {shape} need {(n_classes,)}")
    check_label_smoothing(name, label_smoothing)
    if reduction not in ("mean", "sum"):
        raise ConfigError(f"{name}: reduction={reduction!r} must be 'mean' or 'sum'")


def check_label_smoothing(name, label_smoothing):
    """ConfigError unless it is a probability."""
    if not 0 <= label_smoothing <= 1:
        raise ConfigError(f"{name}: label_smoothing={label_smoothing} must be between 0 and 1")
