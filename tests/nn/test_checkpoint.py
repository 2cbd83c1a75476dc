"""Activation checkpointing: the same gradients, bit for bit, of far less that is kept."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, seeding
from minillm.models import GPT, GPTConfig
from minillm.nn import Dropout, FeedForward, checkpoint
from minillm.planning.tape import saved_bytes

SHAPE = {"vocab_size": 17, "context_length": 24, "n_layer": 3, "n_head": 2, "d_model": 16}


def gradients(dropout, checkpointing, mask=None):
    ml.seed(3)
    model = GPT(GPTConfig(**SHAPE, dropout=dropout, activation_checkpointing=checkpointing))
    ids, targets = np.random.default_rng(0).integers(0, 17, size=(2, 4, 24))
    loss = model.loss(ids, targets, mask)
    kept = saved_bytes(loss, model.parameters())
    loss.backward()
    return loss.item(), [p.grad for p in model.parameters()], kept, seeding.get_state()


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_gradients_are_the_same_bits_and_less_is_kept(dropout):
    mask = np.random.default_rng(1).random((4, 1, 1, 24)) < 0.8
    plain, recomputed = gradients(dropout, False, mask), gradients(dropout, True, mask)
    assert plain[0] == recomputed[0]
    assert all(np.array_equal(a, b) for a, b in zip(plain[1], recomputed[1], strict=True))
    assert plain[3] == recomputed[3]  # later draws are the same, too
    assert recomputed[2] < 0.3 * plain[2]


def test_without_gradients_it_is_the_function():
    feed_forward = FeedForward(4, 8)
    x = Tensor(np.ones((2, 4), np.float32))
    assert checkpoint(feed_forward, x).node is not None  # its parameters want gradients
    with ml.no_grad():
        y = checkpoint(feed_forward, Tensor(x.numpy(), requires_grad=True))
    assert y.node is None and not y.requires_grad


def test_backward_twice_and_inside_no_grad():
    dropout = Dropout(0.5)
    x = Tensor(np.ones((50, 4)), requires_grad=True)
    y = checkpoint(dropout, x)
    with ml.no_grad():
        y.backward(np.ones(y.shape), retain_graph=True)
    first = x.grad.copy()
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(x.grad, 2 * first)
    np.testing.assert_array_equal(first, y.numpy())  # dropout of ones is its own derivative
