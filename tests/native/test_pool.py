"""The pool of large arrays: reuse, alignment, contents, limits, and life after the handler."""

import subprocess
import sys

import numpy as np
import pytest

_native = pytest.importorskip("minillm._native", reason="the native kernels aren't built")

pytestmark = pytest.mark.skipif(not _native.HAS_POOL, reason="a build with AddressSanitizer has no pool")
MB = 1 << 20


def in_a_process(program: str) -> str:
    """The pool is a choice for a whole process, so each test makes one of its own."""
    header = "import numpy as np, threading\nfrom minillm import _native\n_native.use_pool()\nMB = 1 << 20\n"
    done = subprocess.run([sys.executable, "-c", header + program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_freed_block_is_used_again():
    assert (
        in_a_process("""
a = np.empty(8 * MB, np.uint8); first = a.ctypes.data; del a
b = np.empty(8 * MB - 100_000, np.uint8); print(b.ctypes.data == first)""")
        == "True"
    )


def test_arrays_are_aligned_and_hold_what_was_written():
    in_a_process("""
rng = np.random.default_rng(0)
kept = []
for n in [0, 1, 63, 65_535, 65_536, 65_537, 100_000, 3 * MB, 3 * MB + 1] * 3:
    a = np.empty(n, np.uint8)
    assert a.ctypes.data % 64 == 0
    a[...] = rng.integers(256, size=n, dtype=np.uint8)
    kept.append((a, a.copy()))
    assert not np.zeros(n, np.uint8).any()
assert all((a == b).all() for a, b in kept)""")


def test_zeros_are_zero_in_a_block_that_was_used():
    in_a_process("""
for _ in range(3):
    a = np.full(MB, 255, np.uint8); del a
    assert not np.zeros(MB, np.uint8).any()""")


def test_resizing_keeps_the_contents():
    in_a_process("""
a = np.arange(100_000); a.resize(300_000, refcheck=False)
assert (a[:100_000] == np.arange(100_000)).all() and not a[100_000:].any()
a.resize(10, refcheck=False)
assert (a == np.arange(10)).all()""")


def test_figures_and_trim():
    used, peak, kept, after = in_a_process("""
a = np.empty(32 * MB, np.uint8); b = np.empty(32 * MB, np.uint8); del a
f = _native.pool_bytes(); _native.trim_pool()
print(f["used"], f["peak"], f["kept"], _native.pool_bytes()["kept"])""").split()
    assert 32 * MB <= int(used) < 40 * MB and 64 * MB <= int(peak) < 80 * MB
    assert 32 * MB <= int(kept) < 40 * MB and int(after) == 0


def test_what_is_kept_has_a_limit():
    """No more than half of what was in use at most (or 256 MB)."""
    kept = in_a_process("""
arrays = [np.empty(64 * MB, np.uint8) for _ in range(20)]; del arrays
print(_native.pool_bytes()["kept"])""")
    assert int(kept) <= 20 * 64 * MB / 2


def test_arrays_outlive_changes_of_threads_and_handlers():
    in_a_process("""
made = {}
def work(): made["a"] = np.ones(MB)   # another thread: its arrays come from the C library
t = threading.Thread(target=work); t.start(); t.join()
b = np.ones(MB)
del b
assert made.pop("a").sum() == MB""")


def test_more_than_there_is_is_a_memory_error():
    with pytest.raises(MemoryError):
        np.empty(1 << 46, np.uint8)
    assert (
        in_a_process("""
try: np.empty(1 << 46, np.uint8)
except MemoryError: print("refused")""")
        == "refused"
    )
