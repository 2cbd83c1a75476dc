"""The report of python -m benchmarks.gpu: written section by section, whatever fails; which sections run."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu.report import EMULATION, Report
from benchmarks.tables import Table, parse


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
