"""The benchmarks' own logic, on made-up measurements: pairs, ratios, tables, markers, the roofline."""

import json
import re
import sys

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import gemm, op_cases, ops, roofline, train_step
from benchmarks.machine import description
from benchmarks.pairs import PeerError, alternate, median, ratio, run
from benchmarks.tables import Table, document, insert, parse, write

HERE = {"date": "2026-01-02", "cpu": "a processor", "threads": "2", "instruction set": "avx2", "versions": "minillm 1"}


def test_sides_take_turns():
    calls = []
    sides = {name: lambda name=name: calls.append(name) or {"n": len(calls)} for name in ("ours", "torch")}
    assert alternate(sides, 3) == {"ours": [{"n": 1}, {"n": 3}, {"n": 5}], "torch": [{"n": 2}, {"n": 4}, {"n": 6}]}
    assert calls == ["ours", "torch"] * 3


def test_the_ratio_is_the_median_of_the_pairs_ratios():
    # The machine was three times slower during the second pair: the ratio of the medians would be 2.
    assert ratio([1.0, 3.0, 1.0], [2.0, 9.0, 6.0]) == 3.0
    assert ratio([1.0], []) is None and median([]) is None
    with pytest.raises(ValueError):
        ratio([1.0, 2.0], [1.0])


def test_a_process_prints_its_result_last():
    code = "import os; print('a warning'); print('{\"threads\": \"' + os.environ['OMP_NUM_THREADS'] + '\"}')"
    assert run(["-c", code]) == {"threads": description()["threads"]}
    assert run(["-c", code], {"OMP_NUM_THREADS": "7"}) == {"threads": "7"}
    with pytest.raises(PeerError, match="no such thing"):
        run(["-c", "raise SystemExit('no such thing')"])
    with pytest.raises(PeerError, match="more than 0.2 s"):
        run(["-c", "import time; time.sleep(20)"], timeout=0.2)


TABLE = Table("Speed", {"op": "", "ms": ".1f", "of limit": ".0%", "torch / ours": ".2x"})
TABLE.rows = [
    {"op": "a", "ms": 1.25, "of limit": 0.5, "torch / ours": 1.5},
    {"op": "b", "ms": 3.0, "of limit": 1.0, "torch / ours": None},
]


def test_a_table_shows_what_was_measured_and_nothing_else():
    assert TABLE.markdown().splitlines()[2:] == [
        "| op | ms | of limit | torch / ours |",
        "|---|---|---|---|",
        "| a | 1.2 | 50% | 1.50x |",
        "| b | 3.0 | 100% |  |",
    ]


def test_printed_tables_are_read_back():
    text = document([TABLE, TABLE], HERE)
    assert text.startswith("2026-01-02; a processor; minillm 1; 2 threads, avx2.")
    first, second = parse(text)
    assert first.columns == dict.fromkeys(TABLE.columns, "") and first.rows == second.rows
    assert first.rows[1] == {"op": "b", "ms": "3.0", "of limit": "100%", "torch / ours": ""}
    assert "Speed" in second.title and parse(second.markdown())[0].rows == second.rows


def test_figures_go_between_their_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin a -->\nold\n<!-- end a -->\n<!-- begin ab -->\n<!-- end ab -->\nafter\n")
    for _ in range(2):  # the second time replaces the first
        write("a", [TABLE], HERE, [page], tmp_path / "values")
    text = page.read_text()
    assert text.startswith("before\n<!-- begin a -->") and text.endswith("<!-- begin ab -->\n<!-- end ab -->\nafter\n")
    assert "old" not in text and text.count("| a | 1.2 | 50% | 1.50x |") == 1
    values = json.loads((tmp_path / "values" / "a.json").read_text())
    assert values["cpu"] == "a processor" and values["tables"][0]["rows"] == TABLE.rows
    with pytest.raises(ValueError, match="begin b"):
        insert(text, "b", "")


def test_every_benchmark_has_a_place_in_the_documents():
    pages = [command.DOCUMENT, command.DOCUMENT.with_name("benchmarks-avx2.md")]
    places = [(page, name) for page in pages for name in command.NAMES] + [(command.STEPS, "ladder")]
    for page, name in places:
        insert(page.read_text(encoding="utf-8"), name, "")


def test_another_machines_page_leaves_the_main_one_alone(tmp_path, monkeypatch):
    page, steps = tmp_path / "old-cpu.md", tmp_path / "README.md"
    for path in (page, steps):
        path.write_text("<!-- begin ladder -->\n<!-- end ladder -->\n")
    monkeypatch.setattr(command, "STEPS", steps)
    command.write_down("ladder", [TABLE], page)
    assert "| a | 1.2 |" in page.read_text() and "| a |" not in steps.read_text()
    assert (tmp_path / "old-cpu" / "ladder.json").exists()
    monkeypatch.setattr(command, "DOCUMENT", page)
    command.write_down("ladder", [TABLE], page)
    assert "| a | 1.2 |" in steps.read_text()


def test_train_step_rows():
    def side(seconds, megabytes):
        return [{"median_s": s, "peak_mb": megabytes} for s in seconds]

    row = train_step.row("char", {"ours": side([0.01, 0.02, 0.03], 80), "torch": side([0.02, 0.05, 0.06], 300)}, "bf16")
    assert row == {
        train_step.SIZES: "char (12, 64, 65, 4, 4, 128)",
        "ours ms": 20.0,
        "ours MB": 80,
        "torch ms": 50.0,
        "torch MB": 300,
        "torch's mode": "bf16",
        "pairs": 3,
        "torch / ours": 2.0,
    }
    alone = train_step.row("char", {"ours": side([0.01], 80)}, None)
    assert alone["torch / ours"] is None and "torch ms" not in alone


def test_torchs_best_mode_is_the_fastest_that_works(monkeypatch, capsys):
    def torch(shape, steps, mode):
        if mode == "compile-bf16":
            raise PeerError("no compiler")
        return {"median_s": {"bf16": 2.0, "eager": 3.0}[mode]}

    monkeypatch.setattr(train_step, "torch", torch)
    assert train_step.best_mode("char", 1, ("eager", "bf16", "compile-bf16")) == "bf16"
    assert "compile-bf16 is left out: no compiler" in capsys.readouterr().err
    with pytest.raises(PeerError, match="none of its modes"):
        train_step.best_mode("char", 1, ("compile-bf16",))


def test_gemm_rows():
    keys = [f"{p.key} {precision}" for p in gemm.PRODUCTS for precision in gemm.PRECISIONS]
    ours = {"seconds": dict.fromkeys(keys, 0.01), "peaks": dict.fromkeys(keys, 1e12)}
    numpy = {"seconds": {key: 0.02 for key in keys if key.endswith("float32")}}
    rows = gemm.rows({"ours": [ours], "numpy": [numpy]})
    assert len(rows) == 12 and {r["torch GFLOP/s"] for r in rows} == {None}
    first = rows[0]
    assert (first["product"], first["formula"], first["type"]) == ("1024x3072x768", "y = x Wᵀ", "float32")
    assert first["ours GFLOP/s"] == pytest.approx(2 * 1024 * 3072 * 768 / 0.01 / 1e9)
    assert first["of peak"] == pytest.approx(first["ours GFLOP/s"] / 1000)
    assert first["NumPy GFLOP/s"] == pytest.approx(first["ours GFLOP/s"] / 2) and rows[-1]["NumPy GFLOP/s"] is None


def test_gemm_operands_have_the_products_sizes():
    for product in gemm.PRODUCTS:
        _, d_out, d_in = map(int, product.layer.split("x"))
        x, w, dy = (np.empty(shape, np.int8) for shape in ((gemm.TOKENS, d_in), (d_out, d_in), (gemm.TOKENS, d_out)))
        a, b = gemm.operands(product, x, w, dy)
        assert (a.shape, b.shape) == ((product.m, product.k), (product.k, product.n))


def made_up(limit_operations, limit_bytes, seconds):
    """What a process of ours prints, if every pass took so long."""
    keys = [f"{case.key} {name}" for case in op_cases.CASES for name in case.passes()]
    limits = dict.fromkeys(keys, {"operations": limit_operations, "bytes": limit_bytes})
    lines = {"operations": limit_operations, "L3": 4 * limit_bytes, "memory": limit_bytes}
    return {"seconds": dict.fromkeys(keys, seconds), "limits": limits, "lines": lines}


def test_ops_rows():
    rows = ops.rows({"ours": [made_up(1e11, 1e10, 0.01)], "torch": [made_up(1e11, 1e10, 0.02)]})
    by_name = {(r["op"], r["pass"]): r for r in rows}
    gelu = by_name["gelu_tanh", "forward"]  # 9 operations and 8 bytes an element: bound by memory
    assert gelu["of limit"] == pytest.approx(8 * 1024 * 3072 / 1e10 / 0.01)
    product = by_name["linear", "forward"]  # bound by its operations
    assert product["of limit"] == pytest.approx((2 * 768 + 1) * 1024 * 3072 / 1e11 / 0.01)
    assert {r["torch / ours"] for r in rows} == {2.0} and gelu["ours ms"] == 10.0
    assert by_name["clip and AdamW", "whole"]["shape"] == "124475904"


def test_the_roofline_is_drawn_with_no_name_over_another(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "close", lambda figure: None)
    rows = ops.rows({"ours": [made_up(2e11, 5e10, 0.01)]})
    roofline.draw(rows, {"operations": 200, "L3": 200, "memory": 50}, tmp_path / "images" / "roofline.png", "here")
    figure = pyplot.gcf()
    renderer = figure.canvas.get_renderer()
    # A text's own extent, not that of the line to its point.
    boxes = [text.get_bbox_patch().get_window_extent(renderer) for text in figure.axes[0].texts]
    assert len(boxes) == sum(r["operations a byte"] >= roofline.LEAST for r in rows)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert (tmp_path / "images" / "roofline.png").stat().st_size > 10_000
    monkeypatch.undo()
    pyplot.close(figure)


def test_the_command(monkeypatch, capsys):
    def measure(name, quick):
        if name == "gemm":
            raise PeerError("it broke")
        return [TABLE]

    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.setattr(command.os, "getloadavg", lambda: (3.0, 2.0, 1.0))
    assert command.main(["peaks", "--quick"]) == 0
    out, err = capsys.readouterr()
    assert "load average 3.0" in err
    monkeypatch.setattr(command.os, "getloadavg", lambda: (0.1, 2.0, 1.0))
    assert (
        out.startswith("## peaks\n\n") and "| a | 1.2 | 50% | 1.50x |" in out and re.search(r"\d{4}-\d\d-\d\d; ", out)
    )
    assert command.main([]) == 1  # the others are measured all the same
    printed = capsys.readouterr()
    assert "load average" not in printed.err
    assert "gemm: it broke" in printed.err and printed.out.count("| a |") == len(command.NAMES) - 1
    for arguments in (["nonsense"], ["--quick", "--write"]):
        with pytest.raises(SystemExit):
            command.main(arguments)
    assert "no benchmark is called nonsense" in capsys.readouterr().err


def test_commands_of_their_own_are_run_and_read(monkeypatch):
    monkeypatch.setattr(command, "PRINTED", {"tables": lambda quick: ["--quick"] if quick else []})
    monkeypatch.setattr(sys, "executable", "/bin/echo")
    assert command.measure("tables", quick=True) == []  # echo prints no table
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(PeerError, match="benchmarks.tables failed"):
        command.measure("tables", quick=False)


def test_the_ladder_refuses_a_wrong_product():
    pytest.importorskip("minillm._native", reason="the native kernels aren't built")
    from benchmarks import ladder

    assert len(ladder.STEPS) == ladder._native.LADDER_STEPS
    a = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    ladder.check("right", a @ a, a, a)
    for wrong in (a @ a + 1e-3, np.full_like(a, np.nan)):
        with pytest.raises(RuntimeError, match="step x"):
            ladder.check("step x", wrong, a, a)
