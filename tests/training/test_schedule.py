"""The learning rate at chosen steps, against its closed form and against torch's schedulers."""

import dataclasses

import pytest

from minillm.configs.config import TrainingConfig
from minillm.training.schedule import learning_rate

CONFIG = TrainingConfig(steps=111, warmup_steps=10, learning_rate=1e-2, min_learning_rate=1e-3)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 1e-3),
        (4, 5e-3),
        (9, 1e-2),
        (10, 1e-2),
        (60, 5.5e-3),
        (110, 1e-3),
        (35, 5.5e-3 + 4.5e-3 * 0.5**0.5),
        (500, 1e-3),
    ],
)
def test_warm_up_is_linear_and_the_cosine_ends_at_the_smallest_rate(step: int, rate: float) -> None:
    assert learning_rate(step, CONFIG) == pytest.approx(rate, rel=1e-12)


def test_the_cosine_is_torchs() -> None:
    torch = pytest.importorskip("torch", reason="torch is the independent reference for the schedule")
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=CONFIG.learning_rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100, eta_min=CONFIG.min_learning_rate)
    for step in range(10, 111):
        assert learning_rate(step, CONFIG) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        cosine.step()


@pytest.mark.parametrize(("steps", "warmup"), [(0, 0), (1, 0), (1, 1), (5, 5), (5, 50), (6, 5)])
def test_short_runs_have_a_rate_at_every_step(steps: int, warmup: int) -> None:
    config = dataclasses.replace(CONFIG, steps=steps, warmup_steps=warmup)
    assert all(0 < learning_rate(step, config) <= config.learning_rate for step in range(steps + 1))
