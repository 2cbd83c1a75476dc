"""copy_logits, beyond the op table's cases: probabilities that a reader can add up, and scores of minus infinity."""

import numpy as np

from minillm import ops
from minillm.tensor import Tensor

INF = np.inf


def test_a_word_has_the_probability_of_being_written_and_of_every_place_that_holds_it():
    """Weights 1, 1, 2 to write words 0, 1, 2; 3 and 1 to copy word 1, 4 to copy word 0: of 12, 5, 5 and 2."""
    logits, scores = np.log([[[1.0, 1.0, 2.0]]]), np.log([[[3.0, 4.0, 1.0]]])
    p = ops.softmax(ops.copy_logits(Tensor(logits), Tensor(scores), np.array([[1, 0, 1]]))).numpy()
    np.testing.assert_allclose(p, [[[5 / 12, 5 / 12, 2 / 12]]])


def test_a_word_that_is_neither_written_nor_copied_has_no_probability_and_finite_gradients():
    logits = Tensor(np.array([[[-INF, 0.0, -INF]]]), requires_grad=True)
    scores = Tensor(np.array([[[-INF, 0.0]]]), requires_grad=True)
    out = ops.copy_logits(logits, scores, np.array([[0, 2]]))
    np.testing.assert_array_equal(out.numpy(), [[[-INF, 0, 0]]])
    out.backward(np.ones((1, 1, 3)))
    np.testing.assert_array_equal(logits.grad, [[[0, 1, 0]]])
    np.testing.assert_array_equal(scores.grad, [[[0, 1]]])


def test_words_far_below_the_best_keep_their_score_in_float32():
    """exp(-200) is 0 in float32: without a word of its own, a lost sum would leave the gradient of it infinite."""
    logits = Tensor(np.full((1, 1, 2), -500, np.float32), requires_grad=True)
    scores = Tensor(np.array([[[0, -200]]], np.float32), requires_grad=True)
    out = ops.copy_logits(logits, scores, np.array([[0, 1]]))
    np.testing.assert_array_equal(out.numpy(), [[[0, -200]]])
    out.backward(np.ones((1, 1, 2), np.float32))
    np.testing.assert_array_equal(scores.grad, [[[1, 1]]])
