"""The recall task: what it asks, that nothing gives the answer away, and the best accuracy by counting."""

import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest

from minillm.data import Recall
from minillm.errors import ConfigError
from minillm.models import NGram


def test_the_answer_is_the_first_token_and_the_only_target():
    ids, targets = Recall(distance=7, symbols=5).batch(3, 100)
    assert ids.shape == targets.shape == (100, 7)
    np.testing.assert_array_equal(targets[:, -1], ids[:, 0])
    assert (targets[:, :-1] == -100).all()
    assert (ids[:, -1] == 5).all()
    assert ids[:, :-1].min() == 0
    assert ids[:, :-1].max() == 4


def test_a_batch_is_a_function_of_seed_and_step():
    def ids(seed, step):
        return Recall(seed=seed).batch(step, 4).ids.tolist()

    assert ids(0, 5) == ids(0, 5)
    different = [ids(0, 5), ids(0, 6), ids(1, 5), ids(0, -5)]
    assert all(a != b for a, b in itertools.combinations(different, 2))


@pytest.mark.parametrize("visible", [1, 2, 3, 4])
def test_the_best_accuracy_is_that_of_the_best_table(visible):
    """Every input of 2 symbols and distance 4, equally likely; for each view of it, the answer most often right."""
    task = Recall(distance=4, symbols=2)
    answers = defaultdict(Counter)
    for symbols in itertools.product(range(2), repeat=3):
        answers[(*symbols, 2)[-visible:]][symbols[0]] += 1
    right = sum(max(counts.values()) for counts in answers.values())
    assert right / 2**3 == task.best_accuracy(visible)


def test_symbols_are_even_and_the_answer_follows_from_no_other_token():
    """Chi-square of each pair of a token and the answer, 15 degrees of freedom: above 50 once in 80,000 times."""
    ids, targets = Recall(distance=6, symbols=4).batch(0, 8000)
    for position in range(1, 5):
        table = np.zeros((4, 4))
        np.add.at(table, (ids[:, position], targets[:, -1]), 1)
        assert ((table - 500) ** 2 / 500).sum() < 50


def test_counting_groups_recalls_only_within_their_length():
    """An n-gram model reaches n-1 tokens back, and no further."""
    task = Recall(distance=4, symbols=3)

    def text(step):
        ids, targets = task.batch(step, 2000)
        return np.concatenate([ids, targets[:, -1:]], axis=1)

    train, test = text(0), text(-1)
    for order, reaches in ((4, False), (5, True)):
        model = NGram.train(train.reshape(-1), task.vocab_size, order)
        guesses = [model.distribution(row[:-1]).argmax() for row in test[:500]]
        accuracy = np.mean(guesses == test[:500, -1])
        assert accuracy == 1 if reaches else accuracy < 0.45


def test_accuracy_counts_the_last_position():
    task = Recall(distance=3, symbols=2)
    _, targets = task.batch(0, 4)
    logits = np.zeros((4, 3, 3))
    logits[np.arange(4), -1, targets[:, -1]] = 1
    assert task.accuracy(logits, targets) == 1
    logits[0, -1] = [0, 0, 2]
    assert task.accuracy(logits, targets) == 0.75


@pytest.mark.parametrize(("options", "message"), [({"distance": 1}, "distance=1"), ({"symbols": 1}, "symbols=1")])
def test_a_task_without_a_question_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Recall(**options)
