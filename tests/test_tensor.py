"""Tensor as an array: dtypes, the operators NumPy users expect, views, indexing, printing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import minillm as ml
from minillm import Tensor, ops

OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "@": lambda a, b: a @ b,
}
COMPARISONS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
X = np.array([0.5, 2.0, 3.0], np.float32)
Y = np.array([1.5, 2.0, 0.25], np.float32)


@pytest.mark.parametrize("symbol", OPERATORS)
def test_operators_take_an_array_on_either_side(symbol):
    operator = OPERATORS[symbol]
    for result in (operator(Tensor(X), Tensor(Y)), operator(Tensor(X), Y), operator(X, Tensor(Y))):
        assert isinstance(result, Tensor)
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result.numpy(), operator(X, Y))


@pytest.mark.parametrize("symbol", COMPARISONS)
def test_comparisons_give_booleans_from_either_side(symbol):
    compare = COMPARISONS[symbol]
    for result in (compare(Tensor(X), Tensor(Y)), compare(Tensor(X), Y), compare(X, Tensor(Y))):
        assert isinstance(result, Tensor)
        assert result.dtype == bool
        np.testing.assert_array_equal(result.numpy(), compare(X, Y))


@pytest.mark.parametrize(
    "scalar", [2, 2.0, np.float64(2), np.float32(2), np.float16(2), np.int64(2), np.int32(2), True]
)
@pytest.mark.parametrize("symbol", "+-*/")
def test_a_scalar_on_either_side_keeps_float32(symbol, scalar):
    operator = OPERATORS[symbol]
    for result, wanted in (
        (operator(Tensor(X), scalar), operator(X, float(scalar))),
        (operator(scalar, Tensor(X)), operator(float(scalar), X)),
        (operator(Tensor(X).sum(), scalar), operator(X.sum(), float(scalar))),  # a tensor without axes, too
    ):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result.numpy(), wanted, rtol=1e-6)


def test_powers_with_scalars_keep_float32():
    for result in (Tensor(X) ** 2, Tensor(X) ** np.float64(0.5), 2 ** Tensor(X), np.float64(2) ** Tensor(X)):
        assert result.dtype == np.float32


def test_python_numbers_and_lists_become_float32_int64_or_bool():
    assert Tensor(1.5).dtype == Tensor([[1.0], [2.0]]).dtype == np.float32
    assert Tensor([1, 2]).dtype == np.int64
    assert Tensor([True]).dtype == bool


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.uint8, bool])
def test_numpy_arrays_keep_their_dtype_and_share_memory(dtype):
    array = np.ones((2, 3), dtype)
    assert Tensor(array).dtype == dtype
    assert np.shares_memory(Tensor(array).numpy(), array)


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match="dtype <U1"):
        Tensor(["a", "b"])
    with pytest.raises(TypeError, match="only floating-point .* int64"):
        Tensor([1, 2], requires_grad=True)


def test_numpy_is_a_read_only_view():
    x = Tensor(X.copy())
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 1
    assert np.shares_memory(x.numpy(), x.mutable())
    x[0] = 7  # the tensor itself stays writable
    assert x.numpy()[0] == 7


@given(
    arrays.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4).map(lambda s: s.input_shapes),
    st.sampled_from("+-*/"),
)
@settings(max_examples=60, deadline=None)
def test_broadcasting_is_numpys_and_gradients_have_the_operands_shapes(shapes, symbol):
    rng = np.random.default_rng(0)
    left, right = (rng.uniform(1, 2, size=shape) for shape in shapes)
    a, b = Tensor(left, requires_grad=True), Tensor(right, requires_grad=True)
    result = OPERATORS[symbol](a, b)
    np.testing.assert_array_equal(result.numpy(), OPERATORS[symbol](left, right))
    result.sum().backward()
    assert a.grad.shape == a.shape
    assert b.grad.shape == b.shape
    if symbol == "+":  # each element counts as often as it was repeated
        assert np.all(a.grad * left.size == result.size)
        assert np.all(b.grad * right.size == result.size)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_getitem_takes_what_numpy_takes(data):
    x = np.arange(60.0).reshape(3, 4, 5)
    index = data.draw(arrays.basic_indices(x.shape, allow_newaxis=True))
    leaf = Tensor(x, requires_grad=True)
    taken = leaf[index]
    np.testing.assert_array_equal(taken.numpy(), x[index])
    taken.sum().backward()
    marked = np.zeros_like(x)
    marked[index] = 1
    np.testing.assert_array_equal(leaf.grad, marked)


def test_getitem_takes_tensors_as_indices():
    x, ids = Tensor(np.arange(6.0).reshape(3, 2)), Tensor([2, 0, 2])
    np.testing.assert_array_equal(x[ids].numpy(), [[4, 5], [0, 1], [4, 5]])
    np.testing.assert_array_equal(x[ids, Tensor([1, 1, 0])].numpy(), [5, 1, 4])
    np.testing.assert_array_equal(x[x > 2].numpy(), [3, 4, 5])


def test_reshape_transpose_and_slices_are_views():
    x = Tensor(np.zeros((2, 3)))
    for view in (x.reshape(3, 2), x.reshape((6,)), x.transpose(), x.T, x.transpose(1, 0), x[1], x[:, ::2]):
        assert np.shares_memory(view.numpy(), x.numpy())


def test_methods_are_the_ops():
    x = np.random.default_rng(0).uniform(1, 2, size=(3, 4))
    for name in ("sum", "mean", "var", "max", "min"):
        for options in ({}, {"axis": 1}, {"axis": (0, 1), "keepdims": True}):
            np.testing.assert_allclose(getattr(Tensor(x), name)(**options).numpy(), getattr(np, name)(x, **options))
    for name in ("exp", "log", "sqrt", "tanh"):
        np.testing.assert_allclose(getattr(Tensor(x), name)().numpy(), getattr(np, name)(x))
    np.testing.assert_array_equal(abs(Tensor(-x)).numpy(), x)
    np.testing.assert_array_equal((-Tensor(x)).numpy(), -x)
    assert Tensor(x).astype("float32").dtype == np.float32


def test_as_a_python_object():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    assert len(x) == 2
    assert [row.numpy().tolist() for row in x] == [[1, 2], [3, 4]]
    assert repr(x) == "Tensor([[1., 2.],\n        [3., 4.]], requires_grad=True)"
    assert Tensor(2.5).item() == 2.5
    assert bool(Tensor(1.0)) and not Tensor(False)
    assert {x: "itself"}[x] == "itself"  # hashed by identity, though == compares elements
    np.testing.assert_array_equal(np.asarray(x), [[1, 2], [3, 4]])
    with pytest.raises(ml.errors.ShapeError, match=r"one element.*\(2, 2\)"):
        x.item()
    with pytest.raises(TypeError, match="no length"):
        len(Tensor(1.0))


def test_an_operator_with_shapes_that_do_not_fit_names_both():
    with pytest.raises(
        ml.errors.ShapeError, match=r"add: shapes \(2, 3\) and \(4,\).*3 in the first and 4 in the second"
    ):
        Tensor(np.zeros((2, 3))) + np.zeros(4)
    with pytest.raises(ml.errors.ShapeError, match=r"matmul: \(2, 3\) has 3 columns, but \(2, 3\) has 2 rows"):
        np.zeros((2, 3)) @ Tensor(np.zeros((2, 3)))


def test_ops_run_on_plain_arrays_and_lists():
    assert isinstance(ops.softmax(np.zeros(3)), Tensor)
    np.testing.assert_array_equal((Tensor([1.0, 2.0]) + [3, 4]).numpy(), [4, 6])
    np.testing.assert_array_equal(ops.concat([Tensor([1.0]), Tensor([2.0])]).numpy(), [1, 2])


def test_a_reduction_over_an_integer_tensor_stays_whole():
    assert Tensor([1, 2, 3]).sum().item() == 6
    assert Tensor([1, 2, 3]).sum().dtype == np.int64
