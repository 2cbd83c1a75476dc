"""Matrix products by cuBLAS, of float32 or bfloat16 matrices, with sums in float32.

cuBLAS reads matrices column by column, where NumPy and CuPy write them row by row: what it takes for M is Mᵀ. So it is
asked for Cᵀ = Bᵀ Aᵀ, and nothing is copied, transposed operands included.
"""

import os
from functools import cache
from typing import Any

import numpy as np

from minillm.kernels.cuda.arrays import BFLOAT16

CUDA_R_32F, CUDA_R_16BF = 0, 14  # of library_types.h
OPERATION_N, OPERATION_T = 0, 1


def product(xp: Any, a: Any, b: Any, dtype: Any, out: Any = None) -> Any:
    """A B for a: (n, k) and b: (k, m), both float32 or both bfloat16, as an (n, m) array of `dtype`.

    a, b: the rows or the columns lie along memory (else copied). out: an (n, m) float32 array to add the product to;
    it is returned.
    """
    (n, k), m = a.shape, b.shape[1]
    c = xp.empty((n, m), dtype) if out is None else out
    if not n * m:
        return c
    if not k:
        return c if out is not None else xp.zeros((n, m), dtype)
    _multiply(xp, matrix(xp, a), matrix(xp, b), c, out is not None)
    return c


def matrix(xp: Any, a: Any) -> Any:
    """`a` if its rows or its columns lie along memory, else a copy."""
    return a if a.flags.c_contiguous or a.flags.f_contiguous else xp.ascontiguousarray(a)


def _multiply(xp: Any, a: Any, b: Any, c: Any, accumulate: bool) -> None:
    """C = A B, or C += A B."""
    cublas = xp.cuda.cublas
    (n, k), m = a.shape, b.shape[1]
    (b_operation, b_step), (a_operation, a_step) = _operand(b), _operand(a)
    one, begin = np.ones(1, np.float32), np.array([accumulate], np.float32)
    tf32 = uses_tf32() and a.dtype == np.float32
    compute = cublas.CUBLAS_COMPUTE_32F_FAST_TF32 if tf32 else cublas.CUBLAS_COMPUTE_32F
    cublas.gemmEx(
        xp.cuda.device.get_cublas_handle(), b_operation, a_operation, m, n, k,
        one.ctypes.data, b.data.ptr, _type(b), b_step, a.data.ptr, _type(a), a_step,
        begin.ctypes.data, c.data.ptr, _type(c), m, compute, cublas.CUBLAS_GEMM_DEFAULT,
    )  # fmt: skip


def _operand(x: Any) -> tuple[int, int]:
    """How cuBLAS is to take x: as it lies, or transposed; and how far its columns are apart."""
    if x.flags.c_contiguous:
        return OPERATION_N, max(x.shape[1], 1)
    return OPERATION_T, max(x.shape[0], 1)


def _type(x: Any) -> int:
    return CUDA_R_16BF if x.dtype == BFLOAT16 else CUDA_R_32F


@cache
def uses_tf32() -> bool:
    """MINILLM_TF32=1: tensor cores round float32 operands to 10 bits of fraction; faster, and not float32's digits."""
    return os.environ.get("MINILLM_TF32") == "1"
