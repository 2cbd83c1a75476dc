"""The reference formulas on a GPU's arrays: every op, every model and the optimizer give the CPU's numbers."""

import ml_dtypes
import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import BACKENDS, current_backend, default_backend, find_backend, on_cpu, use_backend
from minillm.cuda.emulator import arrays
from minillm.errors import ConfigError, GraphError
from minillm.models import GPT, GPTConfig
from minillm.nn import Linear
from minillm.optim import SGD, Adam, AdamW, clip_grad_norm
from minillm.registry import OPS
from tests.models.test_twenty_steps import MODELS, losses, made

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def is_float(a):
    return getattr(getattr(a, "dtype", None), "kind", "") == "f"


def results(op, case, backend):
    """Outputs and gradients of a case in float32."""
    differentiated = case.differentiated()
    with use_backend(backend):
        given = [
            Tensor(a.astype(np.float32), requires_grad=i in differentiated) if is_float(a) else a
            for i, a in enumerate(case.args)
        ]
        outputs = op(*given, **case.kwargs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for y in outputs:
            if y.requires_grad:
                y.backward(np.ones(y.shape, y.dtype), retain_graph=True)
        gradients = [t.grad for t in given if isinstance(t, Tensor) and t.grad is not None]
        assert backend == "numpy" or all(isinstance(g, arrays.ndarray) for g in gradients)
        return [y.numpy() for y in outputs] + [on_cpu(g) for g in gradients]


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_op_gives_the_same_bits(op):
    for case in op.cases(np.random.default_rng(0)):
        for there, here in zip(results(op, case, "cupy"), results(op, case, "numpy"), strict=True):
            assert there.dtype == here.dtype
            np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_op_refuses_what_it_refuses_on_the_cpu(op):
    for case in op.error_cases(np.random.default_rng(0)):
        with use_backend("cupy"), pytest.raises(case.raises, match=case.match):
            op(*[Tensor(a) if is_float(a) else a for a in case.args], **case.kwargs)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_trains_with_the_same_losses(name):
    """Up to rounding: where a gradient is added to in place, the order of the sum may differ."""
    found = []
    for backend in ("numpy", "cupy"):
        with use_backend(backend):
            found.append(losses(made(name, "float32")))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW])
def test_the_optimizer_s_state_moves_and_is_saved(optimizer):
    def trained(first, second):
        ml.seed(0)
        with use_backend(first):
            layer = Linear(3, 2)
            moving = optimizer(layer.parameters(), lr=0.1)
            step(layer, moving)
        with use_backend(second):
            layer.to(second)
            moving.to(second)
            step(layer, moving)
            saved = {**layer.state_dict(), **moving.state_dict()}
            assert all(isinstance(a, np.ndarray) for a in saved.values())
            again = optimizer(Linear(3, 2).parameters(), lr=0.1)
            again.load_state_dict(moving.state_dict())
            assert all(np.array_equal(a, moving.state_dict()[k]) for k, a in again.state_dict().items())
        return saved

    def step(layer, moving):
        moving.zero_grad()
        (layer(np.ones((4, 3), np.float32)) ** 2).sum().backward()
        clip_grad_norm(layer.parameters(), 1.0)
        moving.step()

    expected = trained("numpy", "numpy")
    for route in (("cupy", "cupy"), ("numpy", "cupy"), ("cupy", "numpy")):
        for name, value in trained(*route).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-6, err_msg=f"{name}, {route}")


def test_weights_masks_and_drawn_texts_are_those_of_the_cpu():
    made = []
    for backend in ("numpy", "cupy"):
        with use_backend(backend):
            ml.seed(5)
            model = GPT(GPTConfig(vocab_size=11, context_length=8, n_layer=1, n_head=2, d_model=8, dropout=0.3))
            loss = model.loss([[1, 2, 3]], [[2, 3, 4]]).item()
            texts = model.generate_batch([[1, 2], [3, 4]], 9, seed=2)
            model.eval()
            made.append((loss, texts, list(model.generate([1, 2], 9, beam_width=3))))
    assert made[0] == made[1]


def test_a_tensor_stays_where_it_was_made():
    with use_backend("cupy"):
        there = Tensor(np.ones(3, np.float32))
    here = Tensor(np.ones(3, np.float32))
    assert isinstance((there + 1)._array, arrays.ndarray)
    with use_backend("cupy"):
        assert isinstance((here + 1)._array, np.ndarray)
    assert isinstance(here.to("cupy")._array, arrays.ndarray) and isinstance(there.to("numpy")._array, np.ndarray)
    np.testing.assert_array_equal((there > 0).numpy(), True)


def test_a_model_left_on_the_cpu_is_named():
    layer = Linear(3, 2)
    with (
        use_backend("cupy"),
        pytest.raises(GraphError, match=r"linear: argument 1, shape \(2, 3\).*model.to\('cuda'\)"),
    ):
        layer(Tensor(np.ones((4, 3), np.float32)))


def test_writing_into_a_tensor_takes_numbers_from_anywhere():
    with use_backend("cupy"):
        x = Tensor(np.zeros((2, 2), np.float32))
        x[0] = np.array([1, 2], np.float32)
        x[1] = 3
        assert repr(x) == repr(Tensor(np.array([[1, 2], [3, 3]], np.float32).tolist()))
        assert np.asarray(x).tolist() == [[1, 2], [3, 3]]


def test_a_gpu_s_backend_is_never_the_default():
    find_backend("cupy")
    assert "cupy" in BACKENDS and default_backend().array_module is np and current_backend().array_module is np


def test_an_unknown_backend_is_answered_with_all_names():
    with pytest.raises(ConfigError, match="no backend 'gpu'; there are .*numpy.* for a GPU cuda, cupy, numba_cuda"):
        find_backend("gpu")
    with pytest.raises(ConfigError, match=r"no backend 'CUDA' \(did you mean 'cuda'\?\)"):
        find_backend("CUDA")


def test_gradients_are_checked_on_a_gpu_s_arrays_too():
    with use_backend("cupy"):
        ml.testing.gradcheck(ops.softmax, [np.random.default_rng(0).normal(size=(2, 3))])


def wide(x):
    return x.astype(np.float32).astype(np.float64) if getattr(x, "dtype", None) == BFLOAT16 else x


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_op_takes_bfloat16_and_computes_in_float32(op):
    """Results are the float64 formula's of the rounded inputs, rounded once; a number alone stays float32."""
    for case in op.cases(np.random.default_rng(0)):
        if op.name == "astype" or case.kwargs.get("precision") or not case.differentiated():
            continue
        rounded = [a.astype(BFLOAT16) if is_float(a) else a for a in case.args]
        exact, _ = op.reference.forward(np, *[wide(a) for a in rounded], **case.kwargs)
        with use_backend("cupy"):
            given = [
                Tensor(a, requires_grad=i in case.differentiated())
                if isinstance(a, np.ndarray) and a.dtype == BFLOAT16
                else a
                for i, a in enumerate(rounded)
            ]
            outputs = op(*given, **case.kwargs)
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            for y in outputs:
                if y.requires_grad:
                    y.backward(np.ones(y.shape, np.float32).astype(y.dtype), retain_graph=True)
        for y, expected in zip(outputs, exact if isinstance(exact, tuple) else (exact,), strict=True):
            assert y.dtype == (BFLOAT16 if y.ndim else np.float32)
            np.testing.assert_allclose(
                y.numpy().astype(np.float64), expected, rtol=2**-8, atol=1e-5 + 1e-6 * np.abs(expected).max(initial=0)
            )
        assert all(t.grad.dtype == BFLOAT16 for t in given if isinstance(t, Tensor) and t.grad is not None)
