"""linear, matmul and linear_cross_entropy on the GPU: cuBLAS products with fused passes around them."""

import ml_dtypes
import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import on_cpu, use_backend
from minillm.errors import TokenError
from minillm.kernels.cuda import head
from tests.gpu.accuracy import BFLOAT16, check, check_orders

DTYPES = [np.dtype(np.float32), BFLOAT16]


def layer(rows, n, m, seed=0):
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(rows, n)), rng.normal(size=(m, n)) / np.sqrt(n)
    return x, weight, rng.normal(size=m), rng.normal(size=(rows, m))


@pytest.mark.parametrize("op", [ops.linear, ops.matmul, ops.linear_cross_entropy], ids=lambda op: op.name)
def test_the_ops_own_cases(op):
    ran = set(ml.testing.agree(op, "cuda").values())
    assert "cuda" in ran and (ran == {"cuda"} or op is ops.matmul)  # products of batches are CuPy's


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 8, 16), (70, 64, 33), (130, 24, 256)])
@pytest.mark.parametrize("activation", [None, "gelu_tanh", "gelu", "silu"])
def test_linear(shape, activation, dtype):
    """In bfloat16 z is rounded before f(z), and dz before the products: two roundings more of each addend."""
    x, weight, bias, residual = layer(*shape)
    if dtype == BFLOAT16:
        weight = weight.astype(BFLOAT16).astype(float)  # as the products take it
    for arguments in ((x, weight, bias, residual), (x, weight, None, residual), (x, weight, bias), (x, weight)):
        check(ops.linear, *arguments, activation=activation, dtype=dtype, roundings=4)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_loss_in_chunks_is_the_loss_in_one(dtype, monkeypatch):
    x, weight, _, _ = layer(50, 24, 37)
    weight = weight.astype(BFLOAT16).astype(float)
    targets = np.random.default_rng(1).integers(37, size=50)
    targets[::7] = -100
    check(ops.linear_cross_entropy, x, weight, targets, dtype=dtype, roundings=2)
    monkeypatch.setattr(head, "CHUNK_BYTES", 7 * 37 * 4)
    check(ops.linear_cross_entropy, x, weight, targets, dtype=dtype, roundings=2)


def test_backward_twice_gives_the_same_gradients_scaled():
    x, weight, _, _ = layer(5, 8, 9)
    with use_backend("cuda"):
        given = Tensor(x.astype(np.float32), requires_grad=True), Tensor(weight.astype(np.float32), requires_grad=True)
        loss = ops.linear_cross_entropy(*given, np.arange(5))
        loss.backward(retain_graph=True)
        first = [on_cpu(t.grad).copy() for t in given]
        loss.backward(np.float32(2))
    for t, gradient in zip(given, first, strict=True):
        np.testing.assert_allclose(on_cpu(t.grad), 3 * gradient, rtol=1e-5)


def test_ids_and_targets_from_the_cpu_are_checked_in_the_formula_s_words():
    x, weight, _, _ = layer(2, 8, 9)
    with use_backend("cuda"):
        given = Tensor(x.astype(np.float32)), Tensor(weight.astype(np.float32))
        for call, name in (
            (lambda: ops.embedding(given[1], np.array([1, 9])), "token id 9"),
            (lambda: ops.cross_entropy(given[0], np.array([1, 8])), "cross_entropy: target 8"),
            (lambda: ops.linear_cross_entropy(*given, np.array([1, 9])), "linear_cross_entropy: target 9"),
        ):
            with pytest.raises(TokenError, match=name):
                call()


def test_a_precision_of_bfloat16_rounds_operands_and_not_results():
    x, weight, _, _ = (a.astype(np.float32) for a in layer(6, 40, 5))
    rounded = [a.astype(ml_dtypes.bfloat16).astype(np.float64) for a in (x, weight)]
    with use_backend("cuda"):
        y = ops.linear(Tensor(x), Tensor(weight), precision="bfloat16").numpy()
        c = ops.matmul(Tensor(x), Tensor(weight.T.copy()), precision="bfloat16").numpy()
    for result in (y, c):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, rounded[0] @ rounded[1].T, rtol=1e-5, atol=1e-5)


def test_frozen_weights_cost_no_product(monkeypatch):
    from minillm.kernels.cuda import linear

    x, weight, _, _ = (a.astype(np.float32) for a in layer(6, 8, 5))
    products = []
    original = linear.product
    monkeypatch.setattr(
        linear, "product", lambda *arguments, **rest: products.append(0) or original(*arguments, **rest)
    )
    with use_backend("cuda"):
        ops.linear(Tensor(x, requires_grad=True), Tensor(weight)).sum().backward()
        assert len(products) == 2  # y and dx
        ops.linear(Tensor(x), Tensor(weight, requires_grad=True)).sum().backward()
        assert len(products) == 4  # y and dW


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_same_bits_in_any_order_of_threads(dtype):
    x, weight, bias, residual = (a.astype(np.float32) for a in layer(70, 16, 24))

    def run():
        with use_backend("cuda"):
            given = [Tensor(a, requires_grad=True) for a in (x, weight, bias, residual)]
            first, *rest = [Tensor.of(given[0]._array.astype(dtype)), *given[1:]]
            first.requires_grad = True
            y = ops.linear(first, *rest, activation="gelu_tanh")
            loss = ops.linear_cross_entropy(
                y, Tensor(np.eye(24, dtype=np.float32), requires_grad=True), np.arange(70) % 24
            )
            loss.backward()
            return [loss._array, first.grad, *(t.grad for t in rest)]

    check_orders(run)
