"""One update: accumulation equals the whole batch, clipping, and gradients that aren't finite."""

import math

import numpy as np
import pytest

import minillm as ml
from minillm import seeding
from minillm.data.batches import IGNORED
from minillm.models import GPT, GPTConfig
from minillm.optim import SGD, AdamW
from minillm.training import step
from tests.training import tiny


def model_and_optimizer(**changes: object) -> tuple[GPT, AdamW]:
    ml.seed(3)
    options = {"vocab_size": 13, "context_length": 8, "n_layer": 2, "n_head": 2, "d_model": 16, **changes}
    model = GPT(GPTConfig(**options))  # type: ignore[arg-type]
    return model, AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)


def uneven_batch() -> step.Batch:
    """Eight rows, with 0 to 8 targets ignored in them."""
    ids = np.random.default_rng(0).integers(13, size=(8, 9))
    targets = ids[:, 1:].copy()
    for row in range(8):
        targets[row, : row + (row == 7)] = IGNORED
    return {"ids": ids[:, :-1], "targets": targets}


def without_targets() -> step.Batch:
    """The same ids, every target ignored."""
    batch = uneven_batch()
    return {**batch, "targets": np.full_like(batch["targets"], IGNORED)}


def gradients(model: GPT) -> np.ndarray:
    return np.concatenate([p.grad.reshape(-1) for p in model.parameters()])


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_in_parts_has_the_whole_batchs_gradient(parts: int, dtype: str) -> None:
    """The parts have different numbers of targets, so a mean of the parts' means would be wrong."""
    batch = uneven_batch()
    model, _ = model_and_optimizer(dtype=dtype)
    _, whole = model(**batch)
    whole.backward()
    expected = gradients(model)
    model.zero_grad()
    loss = step.accumulate_gradients(model, batch, parts)
    assert loss == pytest.approx(whole.item(), abs=1e-6)
    np.testing.assert_allclose(gradients(model), expected, rtol=0, atol=1e-6)
    assert gradients(model).dtype == dtype


def test_a_batch_without_a_target_moves_nothing_but_by_decay() -> None:
    model, _ = model_and_optimizer()
    assert step.accumulate_gradients(model, without_targets(), 2) == 0
    assert not gradients(model).any()


def test_a_batch_is_cut_into_no_more_parts_than_it_has_rows() -> None:
    batch = {"ids": np.arange(6).reshape(3, 2), "targets": np.arange(3)}
    assert [len(part["ids"]) for part in step.cut(batch, 2)] == [2, 1]
    assert [part["targets"].tolist() for part in step.cut(batch, 8)] == [[0], [1], [2]]


@pytest.mark.parametrize(("clip", "shortened"), [(0.01, True), (1e6, False), (0.0, False)])
def test_the_gradient_is_shortened_to_the_clip_and_0_turns_it_off(clip: float, shortened: bool) -> None:
    model, _ = model_and_optimizer()
    before = [p.numpy().copy() for p in model.parameters()]
    result = step.update(model, SGD(model.parameters(), lr=1.0), uneven_batch(), clip=clip, parts=1)
    length = math.sqrt(
        sum(float(((p.numpy() - old) ** 2).sum()) for p, old in zip(model.parameters(), before, strict=True))
    )
    assert length == pytest.approx(0.01 if shortened else result.grad_norm, rel=1e-3)
    assert result.grad_norm > 0.1 and result.skipped is None


def test_weight_decay_pulls_matrices_only() -> None:
    """With gradients of zero, AdamW's update is the decay alone: w (1 - lr decay)."""
    model, optimizer = model_and_optimizer()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    step.update(model, optimizer, without_targets(), clip=1.0, parts=1)
    for name, array in model.state_dict().items():
        factor = 1 - 1e-2 * 0.1 if array.ndim >= 2 else 1
        np.testing.assert_allclose(array, before[name] * factor, rtol=1e-6, err_msg=name)


def poison(model: GPT, value: float) -> None:
    dict(model.named_parameters())["layers.1.feed_forward.sublayer.up.weight"].mutable()[0, 0] = value


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_isnt_finite_changes_nothing_and_names_the_op(value: float) -> None:
    model, optimizer = model_and_optimizer(dropout=0.1)
    batch = uneven_batch()
    step.update(model, optimizer, batch, clip=1.0, parts=2)
    poison(model, value)
    weights = {name: array.copy() for name, array in model.state_dict().items()}
    moments = {name: array.copy() for name, array in optimizer.state_dict().items()}
    drawn = seeding.get_state()["dropout"]
    result = step.update(model, optimizer, batch, clip=1.0, parts=2)
    assert result.skipped is not None and "linear" in result.skipped and "inputs" in result.skipped
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, weights[name])
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, moments[name])
    assert all(p.grad is None for p in model.parameters())
    assert seeding.get_state()["dropout"] - drawn == drawn  # as many masks as the first update drew: none twice


def test_a_gradient_too_long_for_its_type_is_skipped_and_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = model_and_optimizer()
    monkeypatch.setattr(step, "squared_norm", lambda parameters: math.inf)
    result = step.update(model, optimizer, uneven_batch(), clip=1.0, parts=1)
    assert result.skipped == "every op is finite, the gradient's length is too large for its type"


def test_a_skipped_update_is_counted_and_the_run_goes_on(tmp_path, quick) -> None:
    trainer = tiny.trainer(tmp_path / "run")
    original, failing = step.update, {3, 7, 8}

    def sometimes(*arguments: object, **options: object) -> step.StepResult:
        if trainer.state.step in failing:
            return step.StepResult(math.nan, math.nan, "op exp gave NaN")
        return original(*arguments, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "update", sometimes)
        assert trainer.train()
    assert (trainer.state.skipped, trainer.state.skipped_in_a_row, trainer.state.step) == (3, 0, 12)
    skips = [event for event in trainer.metrics.events if event["event"] == "skip"]
    assert [event["step"] for event in skips] == [4, 8, 9] and skips[0]["reason"] == "op exp gave NaN"


def test_three_skipped_in_a_row_stop_the_run_naming_step_and_op(tmp_path, quick) -> None:
    trainer = tiny.trainer(tmp_path / "run")
    original = trainer.task.data.batch

    def spoilt(number: int) -> tuple[np.ndarray, np.ndarray]:
        if number == 5:
            next(iter(trainer.model.parameters())).mutable()[:] = np.nan
        return original(number)

    tiny.replace_batches(trainer, spoilt)
    with pytest.raises(ml.errors.UserError, match="3 times in a row, last at step 8: .*embedding.* gave NaN"):
        trainer.train()
    assert trainer.state.skipped == 3
