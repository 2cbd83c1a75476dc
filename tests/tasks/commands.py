"""The commands as a test runs them, and a training that is stopped on the way."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minillm import cli, finetune
from minillm import train as pretraining
from minillm.planning import Plan
from minillm.training import checkpoints


def train(kind: str, *arguments: object) -> None:
    """`python -m minillm.finetune KIND ...`, which must succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["finetune", kind, *map(str, arguments)])
        assert finetune.main() == 0


def pretrain(*arguments: object) -> None:
    """`python -m minillm.train ...`, which must succeed; nothing is measured for its plan."""
    plan = Plan({}, {}, 10**8, 10**9, 0.0, 6, 64, 0.1, 0.0, 50.0, "assumed", "not measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "plan_run", lambda *_, **__: plan)
        patch.setattr(sys, "argv", ["train", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.run(pretraining.main)
    assert ended.value.code == 0


def train_and_stop(task: Any, step: int, *arguments: object) -> None:
    """The same, asked to stop while it makes the update that follows `step`."""
    original, requests = task.batch, []

    class Stop(finetune.StopRequest):
        def __enter__(self) -> "Stop":
            requests.append(self)
            return self

    def batch(self: Any, at: int) -> Any:
        requests[-1].requested = at == step
        return original(self, at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "StopRequest", Stop)
        patch.setattr(task, "batch", batch)
        train(task.kind, *arguments)


def last_weights(run: Path) -> dict[str, np.ndarray]:
    """Weights of a run's newest checkpoint."""
    saved = checkpoints.newest(run / "checkpoints")
    assert saved is not None
    return saved.model()


def check_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Bit for bit."""
    assert one.keys() == other.keys()
    for name, weights in one.items():
        np.testing.assert_array_equal(other[name], weights, err_msg=name)
