"""Print the op table: python -m minillm.ops [NAME ...]

For each op its formula, the document's formula ids, the backends that have a kernel, and the largest error of its
gradient against finite differences over the op's own cases, measured now.
"""

import argparse

import numpy as np

from minillm import cli
from minillm.backend import current_backend, find_backend
from minillm.errors import ConfigError
from minillm.registry import OPS, Op
from minillm.testing import gradcheck_case


def largest_gradient_error(op: Op) -> float:
    """The largest |backward − finite difference| over the op's smooth cases, in float64."""
    cases = [case for case in op.cases(np.random.default_rng(0)) if case.smooth]
    return max(gradcheck_case(op, case).largest_error for case in cases)


def _kernels(op: Op) -> str:
    return ",".join(["numpy", *op.overrides])


def main() -> None:
    """Parse the command line and print a line an op."""
    parser = argparse.ArgumentParser(prog="python -m minillm.ops", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="ops to show; all if none is named")
    parser.add_argument("--backend", action="append", default=[], help="load a GPU's backend, to list its kernels, too")
    arguments = parser.parse_args()
    for backend in arguments.backend:
        find_backend(backend)
    current_backend()  # what it is missing is said before the table begins
    names = arguments.names or sorted(OPS)
    for name in names:
        if name not in OPS:
            raise ConfigError(f"there is no op {name!r}; there are: {', '.join(sorted(OPS))}")
    width = max(len(_kernels(OPS[name])) for name in names)
    print(f"{'op':<14} {'gradient error':>14}  {'kernels':<{width}} formula")
    for name in names:
        op = OPS[name]
        formula = " ".join((op.__doc__ or "").split("\n")[0].split())
        print(f"{name:<14} {largest_gradient_error(op):>14.1e}  {_kernels(op):<{width}} {formula}")
    print("\nErrors are those of the formulas; ml.testing.agree(ml.ops.NAME, BACKEND) compares a kernel with its own.")


if __name__ == "__main__":
    cli.run(main)
