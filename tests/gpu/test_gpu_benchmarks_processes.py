"""The processes of python -m benchmarks.gpu: items that fail alone, sides in turn."""

import json
from types import SimpleNamespace

import pytest

from benchmarks.gpu import (
    training,
    turns,
    worker,
)
from benchmarks.gpu.deadline import Deadline
from benchmarks.gpu.items import NOT_REACHED, run_items, side_by_side
from benchmarks.gpu.sizes import TINY
from benchmarks.pairs import PeerError

STAND_INS = "tests.gpu.stand_in_items"


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
    monkeypatch.setattr(training, "device_name", lambda: "NVIDIA H200")
    found = {"kernels": {"limits": {"flops": 1e15}}}
    values = {}
    training.measure(SimpleNamespace(deadline=Deadline(200), found=found), values)
    rounds = [(b, *mode) for b in training.STEPS for _ in range(2) for mode in ((), ("bf16",), ("compile-bf16",))]
    assert asked == rounds and values["problems"] == []
    assert [row["its time / ours"] for row in values["rows"]] == [None, 1.5, 1.5] * 3
    assert values["rows"][0]["MFU, data sheet"] == pytest.approx(values["rows"][0]["MFU"] / 0.9894)
