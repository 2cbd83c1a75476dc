"""What a training remembers of its evaluations."""

import math

import pytest

from minillm.training.state import TrainingState

NAN = math.nan


@pytest.mark.parametrize(
    ("losses", "best", "since"),
    [([3.0, 2.0, 2.5], 2, 1), ([NAN, 2.0], 2, 0), ([2.0, NAN], 1, 1), ([NAN, NAN], 1, 1), ([NAN, NAN, 2.0, 3.0], 3, 1)],
)
def test_the_best_is_the_lowest_and_nan_is_never_better(losses, best, since):
    state = TrainingState()
    for state.step, loss in enumerate(losses, 1):
        state.record_evaluation(loss)
    assert (state.best_step, state.evaluations_since_best) == (best, since)
