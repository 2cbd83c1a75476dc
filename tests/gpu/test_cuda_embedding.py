"""Embeddings on the GPU: rows gathered, gradients added up by id in the order of the text, nothing waited for."""

import ml_dtypes
import numpy as np
import pytest

import minillm as ml
from minillm import Tensor, ops
from minillm.backend import on_cpu, use_backend
from minillm.cuda.driver import array_module
from minillm.cuda.emulator import runtime, thread_order
from minillm.errors import TokenError
from minillm.kernels.cuda.embedding import RepeatedRows, add_rows, sorted_places, take_rows
from minillm.registry import strict_kernels

xp = array_module()
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
EPS = float(np.finfo(np.float32).eps)


def texts(rng, n, vocab_size):
    """Ids: evenly drawn, half of them one id (padding), all of them one, and each but a few times."""
    even = rng.integers(vocab_size, size=n)
    yield even
    yield np.where(rng.random(n) < 0.5, vocab_size // 2, even)
    yield np.full(n, vocab_size - 1)
    yield np.arange(n) % vocab_size


@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BFLOAT16], ids=str)
@pytest.mark.parametrize("d", [0, 1, 3, 4, 7, 8, 33, 64, 264, 300])
def test_rows_are_those_of_the_table(d, dtype):
    rng = np.random.default_rng(0)
    weight, ids = rng.normal(size=(11, d)).astype(np.float32), rng.integers(11, size=(3, 7))
    rows = take_rows(xp, xp.asarray(weight), xp.asarray(ids), dtype)
    np.testing.assert_array_equal(on_cpu(rows), weight[ids].astype(dtype))


def test_rows_of_a_table_in_the_middle_of_memory():
    weight = np.random.default_rng(0).normal(size=8 * 11 + 1).astype(np.float32)
    rows = take_rows(xp, xp.asarray(weight)[1:].reshape(11, 8), xp.asarray(np.arange(11)))
    np.testing.assert_array_equal(on_cpu(rows), weight[1:].reshape(11, 8))


@pytest.mark.parametrize(
    ("n", "vocab_size"),
    [(1, 1), (1, 70_000), (33, 1), (33, 2), (33, 255), (33, 256), (64, 257), (100, 70_000), (1024, 9), (1100, 70_000)],
)
def test_places_are_sorted_by_id_and_equal_ones_as_they_stand(n, vocab_size):
    for ids in texts(np.random.default_rng(n), n, vocab_size):
        order = on_cpu(sorted_places(xp, xp.asarray(ids), vocab_size))
        np.testing.assert_array_equal(order, np.argsort(ids, kind="stable"))


def exact_sum(dy, ids, gradient):
    expected = gradient.astype(np.float64)
    np.add.at(expected, ids, dy.astype(np.float64))
    return expected


def check_close(actual, expected, dy, ids):
    """Within a sum's rounding: each of its additions may err by half a unit of what has been added so far."""
    most = np.bincount(ids).max(initial=0)
    sizes = exact_sum(np.abs(dy.astype(np.float64)), ids, np.abs(expected))
    assert (np.abs(actual - expected) <= most * EPS * sizes).all()


@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BFLOAT16], ids=str)
@pytest.mark.parametrize(("n", "d"), [(1, 1), (5, 4), (64, 8), (65, 7), (200, 16), (1000, 24), (130, 300), (70, 520)])
def test_gradients_are_the_sums_of_their_rows(n, d, dtype):
    rng = np.random.default_rng(d)
    dy = rng.normal(size=(n, d)).astype(dtype)
    for ids in texts(rng, n, 37):
        there = xp.asarray(dy), xp.asarray(ids)
        for add, before in ((False, np.zeros((37, d))), (True, rng.normal(size=(37, d)))):
            gradient = xp.asarray(before.astype(np.float32))
            add_rows(xp, *there, gradient, add=add)
            check_close(on_cpu(gradient), exact_sum(dy, ids, before.astype(np.float32)), dy, ids)


def test_rows_of_ids_that_do_not_occur_are_not_touched():
    gradient = xp.asarray(np.full((9, 4), np.nan, np.float32))
    add_rows(xp, xp.asarray(np.ones((3, 4), np.float32)), xp.asarray(np.array([2, 7, 2])), gradient, add=False)
    expected = np.full((9, 4), np.nan)
    expected[[2, 7]] = [[2], [1]]
    np.testing.assert_array_equal(on_cpu(gradient), expected)


def test_an_unknown_id_gives_a_row_of_nan_and_no_gradient():
    weight, ids = np.ones((5, 8), np.float32), np.array([4, -1, 5, 2**40, 0, -(2**62)])
    for dtype in (np.float32, BFLOAT16):
        rows = on_cpu(take_rows(xp, xp.asarray(weight), xp.asarray(ids), dtype)).astype(np.float32)
        np.testing.assert_array_equal(np.isnan(rows).all(1), [False, True, True, True, False, True])
    memory = xp.asarray(np.zeros((9, 8), np.float32))  # rows around the gradient show what is written beside it
    add_rows(xp, xp.asarray(np.ones((600, 8), np.float32)), xp.asarray(np.resize(ids, 600)), memory[2:7], add=False)
    expected = np.array([0, 0, 100, 0, 0, 0, 100, 0, 0])[:, None] * np.ones((9, 8))
    np.testing.assert_array_equal(on_cpu(memory), expected)


def test_agrees_with_the_reference_on_the_op_s_own_cases():
    with use_backend("cuda"):
        ran = ml.testing.agree(ops.embedding, "cuda")
    assert set(ran.values()) == {"cuda"}


def test_forward_and_backward_wait_for_nothing():
    rng = np.random.default_rng(0)
    weight, ids = rng.normal(size=(300, 16)).astype(np.float32), rng.integers(300, size=(4, 100))
    with use_backend("cuda"), strict_kernels(), runtime.forbid_waiting():
        table = Tensor(weight, requires_grad=True)
        y = ops.embedding(table, ids)
        y.backward(np.ones(y.shape, np.float32))
    counts = np.bincount(ids.reshape(-1), minlength=300)
    np.testing.assert_array_equal(on_cpu(table.grad), counts[:, None] * np.ones(16))


def test_a_tied_table_s_gradient_is_added_to_the_head_s_in_place():
    weight, ids = np.ones((6, 4), np.float32), np.array([1, 3, 1, 1])
    with use_backend("cuda"):
        table = Tensor(weight, requires_grad=True)
        head = table.grad = xp.asarray(np.full((6, 4), 10, np.float32))
        y = ops.embedding(table, ids)
        y.backward(np.ones(y.shape, np.float32))
    assert table.grad is head
    np.testing.assert_array_equal(on_cpu(head), np.array([10, 13, 10, 11, 10, 10])[:, None] * np.ones(4))


def test_a_gradient_that_is_not_contiguous_is_added_to_as_well():
    gradient = xp.asarray(np.zeros((4, 6), np.float32)).T
    rows = RepeatedRows(xp.asarray(np.array([5, 5])), xp.asarray(np.ones((2, 4), np.float32)), (6, 4))
    np.testing.assert_array_equal(on_cpu(rows.add_to(gradient))[5], [2, 2, 2, 2])


def test_ids_that_are_not_whole_numbers_are_refused():
    with use_backend("cuda"), pytest.raises(TokenError, match="whole numbers"):
        ops.embedding(Tensor(np.ones((3, 2), np.float32)), np.array([0.5]))


@pytest.mark.parametrize("order", [1, 7])
def test_same_bits_in_any_order_of_threads(order):
    rng = np.random.default_rng(0)
    dy, weight = rng.normal(size=(1100, 8)).astype(np.float32), rng.normal(size=(200, 8)).astype(np.float32)
    for ids in list(texts(rng, 1100, 200))[:2]:
        found = []
        for n in (order, 0):  # this one first: shared memory holds nothing yet that would be right by chance
            with thread_order(n):
                there = xp.asarray(ids)
                gradient = RepeatedRows(there, xp.asarray(dy), weight.shape).dense()
                found.append((on_cpu(gradient), on_cpu(take_rows(xp, xp.asarray(weight), there))))
        np.testing.assert_array_equal(found[0][0], found[1][0])
        np.testing.assert_array_equal(found[0][1], found[1][1])
