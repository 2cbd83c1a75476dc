"""The tests of this folder run the GPU's backends in the emulator, on the CPU. On a GPU: python -m benchmarks.gpu"""

import importlib.util
import os
import shutil

os.environ["MINILLM_CUDASIM"] = "1"

# Without what the emulator is made of (the extra cudasim, and g++) there is nothing to run them on.
_MISSING = importlib.util.find_spec("ml_dtypes") is None or shutil.which("g++") is None
collect_ignore_glob = ["test_*.py"] if _MISSING else []
