"""Say which kernels run here: python -m minillm.kernels [--require-native] [--backend cuda]

Whether the C++ kernels were built and are in use, for which instruction set, on how many threads, and for which ops;
with the backend of a GPU, which GPU that is and for which ops there are kernels.
"""

import argparse

from minillm import cli
from minillm.backend import ON_REQUEST, current_backend, use_backend
from minillm.kernels import NATIVE_BUILT
from minillm.memory import on_gpu
from minillm.registry import OPS


def main() -> int:
    """Print it; with --require-native the exit code is 1 where the native kernels aren't in use."""
    parser = argparse.ArgumentParser(prog="python -m minillm.kernels", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--require-native", action="store_true", help="exit with code 1 unless they are in use")
    parser.add_argument("--backend", help="the backend to tell about, instead of the one in use")
    arguments = parser.parse_args()
    if arguments.backend:
        use_backend(arguments.backend)
    in_use = "native" in current_backend().lineage
    print(f"backend          {current_backend().name}")
    if current_backend().name in ON_REQUEST:
        _print_gpu()
    if NATIVE_BUILT:  # importing minillm has said so where they weren't
        _print_native(in_use)
    return 1 if arguments.require_native and not in_use else 0


def _print_gpu() -> None:
    ops = sorted(name for name, op in OPS.items() if current_backend().name in op.overrides)
    print(f"GPU              {_gpu() if on_gpu() else 'none: a simulator, on arrays of NumPy'}")
    print(f"GPU ops          {', '.join(ops) or 'the formulas'}")


def _gpu() -> str:
    from minillm.cuda.driver import device_name
    from minillm.cuda.memory import free_and_total

    free, total = free_and_total()
    return f"{device_name()}, {free / 1e9:.1f} GB of {total / 1e9:.1f} GB free"


def _print_native(in_use: bool) -> None:
    from minillm import _native
    from minillm.kernels.native.environment import threads_and_source

    threads, source = threads_and_source()
    others = ", ".join(name for name in _native.available_isas() if name != _native.isa())
    print(f"native kernels   built, {'' if in_use else 'not '}in use")
    print(f"instruction set  {_native.isa()} (this processor also has {others}; MINILLM_ISA forces one)")
    print(f"threads          {threads} ({source})")
    print(f"ops              {', '.join(sorted(name for name, op in OPS.items() if 'native' in op.overrides))}")


if __name__ == "__main__":
    cli.run(main)
