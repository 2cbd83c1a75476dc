"""The emulator's tensor core instructions against the layouts that the PTX ISA gives for fragments; bank conflicts."""

import ctypes
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from minillm.cuda import sources
from minillm.cuda.emulator.build import OPTIONS, compile_library

BFLOAT16 = ml_dtypes.bfloat16
WARP = 32


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """run(kernel, threads, *arrays): one block in the emulator."""
    made = tmp_path_factory.mktemp("mma") / "mma_fragments.so"
    fibers = sources.folder() / "emulator" / "fibers.cpp"
    compile_library(Path(__file__).parent / "mma_fragments.cu", fibers, OPTIONS, made)
    library = ctypes.CDLL(str(made))

    def launch(kernel, threads, *arrays):
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in arrays]
        arguments = (ctypes.c_void_p * len(arrays))(*(ctypes.addressof(p) for p in pointers))
        grid, block = (ctypes.c_uint * 3)(1, 1, 1), (ctypes.c_uint * 3)(threads, 1, 1)
        message = ctypes.create_string_buffer(256)
        failed = library[f"run_{kernel}"](arguments, grid, block, ctypes.c_uint(512), ctypes.c_uint(0), message)
        assert not failed, message.value

    return launch


def test_a_product_of_fragments(run):
    """Whole numbers, all different: sums are exact, and no element can pass for another."""
    rng = np.random.default_rng(0)
    a = rng.permutation(256).reshape(16, 16).astype(BFLOAT16)
    b = (rng.permutation(128).reshape(16, 8) - 64).astype(BFLOAT16)
    c = rng.normal(size=(16, 8)).round().astype(np.float32)
    expected = c + a.astype(np.float64) @ b.astype(np.float64)
    run("multiply", WARP, a, b, c)
    np.testing.assert_array_equal(c, expected)


def test_matrices_are_loaded_row_by_row_or_column_by_column(run):
    """ldmatrix: lane l gets elements 2 (l % 4) and the next of row l / 4 of each matrix; .trans: of column l / 4."""
    x = np.arange(256).reshape(4, 8, 8).astype(BFLOAT16)
    plain, transposed = np.zeros((WARP, 4, 2), BFLOAT16), np.zeros((WARP, 4, 2), BFLOAT16)
    run("load", WARP, x, plain, transposed)
    for lane in range(WARP):
        first = lane % 4 * 2
        np.testing.assert_array_equal(plain[lane], x[:, lane // 4, first : first + 2])
        np.testing.assert_array_equal(transposed[lane], x[:, first : first + 2, lane // 4])


def test_a_tile_s_chunks_lie_in_different_banks(run):
    """16 bytes at a time, a warp reads or writes 8 chunks at once: they must differ in their place modulo 128 bytes."""
    widths = (32, 64, 96, 128)
    places = [np.zeros((8, d // 8), np.int32) for d in widths]
    run("places", 1, *places)
    for d, place in zip(widths, places, strict=True):
        assert sorted(place.reshape(-1)) == list(range(0, 8 * d, 8))  # each chunk has its own place
        banks = place * 2 % 128
        assert all(len(set(column)) == 8 for column in banks.T)  # ldmatrix: 8 rows at one chunk
        row = banks.reshape(-1, 8)  # copies: 8 chunks one after the other
        assert all(len(set(chunks)) == 8 for chunks in row)


def test_copies_come_when_waited_for(run):
    x = np.arange(24).astype(BFLOAT16)
    early, late = np.zeros(24, BFLOAT16), np.zeros(24, BFLOAT16)
    run("copy", 1, x, early, late)
    zeroed = np.where(np.arange(24) // 8 == 1, 0, x.astype(np.float32))
    np.testing.assert_array_equal(late.astype(np.float32), zeroed)
    np.testing.assert_array_equal(early[:16].astype(np.float32), zeroed[:16])
    assert np.isnan(early[16:].astype(np.float32)).all()  # what nobody has waited for isn't there yet
