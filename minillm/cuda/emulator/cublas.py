"""cuBLAS's matrix product on the CPU: as cupy.cuda.cublas, told addresses and reading matrices column by column."""

import ctypes

import ml_dtypes
import numpy as np

CUBLAS_GEMM_DEFAULT = -1
CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32 = 68, 77
_DTYPES = {0: np.dtype(np.float32), 14: np.dtype(ml_dtypes.bfloat16)}


def gemmEx(
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType, algo
) -> None:  # fmt: skip
    """C ← α op(A) op(B) + β C, with op(A): (m, k), op(B): (k, n); sums in float32.

    As in cuBLAS, β = 0 leaves what C held unread. Raises ValueError for a step shorter than a column.
    """
    from minillm.cuda.emulator.runtime import computed  # which has this module as its `cublas`

    left = _columns(A, Atype, *((k, m) if transa else (m, k)), lda)
    right = _columns(B, Btype, *((n, k) if transb else (k, n)), ldb)
    factors = [float(_columns(address, 0, 1, 1, 1)[0, 0]) for address in (alpha, beta)]  # read now, as by cuBLAS
    operands = left.T if transa else left, right.T if transb else right
    computed(_multiply_into, _columns(C, Ctype, m, n, ldc), *operands, *factors)


def _multiply_into(c: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float, beta: float) -> None:
    total = np.float32(alpha) * (a.astype(np.float32) @ b.astype(np.float32))
    c[...] = (total + np.float32(beta) * c.astype(np.float32) if beta else total).astype(c.dtype)


def _columns(address: int, kind: int, rows: int, columns: int, step: int) -> np.ndarray:
    """The (rows, columns) matrix at an address, a column every `step` elements."""
    if step < rows:
        raise ValueError(f"cuBLAS: a matrix of {rows} rows can't have its columns {step} elements apart")
    dtype = _DTYPES[kind]
    count = step * (columns - 1) + rows
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    flat = np.frombuffer(memory, dtype)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (dtype.itemsize, step * dtype.itemsize))
