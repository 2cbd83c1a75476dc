"""Splits: every example on one side, equal texts together, the same for the same seed."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.data.examples.splitting import held_out, split
from minillm.errors import ConfigError, DataError

TEXTS = st.lists(st.sampled_from(["春", "夏", "秋", "冬", "a", "b", "c", ""]), min_size=2, max_size=40)


@given(TEXTS, st.integers(0, 40), st.integers(0, 3))
def test_equal_texts_are_on_one_side_and_the_count_is_never_passed(texts, count, seed):
    chosen = held_out(texts, count, seed)
    inside = Counter(texts[i] for i in chosen)
    assert len(chosen) <= count
    assert all(inside[text] in (0, times) for text, times in Counter(texts).items())
    for text, times in Counter(texts).items():  # what was left out didn't fit
        assert inside[text] or len(chosen) + times > count


@given(st.sets(st.text(), min_size=2, max_size=30), st.data())
def test_texts_that_never_repeat_give_exactly_the_count(texts, data):
    texts = sorted(texts)
    count = data.draw(st.integers(1, len(texts) - 1))
    train, validation = split(texts, count, seed=1, key=str)
    assert len(validation) == count
    assert sorted(train + validation) == texts
    assert train == sorted(train) and validation == sorted(validation)  # the first order stays


def test_a_seed_chooses_and_another_chooses_otherwise():
    texts = [str(i) for i in range(100)]
    assert held_out(texts, 50, 1) == held_out(texts, 50, 1)
    assert 10 < len(held_out(texts, 50, 1) & held_out(texts, 50, 2)) < 40  # about 25 by chance


def test_each_text_is_equally_likely_to_be_held_out():
    texts = [str(i) for i in range(20)]
    counts = Counter(i for seed in range(2000) for i in held_out(texts, 5, seed))
    assert sum((counts[i] - 500) ** 2 / 500 for i in range(20)) < 43.8  # chi-squared, 19 degrees of freedom, p = 0.001


def test_the_split_does_not_depend_on_the_process():
    program = "from minillm.data.examples.splitting import held_out; print(sorted(held_out(list('abcdefgh'), 3, 5)))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert runs == {f"{sorted(held_out(list('abcdefgh'), 3, 5))}\n"}


@pytest.mark.parametrize("count", [0, 3, -1])
def test_a_count_that_empties_a_side_is_refused(count):
    with pytest.raises(ConfigError, match=f"n_validation={count} of 3 examples"):
        split(["a", "b", "c"], count, key=str)


def test_repeats_that_leave_nothing_to_hold_out_are_named():
    with pytest.raises(DataError, match="no text repeats 1 times or less"):
        split(["a", "a", "b", "b"], 1, key=str)
