"""The emulator's arrays stand for CuPy's: the same names, the same strictness, and the same values as NumPy's."""

import numpy as np
import pytest

from minillm.cuda.emulator import arrays, runtime
from minillm.errors import GraphError


def device(values):
    return arrays.asarray(np.asarray(values))


def test_every_function_and_method_is_cupy_s():
    cupy = pytest.importorskip("cupy", reason="CuPy isn't installed: pip install minillm[gpu-cuda13]")
    assert [name for name in arrays.FUNCTIONS if not hasattr(cupy, name)] == []
    own = [name for name in vars(arrays.ndarray) if not name.startswith("_")]
    assert [name for name in own if not hasattr(cupy.ndarray, name)] == []
    assert hasattr(cupy.add, "at")


def test_arrays_of_numpy_don_t_mix_in():
    x, y = device([1.0, 2.0]), np.ones(2)
    for mixed in (lambda: x + y, lambda: y + x, lambda: arrays.add(x, y), lambda: x[np.array([0])]):
        with pytest.raises(TypeError, match="numpy.ndarray|unsupported operand"):
            mixed()
    with pytest.raises(TypeError, match=r"Implicit conversion .*\.get\(\)"):
        np.asarray(x)
    with pytest.raises(TypeError, match="numpy.ndarray"):
        x[:] = y
    with pytest.raises(TypeError):
        np.exp(x)


def test_numbers_mix_in_from_either_side():
    x = device(np.array([1, 2], np.float32))
    for result, expected in ((2 - x, [1, 0]), (np.float32(2) * x, [2, 4]), (x / 2, [0.5, 1]), (-x, [-1, -2])):
        assert isinstance(result, arrays.ndarray) and result.dtype == np.float32
        np.testing.assert_array_equal(result.get(), expected)


def test_a_sum_is_an_array_of_no_axes():
    total = device(np.ones((2, 3), np.float32)).sum()
    assert isinstance(total, arrays.ndarray) and total.shape == () and total.dtype == np.float32
    assert float(total) == 6


def test_what_waits_is_counted_and_can_be_forbidden():
    x = device([1.0, 2.0])
    before = runtime.waits
    float(x.sum()), bool(x.any()), x.get(), x[0].item(), x[x > 1], arrays.nonzero(x)
    assert runtime.waits == before + 6
    with runtime.forbid_waiting():
        y = x * 2 + x.sum()
        for wait in (lambda: float(y[0]), lambda: y.get(), lambda: bool((y > 0).all()), lambda: y[y > 0]):
            with pytest.raises(GraphError, match="wait for the GPU"):
                wait()


def test_views_share_memory_and_name_their_owner():
    x = device(np.zeros((2, 3)))
    view = x[0].reshape(3, 1)
    view[...] = 1.0
    np.testing.assert_array_equal(x.get(), [[1, 1, 1], [0, 0, 0]])
    assert view.base is x and x.base is None and x.copy().base is None


def test_a_captured_graph_does_the_same_again_with_other_numbers_in_its_memory():
    x, stream = device(np.array([1.0, 2.0, 3.0])), runtime.Stream()
    stream.begin_capture()
    y = arrays.exp(x[1:]) * 2
    y += x.sum()
    x[0] = y[0]
    graph = stream.end_capture()
    for start in ([1.0, 2.0, 3.0], [0.5, -1.0, 4.0]):
        x.set(np.array(start))
        graph.launch()
        expected = np.exp(start[1:]) * 2 + np.sum(start)
        np.testing.assert_allclose(y.get(), expected)
        assert x[0].item() == expected[0]


def test_what_a_graph_can_t_hold_is_refused_while_it_is_captured():
    x, stream = device([1.0, 2.0]), runtime.Stream()
    for forbidden in (lambda: float(x.sum()), lambda: x.set(np.zeros(2)), lambda: arrays.asarray(np.zeros(2))):
        stream.begin_capture()
        try:
            with pytest.raises(GraphError, match="forbidden here|can't do"):
                forbidden()
        finally:
            stream.end_capture()
