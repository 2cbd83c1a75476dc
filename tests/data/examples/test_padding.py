"""Padding and its mask; batches of similar length that depend on (seed, step) alone and cover an epoch once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.data.examples import Bucketed, fitting, pad, read_aligned
from minillm.errors import ConfigError, DataError
from tests.data_files import real_file

SEQUENCES = st.lists(st.lists(st.integers(0, 60_000), max_size=12), max_size=8)
LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=60)


@given(SEQUENCES, st.integers(-100, 100), st.none() | st.integers(12, 15))
def test_the_mask_gives_the_sequences_back(sequences, pad_id, length):
    ids, mask = pad(sequences, pad_id, length)
    assert ids.dtype == np.int64 and mask.dtype == bool
    assert (
        ids.shape == mask.shape == (len(sequences), max(map(len, sequences), default=0) if length is None else length)
    )
    assert [row[m].tolist() for row, m in zip(ids, mask, strict=True)] == sequences
    assert (ids[~mask] == pad_id).all()


def test_padding_stands_at_the_right():
    ids, mask = pad([np.array([7], np.uint16), [8, 9]], -100)
    assert ids.tolist() == [[7, -100], [8, 9]]
    assert mask.tolist() == [[True, False], [True, True]]


def test_a_sequence_longer_than_the_length_is_named():
    with pytest.raises(DataError, match="sequence 1 has 3 tokens, more than the length of 2"):
        pad([[1], [1, 2, 3]], 0, 2)


def test_sequences_longer_than_the_context_are_counted_and_refused_or_cut_when_asked():
    sequences = [[1, 2], [1, 2, 3, 4], [1, 2, 3]]
    counted = "2 of 3 sequences are longer than the context of 2 tokens, the longest has 4"
    with pytest.raises(DataError, match=f"{counted}; cut them with --truncate, or raise --context-length"):
        fitting(sequences, 2)
    with pytest.raises(DataError, match=f"{counted}; leave them out, or raise --context-length"):
        fitting(sequences, 2, truncate=None)
    assert fitting(sequences, 2, truncate=True) == [[1, 2], [1, 2], [1, 2]]
    assert fitting(sequences, 4) == sequences


@given(LENGTHS, st.integers(40, 200), st.integers(0, 3), st.integers(0, 5))
def test_every_example_comes_once_an_epoch_within_the_budget(lengths, budget, seed, epoch):
    batches = Bucketed(lengths, budget, seed)
    indices = [batches.batch(epoch * len(batches) + place) for place in range(len(batches))]
    assert sorted(np.concatenate(indices).tolist()) == list(range(len(lengths)))
    assert all(len(rows) * max(lengths[i] for i in rows) <= budget for rows in indices)
    assert all(len(rows) for rows in indices)


@given(LENGTHS, st.lists(st.integers(0, 200), min_size=1, max_size=10))
def test_a_batch_depends_on_seed_and_step_alone(lengths, steps):
    used = Bucketed(lengths, 50, seed=3)
    for step in steps:  # whatever was asked before, in whatever order
        assert np.array_equal(used.batch(step), Bucketed(lengths, 50, seed=3).batch(step))


def drawn(lengths, epochs, seed=0, budget=64):
    batches = Bucketed(lengths, budget, seed)
    return [[batches.batch(e * len(batches) + i).tolist() for i in range(len(batches))] for e in range(epochs)]


def test_order_and_company_differ_from_epoch_to_epoch_and_seed_to_seed():
    lengths = list(range(1, 33)) * 8
    epochs = drawn(lengths, 20) + drawn(lengths, 20, seed=1)
    assert len({str(epoch) for epoch in epochs}) == 40
    assert len({str(sorted(map(sorted, epoch))) for epoch in epochs}) == 40  # not only the batches' order


def test_each_batch_is_equally_likely_to_come_first():
    lengths = [40, 48, 56, 64]  # a batch each
    counts = np.bincount([epoch[0][0] for epoch in drawn(lengths, 1000)], minlength=4)
    assert ((counts - 250) ** 2 / 250).sum() < 16.3  # chi-squared, 3 degrees of freedom, p = 0.001


def test_batches_of_similar_length_waste_little():
    lengths = np.random.default_rng(0).integers(1, 101, 2000)
    batches = Bucketed(lengths, 2000, 0)
    rows = [batches.batch(i) for i in range(len(batches))]
    padded = sum(len(r) * lengths[r].max() for r in rows)
    assert padded < 1.125 * lengths.sum()  # batches at random would pad by nearly a factor of 2


def test_what_can_make_no_batches_is_refused():
    with pytest.raises(DataError, match="there are no examples"):
        Bucketed([], 10, 0)
    with pytest.raises(
        DataError, match=r"2 of 3 examples have more tokens than a batch may hold \(10\), the longest 12"
    ):
        Bucketed([5, 11, 12], 10, 0)
    with pytest.raises(ConfigError, match="step=-1"):
        Bucketed([5], 10, 0).batch(-1)


def test_multi30k_in_batches_of_4096_tokens_wastes_under_a_tenth():
    pairs = read_aligned(real_file("multi30k.train.en"), real_file("multi30k.train.de"))
    lengths = np.array([max(len(p.source.split()), len(p.target.split())) for p in pairs])
    batches = Bucketed(lengths, 4096, seed=1)
    rows = [batches.batch(i) for i in range(len(batches))]
    assert sum(len(r) for r in rows) == 29_000
    assert max(len(r) * lengths[r].max() for r in rows) <= 4096
    assert sum(len(r) * lengths[r].max() for r in rows) < 1.1 * lengths.sum()  # 2.3 times in the corpus's own order
