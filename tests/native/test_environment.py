"""What the environment decides: threads, instruction set, backend; fork; and what `python -m minillm.kernels` says."""

import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

from minillm.errors import ConfigError

_native = pytest.importorskip("minillm._native", reason="the native kernels aren't built")
from minillm.kernels.native import environment  # noqa: E402 - needs the native module

LIMITS = {"MINILLM_THREADS", "OMP_NUM_THREADS", "MINILLM_ISA", "MINILLM_BACKEND"}


def command(*arguments, **variables):
    clean = {k: v for k, v in os.environ.items() if k not in LIMITS}
    return subprocess.run(
        [sys.executable, *arguments], env={**clean, **variables}, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"MINILLM_THREADS": "3", "OMP_NUM_THREADS": "2"}, (3, "MINILLM_THREADS")),
        ({"OMP_NUM_THREADS": "2,4"}, (2, "OMP_NUM_THREADS")),
        ({"MINILLM_THREADS": " 1 "}, (1, "MINILLM_THREADS")),
    ],
)
def test_threads_by_variable(variables, expected, monkeypatch):
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment.threads_and_source() == expected


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_number_of_threads_that_is_none(value, monkeypatch):
    monkeypatch.setenv("MINILLM_THREADS", value)
    with pytest.raises(ConfigError, match="MINILLM_THREADS=.* whole number"):
        environment.threads_and_source()


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
    ids=["v2", "v2 without a limit", "v1", "v1 without a limit", "no files"],
)
def test_a_containers_share(files, share, tmp_path):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert environment.cgroup_share(tmp_path) == share


def test_a_share_below_the_processors_counts(monkeypatch):
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(environment, "cgroup_share", lambda: 2.0)
    assert environment.threads_and_source() == (2, "the container's share, 2 processors")
    monkeypatch.setattr(environment, "cgroup_share", lambda: 0.25)
    assert environment.threads_and_source()[0] == 1


def test_the_instruction_set_can_be_forced():
    for isa in _native.available_isas():
        done = command("-m", "minillm.kernels", "--require-native", MINILLM_ISA=isa, MINILLM_THREADS="1")
        assert done.returncode == 0 and f"instruction set  {isa} " in done.stdout, done.stderr
    done = command("-m", "minillm.kernels", MINILLM_ISA="avx1024")
    assert done.returncode and "MINILLM_ISA='avx1024'" in done.stderr and "portable" in done.stderr


def test_numpy_alone_can_be_forced():
    done = command("-m", "minillm.kernels", "--require-native", MINILLM_BACKEND="numpy")
    assert done.returncode == 1 and "built, not in use" in done.stdout


def product():
    a = np.random.default_rng(0).normal(size=(300, 400)).astype(np.float32)
    c = np.empty((300, 300), np.float32)
    _native.gemm(a, a.T, c)
    return c


def in_a_child(queue):
    queue.put(product())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_works_and_does_not_wait_for_its_parents_threads():
    before = _native.threads()
    _native.set_threads(2)
    try:
        expected = product()  # the team exists now
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=in_a_child, args=(queue,))
        child.start()
        result = queue.get(timeout=60)
        child.join(60)
        np.testing.assert_array_equal(result, expected)
        np.testing.assert_array_equal(product(), expected)  # and the parent goes on
    finally:
        _native.set_threads(before)
