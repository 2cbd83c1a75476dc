"""A training in memory is the loop's, update for update."""

from collections.abc import Iterator

import numpy as np
import pytest

from minillm import seeding
from minillm.errors import UserError
from minillm.models import GPT
from minillm.tensor import Tensor
from minillm.training import checkpoints
from minillm.training.fit import fit
from minillm.training.run import RunFolder
from tests.training import tiny


def named(step: int) -> dict[str, np.ndarray]:
    ids, targets = tiny.batch(step)
    return {"ids": ids, "targets": targets}


def test_it_ends_with_the_weights_of_the_loop(tmp_path, quick) -> None:
    tiny.trainer(tmp_path / "run").train()
    saved = checkpoints.newest(RunFolder(tmp_path / "run").checkpoints)
    assert saved is not None
    seeding.seed(tiny.TRAINING.seed)
    model = GPT(tiny.MODEL)
    assert list(fit(model, named, tiny.TRAINING)) == [3, 6, 9, 12]
    for name, weights in model.state_dict().items():
        np.testing.assert_array_equal(weights, saved.model()[name], err_msg=name)


def test_the_end_is_told_once_and_a_caller_may_stop_before() -> None:
    training = tiny.settings(steps=5).training
    assert list(fit(GPT(tiny.MODEL), named, training)) == [3, 5]
    seen: list[int] = []

    def counted(step: int) -> dict[str, np.ndarray]:
        seen.append(step)
        return named(step)

    steps: Iterator[int] = fit(GPT(tiny.MODEL), counted, training)
    assert next(steps) == 3
    assert seen == [0, 1, 2]


def test_a_gradient_that_isnt_finite_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GPT, "loss", lambda self, ids, targets: self.token_embedding.weight.sum() * Tensor(np.inf))
    model = GPT(tiny.MODEL)
    before = {name: values.copy() for name, values in model.state_dict().items()}
    with pytest.raises(UserError, match="isn't finite at step 1"):
        list(fit(model, named, tiny.TRAINING))
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[name], err_msg=name)
