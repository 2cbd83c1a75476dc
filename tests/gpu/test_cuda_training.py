"""Whole updates on backend cuda, in the emulator: the CPU's losses, no waiting, and the same by a CUDA graph."""

import dataclasses
import json

import numpy as np
import pytest

import minillm as ml
from minillm import cli
from minillm.backend import current_backend, use_backend
from minillm.configs import files
from minillm.cuda.emulator import runtime
from minillm.cuda.graph import CapturedGradients
from minillm.errors import ConfigError, GraphError
from minillm.models import GPT, GPTConfig
from minillm.optim import AdamW, clip_scale, squared_norm
from minillm.planning import plan
from minillm.registry import strict_kernels
from minillm.training import plot
from minillm.training.gradients import chosen
from minillm.training.step import accumulate_gradients, update
from tests.models import test_twenty_steps
from tests.models.test_twenty_steps import MODELS
from tests.models.test_twenty_steps import losses as losses_of
from tests.models.test_twenty_steps import made as made_model
from tests.training import tiny
from tests.training.test_resume import StopAfter

CONFIG = {"vocab_size": 50, "context_length": 16, "n_layer": 1, "n_head": 2, "d_model": 64}


def batch(step):
    ids, targets = np.random.default_rng(step).integers(0, 50, (2, 2, 9))
    targets[0, :3] = -100
    return {"ids": ids, "targets": targets}


def made(**options):
    ml.seed(1)
    model = GPT(GPTConfig(**CONFIG, **options))
    return model, AdamW(model.parameters(), lr=1e-2)


def losses(backend, *, graph=False, parts=1, steps=4, **options):
    """Loss and gradient norm of some updates."""
    with use_backend(backend):
        model, optimizer = made(**options)
        gradients = CapturedGradients(accumulate_gradients) if graph else accumulate_gradients
        results = [
            update(model, optimizer, batch(step), clip=1.0, parts=parts, gradients=gradients) for step in range(steps)
        ]
    assert not any(result.skipped for result in results)
    return np.array([(result.loss, result.grad_norm) for result in results])


@pytest.mark.parametrize("graph", [False, True])
def test_losses_are_the_cpu_s(graph):
    np.testing.assert_allclose(losses("cuda", graph=graph), losses("numpy"), rtol=1e-5)


@pytest.mark.parametrize("graph", [False, True])
def test_losses_in_bfloat16_are_near_those_in_float32(graph):
    """A bfloat16 has 8 digits of fraction: 0.4 % at each rounding, which add up to little in a mean."""
    actual, exact = losses("cuda", graph=graph, dtype="bfloat16"), losses("numpy")
    np.testing.assert_allclose(actual[:, 0], exact[:, 0], rtol=2e-3)
    np.testing.assert_allclose(actual[:, 1], exact[:, 1], rtol=2e-2)
    assert not np.array_equal(actual, exact)


def test_a_batch_in_parts_runs_op_by_op():
    """It isn't recorded; the graph's caller is to notice nothing."""
    np.testing.assert_allclose(losses("cuda", graph=True, parts=2), losses("numpy", parts=2), rtol=1e-5)


@pytest.mark.parametrize("graph", [False, True])
def test_dropout_draws_the_cpu_s_masks(graph):
    """A recorded step draws other masks each time, those that it would have drawn op by op."""
    np.testing.assert_allclose(losses("cuda", graph=graph, dropout=0.2), losses("numpy", dropout=0.2), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nothing_waits_inside_a_step(dtype):
    with use_backend("cuda"):
        model, optimizer = made(dtype=dtype)
        for step in range(2):
            optimizer.zero_grad()
            with runtime.forbid_waiting():
                loss = accumulate_gradients(model, batch(step), 1)
                squares = squared_norm(optimizer.params) + 0 * loss
                optimizer.step(scale=clip_scale(squares, 1.0))
        assert np.isfinite(squares.item())


@pytest.mark.parametrize("graph", [False, True])
def test_an_update_waits_when_all_of_it_is_on_its_way(graph):
    with use_backend("cuda"):
        model, optimizer = made()
        gradients = CapturedGradients(accumulate_gradients) if graph else accumulate_gradients
        for step in range(3):
            before, seen = runtime.waits, []
            update(
                model, optimizer, batch(step), clip=1.0, parts=1, gradients=gradients,
                meanwhile=lambda seen=seen: seen.append(runtime.waits),
            )  # fmt: skip
            copies = int(graph and step > 0)  # the graph's memory of the CPU must be free before it is written again
            assert seen == [before + copies] and runtime.waits == before + copies + 2  # loss and norm


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_op_of_a_step_but_shapes_and_sums_has_a_kernel(dtype):
    allowed = {"reshape", "transpose", "add", "astype"}
    with use_backend("cuda"):
        model, _ = made(dtype=dtype)
        with pytest.raises(RuntimeError, match="has no kernel") as error, strict_kernels():
            model.loss(**batch(0))
        assert str(error.value).split(":")[0] in allowed


@pytest.mark.parametrize("graph", [False, True])
def test_a_gradient_that_isn_t_finite_moves_nothing_and_is_explained(graph):
    with use_backend("cuda"):
        model, optimizer = made()
        gradients = CapturedGradients(accumulate_gradients) if graph else accumulate_gradients
        update(model, optimizer, batch(0), clip=1.0, parts=1, gradients=gradients)
        model.norm.weight.mutable()[...] = np.inf
        before = {**model.state_dict(), **optimizer.state_dict()}
        result = update(model, optimizer, batch(1), clip=1.0, parts=1, gradients=gradients)
        assert "layer_norm gave NaN or infinity" in result.skipped
        for name, value in {**model.state_dict(), **optimizer.state_dict()}.items():
            np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_a_plan_knows_the_gpu_and_refuses_what_it_can_t_hold():
    with use_backend("cuda"):
        planned = plan(GPTConfig(**CONFIG), batch_size=2, gradient_accumulation=1, steps=3)
    assert "emulated GPU" in planned.table() and "of large matrix products' alone" in planned.table()
    planned.check_memory()
    # 6 operations for each weight of a matrix, 12 for each pair of token and key; 28 bytes a weight, and what is saved
    sized = dataclasses.replace(planned.gpu, matmul_flops=1e9, memory_bytes=1e9)
    products, moved = dataclasses.replace(planned, gpu=sized).limits
    assert products == planned.flops_per_step / 1e9
    assert moved == (28 * sum(planned.parameters.values()) + 2 * planned.memory["saved activations"]) / 1e9
    small = dataclasses.replace(planned, gpu=dataclasses.replace(planned.gpu, free_bytes=10_000))
    with pytest.raises(ConfigError, match=r"needs about .* of the GPU's memory, of which 0 MB .*--batch-size"):
        small.check_memory()


def test_a_full_gpu_is_explained(monkeypatch, capsys):
    def run():
        with use_backend("cuda"):
            monkeypatch.setattr(runtime, "total_memory", runtime.used_memory + 4_000_000)
            ml.Tensor(np.zeros(10_000_000, np.float32))

    def command():
        use_backend("cuda")
        run()

    before = current_backend().name
    try:
        with pytest.raises(SystemExit) as ended:
            cli.run(command)
    finally:
        use_backend(before)
    message = capsys.readouterr().err
    assert ended.value.code == 2
    assert "the GPU's memory is full: Out of memory allocating 40,000,000 bytes" in message
    assert "Free: 0.00 GB" in message and "--gradient-accumulation" in message


def test_a_run_goes_from_the_gpu_to_the_cpu_and_back(tmp_path, monkeypatch):
    """Batches, weights, moments and random streams are in the checkpoint; where they are computed isn't."""
    monkeypatch.setattr(plot, "draw", lambda *arguments: None)
    for backend, looks in (("cuda", 12), ("native", 6), ("cuda", 8), ("native", 10**6)):
        with use_backend(backend):
            finished = tiny.trainer(tmp_path / "moved", stop=StopAfter(looks)).train()
    assert finished
    with use_backend("numpy"):
        assert tiny.trainer(tmp_path / "stayed").train()
    moved, stayed = (
        [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("moved", "stayed")
    )
    for ours, theirs in zip(moved, stayed, strict=True):
        assert (ours["event"], ours["step"]) == (theirs["event"], theirs["step"])
        for name in {"train_loss", "val_loss", "grad_norm"} & theirs.keys():
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_on_the_kernels(name, monkeypatch):
    monkeypatch.setattr(test_twenty_steps, "STEPS", 3)

    def run(backend, dtype):
        with use_backend(backend):
            return losses_of(made_model(name, dtype))

    exact = run("numpy", "float64")
    np.testing.assert_allclose(run("cuda", "float32"), exact, rtol=1e-4)
    np.testing.assert_allclose(run("cuda", "bfloat16"), exact, rtol=1e-2)


def test_texts_are_drawn_in_bfloat16():
    with use_backend("cuda"):
        model, _ = made(dtype="bfloat16")
        cached = list(model.generate([1, 2, 3], 8, temperature=0))
        assert cached == list(model.generate([1, 2, 3], 8, temperature=0, use_cache=False))
        assert len(list(model.generate([1, 2, 3], 20, seed=1, top_k=5))) == 20
        assert model(np.array([[1, 2]]))[0].dtype.name == "bfloat16"


@pytest.mark.parametrize("preset", ["tiny", "char", "char-large", "default", "modern", "gpt2"])
def test_every_preset_made_small_is_captured(preset):
    """With its dropout, positions, norms and activations."""
    small = {
        "vocab_size": 50,
        "context_length": 12,
        "n_layer": 1,
        "n_head": 2,
        "n_kv_head": 1,
        "d_model": 64,
        "d_ff": 64,
    }
    config = dataclasses.replace(files.load_preset(preset).model, **small)

    def run(backend, gradients):
        with use_backend(backend):
            ml.seed(1)
            model = GPT(config)
            optimizer = AdamW(model.parameters(), lr=1e-2)
            return [
                update(model, optimizer, batch(step), clip=1.0, parts=1, gradients=gradients).loss for step in range(3)
            ]

    expected = run("numpy", accumulate_gradients)
    np.testing.assert_allclose(run("cuda", CapturedGradients(accumulate_gradients)), expected, rtol=1e-5)


@pytest.mark.parametrize(("backend", "dtype"), [("cupy", "float32"), ("cupy", "float64"), ("cuda", "float64")])
def test_what_has_no_kernels_trains_by_the_formulas(backend, dtype):
    np.testing.assert_allclose(losses(backend, dtype=dtype), losses("numpy", dtype=dtype), rtol=1e-5)


def test_float64_is_never_captured():
    with use_backend("cuda"):
        assert chosen("on", "float64") is accumulate_gradients
        assert isinstance(chosen("on", "bfloat16"), CapturedGradients)
        assert chosen("off", "float32") is accumulate_gradients
    assert chosen("on", "float32") is accumulate_gradients


def test_a_step_that_can_t_be_captured_says_how_to_run_it():
    with use_backend("cuda"):
        model, optimizer = made(dtype="float64")
        with pytest.raises(GraphError, match="--compile-graph off runs the step op by op"):
            update(model, optimizer, batch(0), clip=1.0, parts=1, gradients=CapturedGradients(accumulate_gradients))


def test_an_optimizer_left_behind_is_named():
    with use_backend("cuda"):
        model, optimizer = made()
    model.to("numpy")
    with pytest.raises(ConfigError, match="the optimizer's state isn't where its parameters are"):
        update(model, optimizer, batch(0), clip=1.0, parts=1)
