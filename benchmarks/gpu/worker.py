"""A process that does items of a section, one after the other: python -m benchmarks.gpu.worker MODULE SIZES

Reads the items' names from stdin, as JSON; for each it prints one line of JSON after MARK: {"item", "values"}, or
{"item", "error"}, with "fatal" where the GPU can't be used any more by this process: after an illegal memory access
every later call fails, so the rest is for a new process.
"""

import importlib
import json
import sys
import traceback
from typing import Any

from benchmarks.gpu.sizes import BY_NAME

MARK = "@@ "
TRACEBACK_LINES = 12


def answer(values: dict[str, Any]) -> None:
    """One line for the parent."""
    print(MARK + json.dumps(values), flush=True)


def short_traceback() -> str:
    """The end of the traceback of the exception at hand."""
    return "\n".join(traceback.format_exc().splitlines()[-TRACEBACK_LINES:])


def device_fails() -> bool:
    """Whether the GPU gives errors, whatever is asked of it. What an item took of its memory is freed first."""
    from minillm.cuda import is_emulated
    from minillm.cuda.driver import array_module

    if is_emulated():
        return False
    try:
        cupy = array_module()
        cupy.cuda.runtime.deviceSynchronize()
        cupy.get_default_memory_pool().free_all_blocks()
    except Exception:
        return True
    return False


def do(module: Any, name: str, sizes: Any) -> bool:
    """Answer for one item; whether this process may go on."""
    try:
        values = module.item(name, sizes)
    except Exception:
        error = short_traceback()
        fatal = uses_gpu(module) and device_fails()
        answer({"item": name, "error": error, "fatal": fatal})
        return not fatal
    answer({"item": name, "values": values})
    return True


def uses_gpu(module: Any) -> bool:
    """Whether the module's items use the GPU through CuPy: all but the tests' do."""
    return getattr(module, "USES_GPU", True)


def main() -> int:
    """Do what stdin asks for."""
    module, sizes = importlib.import_module(sys.argv[1]), BY_NAME[sys.argv[2]]
    answer({"ready": True})
    for name in json.load(sys.stdin):
        if not do(module, name, sizes):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
