"""The arithmetic of python -m benchmarks.gpu: bytes, operations, shares of limits, times by events."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.gpu import (
    data_sheets,
    kernels,
    peaks,
    timing,
    training,
    work,
)
from benchmarks.gpu.deadline import share
from benchmarks.gpu.sizes import FULL, TINY

# ---- arithmetic ----


def test_bytes_and_operations_are_those_of_the_arrays():
    s = TINY
    half, single = 2 * np.ones(()), 4 * np.ones(())
    x = s.tokens * s.width
    of = {name: {one: w.bytes for one, w in count(s).items()} for name, count in work.KERNELS.items()}
    assert of["layer_norm + residual"] == {"forward": 4 * half * x, "backward": 3 * half * x}
    assert of["gelu_tanh + bias"] == dict.fromkeys(("forward", "backward"), 3 * half * s.tokens * s.hidden)
    assert of["softmax"]["backward"] == 3 * half * s.batch * s.heads * s.time**2
    assert of["cross_entropy rows"] == {"whole": 2 * half * s.loss_rows * s.vocabulary}
    ids, table = 8 * s.tokens, single * s.vocabulary * s.width
    assert of["embedding"] == {"forward": ids + 2 * single * x, "backward": ids + single * x + table}
    assert of["dropout"] == {"forward": 2 * half * x, "backward": 2 * half * x}
    assert of["cast float32 to bfloat16"]["whole"] == (half + single) * s.vocabulary * s.width


def test_the_optimizer_s_arrays_are_gpt_2_s():
    n = 50304 * 768 + 1024 * 768 + 12 * (12 * 768**2 + 13 * 768) + 2 * 768
    assert work.count(work.parameter_shapes(FULL)) == n
    assert work.adamw(FULL)["whole"].bytes == 28 * n and work.global_norm(FULL)["whole"].bytes == 4 * n


def test_attention_counts_the_scores_that_are_seen():
    seen = FULL.batch * FULL.heads * np.tril(np.ones((FULL.time, FULL.time))).sum()
    passes = work.attention(FULL)
    for products, one in ((2, "forward"), (5, "backward")):
        assert passes[one].flops == pytest.approx(products * 2 * seen * FULL.d_head, rel=2 / FULL.time)


def test_a_step_s_operations_are_those_of_its_weights_and_scores():
    n = 12 * 12 * 768**2 + 50304 * 768
    assert training.step_flops(16) == 16 * 1024 * (6 * n + 12 * 12 * 768 * 1024)


def test_a_kernel_s_share_of_the_limit():
    limits = {"bytes": 2e12, "flops": 5e14}
    times = {"ms": 0.5, "launch bound": True}
    row = kernels.row("softmax", "forward", work.Work(5 * 10**8, 0, "so"), times, 1.5, limits)
    assert (row["GB/s"], row["of limit"], row["torch / ours"], row["TFLOP/s"]) == (1000, 0.5, 3.0, None)
    assert row["launch bound"] == "yes" and row["counted"] == "so"
    row = kernels.row("attention", "forward", work.Work(1, 10**11, ""), times, None, {})
    assert (row["TFLOP/s"], row["of limit"], row["torch / ours"], row["GB/s"]) == (200, None, None, None)
    assert kernels.row("attention", "forward", work.Work(1, 10**11, ""), times, None, limits)["of limit"] == 0.4


def test_limits_are_the_fastest_copy_and_the_bfloat16_product():
    rates = {"copy": 3.0, "add": 4.0, "bfloat16 product": 9.0, "float32 product": 1.0}
    assert peaks.limits({name: {"rate": rate} for name, rate in rates.items()}) == {"bytes": 4.0, "flops": 9.0}
    assert peaks.limits({}) == {}
    assert work.copy_bytes(8) == 16 and work.add_bytes(8) == 24 and work.product_flops(10) == 2000


@pytest.mark.parametrize(
    ("name", "memory"),
    [
        ("NVIDIA H100 80GB HBM3", 3350),
        ("NVIDIA H100 PCIe", 2000),
        ("NVIDIA A100-SXM4-80GB", 2039),
        ("NVIDIA H200", 4800),
    ],
)
def test_data_sheets_are_found_by_name(name, memory):
    assert data_sheets.of(name).memory == memory


def test_a_gpu_without_a_data_sheet_has_none():
    assert data_sheets.of("NVIDIA RTX 9999") is None


# ---- time ----


class Clock:
    """Stands in for CuPy: events at the times given, in milliseconds."""

    def __init__(self, times):
        self.times = iter(times)
        self.cuda = self

    def Event(self):
        return SimpleNamespace(record=self.record, synchronize=lambda: None, at=None)

    def record(self):
        self.last.append(next(self.times))

    def get_current_stream(self):
        self.last = []
        return SimpleNamespace(synchronize=lambda: None)

    def get_elapsed_time(self, start, end):
        return self.spans.pop(0)


def test_the_median_of_the_gpu_s_times_is_taken():
    clock = Clock([0, 5, 10, 11, 20, 40])
    clock.spans = [5.0, 1.0, 20.0, 40.0]  # each run's, then from the first event to the last
    runs = []
    found = timing.measured(clock, lambda: runs.append("work"), 3, lambda: runs.append("flush"))
    assert (found["ms"], found["fastest ms"], found["runs"]) == (5.0, 1.0, 3)
    assert runs == ["flush", "work"] * (3 + timing.WARM_UPS) and not found["launch bound"]


def test_what_one_section_leaves_is_there_for_the_next():
    assert share(100, 10, [20, 70]) == 10 and share(90, 20, [70]) == 20 and share(50, 70, []) == 50
