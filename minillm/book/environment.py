"""What the book needs of a machine, looked at: `environment()` in a notebook, or python -m minillm.book.environment

Each check is a function that returns a `Finding`: what is there, and, unless that is fine, what to do about it.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass

from minillm.book.cells import root
from minillm.kernels import NATIVE_BUILT, native_module
from minillm.planning.energy import cores

MEMORY = 1.0  # GiB: a chapter takes a fifth of it, JupyterLab and a browser the rest
CHINESE = (  # font families with Chinese characters: those that systems bring, and those people install
    "Noto Sans CJK", "Noto Sans SC", "Noto Serif CJK", "Source Han", "WenQuanYi", "Droid Sans Fallback", "AR PL",
    "PingFang", "Hiragino Sans GB", "Heiti", "STHeiti", "Songti", "Arial Unicode MS",
    "Microsoft YaHei", "SimHei", "SimSun",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What one check found. advice: what to do about it, empty where all is fine; needed: chapters fail without it."""

    what: str
    found: str
    advice: str = ""
    needed: bool = False

    @property
    def verdict(self) -> str:
        """ "fine", "could be better" (the chapters run all the same) or "to do" (they don't)."""
        return "fine" if not self.advice else "to do" if self.needed else "could be better"


@dataclass(frozen=True)
class Report:
    """All findings: a table in a notebook, lines in a terminal."""

    findings: tuple[Finding, ...]

    @property
    def summary(self) -> str:
        """One sentence on all of them."""
        verdicts = [finding.verdict for finding in self.findings]
        if "to do" in verdicts:
            return f"To do first: {_named(self.findings, 'to do')}."
        if "could be better" in verdicts:
            return f"The chapters run here. What could be better: {_named(self.findings, 'could be better')}."
        return "All is fine: the chapters run here."

    def __repr__(self) -> str:
        wide = max(len(finding.what) for finding in self.findings)
        lines = [f"{f.what:{wide}}  {f.verdict}: {f.found}{f'. {f.advice}' if f.advice else ''}" for f in self.findings]
        return "\n".join([*lines, self.summary])

    def _repr_markdown_(self) -> str:
        rows = [f"| {f.what} | {f.found} | {f.verdict} | {f.advice} |" for f in self.findings]
        head = ["| | found | | what to do |", "|---|---|---|---|"]
        return "\n".join([f"**{self.summary}**", "", *head, *rows])


def environment() -> Report:
    """Look at everything. DataError where the notebooks aren't beside the package."""
    return Report((
        python(), package("numpy", needed=True), kernels(), threads(), memory(),
        package("matplotlib", needed=True), chinese_font(), package("jupyterlab"), score_packages(),
    ))  # fmt: skip


def python() -> Finding:
    """The Python that runs this."""
    version, least = platform.python_version(), _least("python")
    if _enough(version, least):
        return Finding("Python", version)
    how = _for_system(
        windows="`winget install Python.Python.3.12`",
        macos="`brew install python@3.12`",
        linux="`apt install python3.12 python3.12-venv`, or `uv python install 3.12`",
    )
    return Finding("Python", version, f"{least} or newer is needed: {how}, then make `.venv` anew with it.", True)


def package(name: str, needed: bool = False) -> Finding:
    """One package, as new as pyproject.toml asks for."""
    version, least = installed(name), _least(name)
    what = {"numpy": "NumPy", "matplotlib": "Matplotlib", "jupyterlab": "JupyterLab"}.get(name, name)
    if version and _enough(version, least):
        return Finding(what, version)
    advice = f"{least} or newer is wanted: {_pip()}"
    if not needed:
        advice += " (not if you open the notebooks in something else, such as VS Code)"
    return Finding(what, version or "not installed", advice, needed)


def score_packages() -> Finding:
    """What chapters compare their own scores with."""
    names = ("sacrebleu", "rouge-score", "scikit-learn", "pyyaml")
    there = {name: version for name in names if (version := installed(name))}
    found = ", ".join(f"{name} {version}" for name, version in there.items()) or "none"
    missing = [name for name in names if name not in there or not _enough(there[name], _least(name))]
    advice = f"{', '.join(missing)}: a chapter on evaluation compares with them. {_pip()}" if missing else ""
    return Finding("for scores", found, advice, True)


def kernels() -> Finding:
    """Whether the C++ kernels run, or NumPy does everything."""
    if native := native_module():
        return Finding("kernels", f"native, in C++, for {native.isa()}")
    slower = "NumPy alone: the same formulas and results, several times slower"
    if NATIVE_BUILT:
        return Finding(
            "kernels", slower, "The native ones are built, but MINILLM_BACKEND says numpy; unset it for speed."
        )
    advice = _for_system(
        windows="Nothing, or work in WSL, which is Linux inside of Windows: Visual C++ can't compile the kernels.",
        macos="Nothing, or install a compiler with OpenMP (`brew install gcc`), then minillm again with `CXX=g++-15` "
        "before the command; the number is that of the gcc you got.",
        linux="Nothing, or install a compiler (`apt install g++`, version 11 or newer), then minillm again.",
    )
    return Finding("kernels", slower, advice)


def threads() -> Finding:
    """On how many threads the kernels run."""
    here = cores()
    if not (native := native_module()):
        return Finding("threads", f"NumPy decides; processors: {here}")
    from minillm.kernels.native.environment import threads_and_source

    number, source = native.threads(), threads_and_source()[1]
    advice = f"More than the {here} processors there are, so they wait for each other; set {source} to {here}."
    return Finding("threads", f"{number} ({source})", advice if number > here else "")


def memory() -> Finding:
    """Memory that is free now."""
    import psutil

    free = psutil.virtual_memory().available / 2**30
    advice = _for_system(
        windows="Close other programs (Task Manager, Memory).",
        macos="Close other programs (Activity Monitor, Memory).",
        linux="Close other programs (the command top, then Shift-M, lists them).",
    )
    short = f"{MEMORY:g} GiB is wanted. {advice} One notebook at a time: Kernel > Shut Down All Kernels."
    return Finding("free memory", f"{free:.1f} GiB", "" if free >= MEMORY else short)


def chinese_font() -> Finding:
    """A font in which Matplotlib can draw Chinese labels; the book's own pictures have none."""
    names = sorted(name for name in font_names() if name.startswith(CHINESE))
    if names:
        return Finding("Chinese in pictures", f'{names[0]}; `plt.rcParams["font.family"] = "{names[0]}"` draws with it')
    how = _for_system(
        windows="Windows brings Microsoft YaHei",
        macos="macOS brings PingFang and Heiti",
        linux="`apt install fonts-noto-cjk`",
    )
    advice = f"Only for Chinese labels of your own. {how}; then delete {font_cache()}, Matplotlib's list of fonts."
    return Finding("Chinese in pictures", "no font", advice)


def font_cache() -> str:
    """Where Matplotlib keeps the list of fonts it found; its usual name where it is missing."""
    try:
        import matplotlib
    except ImportError:
        return "~/.cache/matplotlib"
    return str(matplotlib.get_cachedir())


def font_names() -> set[str]:
    """The fonts that Matplotlib knows of; none where it is missing."""
    try:
        from matplotlib import font_manager
    except ImportError:
        return set()
    return {font.name for font in font_manager.fontManager.ttflist}


def installed(name: str) -> str | None:
    """A package's version, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _least(name: str) -> str:
    """The oldest version that pyproject.toml allows of a package, or of "python"."""
    project = tomllib.loads((root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [f"python{project['requires-python']}", *project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    return next(line.removeprefix(f"{name}>=") for line in wanted if line.startswith(f"{name}>="))


def _enough(version: str, least: str) -> bool:
    return _numbers(version) >= _numbers(least)


def _numbers(version: str) -> list[int]:
    """ "2.1.0rc1" -> [2, 1, 0]"""
    matched = re.match(r"\d+(\.\d+)*", version)
    return [int(part) for part in matched[0].split(".")] if matched else []


def _pip() -> str:
    """The command that installs what the book needs, from the clone's folder."""
    path = _for_system(windows=r".venv\Scripts\python", macos=".venv/bin/python", linux=".venv/bin/python")
    return f'`{path} -m pip install -e ".[notebooks]"`'


def _for_system(windows: str, macos: str, linux: str) -> str:
    return {"Windows": windows, "Darwin": macos}.get(platform.system(), linux)


def _named(findings: Iterable[Finding], verdict: str) -> str:
    return ", ".join(finding.what for finding in findings if finding.verdict == verdict)


if __name__ == "__main__":
    print(environment())
