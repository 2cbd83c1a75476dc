"""The GPU on the CPU: arrays that behave as CuPy's do (arrays.py), kernels compiled by g++ (build.py, run.py)."""

from minillm.cuda.emulator.run import launch, thread_order

__all__ = ["launch", "thread_order"]
