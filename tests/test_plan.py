"""`python -m minillm.plan`: what is counted, what is measured, and how near a plan comes to what happens."""

import dataclasses
import re
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minillm as ml
from minillm import cli, seeding
from minillm import plan as plan_command
from minillm.configs import files
from minillm.errors import ConfigError
from minillm.models import GPT, GPTConfig
from minillm.optim import AdamW
from minillm.planning import Plan, compare, counts, energy, plan, plan_run, trial
from minillm.planning.tape import saved_bytes
from minillm.tensor import Tensor
from minillm.training.step import update

SMALL = GPTConfig(vocab_size=50, context_length=12, n_layer=4, n_head=2, d_model=16)
VARIANTS = {
    "plain": SMALL,
    "dropout": dataclasses.replace(SMALL, dropout=0.1),
    "llama-like": dataclasses.replace(
        SMALL, n_kv_head=1, d_ff=20, bias=False, normalization="rms_norm", activation="swiglu", position="rotary"
    ),
    "2017": dataclasses.replace(SMALL, norm="post", position="sinusoidal", activation="relu", tie_weights=False),
    "float64": dataclasses.replace(SMALL, dtype="float64", activation="gelu", n_layer=1),
}
variants = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())


@variants
def test_parameters_are_counted_as_the_model_has_them(config: GPTConfig) -> None:
    assert sum(counts.parameters(config).values()) == GPT(config).num_parameters()


def test_gpt2_has_its_published_number_of_parameters() -> None:
    """Of the released checkpoint: 124,439,808, its largest part the 50,257 × 768 token embedding."""
    config = files.load_preset("gpt2").model
    parts = counts.parameters(config)
    assert sum(parts.values()) == 124_439_808
    assert parts["token embedding"] == 50_257 * 768 and parts["output head"] == 0
    assert sum(counts.parameters(dataclasses.replace(config, tie_weights=False)).values()) == 163_037_184


def multiplications(config: GPTConfig, monkeypatch: pytest.MonkeyPatch) -> int:
    """Floating-point operations of the matrix products in one real forward pass over a single sequence."""
    done = []

    def counted(op: Any, flops: Any) -> None:
        kernel = op.reference

        def forward(xp: Any, *arrays: Any, **options: Any) -> Any:
            done.append(flops(*arrays))
            return kernel.forward(xp, *arrays, **options)

        monkeypatch.setattr(op, "reference", dataclasses.replace(kernel, forward=forward))

    counted(ml.ops.linear, lambda x, weight, *_: 2 * x.size * len(weight))
    counted(ml.ops.attention, lambda q, k, v, *_: 4 * q.size * k.shape[2])  # Q Kᵀ, and the weighted sum of V
    with ml.use_backend("numpy"):
        GPT(config)(np.zeros((1, config.context_length), int))
    return sum(done)


@variants
def test_operations_are_three_times_those_of_a_forward_pass(config: GPTConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = multiplications(config, monkeypatch)
    assert counts.flops_per_token(config) * config.context_length == 3 * forward


def test_operations_of_gpt2_by_hand() -> None:
    """12 layers of 12 d² weights, and the head; attention 12 L d T (PaLM, appendix B)."""
    config = files.load_preset("gpt2").model
    expected = 6 * (12 * 12 * 768**2 + 50_257 * 768) + 12 * 12 * 768 * 1024
    assert counts.flops_per_token(config) == expected == 854_438_400


def test_saved_bytes_count_an_array_once_and_parameters_never() -> None:
    x = Tensor(np.ones((8, 4), np.float32), requires_grad=True)
    y = x.exp()  # saves its result: 8 · 4 · 4 bytes
    assert saved_bytes(y.sum(), [x]) == 128
    assert saved_bytes((y.transpose() @ y).sum(), [x]) == 128  # saves y, and y turned: a view
    assert saved_bytes((x * x).sum(), [x]) == 0  # x is the parameter


def measured_bytes(config: GPTConfig, sequences: int) -> int:
    model = GPT(config)
    ids = np.zeros((2, sequences, config.context_length), int)
    return saved_bytes(model.loss(*ids), model.parameters())


@variants
@pytest.mark.parametrize("sequences", [1, 2, 3])
def test_saved_bytes_of_one_and_two_layers_give_those_of_four_exactly(
    config: GPTConfig, sequences: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0)
    monkeypatch.setattr(trial, "SMALL", 0)  # not even the whole batch is tried
    assert trial.run(config, sequences).saved_bytes == measured_bytes(config, sequences)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(
    "config",
    [
        files.load_preset("char").model,
        dataclasses.replace(SMALL, vocab_size=20_000, d_model=64),  # logits are the largest thing
        dataclasses.replace(SMALL, vocab_size=5000, d_model=128, context_length=1),  # gradients, the embedding's twice
        dataclasses.replace(SMALL, d_model=256, context_length=1),  # gradients
        dataclasses.replace(SMALL, context_length=128, dropout=0.2),
    ],
    ids=["char", "wide vocabulary", "wide, short", "deep, short", "dropout"],
)
def test_planned_memory_is_what_a_step_allocates(config: GPTConfig, parts: int) -> None:
    planned = plan(config, batch_size=12, gradient_accumulation=parts, steps=1)
    inputs, targets = np.random.default_rng(0).integers(config.vocab_size, size=(2, 12, config.context_length))
    tracemalloc.start()
    try:
        model = GPT(config)
        optimizer = AdamW(model.parameters())
        tracemalloc.reset_peak()
        for _ in range(2):
            update(model, optimizer, {"ids": inputs, "targets": targets}, clip=1.0, parts=parts)
        actual = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Of an accumulated batch the plan adds up what isn't quite there at the same time.
    assert planned.peak_bytes - planned.memory["program"] == pytest.approx(actual, rel=0.04 if parts == 1 else 0.2)


def test_planning_leaves_the_random_streams_alone() -> None:
    seeding.seed(5)
    before = seeding.get_state()
    plan(VARIANTS["dropout"], batch_size=2, gradient_accumulation=1, steps=1)
    assert seeding.get_state() == before


def test_time_is_that_of_the_steps_and_the_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = trial.Trial(2, 3, gradient_seconds=2.0, update_seconds=1.0, saved_bytes=0, working_bytes=0)
    monkeypatch.setattr(trial, "run", lambda config, sequences: measured)
    made = plan(SMALL, batch_size=8, gradient_accumulation=4, steps=10, evaluation_tokens=2 * 8 * 12, watts=50)
    assert made.seconds_per_step == 4 * 2.0 + 1.0
    assert made.evaluation_seconds == pytest.approx(2 * 8.0 / 3)  # two batches, forward only
    assert made.seconds == pytest.approx(10 * 9.0 + 2 * 8.0 / 3)
    assert made.joules == pytest.approx(50 * made.seconds) and made.watts_source == "as given"
    assert made.flops == pytest.approx(made.flops_per_step * (10 + 2 / 3))


def test_a_large_batch_is_timed_in_part_and_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0)
    monkeypatch.setattr(trial, "SMALL", 24)
    made = plan(SMALL, batch_size=300, gradient_accumulation=1, steps=1)
    assert "2 of a part's 300 sequences, scaled" in made.method and "extended to 4" in made.method


def test_evaluations_of_a_run_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def note(model: GPTConfig, **options: Any) -> None:
        asked.update(options)

    monkeypatch.setattr("minillm.planning.estimate.plan", note)
    config = files.load_preset("tiny")  # 60 steps, an evaluation at 0, 20, 40, 60, of 8,192 tokens at most
    plan_run(config)
    assert asked["evaluation_tokens"] == 4 * 8192
    plan_run(config, validation_tokens=100)
    assert asked["evaluation_tokens"] == 4 * 100
    plan_run(files.load_preset("char"))  # of the whole text, whose length isn't known
    assert asked["evaluation_tokens"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 4, "gradient_accumulation": 3}, "gradient_accumulation=3 must divide batch_size=4"),
        ({"batch_size": 0, "gradient_accumulation": 1}, "batch_size=0"),
        ({"batch_size": 1, "gradient_accumulation": 1, "watts": 0.0}, "watts=0.0 must be above 0"),
        ({"batch_size": 1, "gradient_accumulation": 1, "watts": float("nan")}, "watts=nan"),
    ],
)
def test_impossible_plans_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan(SMALL, steps=1, **options)


def counter(folder: Path, name: str, joules: float, largest: float = 0) -> Path:
    package = folder / name
    package.mkdir(exist_ok=True)
    (package / "energy_uj").write_text(f"{joules * 1e6:.0f}\n", encoding="ascii")
    (package / "max_energy_range_uj").write_text(f"{largest * 1e6:.0f}\n", encoding="ascii")
    return package


def test_power_is_read_from_the_processors_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy.time, "perf_counter", lambda: now)
    now = 0.0
    counter(tmp_path, "intel-rapl:0", 10)
    counter(tmp_path, "intel-rapl:1", 95, largest=100)
    counter(tmp_path, "intel-rapl:0:0", 5)  # a part of package 0, in its count already
    meter = energy.Meter(tmp_path)
    now = 2.0
    counter(tmp_path, "intel-rapl:0", 50)
    counter(tmp_path, "intel-rapl:1", 15, largest=100)  # it started again from 0
    counter(tmp_path, "intel-rapl:0:0", 500)
    assert meter.watts() == pytest.approx((40 + 20) / 2)


def test_power_is_assumed_where_no_counter_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "intel-rapl:0").mkdir()
    assert energy.Meter(tmp_path).watts() is None
    assert energy.Meter(tmp_path / "missing").watts() is None
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    made = plan(SMALL, batch_size=1, gradient_accumulation=1, steps=1)
    assert made.watts == energy.WATTS_PER_CORE * energy.cores() and made.watts_source.startswith("estimated")


PLAN = Plan(
    parameters={"token embedding": 1_500, "positions": 0, "norms": 30},
    memory={"weights": 2_000_000, "program": 50_000_000},
    peak_bytes=2_500_000_000,
    flops_per_step=3_000_000_000,
    evaluation_flops=0.0,
    steps=1000,
    tokens_per_step=640,
    seconds_per_step=0.5,
    evaluation_seconds=100.0,
    watts=36.0,
    watts_source="as given",
    method="by hand",
)


def test_the_table_shows_every_number() -> None:
    lines = [" ".join(line.split()) for line in PLAN.table().splitlines()]
    for line in (
        "token embedding 1,500",
        "total 1,530",
        "weights 2 MB",
        "most at one time 2.50 GB",
        "operations 3 GFLOP a step, 3 TFLOP in 1,000 steps",
        "speed 6 GFLOP/s, 1,280 tokens/s",
        "time 500 ms a step, 10 min 00 s in all, 1 min 40 s of it evaluating",
        "energy 6 Wh at 36 W (as given)",
    ):
        assert line in lines
    assert not any("positions" in line for line in lines)  # this model has none
    assert "(11.6 days)" in dataclasses.replace(PLAN, seconds_per_step=1000.0).table()
    assert "kWh" in dataclasses.replace(PLAN, seconds_per_step=1000.0).table()


def test_compare_shows_actual_beside_planned() -> None:
    lines = [line.split("  ") for line in compare(PLAN, 1200.0, 2_000_000_000).splitlines()]
    cells = {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in lines}
    assert cells["time"] == ["10 min 00 s", "20 min 00 s", "2.00"]
    assert cells["memory"] == ["2.50 GB", "2.00 GB", "0.80"]
    assert cells["energy"] == ["6 Wh", "12 Wh", "at 36 W, as given"]


def command(monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    monkeypatch.setattr(sys, "argv", ["plan", *flags])
    with pytest.raises(SystemExit) as caught:
        cli.run(plan_command.main)
    return int(caught.value.code or 0)


def test_the_command_plans_a_preset_with_flags(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "--preset", "tiny", "--n-layer", "3", "--steps", "7", "--watts", "40") == 0
    out = capsys.readouterr().out
    config = dataclasses.replace(files.load_preset("tiny").model, n_layer=3)
    assert f"{sum(counts.parameters(config).values()):,}" in out
    assert "in 7 steps" in out and "at 40 W (as given)" in out and "extended to 3" in out
    assert "Evaluations aren't counted" not in out


def test_the_command_says_when_evaluations_arent_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "--preset", "tiny", "--eval-tokens", "0") == 0
    assert "Evaluations aren't counted" in capsys.readouterr().out


def test_the_command_prints_a_config(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(monkeypatch, "--preset", "tiny", "--print-config") == 0
    assert capsys.readouterr().out == files.to_toml(files.load_preset("tiny"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--preset", "gtp2"], "did you mean 'gpt2'"),
        (["--preset", "tiny", "--watts", "-1"], "watts=-1.0"),
        (["--preset", "tiny", "--n-head", "5"], "n_head=5"),
        (["--preset", "tiny", "--n-layers", "5"], "--n-layer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_flags_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert command(monkeypatch, *flags) == 2
    shown = capsys.readouterr().err
    assert message in shown and "Traceback" not in shown
