"""Items of a section that does nothing, and some that end their process: for test_gpu_benchmarks_processes.py."""

import os
import sys
import time

USES_GPU = False


def item(name, sizes):
    if name == "raises":
        raise ValueError("this one is wrong")
    if name == "ends":
        print("a last word", file=sys.stderr, flush=True)
        os._exit(3)
    if name == "hangs":
        time.sleep(60)
    return {"name": name, "process": os.getpid(), "width": sizes.width}
