"""The emulator's arrays stand for CuPy's: the same names, the same strictness, and the same values as NumPy's."""

import ml_dtypes
import numpy as np
import pytest

from minillm.cuda.emulator import arrays, runtime
from minillm.cuda.launch import launch
from minillm.errors import ConfigError, GraphError


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


def test_wrong_arguments_of_a_kernel_are_refused():
    """On a GPU they would mean whatever lies in memory."""
    x, y = device(np.ones(5, np.float32)), arrays.empty(5, ml_dtypes.bfloat16)
    kernel = "cast_float32_bfloat16"
    launch("cast", kernel, 1, 256, x, y, np.int64(5))
    np.testing.assert_array_equal(y.get().astype(np.float32), 1)
    for arguments, message in (
        ((x, y), r"takes 3 arguments \(.*int64_t n\); 2 were given"),
        ((x, y, np.int32(5)), r"argument 2 is np.int32, for the parameter `int64_t n`"),
        ((x, y, 5), r"argument 2 is int, for the parameter `int64_t n`"),
        ((np.ones(5, np.float32), y, np.int64(5)), r"argument 0 is a NumPy array.* xp.asarray"),
        ((np.int64(1), y, np.int64(5)), r"argument 0 is np.int64, for the parameter `.*\*"),
        ((x[::2], y, np.int64(5)), "argument 0 isn't contiguous"),
    ):
        with pytest.raises(RuntimeError, match=message):
            launch("cast", kernel, 1, 256, *arguments)
    with pytest.raises(RuntimeError, match="cast.cu has no kernel 'casts'; it has: .*cast_float32_bfloat16"):
        launch("cast", "casts", 1, 256, x, y, np.int64(5))
    with pytest.raises(ConfigError, match="there is no CUDA source .*nothing.cu"):
        launch("nothing", "casts", 1, 256)
    for grid, block, shared, message in (
        (1, 2048, 0, "has 2048 threads"),
        (0, 32, 0, "can't be launched"),
        (1, 32, 1 << 20, "bytes of shared memory"),
    ):
        with pytest.raises(RuntimeError, match=message):
            launch("cast", kernel, grid, block, x, y, np.int64(5), shared=shared)
