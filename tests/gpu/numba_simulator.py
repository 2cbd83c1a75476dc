"""The kernels of minillm.kernels.numba_cuda run in numba-cuda's simulator, against the formulas.

Run by test_numba_cuda.py in a process of its own, or by hand, with the usual flags of pytest:

    NUMBA_ENABLE_CUDASIM=1 python -m pytest tests/gpu/numba_simulator.py -k softmax

Sizes are just beyond one block or tile: the simulator runs a Python thread for each of the GPU's.
"""

import sys

import numpy as np
import pytest
from numba import config

import minillm as ml
import minillm.kernels.numba_cuda
from minillm import Tensor, ops
from minillm.backend import arrays_in
from minillm.kernels.numba_cuda import adamw
from minillm.kernels.numba_cuda.launch import HEAD_SIZE
from minillm.nn.module import Parameter
from minillm.optim import AdamW
from minillm.registry import OPS
from minillm.testing import agree

assert config.ENABLE_CUDASIM, "set NUMBA_ENABLE_CUDASIM=1"
sys.setswitchinterval(1e-4)  # the simulator polls its threads: waiting 5 ms for each turn takes longer

EXPECTED = "attention cross_entropy embedding gelu gelu_tanh layer_norm linear matmul silu softmax"
# How many of an op's cases are left to the reference: another axis; dropout; class weights and label smoothing.
LEFT = {"softmax": 1, "attention": 1, "cross_entropy": 3}
OURS = [op for op in OPS.values() if "numba_cuda" in op.overrides]


def name_of(op):
    return op.name


def test_the_expected_ops_have_kernels():
    assert {op.name for op in OURS} == set(EXPECTED.split())


@pytest.mark.parametrize("op", OURS, ids=name_of)
def test_agrees_with_the_formula(op):
    ran = list(agree(op, "numba_cuda").values())
    assert ran.count("numba_cuda") == len(ran) - LEFT.get(op.name, 0)


@pytest.mark.parametrize("op", OURS, ids=name_of)
def test_the_same_errors_as_the_reference(op):
    for case in op.error_cases(np.random.default_rng(0)):
        ids = {"embedding": {1}}.get(op.name, set())  # floats where whole numbers belong stay what the message says
        arguments = [single(a) if i not in ids else a for i, a in enumerate(case.args)]
        with ml.use_backend("numba_cuda"), pytest.raises(case.raises, match=case.match):
            op(*arguments, **case.kwargs)


def single(a, dtype=np.float32):
    return a.astype(dtype) if getattr(getattr(a, "dtype", None), "kind", "") == "f" else a


def results(kernel, arguments, options):
    """The output and the gradients for a random incoming gradient."""
    output, saved = kernel.forward(np, *arguments, **options)
    gradient = np.random.default_rng(1).normal(size=output.shape).astype(np.float32).astype(output.dtype)
    return [output, *arrays_in(kernel.backward(np, gradient, saved))]


def compare(op, *arguments, **options):
    """The kernel's error against float64 is at most twice that of the float32 reference, and a few last places."""
    plain = [single(a) for a in arguments]
    exact = results(op.reference, [single(a, np.float64) for a in plain], options)
    with ml.use_backend("numba_cuda"):
        kernel = op.pick(plain, options)
    assert kernel.backend == "numba_cuda"
    reference, actual = results(op.reference, plain, options), results(kernel, plain, options)
    for truth, near, own in zip(exact, reference, actual, strict=True):
        assert own.dtype == np.float32 and own.shape == truth.shape
        scale = max(1, np.abs(truth).max(initial=0))
        allowed = 2 * np.abs(near - truth).max(initial=0) + 16 * np.finfo(np.float32).eps * scale
        assert np.abs(own - truth).max(initial=0) <= allowed
    return actual


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_softmax_of_rows_longer_than_a_block(rng):
    x = rng.normal(size=(4, 300))
    x[1, :200] = -np.inf
    x[2] = -np.inf
    p, _ = compare(ops.softmax, x)
    assert (p[1, :200] == 0).all() and (p[2] == 0).all()


def test_softmax_of_what_is_not_finite(rng):
    x = np.zeros((2, 5), np.float32)
    x[0, 3] = np.nan
    with ml.use_backend("numba_cuda"):
        p = ops.softmax(x).numpy()
    assert np.isnan(p[0]).all() and (p[1] == np.float32(0.2)).all()


def test_layer_norm_of_rows_longer_than_a_block(rng):
    x, residual = rng.normal(size=(3, 3, 150)) + 10, rng.normal(size=(3, 3, 150))  # and more rows than LANES
    compare(ops.layer_norm, x, rng.normal(size=150), rng.normal(size=150), residual)


def test_cross_entropy_of_rows_longer_than_a_block(rng):
    logits, targets = 3 * rng.normal(size=(4, 300)), np.array([299, -100, 0, 128])
    logits[1, 7] = np.nan  # an ignored row counts for nothing
    compare(ops.cross_entropy, logits[[0, 2, 3]], targets[[0, 2, 3]])
    with ml.use_backend("numba_cuda"):
        x = Tensor(logits.astype(np.float32), requires_grad=True)
        loss = ops.cross_entropy(x, targets)
        loss.backward()
    kept = ops.cross_entropy(logits[[0, 2, 3]], targets[[0, 2, 3]])
    assert loss.item() == pytest.approx(kept.item(), rel=1e-6) and (x.grad[1] == 0).all()


@pytest.mark.parametrize("op", [ops.gelu, ops.gelu_tanh, ops.silu], ids=name_of)
def test_activations_of_more_elements_than_a_block(op, rng):
    compare(op, 3 * rng.normal(size=(3, 100)))


def test_embedding_of_rows_longer_than_a_block(rng):
    weight, ids = rng.normal(size=(5, 150)), np.array([[3, 1, 3], [4, 1, 3]])
    y, dweight = compare(ops.embedding, weight, ids)
    np.testing.assert_array_equal(y, weight.astype(np.float32)[ids])
    assert (dweight[[0, 2]] == 0).all()


def test_matmul_of_matrices_larger_than_a_tile(rng):
    compare(ops.matmul, rng.normal(size=(17, 33)), rng.normal(size=(33, 19)))
    compare(ops.matmul, rng.normal(size=(2, 1, 17, 3)), rng.normal(size=(2, 3, 2)))


def test_linear_of_matrices_larger_than_a_tile(rng):
    x, weight = rng.normal(size=(3, 6, 17)), rng.normal(size=(35, 17)) / 4
    compare(ops.linear, x, weight, rng.normal(size=35), rng.normal(size=(3, 6, 35)), activation="gelu")


def heads(rng, queries, keys, d_k=5, d_v=3):
    q, k = rng.normal(size=(1, 4, queries, d_k)), rng.normal(size=(1, 2, keys, d_k))
    return q, k, rng.normal(size=(1, 2, keys, d_v))


@pytest.mark.parametrize(("queries", "keys"), [(37, 53), (33, 33), (1, 65)])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_over_several_tiles(queries, keys, causal, rng):
    compare(ops.attention, *heads(rng, queries, keys), causal=causal, scale=0.7)


def test_attention_where_little_is_visible(rng):
    """Whole tiles are hidden from some queries, everything from others: zeros then, and never NaN."""
    mask = rng.random((1, 4, 37, 53)) < 0.3
    mask[:, :, :20, :40] = False  # a query's first visible score comes in its second tile
    mask[:, :, 35:] = False
    o, *gradients = compare(ops.attention, *heads(rng, 37, 53), mask)
    assert (o[:, :, 35:] == 0).all() and (gradients[0][:, :, 35:] == 0).all()


def test_what_a_hidden_key_holds_changes_nothing(rng):
    q, k, v = (single(a) for a in heads(rng, 5, 6))
    mask = np.ones(6, bool)
    mask[2] = False
    expected = compare(ops.attention, q, k, v, mask)
    k[:, :, 2], v[:, :, 2] = np.nan, np.inf
    actual = results(ops.attention.overrides["numba_cuda"], [q, k, v, mask], {})
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_attention_takes_heads_up_to_the_width_of_its_tiles(rng):
    compare(ops.attention, *heads(rng, 2, 3, HEAD_SIZE, HEAD_SIZE))
    wide = [single(a) for a in heads(rng, 2, 3, HEAD_SIZE + 1, 4)]
    with ml.use_backend("numba_cuda"):
        assert ops.attention.pick(wide, {}).backend == "numpy"


@pytest.mark.parametrize("op", OURS, ids=name_of)
def test_float64_is_left_to_the_reference(op, rng):
    with ml.use_backend("numba_cuda"):
        assert {op.pick(list(case.args), case.kwargs).backend for case in op.cases(rng)} == {"numpy"}


def test_read_only_and_transposed_arrays(rng):
    x = np.broadcast_to(rng.normal(size=(1, 4)).astype(np.float32), (1, 4))
    assert not x.flags.writeable
    compare(ops.softmax, x)
    compare(ops.attention, *(a.swapaxes(1, 2) for a in heads(rng, 2, 2)[:1] * 3))


def adamw_arrays(dtype):
    rng = np.random.default_rng(0)
    shapes = [(300,), (17, 9), (0,), (), (3, 2, 5)]
    return [Parameter(np.asarray(rng.normal(size=s), np.float32).astype(dtype)) for s in shapes], rng


def steps_of_the_formula(dtype, scale):
    """Values and moments after three steps of minillm.optim.AdamW on NumPy."""
    params, rng = adamw_arrays(dtype)
    optimizer = AdamW(params, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    with ml.use_backend("numpy"):
        for _ in range(3):
            for p in params:
                p.grad = np.asarray(rng.normal(size=p.shape), np.float32).astype(dtype)
            optimizer.step(scale=scale)
    return [[p.numpy() for p in params], optimizer.state["m"], optimizer.state["v"]]


def steps_of_the_kernel(scale):
    params, rng = adamw_arrays(np.float32)
    theta = [p.numpy().copy() for p in params]
    m, v = [np.zeros_like(a) for a in theta], [np.zeros_like(a) for a in theta]
    for t in (1, 2, 3):
        g = [np.asarray(rng.normal(size=a.shape), np.float32) for a in theta]
        step, root = 0.01 / (1 - 0.9**t), 1 / np.sqrt(1 - 0.99**t)
        decays = [a.ndim >= 2 for a in theta]
        adamw.adam_step(theta, g, m, v, decays, 1 - 0.9, 1 - 0.99, 1e-8, step, root, 1 - 0.01 * 0.1, scale)
    return [theta, m, v]


def test_adamw_over_several_steps():
    exact, plain = (steps_of_the_formula(dtype, scale=0.5) for dtype in (np.float64, np.float32))
    own = steps_of_the_kernel(scale=0.5)
    for truths, references, actuals in zip(exact, plain, own, strict=True):
        for truth, reference, actual in zip(truths, references, actuals, strict=True):
            allowed = 2 * np.abs(reference - truth).max(initial=0) + 1e-6 * np.abs(truth).max(initial=0)
            assert np.abs(actual - truth).max(initial=0) <= allowed


def test_norm_and_scaling_of_all_gradients(rng):
    gradients = [rng.normal(size=s).astype(np.float32) for s in [(adamw.CHUNK + 5,), (0,), (3, 7)]]
    before = [g.copy() for g in gradients]
    expected = sum(float(np.sum(g.astype(np.float64) ** 2)) for g in gradients)
    assert adamw.sum_of_squares(gradients) == pytest.approx(expected, rel=1e-6)
    adamw.scale_arrays(gradients[1:], 0.5)
    for g, b, factor in zip(gradients, before, (1, 0.5, 0.5), strict=True):
        np.testing.assert_array_equal(g, factor * b)


def test_a_step_of_training_through_the_tape(rng):
    """Embedding, linear, norm, attention and loss, one into the other, with the tape handing the gradients on."""
    table, weight = (rng.normal(size=s).astype(np.float32) for s in [(7, 4), (4, 4)])
    ids = np.array([[1, 4, 1, 6]])

    def gradients(backend):
        with ml.use_backend(backend):
            t, w = Tensor(table, requires_grad=True), Tensor(weight, requires_grad=True)
            x = ops.layer_norm(ops.linear(ops.embedding(t, ids), w, activation="gelu_tanh")).reshape(1, 1, 4, 4)
            logits = ops.attention(x, x, x, causal=True).reshape(1, 4, 4) @ ops.transpose(t)
            ops.cross_entropy(logits, ids).backward()
        return t.grad, w.grad

    for own, expected in zip(gradients("numba_cuda"), gradients("numpy"), strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5)
