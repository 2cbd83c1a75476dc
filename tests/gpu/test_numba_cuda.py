"""The readable GPU kernels without a GPU: run in numba-cuda's simulator, and compiled for real GPUs.

Each in a process of its own, since numba decides when it is imported whether it simulates.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba.cuda", exc_type=ImportError, reason="numba-cuda isn't installed")

HERE = Path(__file__).parent


def passes(module, *, simulate, choice=""):
    """Run the tests of a module of this folder, those that pytest's -k chooses; what failed there is shown here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "NUMBA_", "MINILLM_"))}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "-k", choice, str(HERE / module)],
        cwd=HERE.parents[1],
        env={**kept, "NUMBA_ENABLE_CUDASIM": str(int(simulate))},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "choice", ["agrees_with_the_formula", pytest.param("not agrees_with_the_formula", marks=pytest.mark.slow)]
)
def test_in_the_simulator(choice):
    passes("numba_simulator.py", simulate=True, choice=choice)


def test_compiled_without_a_gpu():
    passes("numba_compile.py", simulate=False)


def test_minillm_alone_does_not_import_numba():
    code = "import sys, minillm, minillm.kernels; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
