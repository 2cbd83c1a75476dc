"""This process's memory: how much is in use, and whether freed memory is kept for the next step."""

import ctypes
import platform

from minillm.kernels import NATIVE_BUILT


def keep_freed_memory() -> bool:
    """Have freed memory kept for the next step, instead of returned to the system.

    A training step makes and frees the same large arrays over and over; by default glibc gives their pages back
    each time and the system has to clear new ones, which took 40 % of a small GPT's step. With the native module
    NumPy's arrays come from its pool (csrc/cpu/pool.hpp) from here on; without it the C library is asked.
    Called by the commands that train, not on import: it is a choice for the whole process. Returns whether it
    took effect.
    """
    if NATIVE_BUILT:
        from minillm import _native

        if _native.HAS_POOL:
            _native.use_pool()
        return _native.HAS_POOL
    return _ask_c_library()


def _ask_c_library() -> bool:
    """glibc's malloc never returns memory; elsewhere nothing happens."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
    return bool(mallopt(trim_threshold, -1) and mallopt(mmap_max, 0))  # -1: never trim


def memory_in_use() -> int:
    """Bytes of physical memory this process holds."""
    import psutil

    return psutil.Process().memory_info().rss
