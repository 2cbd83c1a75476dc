"""Batches: shifted targets, a pure function of (seed, step), every start equally likely; windows cover all once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.data.batches import IGNORED, batch, windows
from minillm.errors import DataError

IDS = np.arange(1000, dtype=np.uint16)


def test_targets_are_the_next_tokens_in_int64():
    x, y = batch(IDS, seed=1, step=2, batch_size=5, context_length=7)
    assert x.shape == y.shape == (5, 7)
    assert x.dtype == y.dtype == np.int64
    assert np.array_equal(y, x + 1)
    assert np.array_equal(np.diff(x), np.ones((5, 6)))


def test_a_batch_depends_on_seed_and_step_alone():
    def draw(seed, step):
        return batch(IDS, seed=seed, step=step, batch_size=4, context_length=8)[0]

    first = draw(7, 3)
    np.random.seed(0)
    draw(7, 4)
    assert np.array_equal(draw(7, 3), first)
    assert not np.array_equal(draw(7, 4), first)
    assert not np.array_equal(draw(8, 3), first)


def test_batches_of_many_steps_are_all_different():
    seen = {batch(IDS, seed=1, step=s, batch_size=4, context_length=4)[0][:, 0].tobytes() for s in range(2000)}
    assert len(seen) == 2000


def test_every_start_is_equally_likely_and_the_last_one_possible():
    ids = np.arange(12)
    starts = np.concatenate([batch(ids, seed=0, step=s, batch_size=50, context_length=4)[0][:, 0] for s in range(160)])
    counts = np.bincount(starts, minlength=8)
    assert len(counts) == 8  # 12 tokens hold 8 windows of 4 and their next token
    expected = len(starts) / 8
    assert ((counts - expected) ** 2 / expected).sum() < 24.3  # chi-squared, 7 degrees of freedom, p = 0.001


def test_a_text_that_just_fits_has_one_window():
    x, y = batch(np.arange(5), seed=0, step=0, batch_size=3, context_length=4)
    assert np.array_equal(x, [[0, 1, 2, 3]] * 3)
    assert np.array_equal(y, [[1, 2, 3, 4]] * 3)


def test_a_text_too_short_is_named_with_both_lengths():
    with pytest.raises(DataError, match="4 tokens, where a context of 4 needs at least 5"):
        batch(np.arange(4), seed=0, step=0, batch_size=3, context_length=4)
    with pytest.raises(DataError, match="1 tokens, at least 2 are needed"):
        next(windows(np.arange(1), 4, 2))


@given(st.integers(2, 200), st.integers(1, 20), st.integers(1, 5))
def test_windows_cover_every_target_once_in_order(tokens, context_length, batch_size):
    ids = np.arange(tokens, dtype=np.uint32)
    inputs, targets = [], []
    for x, y in windows(ids, context_length, batch_size):
        assert x.shape == y.shape and x.shape[1] == context_length and 1 <= len(x) <= batch_size
        assert x.dtype == y.dtype == np.int64
        inputs.append(x[y != IGNORED])
        targets.append(y[y != IGNORED])
        assert (y != IGNORED).any(axis=1).all()  # no row of nothing
    assert np.array_equal(np.concatenate(targets), np.arange(1, tokens))
    assert np.array_equal(np.concatenate(inputs), np.arange(tokens - 1))
