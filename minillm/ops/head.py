"""linear_cross_entropy: a language model's output head and its loss, as one op."""

import numpy as np

from minillm.backend import array_module, as_array
from minillm.errors import ShapeError, TokenError
from minillm.ops.linear import check_linear, linear
from minillm.ops.loss import IGNORED, check_cross_entropy, cross_entropy
from minillm.ops.precision import check_precision
from minillm.registry import Case, ErrorCase, op


def linear_cross_entropy_cases(rng):
    x, weight = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4))
    yield Case((x, weight, np.array([[1, 0, 4], [2, 2, 3]])))
    yield Case((x, weight, np.array([[1, -100, 4], [-100, 2, 3]])), note="two positions ignored")
    yield Case((x, weight, np.full((2, 3), -100)), note="all ignored", smooth=False)
    yield Case((rng.normal(size=(0, 4)), weight, np.zeros(0, int)), note="no rows", smooth=False)
    yield Case((rng.normal(size=(4, 300)).T, rng.normal(size=(4, 37)).T, rng.integers(0, 37, size=300)), note="more")


def linear_cross_entropy_errors(rng):
    x, weight = np.zeros((2, 3)), np.zeros((5, 3))
    yield ErrorCase((x, np.zeros((5, 4)), np.zeros(2, int)), ShapeError, r"last size 3, .* \(5, 4\) takes 4")
    yield ErrorCase((x, weight, np.array([0, 5])), TokenError, r"target 5 at position \(1,\) .* 5 classes")
    yield ErrorCase((x, weight, np.zeros(3, int)), ShapeError, r"targets of shape \(3,\) .* need \(2,\)")


@op(cases=linear_cross_entropy_cases, errors=linear_cross_entropy_errors, ids="targets")
def linear_cross_entropy(xp, x, weight, targets, *, ignore_index=IGNORED, precision=None):
    """The mean cross-entropy, in nats, of logits x Wᵀ.  [4.1.2-ce]  L = −1/n Σ_i ln p_it_i,  p_i = softmax(W x_i)

    x: (..., d);  weight: (classes, d);  targets: (...) integers, `ignore_index` where nothing counts.
    precision: of the products, as in `linear`. One op, because the logits are the largest array of a training step
    and needn't be there all at one time: a kernel may compute them, and their gradient, a few rows at a time.
    """
    targets = as_array(targets)
    check_linear_cross_entropy(array_module(targets), x, weight, targets, ignore_index, precision)
    logits, of_linear = linear.reference.forward(xp, x, weight, precision=precision)
    loss, of_loss = cross_entropy.reference.forward(xp, logits, targets, ignore_index=ignore_index)
    return loss, (of_linear, of_loss)


@linear_cross_entropy.backward
def linear_cross_entropy_backward(xp, dloss, saved):
    """dlogits = dL (p − y) / n;  dx = dlogits W,  dW = dlogitsᵀ x"""
    of_linear, of_loss = saved
    dlogits = cross_entropy.reference.backward(xp, dloss, of_loss)[0]
    dx, dweight, _, _ = linear.reference.backward(xp, dlogits, of_linear)
    return dx, dweight, None


def check_linear_cross_entropy(xp, x, weight, targets, ignore_index, precision):
    """ShapeError, TokenError or ConfigError unless the arguments fit."""
    name = "linear_cross_entropy"
    check_linear(x, weight, name=name)
    check_precision(name, precision)
    check_cross_entropy(xp, (*x.shape[:-1], len(weight)), targets, ignore_index=ignore_index, name=name)
