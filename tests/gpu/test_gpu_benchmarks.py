"""python -m benchmarks.gpu without a GPU: its arithmetic, its processes, its report, and all of it in the emulator."""

import dataclasses
import json
import os
import re
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import (
    char_large,
    checks,
    correctness,
    data_sheets,
    every_kernel,
    golden,
    kernels,
    machine,
    peaks,
    sanitizer,
    timing,
    training,
    turns,
    work,
    worker,
)
from benchmarks.gpu.deadline import Deadline, share
from benchmarks.gpu.items import NOT_REACHED, run_items, side_by_side
from benchmarks.gpu.report import EMULATION, Report
from benchmarks.gpu.sizes import BY_NAME, FULL, TINY
from benchmarks.pairs import PEERS, REPOSITORY, PeerError
from benchmarks.tables import Table, parse
from minillm import ops
from minillm.backend import find_backend
from minillm.cuda import emulator, is_emulated, sources
from minillm.cuda.emulator.build import kernels_in
from minillm.errors import ConfigError
from minillm.models import GPT, GPTConfig

STAND_INS = "tests.gpu.stand_in_items"


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


# ---- processes ----


def test_an_item_that_ends_its_process_fails_alone():
    names = ["a", "raises", "ends", "b"]
    outcomes = list(run_items(STAND_INS, names, "tiny", Deadline(60), 20))
    assert [outcome["item"] for outcome in outcomes] == names
    a, raises, ends, b = outcomes
    assert "ValueError: this one is wrong" in raises["error"]
    assert "code 3" in ends["error"] and "a last word" in ends["error"]
    assert a["values"]["width"] == TINY.width and a["values"]["process"] != b["values"]["process"]


def test_an_item_that_takes_too_long_fails_alone():
    outcomes = list(run_items(STAND_INS, ["hangs", "a"], "tiny", Deadline(60), 2))
    assert outcomes[0]["error"] == "took more than 2 s" and outcomes[1]["values"]["name"] == "a"


def test_what_there_is_no_time_for_is_left_out():
    assert list(run_items(STAND_INS, ["a"], "tiny", Deadline(0), 20)) == [{"item": "a", "skipped": NOT_REACHED}]
    outcomes = list(run_items(STAND_INS, ["hangs", "a"], "tiny", Deadline(3), 60))
    assert [outcome["skipped"] for outcome in outcomes] == [NOT_REACHED] * 2


def test_a_process_that_cannot_begin_says_why_of_every_item():
    outcomes = list(run_items("no.such.module", ["a", "b"], "tiny", Deadline(60), 20))
    assert all("No module named 'no'" in outcome["error"] for outcome in outcomes) and len(outcomes) == 2


def test_after_an_error_that_stays_with_the_gpu_the_rest_is_for_a_new_process(monkeypatch, capsys):
    wrong = SimpleNamespace(item=lambda name, sizes: 1 / 0)
    for fails in (True, False):
        monkeypatch.setattr(worker, "device_fails", lambda fails=fails: fails)
        assert worker.do(wrong, "a", TINY) is not fails
        answer = json.loads(capsys.readouterr().out.removeprefix(worker.MARK))
        assert answer["fatal"] is fails and "ZeroDivisionError" in answer["error"]


def test_an_interruption_ends_what_is_side_by_side():
    deadline = Deadline(60)

    def work_on(part):
        if part == "interrupted":
            raise KeyboardInterrupt
        return list(run_items(STAND_INS, ["hangs"], "tiny", deadline, 60))

    with pytest.raises(KeyboardInterrupt):
        side_by_side(work_on, ["interrupted", "other"], 2, deadline)
    assert not deadline.left()


# ---- sides in turn ----


def test_sides_take_turns_and_one_that_fails_is_left_out():
    calls = []

    def side(name, failing_at=None):
        def measure():
            calls.append(name)
            if calls.count(name) == failing_at:
                raise PeerError("python failed:\nTraceback\ntorch.cuda.OutOfMemoryError: CUDA out of memory. Tried ...")
            return {"median_s": len(calls)}

        return measure

    sides = {"ours": side("ours"), "eager": side("eager", failing_at=1), "compiled": side("compiled", failing_at=2)}
    runs, errors = turns.in_turns(sides, 3, Deadline(60), 1)
    assert calls == ["ours", "eager", "compiled", "ours", "compiled", "ours"]
    assert runs == {"ours": [{"median_s": n} for n in (1, 4, 6)], "eager": [], "compiled": [{"median_s": 3}]}
    assert errors == dict.fromkeys(("eager", "compiled"), turns.FULL)


def test_a_run_that_does_not_fit_is_not_begun():
    runs, errors = turns.in_turns({"ours": dict}, 2, Deadline(10), 20)
    assert runs == {"ours": []} and errors == {"ours": turns.NO_TIME}


def test_step_rows(monkeypatch):
    runs = {
        training.OURS: [{"median_s": s, "peak_mb": 100, "taken_mb": 150} for s in (0.1, 0.3, 0.2)],
        training.TORCH: [{"median_s": 0.5, "peak_mb": 200, "taken_mb": 250}],
        training.TORCH_COMPILED: [],
    }
    errors = {training.TORCH_COMPILED: "first\nlast"}
    ours, eager, compiled = training.rows(16, runs, errors, {"measured": 1e15, "data sheet": None})
    assert (ours["ms"], ours["tokens/s"], ours["peak MB"], ours["runs"]) == (200, 16 * 1024 / 0.2, 100, 3)
    assert ours["MFU"] == training.step_flops(16) / 0.2 / 1e15 and ours["MFU, data sheet"] is None
    assert eager["its time / ours"] == 2.5 and ours["its time / ours"] is None
    assert compiled == {"batch": 16, "side": "torch compiled", "runs": 0, "result": "first\nlast"}
    (table,) = training.tables({"rows": [ours, eager, compiled], "torch": False})
    assert [row["result"] for row in table.rows] == ["", "", "last"] and "our side only" in table.note


def test_our_side_runs_without_a_graph_where_it_fails_with_one(monkeypatch):
    def fails_with_a_graph(batch, limit, *options):
        if "--eager" in options:
            return {"median_s": 1.0}
        raise PeerError("cudaErrorStreamCaptureUnsupported")

    monkeypatch.setattr(training, "ours", fails_with_a_graph)
    runs, errors = training.compare(4, False, Deadline(60))
    assert runs == {training.OURS: [], training.OURS_EAGER: [{"median_s": 1.0}]}
    assert training.problems(4, runs, errors) == [f"batch 4, ours: {errors['ours']}"]
    assert training.problems(64, {training.OURS: []}, {training.OURS: turns.FULL}) == []
    skipped = training.problems(4, {training.OURS: [{"skipped": "NaN"}]}, {})
    assert skipped == ["batch 4, ours: an update was skipped: NaN"]


def test_a_step_is_measured_for_every_batch(monkeypatch):
    asked = []

    def side(*arguments, runs):
        asked.append(arguments)
        return {"median_s": runs, "peak_mb": 1, "taken_mb": 2, "tokens_per_s": 3.0}

    monkeypatch.setattr(training, "have_torch", lambda: True)
    monkeypatch.setattr(training, "ours", lambda batch, limit: side(batch, runs=2.0))
    monkeypatch.setattr(training, "torch", lambda batch, mode, limit: side(batch, mode, runs=3.0))
    found = {"kernels": {"limits": {"flops": 1e15}, "sheet": {"bfloat16": 989.4, "memory": 1}}}
    values = {}
    training.measure(SimpleNamespace(deadline=Deadline(200), found=found), values)
    rounds = [(b, *mode) for b in training.STEPS for _ in range(2) for mode in ((), ("bf16",), ("compile-bf16",))]
    assert asked == rounds and values["problems"] == []
    assert [row["its time / ours"] for row in values["rows"]] == [None, 1.5, 1.5] * 3
    assert values["rows"][0]["MFU, data sheet"] == pytest.approx(values["rows"][0]["MFU"] / 0.9894)


# ---- the report ----


def stand_in_sections(monkeypatch, measures):
    """Sections of these names in place of the real ones."""
    made = {
        name: SimpleNamespace(
            SECONDS=10, measure=measure, tables=lambda values: [Table("T", {"n": ""}, [{"n": values["n"]}])]
        )
        for name, measure in measures.items()
    }
    monkeypatch.setattr(command, "is_emulated", lambda: True)
    monkeypatch.setattr(command, "array_module", lambda: None)
    monkeypatch.setattr(command, "MODULES", dict.fromkeys(made, ""))
    monkeypatch.setattr(command, "module", made.__getitem__)


def test_the_report_is_written_section_by_section(tmp_path, monkeypatch):
    seen = []

    def measure(context, values):
        seen.append(json.loads((tmp_path / "results.json").read_text()) if context.found else None)
        values["n"] = float("nan")

    stand_in_sections(monkeypatch, {"one": measure, "two": measure})
    assert command.main(["--out", str(tmp_path)]) == 0
    assert seen[0] is None and list(seen[1]["sections"]) == ["one"]
    results = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert results["sections"]["two"]["n"] == "nan" and results["sections"]["one"]["budget"] == pytest.approx(10, abs=1)
    page = (tmp_path / "gpu.md").read_text()
    assert EMULATION in page and re.findall("^## (.*)$", page, re.MULTILINE) == ["one", "two"]
    assert [table.rows for table in parse(page)] == [[{"n": "nan"}]] * 2


def test_a_section_that_fails_loses_no_other(tmp_path, monkeypatch):
    def raises(context, values):
        values["n"] = "half of it"
        raise RuntimeError("an illegal memory access")

    def finds(context, values):
        values.update(n=2, problems=["a number is wrong"])

    def is_well(context, values):
        values["n"] = 3

    for measures in ({"one": raises, "two": is_well}, {"one": finds, "two": is_well}, {"one": is_well}):
        stand_in_sections(monkeypatch, measures)
        assert command.main(["--out", str(tmp_path)]) == (len(measures) > 1)
    stand_in_sections(monkeypatch, {"one": raises, "two": finds, "three": is_well})
    command.main(["--out", str(tmp_path)])
    page = (tmp_path / "gpu.md").read_text()
    assert "an illegal memory access" in page and "half of it" in page
    assert "FAILED: a number is wrong" in page and "## three" in page


def test_after_ctrl_c_what_is_there_is_kept(tmp_path, monkeypatch):
    def interrupted(context, values):
        values["n"] = "half of it"
        raise KeyboardInterrupt

    stand_in_sections(monkeypatch, {"one": interrupted, "two": interrupted})
    assert command.main(["--out", str(tmp_path)]) == command.INTERRUPTED
    results = json.loads((tmp_path / "results.json").read_text())["sections"]
    assert results["one"]["interrupted"] and results["one"]["n"] == "half of it" and "two" not in results


def test_an_emulation_writes_only_where_it_is_told(tmp_path, monkeypatch):
    stand_in_sections(monkeypatch, {"one": lambda context, values: values.update(n=1)})
    monkeypatch.setattr(command, "FOLDER", tmp_path / "docs")
    assert command.main([]) == 0 and not (tmp_path / "docs").exists()


def test_a_report_s_file_is_whole_or_the_one_before(tmp_path, monkeypatch):
    report = Report(tmp_path, {"date": "today", "emulated": False})
    report.add("one", {"seconds": 1, "budget": 2}, [])
    before = (tmp_path / "gpu.md").read_text()
    monkeypatch.setattr("os.replace", lambda *paths: pytest.fail("stopped"))
    with pytest.raises(pytest.fail.Exception):
        report.add("two", {"seconds": 1, "budget": 2}, [])
    assert (tmp_path / "gpu.md").read_text() == before and EMULATION not in before


def test_every_section_is_described_and_all_fit_into_ten_minutes():
    described = re.findall(r"^    ([\w-]+)  +\w", command.__doc__, re.MULTILINE)
    assert described == list(command.MODULES)
    seconds = {name: command.module(name).SECONDS for name in command.MODULES}
    assert sum(seconds.values()) - seconds[command.ASKED_FOR] < 590
    assert seconds[command.ASKED_FOR] > 180


def test_char_large_waits_to_be_asked(monkeypatch):
    monkeypatch.setattr(command, "is_emulated", lambda: False)
    assert command.ASKED_FOR not in command.chosen([], None) and len(command.chosen([], None)) == 7
    assert command.ASKED_FOR in command.chosen([], Path("text")) and command.chosen([command.ASKED_FOR], None)
    assert command.chosen(["step", "machine"], None) == ["machine", "step"]


# ---- single sections ----


def test_an_old_nvidia_smi_is_asked_field_by_field(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *mig.mode*) echo "Field \\"mig.mode.current\\" is not valid"; exit 2;; esac\n'
        'case "$*" in *=name*) echo "NVIDIA X";; *) echo 7;; esac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    answers = machine.nvidia_smi()
    assert answers["name"] == "NVIDIA X" and answers["power.limit"] == "7" and "mig.mode.current" not in answers
    monkeypatch.setenv("PATH", "")
    assert machine.nvidia_smi() == {}


def test_what_the_cuda_runtime_says():
    runtime = SimpleNamespace(
        getDeviceProperties=lambda i: {"name": b"NVIDIA X", "multiProcessorCount": 132, "l2CacheSize": 1 << 25},
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 12090,
    )
    device, nvrtc = SimpleNamespace(id=0, compute_capability="90"), SimpleNamespace(getVersion=lambda: (13, 0))
    cuda = SimpleNamespace(runtime=runtime, Device=lambda: device, nvrtc=nvrtc)
    found = machine.device_properties(SimpleNamespace(cuda=cuda, __version__="14.0"))
    assert found["name"] == "NVIDIA X" and found["multiProcessorCount"] == 132 and found["NVRTC"] == "13.0"
    rows = machine.tables({"device": found, "cpu": "a CPU"})[0].rows
    assert {"what": "CUDA of the driver", "is": 13000} in rows and rows[0] == {"what": "CPU", "is": "a CPU"}


def test_a_backend_that_is_not_installed_is_a_row(monkeypatch):
    def missing(backend, *rest):
        raise ConfigError(f"{backend} needs a library")

    monkeypatch.setattr(correctness, "names", missing)
    values = {}
    correctness.measure(SimpleNamespace(sizes=TINY, size="tiny", emulated=True, deadline=Deadline(9)), values)
    assert [row["result"] for row in values["rows"]][0] == "cuda needs a library" and values["problems"] == []
    assert correctness.tables(values)[0].rows[-1]["backend"] == "numba_cuda"


@pytest.mark.parametrize(
    ("code", "output", "result"),
    [
        (0, "every kernel has been launched\n========= ERROR SUMMARY: 0 errors\n", "nothing found"),
        (0, "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n", "nothing found"),
        (86, "========= Invalid __global__ write\n========= ERROR SUMMARY: 1 error\n", "found errors"),
        (0, "========= RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)\n", "found errors"),
        (1, "Traceback\n========= ERROR SUMMARY: 0 errors\n", "failed with exit code 1"),
        (127, "no such file", "failed with exit code 127"),
    ],
)
def test_what_the_sanitizer_says(code, output, result):
    found = sanitizer.judged(code, output)
    assert found["result"] == result and (found["output"] == "") == (result == "nothing found")


def test_a_sanitizer_that_is_not_there_is_reported(monkeypatch):
    monkeypatch.setattr(sanitizer, "find", lambda: None)
    values = {}
    sanitizer.measure(SimpleNamespace(emulated=False), values)
    assert {row["result"] for row in values["rows"]} == {"not installed"} and values["problems"] == []


def test_the_sanitizer_runs_both_tools_around_the_script(tmp_path, monkeypatch):
    program = tmp_path / "compute-sanitizer"
    program.write_text(
        '#!/bin/sh\necho "$*"\ncase "$*" in *racecheck*) echo "RACECHECK SUMMARY: 1 hazard";; *) '
        'echo "ERROR SUMMARY: 0 errors";; esac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    values = {}
    sanitizer.measure(SimpleNamespace(emulated=False, deadline=Deadline(20)), values)
    memcheck, racecheck = values["rows"]
    assert memcheck == {"tool": "memcheck", "result": "nothing found", "count": 0, "output": ""}
    assert racecheck["result"] == "found errors" and f"-m {sanitizer.SCRIPT}" in racecheck["output"]
    assert len(values["problems"]) == 1


@pytest.mark.skipif(not is_emulated(), reason="the emulator counts the kernels that are launched")
def test_every_kernel_is_launched_for_the_sanitizer(monkeypatch):
    launched, launch = set(), emulator.launch
    monkeypatch.setattr(
        emulator, "launch", lambda file, name, *rest: launched.add((file, name)) or launch(file, name, *rest)
    )
    every_kernel.main()
    assert launched == {(path.stem, name) for path in sources.folder().glob("*.cu") for name in kernels_in(path)}


def test_golden_batches_can_be_learnt():
    """The rule behind the texts: each token's successor is always the same."""
    for batch in golden.batches(FULL)[:2]:
        pairs = {tuple(pair) for row in batch["ids"] for pair in pairwise(row)}
        assert len({before for before, _ in pairs}) == len(pairs) and batch["ids"].max() < FULL.golden["vocab_size"]
        np.testing.assert_array_equal(batch["ids"][:, 1:], batch["targets"][:, :-1])


def test_losses_beyond_their_bound_are_problems():
    runs = {
        golden.EXACT: {"losses": [2.0, 1.0]},
        "numpy float32": {"losses": [2.0, 1.0 + 5e-5]},
        "cuda float32": {"losses": [2.0, 1.0 + 5e-4]},
        "cuda bfloat16": {"losses": [2.0, 1.0 + 5e-4]},
        "cuda bfloat16 graph": {"losses": [2.0, float("nan")]},
        "cuda float32 graph": {"losses": []},
    }
    found = golden.differences(runs)
    assert "cuda float32 graph" not in found and found["cuda float32"] == pytest.approx(5e-4)
    assert [problem.split(":")[0] for problem in golden.too_large(found)] == ["cuda float32", "cuda bfloat16 graph"]


def test_char_large_says_when_the_goal_was_reached():
    known = {}
    events = [{"event": "eval", "step": 250, "val_loss": 2.0}, {"event": "train", "step": 300, "train_loss": 1.0}]
    char_large.losses(events, known, 20.0)
    char_large.losses([*events, {"event": "eval", "step": 500, "val_loss": 1.47}], known, 41.0)
    assert list(known.values())[0] == {"step": 250, "seconds": 20.0, "loss": 2.0}
    assert char_large.result(list(known.values())) == "1.48 nats are reached after 41 s, at step 500"
    assert char_large.result(list(known.values())[:1]) == "1.48 nats are not reached: 2.0000 at step 250, after 20 s"


def test_char_large_needs_its_text(tmp_path, monkeypatch):
    context = SimpleNamespace(corpus=None)
    monkeypatch.delenv("MINILLM_DATA", raising=False)
    assert char_large.corpus(context) is None
    monkeypatch.setenv("MINILLM_DATA", str(tmp_path))
    assert char_large.corpus(context) is None
    (tmp_path / char_large.FILE).touch()
    assert char_large.corpus(context) == "shakespeare"
    assert char_large.corpus(SimpleNamespace(corpus=Path("a.txt"))) == "a.txt"


def test_char_large_stops_when_the_goal_is_reached(tmp_path, monkeypatch):
    script = (
        "import json, pathlib, sys, time\n"
        "out = pathlib.Path(sys.argv[1]); out.mkdir()\n"
        "with open(out / 'metrics.jsonl', 'w') as file:\n"
        "    for step, loss in enumerate([2.5, 1.9, 1.4, 1.3]):\n"
        "        print(json.dumps({'event': 'eval', 'step': step, 'val_loss': loss}), file=file, flush=True)\n"
        "        time.sleep(0.5 if step < 2 else 60)\n"
    )
    monkeypatch.setattr(char_large, "command", lambda text, folder: [sys.executable, "-c", script, str(folder)])
    values = {}
    char_large.measure(SimpleNamespace(corpus=Path("a.txt"), deadline=Deadline(30)), values)
    assert [row["loss"] for row in values["rows"]] == [2.5, 1.9, 1.4]
    assert "are reached after" in values["result"] and values["problems"] == []


# ---- checks that must find what is wrong ----


def wrong_softmax(monkeypatch, change):
    """The CUDA kernel of softmax with `change` applied to its forward result."""
    find_backend("cuda")
    chosen = ops.softmax.overrides["cuda"]

    def forward(xp, x, **options):
        y, saved = chosen.forward(xp, x, **options)
        return change(xp, y), saved

    monkeypatch.setitem(ops.softmax.overrides, "cuda", dataclasses.replace(chosen, forward=forward))


def test_a_right_kernel_passes():
    found = correctness.item("cuda softmax", TINY)
    assert found["problems"] == [] and found["kernels"]["cuda"] > 5 and found["not finite"] and found["same bits"]


def test_a_wrong_kernel_is_found(monkeypatch):
    wrong_softmax(monkeypatch, lambda xp, y: y * 1.01)
    problems = correctness.item("cuda softmax", TINY)["problems"]
    assert any("forward" in problem and "error" in problem for problem in problems)
    assert any(problem.startswith("bfloat16") for problem in problems)


def test_a_check_that_raises_hides_no_other(monkeypatch):
    monkeypatch.setattr(checks, "bfloat16_error", lambda *arguments: 1 / 0)
    found = correctness.item("cuda softmax", TINY)
    assert found["bfloat16"] is None and found["same bits"] and found["kernels"]["cuda"] > 5
    assert all("ZeroDivisionError" in problem and "bfloat16" in problem for problem in found["problems"])


def test_a_kernel_that_hides_nan_is_found(monkeypatch):
    wrong_softmax(monkeypatch, lambda xp, y: xp.nan_to_num(y))
    case = ops.softmax.cases(np.random.default_rng(0))[0]
    assert "nan" in checks.not_finite_differs(ops.softmax, "cuda", case)


def test_other_bits_are_found(monkeypatch):
    again = iter(range(1, 100))
    wrong_softmax(monkeypatch, lambda xp, y: y + 1e-7 * next(again))
    case = ops.softmax.cases(np.random.default_rng(0))[0]
    assert not checks.same_bits(ops.softmax, "cuda", case)


# ---- all of it ----


def run_command(*arguments, **variables):
    """python -m ARGUMENTS: exit code and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_the_emulated_run(tmp_path):
    names = ["machine", "correctness", "golden", "kernels", "sanitizer"]
    code, printed, errors = run_command("-m", "benchmarks.gpu", *names, "--out", str(tmp_path), MINILLM_CUDASIM="1")
    sections = json.loads((tmp_path / "results.json").read_text())["sections"]
    assert (code, errors) == (0, ""), printed
    assert list(sections) == names and printed.startswith(EMULATION)
    assert {row["result"] for row in sections["correctness"]["rows"]} == {"agrees"}
    assert {row["backend"] for row in sections["correctness"]["rows"]} == {"cupy", "numba_cuda", "cuda"}
    assert list(sections["golden"]["differences"]) == golden.RUNS
    passes = [(row["kernel"], row["pass"]) for row in sections["kernels"]["rows"]]
    assert passes == [(name, one) for name, of in work.KERNELS.items() for one in of(TINY)]
    assert set(sections["kernels"]["peaks"]) == set(peaks.NAMES)
    assert "not run: no GPU" in (tmp_path / "gpu.md").read_text()


def test_without_a_gpu_it_says_what_is_missing():
    code, printed, errors = run_command("-m", "benchmarks.gpu", "machine", MINILLM_CUDASIM="0", CUDA_VISIBLE_DEVICES="")
    assert code == 2 and printed == "" and re.search("driver|device|CuPy", errors) and "Traceback" not in errors


def test_our_step_prints_what_the_comparison_reads(monkeypatch, capsys):
    from benchmarks.gpu import ours
    from benchmarks.shapes import Shape

    small = Shape(2, 8, 16, 1, 1, 32)
    monkeypatch.setattr(ours, "SHAPES", {"gpt2-long": small})
    for options in ([], ["--eager"]):
        monkeypatch.setattr(sys, "argv", ["ours", "--steps", "2", "--warmup", "1", "--batch", "3", *options])
        ours.main()
        found = json.loads(capsys.readouterr().out)
        assert found["batch"] == 3 and found["tokens_per_s"] == 3 * 8 / found["median_s"] and found["skipped"] is None
        assert found["graph"] == (not options) and 2 < found["loss"] < 4
        weights = GPT(GPTConfig(16, 8, 1, 1, d_model=32)).num_parameters()
        assert found["peak_mb"] * 2**20 > 16 * weights  # weights, gradients and two moments


@pytest.mark.parametrize("script", ["torch_kernels.py", "torch_gpt.py"])
def test_torch_s_side_on_the_cpu(script):
    pytest.importorskip("torch")
    options = {
        "torch_kernels.py": ["--sizes", "tiny", "--device", "cpu"],
        "torch_gpt.py": ["--shape", "char", "--batch", "2", "--mode", "bf16", "--steps", "1", "--warmup", "1"],
    }
    code, printed, errors = run_command(str(PEERS / script), *options[script])
    assert code == 0, errors
    found = json.loads(printed)
    if script == "torch_gpt.py":
        assert (found["batch"], found["device"]) == (2, "cpu") and found["tokens_per_s"] == 2 * 64 / found["median_s"]
        return
    assert found["errors"] == {} and list(found["milliseconds"]) == list(work.KERNELS)
    for name, of in work.KERNELS.items():
        assert set(found["milliseconds"][name]) == set(of(BY_NAME["tiny"]))
