"""A fault of numba-cuda's simulator (0.30), put right: threads that ask for a shared array at the same moment.

It looks whether the block has the array already and makes it if not, without a lock. Two threads that look before
either has made it get an array each, and neither sees what the other writes.
"""

import sys
import threading
from typing import Any

import numpy as np
from numba.cuda.np import numpy_support
from numba.cuda.simulator.kernelapi import FakeCUDAShared

_LOCK = threading.Lock()
_SHARED: Any = FakeCUDAShared
_ARRAY = _SHARED.array


def _array(self: Any, shape: Any, dtype: Any, alignment: Any = None) -> np.ndarray:
    """The block's array that this line of the kernel asks for."""
    if shape == 0:  # memory whose size the launch gives: one array already
        return _ARRAY(self, shape, dtype, alignment)
    caller = sys._getframe(1)
    line = caller.f_code.co_filename, caller.f_lineno
    with _LOCK:
        if line not in self._allocations:
            self._allocations[line] = np.empty(shape, numpy_support.as_dtype(dtype))
        return self._allocations[line]


def share_arrays() -> None:
    """Have all threads of a block given one array."""
    _SHARED.array = _array
