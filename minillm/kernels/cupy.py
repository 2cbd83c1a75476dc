"""Backend "cupy": the reference formulas on a GPU's arrays, unchanged; "cuda" and "numba_cuda" build on it."""

from minillm.backend import register_backend
from minillm.cuda.driver import array_module

BACKEND = register_backend("cupy", array_module=array_module())
