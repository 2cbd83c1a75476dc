"""Each check of the environment is fine where all is well, fails where something is amiss, and says what to do."""

from types import SimpleNamespace

import psutil
import pytest

from minillm.book import environment
from minillm.book.environment import Finding, Report

ADVICE = {"Windows": "winget", "Darwin": "brew", "Linux": "apt"}


@pytest.fixture(params=ADVICE)
def system(request, monkeypatch):
    monkeypatch.setattr(environment.platform, "system", lambda: request.param)
    return request.param


@pytest.fixture
def versions(monkeypatch):
    """What is installed, to be changed by a test: all as new as wanted."""
    there = {
        name: environment._least(name)
        for name in ("numpy", "matplotlib", "jupyterlab", "sacrebleu", "rouge-score", "scikit-learn", "pyyaml")
    }
    monkeypatch.setattr(environment, "installed", there.get)
    return there


@pytest.fixture
def native(monkeypatch):
    """A native module that runs on two threads, on four processors."""
    module = SimpleNamespace(isa=lambda: "avx2", threads=lambda: 2)
    monkeypatch.setattr(environment, "native_module", lambda: module)
    monkeypatch.setattr(environment, "cores", lambda: 4)
    return module


# ---- Python and packages ----


@pytest.mark.parametrize("version", ["3.11.0", "3.12.1", "3.20.0rc1", "4.0.0"])
def test_a_new_enough_python_is_fine(monkeypatch, version):
    monkeypatch.setattr(environment.platform, "python_version", lambda: version)
    assert environment.python() == Finding("Python", version)


@pytest.mark.parametrize("version", ["3.10.12", "3.9.1", "2.7.18"])  # "3.9" is less than "3.11", though not as text
def test_an_old_python_comes_first(monkeypatch, system, version):
    monkeypatch.setattr(environment.platform, "python_version", lambda: version)
    finding = environment.python()
    assert finding.verdict == "to do" and ADVICE[system] in finding.advice and "3.11" in finding.advice


def test_the_oldest_versions_are_those_of_the_project():
    assert environment._least("python") == "3.11"
    assert environment._numbers(environment._least("numpy")) >= [2]


def test_packages_as_new_as_wanted_are_fine(versions):
    for name in ("numpy", "matplotlib", "jupyterlab"):
        assert environment.package(name, needed=True).verdict == "fine"
    assert environment.score_packages().verdict == "fine"


@pytest.mark.parametrize("version", [None, "1.26.4", "2.0.9"])
def test_numpy_missing_or_old_comes_first(versions, version):
    versions["numpy"] = version
    finding = environment.package("numpy", needed=True)
    assert finding.verdict == "to do" and 'pip install -e ".[notebooks]"' in finding.advice
    assert finding.found == (version or "not installed")


def test_other_editors_than_jupyterlab_will_do(versions):
    del versions["jupyterlab"]
    finding = environment.package("jupyterlab")
    assert finding.verdict == "could be better" and "VS Code" in finding.advice


def test_the_command_is_that_of_the_system(versions, system):
    del versions["matplotlib"]
    python = r".venv\Scripts\python" if system == "Windows" else ".venv/bin/python"
    assert python in environment.package("matplotlib", needed=True).advice


def test_what_scores_lack_is_named(versions):
    del versions["sacrebleu"]
    versions["scikit-learn"] = "1.0"
    finding = environment.score_packages()
    assert finding.verdict == "to do" and finding.advice.startswith("sacrebleu, scikit-learn:")


def test_a_package_that_is_nowhere_is_not_installed():
    assert environment.installed("numpy") and environment.installed("no-such-package-of-anybody") is None


# ---- the machine ----


def test_native_kernels_are_fine(native):
    finding = environment.kernels()
    assert finding.verdict == "fine" and "avx2" in finding.found


def test_kernels_switched_off_name_the_variable(monkeypatch):
    monkeypatch.setattr(environment, "native_module", lambda: None)
    monkeypatch.setattr(environment, "NATIVE_BUILT", True)
    finding = environment.kernels()
    assert finding.verdict == "could be better" and "MINILLM_BACKEND" in finding.advice and "NumPy" in finding.found


def test_kernels_that_were_not_built_are_no_hindrance(monkeypatch, system):
    monkeypatch.setattr(environment, "native_module", lambda: None)
    monkeypatch.setattr(environment, "NATIVE_BUILT", False)
    finding = environment.kernels()
    assert finding.verdict == "could be better"
    assert {"Windows": "WSL", "Darwin": "brew", "Linux": "apt"}[system] in finding.advice


def test_no_more_threads_than_processors(monkeypatch, native):
    pytest.importorskip("minillm._native")
    monkeypatch.setenv("MINILLM_THREADS", "2")
    assert environment.threads() == Finding("threads", "2 (MINILLM_THREADS)")
    monkeypatch.setattr(environment, "cores", lambda: 1)
    finding = environment.threads()
    assert finding.verdict == "could be better" and "set MINILLM_THREADS to 1" in finding.advice


def test_threads_without_the_kernels(monkeypatch):
    monkeypatch.setattr(environment, "native_module", lambda: None)
    assert environment.threads().verdict == "fine"


def test_little_memory_is_told(monkeypatch, system):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**30))
    assert environment.memory() == Finding("free memory", "1.0 GiB")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**29))
    finding = environment.memory()
    assert finding.found == "0.5 GiB" and finding.verdict == "could be better"
    assert {"Windows": "Task Manager", "Darwin": "Activity Monitor", "Linux": "top"}[system] in finding.advice


def test_a_chinese_font_is_found_by_its_name(monkeypatch, system):
    monkeypatch.setattr(environment, "font_names", lambda: {"DejaVu Sans", "Noto Sans CJK JP", "cmr10"})
    assert environment.chinese_font().verdict == "fine" and "Noto Sans CJK JP" in environment.chinese_font().found
    monkeypatch.setattr(environment, "font_names", lambda: {"DejaVu Sans", "Noto Sans", "Last Resort High-Efficiency"})
    finding = environment.chinese_font()
    assert finding.verdict == "could be better"
    assert {"Windows": "YaHei", "Darwin": "PingFang", "Linux": "apt"}[system] in finding.advice


def test_the_fonts_are_matplotlibs():
    pytest.importorskip("matplotlib")
    assert "DejaVu Sans" in environment.font_names()  # it brings this one itself


# ---- all together ----


def test_the_summary_says_what_is_worst():
    fine, better = Finding("a", "1"), Finding("b", "2", "Do this.")
    worst = Finding("c", "3", "Do that.", needed=True)
    assert Report((fine,)).summary == "All is fine: the chapters run here."
    assert Report((fine, better)).summary == "The chapters run here. What could be better: b."
    assert Report((fine, better, worst)).summary == "To do first: c."
    assert Finding("d", "4", needed=True).verdict == "fine"  # needed, and there


def test_text_and_table_say_the_same():
    report = environment.environment()
    shown, table = repr(report), report._repr_markdown_()
    for finding in report.findings:
        assert finding.found in shown and f"| {finding.what} | {finding.found} | {finding.verdict} |" in table
    assert report.summary in shown and report.summary in table
    assert shown.isascii()  # any terminal can print it
    assert all(line.count("|") == 5 for line in table.split("\n")[2:])
