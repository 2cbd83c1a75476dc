"""cross_entropy on the GPU: large and odd vocabularies, ignored targets, and nothing that waits for the GPU."""

import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import on_cpu, use_backend
from minillm.cuda.driver import array_module
from minillm.cuda.emulator.runtime import forbid_waiting
from minillm.errors import TokenError
from minillm.kernels.cuda import loss
from minillm.registry import strict_kernels
from minillm.tape import enable_grad, no_grad
from tests.gpu.accuracy import BFLOAT16, check, check_orders, computed

xp = array_module()
DTYPES = [np.dtype(np.float32), BFLOAT16]
SHAPES = [(1, 1), (6, 5), (9, 33), (40, 257), (3, 9000), (3, 50_257), (2, 50_304)]
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def drawn(rows, classes, ignored=-100):
    rng = np.random.default_rng(classes)
    targets = rng.integers(classes, size=rows)
    targets[rng.random(rows) < 0.2] = ignored
    return rng.normal(size=(rows, classes)) * 3, targets


@every_shape
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_against_float64(shape, reduction):
    check(ops.cross_entropy, *drawn(*shape), reduction=reduction)


@every_shape
def test_bfloat16(shape):
    """The loss is float32; the gradient is rounded once when it is made and once when it is scaled."""
    logits, targets = drawn(*shape)
    logits, dloss = logits.astype(BFLOAT16), np.float32(0.7)
    exact = computed(ops.cross_entropy.reference, np, (logits.astype(np.float64), targets), {}, np.float64(dloss))
    actual = computed(ops.cross_entropy.overrides["cuda"], xp, (logits, targets), {}, np.asarray(dloss))
    assert actual[0].dtype == np.float32 and actual[1].dtype == BFLOAT16
    np.testing.assert_allclose(actual[0], exact[0], rtol=1e-5)
    np.testing.assert_allclose(actual[1].astype(np.float64), exact[1], atol=2**-7 * np.abs(exact[1]).max())


def test_the_op_s_own_cases():
    ran = ml.testing.agree(ops.cross_entropy, "cuda")
    # label smoothing, class weights, and both stay with the reference
    assert [case[0] for case, backend in ran.items() if backend != "cuda"] == ["2", "3", "4"]


@every_dtype
def test_the_logits_stay_as_they_were(dtype):
    logits, targets = drawn(5, 40)
    there = xp.asarray(logits.astype(dtype))
    for wanted in (True, False):
        with use_backend("cuda"), strict_kernels(), enable_grad() if wanted else no_grad():
            ops.cross_entropy(there, xp.asarray(targets))
    np.testing.assert_array_equal(on_cpu(there), logits.astype(dtype))


def test_the_loss_without_a_gradient_is_the_same():
    logits, targets = drawn(7, 100)
    with use_backend("cuda"), strict_kernels():
        x = Tensor(logits.astype(np.float32), requires_grad=True)
        loss_with = ops.cross_entropy(x, targets).numpy()
        with no_grad():
            assert ops.cross_entropy(x, targets).numpy() == loss_with


def test_backward_twice_through_one_graph():
    logits, targets = drawn(7, 100)
    with use_backend("cuda"), strict_kernels():
        x = Tensor(logits.astype(np.float32), requires_grad=True)
        y = ops.cross_entropy(x, targets)
        y.backward(retain_graph=True)
        first = on_cpu(x.grad).copy()
        y.backward()
    np.testing.assert_array_equal(on_cpu(x.grad), 2 * first)


def test_a_target_outside_the_vocabulary_gives_nan_and_spoils_its_row_alone():
    logits, _ = drawn(4, 33)
    kernel = ops.cross_entropy.overrides["cuda"]
    for wrong in (33, -1, 2**40, -(2**62)):
        targets = xp.asarray(np.array([1, wrong, -100, 32]))
        value, saved = kernel.forward(xp, xp.asarray(logits.astype(np.float32)), targets)
        assert np.isnan(on_cpu(value))
        gradient = on_cpu(kernel.backward(xp, xp.asarray(np.float32(1)), saved)[0])
        assert np.isnan(gradient[1]).all() and np.isfinite(gradient[[0, 2, 3]]).all()


def test_targets_still_on_the_cpu_are_checked():
    with use_backend("cuda"), pytest.raises(TokenError, match=r"target 33 at position \(2,\)"):
        ops.cross_entropy(Tensor(np.zeros((3, 33), np.float32)), np.array([0, 1, 33]))


def test_targets_on_the_gpu_must_be_whole_numbers():
    with use_backend("cuda"), pytest.raises(TokenError, match="whole numbers"):
        ops.cross_entropy(Tensor(np.zeros((2, 5), np.float32)), xp.asarray(np.zeros(2, np.float32)))


def test_nothing_waits_for_the_gpu():
    logits, targets = drawn(5, 40)
    with use_backend("cuda"), strict_kernels():
        x = Tensor(logits.astype(np.float32), requires_grad=True)
        there = xp.asarray(targets)
        with forbid_waiting():
            ops.cross_entropy(x, there).backward()


def test_what_is_not_finite_comes_out_as_from_the_formula():
    """A row of -infinity has no loss, an impossible target an infinite one. Ignored rows have a gradient of 0."""
    x = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)
    x[0, 3], x[1], x[2, 7], x[3, 9] = -np.inf, -np.inf, np.nan, -np.inf
    one = np.ones((), np.float32)
    for targets in (np.array([3, -100, -100, 0]), np.array([4, 0, -100, 0]), np.array([4, -100, 1, 0])):
        with np.errstate(all="ignore"):
            expected = computed(ops.cross_entropy.reference, np, (x, targets), {}, one)
        actual = computed(ops.cross_entropy.overrides["cuda"], xp, (x, targets), {}, one)
        np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5, equal_nan=True)
        kept = targets != -100
        np.testing.assert_allclose(actual[1][kept], expected[1][kept], rtol=1e-5, atol=1e-6, equal_nan=True)
        assert (actual[1][~kept] == 0).all()


@pytest.mark.parametrize("n", [0, 1, 1000, 5000])
def test_the_count_of_targets_and_the_sum_of_losses(n):
    targets = np.where(np.random.default_rng(n).random(n) < 0.5, 7, 3)
    scale = loss.target_scale(xp, xp.asarray(targets), 7)
    np.testing.assert_allclose(on_cpu(scale), [1 / max(int((targets == 3).sum()), 1)], rtol=1e-6)
    losses = np.random.default_rng(n).random(n).astype(np.float32)
    total = loss.sum_losses(xp, xp.asarray(losses), scale)
    np.testing.assert_allclose(on_cpu(total), losses.sum(dtype=np.float64) * on_cpu(scale)[0], rtol=1e-5)


@every_dtype
@pytest.mark.parametrize("classes", [40, 5001])
def test_threads_in_any_order_give_the_same_bits(classes, dtype):
    logits, targets = drawn(6, classes)
    kernel = ops.cross_entropy.overrides["cuda"]

    def compute():
        value, saved = kernel.forward(xp, xp.asarray(logits.astype(dtype)), xp.asarray(targets))
        return [value, kernel.backward(xp, xp.asarray(np.float32(0.5)), saved)[0]]

    check_orders(compute)
