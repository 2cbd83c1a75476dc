"""Every kernel of minillm.kernels.numba_cuda through numba's compiler; needs no GPU, and must not be the simulator.

Run by test_numba_cuda.py in a process of its own, or by hand: python -m pytest tests/gpu/numba_compile.py
The simulator checks no types; here they are inferred, and PTX is made for an A100 (sm_80) and an H100 (sm_90).
"""

import importlib
import os
import pkgutil
import re
from types import SimpleNamespace

import pytest
from numba import cuda, types

from minillm.backend import register_backend

os.environ["MINILLM_CUDASIM"] = "0"
register_backend("cupy")  # stands in for the GPU's arrays: nothing is launched
package = importlib.import_module("minillm.kernels.numba_cuda")
INT, FLOAT = types.int64, types.float32
SHARED_BYTES = 48 * 1024  # what a block may have without asking for more


def floats(n_axes):
    return types.Array(types.float32, n_axes, "C")


def integers(n_axes):
    return types.Array(types.int64, n_axes, "C")


MASK = types.Array(types.boolean, 4, "C")
HEADS = (floats(4), floats(4), floats(4), MASK, INT, FLOAT)  # q, k, v, mask, reach, scale
SIGNATURES = {
    "activation.gelu_elements": (floats(1),) * 2,
    "activation.gelu_elements_backward": (floats(1),) * 3,
    "activation.gelu_tanh_elements": (floats(1),) * 2,
    "activation.gelu_tanh_elements_backward": (floats(1),) * 3,
    "activation.silu_elements": (floats(1),) * 2,
    "activation.silu_elements_backward": (floats(1),) * 3,
    "adamw.adamw_elements": (floats(1),) * 4 + (FLOAT,) * 7,
    "adamw.scale_elements": (floats(1), FLOAT),
    "adamw.square_sums": (floats(1),) * 2,
    "attention_backward.attention_deltas": (floats(2), floats(2), floats(1)),
    "attention_backward.attention_dk_dv": (*HEADS, floats(3), floats(3), floats(4), floats(4), floats(4)),
    "attention_backward.attention_dq": (*HEADS, floats(3), floats(3), floats(4), floats(4)),
    "attention_forward.attention_rows": (*HEADS, floats(4), floats(3)),
    "columns.column_sums": (floats(2), floats(1)),
    "embedding.gather_rows": (floats(2), integers(1), floats(2)),
    "embedding.sum_row_groups": (floats(2), integers(1), integers(1), floats(2)),
    "loss.cross_entropy_rows": (floats(2), integers(1), INT, floats(1), floats(1), floats(1)),
    "loss.cross_entropy_rows_backward": (floats(2), integers(1), INT, floats(1), floats(1), floats(1), floats(2)),
    "matmul.matmul_tiles": (floats(3),) * 3,
    "norm.norm_rows": (floats(2), floats(1), floats(1), FLOAT, floats(2), floats(1), floats(1)),
    "norm.norm_rows_backward": (floats(2), floats(1), floats(1), floats(1), floats(2), floats(2), floats(2)),
    "softmax.softmax_rows": (floats(2),) * 2,
    "softmax.softmax_rows_backward": (floats(2),) * 3,
}


def kernels():
    """The kernels of the package, by module and name; device functions, which they call, aren't launched."""
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        for name, value in vars(importlib.import_module(f"{package.__name__}.{module.name}")).items():
            code = getattr(value, "py_func", None)
            if code and code.__module__.endswith(f".{module.name}") and not value.targetoptions.get("device"):
                found[f"{module.name}.{name}"] = code
    return found


def test_every_kernel_has_a_signature_here():
    assert set(kernels()) == set(SIGNATURES)


@pytest.mark.parametrize("target", [(8, 0), (9, 0)], ids=lambda cc: f"sm_{cc[0]}{cc[1]}")
@pytest.mark.parametrize("name", SIGNATURES)
def test_compiles_without_float64_and_atomics(name, target, monkeypatch):
    # Device functions are compiled for the GPU that numba finds, which the caller's target doesn't reach.
    gpu = SimpleNamespace(compute_capability=target)
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: gpu)
    signature = types.void(*SIGNATURES[name])
    ptx, _ = cuda.compile(kernels()[name], signature, device=False, cc=target, output="ptx", abi="numba")
    assert f".target sm_{target[0]}{target[1]}" in ptx and ".entry" in ptx
    assert re.findall(r"^.*\.f64\b.*$", ptx, re.MULTILINE) == []
    assert re.findall(r"^.*\b(?:atom|red|shfl|vote)\..*$", ptx, re.MULTILINE) == []
    assert sum(map(int, re.findall(r"\.shared .*\[(\d+)\]", ptx))) <= SHARED_BYTES
