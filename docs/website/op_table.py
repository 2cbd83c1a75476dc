"""The op table as a page: formula, derivative, gradient error, kernels and speed of every op.

Errors are measured when the page is made; speeds are those of docs/benchmarks*/ops.json, with their machine and date.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from docs.website.places import ROOT
from docs.website.tables import code, table
from minillm.backend import find_backend
from minillm.errors import ConfigError
from minillm.ops.__main__ import largest_gradient_error
from minillm.registry import OPS, Op
from minillm.testing import agree

# The benchmarks' names of what isn't called like its op.
MEASURED_AS = {"linear_cross_entropy": "head and loss"}

INTRO = """# The op table

Every op of `minillm.ops`: a formula and its derivative, written as two plain functions, and the kernels that may stand
in for them.

- **Gradient error**: the largest difference between the derivative and central finite differences, in float64, over
  the cases that the op is tested with. Measured when this page was made.
- **Native kernel**: how many of these cases, in float32, the C++ kernel takes. On each, its result and its gradient
  were compared with the float64 formula when this page was made; their errors may be at most twice those of NumPy's
  float32. The other cases run on NumPy.
- **CUDA C++, Numba CUDA**: how many of the cases the GPU's kernels take, by what they say of themselves; the tests hold
  them against the formula, in an emulator. The other cases run the formula on CuPy. A dash: no kernel, or what the
  emulator is made of wasn't installed when this page was made.
- **Speed**: PyTorch's time divided by ours; more than 1 means that ours is faster. Several shapes give a range. The
  times, the shapes and how they were measured: [benchmarks](benchmarks), and [on an older
  processor](benchmarks-avx2). Of matmul, the products of a GPT's layers. A dash: not measured; most of these ops run on
  NumPy alone, whose time is that of the formula.
"""


@dataclass(frozen=True)
class Measured:
    """A committed file of measurements: who measured, and for each op and pass the ratios PyTorch / ours."""

    machine: str
    isa: str
    ratios: dict[str, dict[str, list[float]]]


def page() -> str:
    """The page, as MyST Markdown."""
    load_gpu_backends()
    files = [measured(ROOT / "docs" / folder) for folder in ("benchmarks", "benchmarks-avx2")]
    rows = [
        [*_described(op), *_checked(op), _taken(op, "cuda"), _taken(op, "numba_cuda"), *[_speed(op, f) for f in files]]
        for _, op in sorted(OPS.items())
    ]
    head = [
        "op",
        "formula and derivative",
        "gradient error",
        "native kernel",
        "CUDA C++",
        "Numba CUDA",
        *[f"speed, {file.isa}" for file in files],
    ]
    machines = "\n".join(f"- {file.isa}: {file.machine}" for file in files)
    return f"{INTRO}\nThe machines:\n\n{machines}\n\n{table(head, rows, 'op-table')}\n"


def measured(folder: Path) -> Measured:
    """The measurements of ops and of matrix products in a folder that `python -m benchmarks` wrote."""
    data, gemm = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("ops.json", "gemm.json"))
    ratios: dict[str, dict[str, list[float]]] = {}
    for row in data["tables"][0]["rows"]:
        ratios.setdefault(row["op"], {}).setdefault(row["pass"], []).append(row["torch / ours"])
    for row in gemm["tables"][0]["rows"]:
        if row["torch / ours"] is not None:  # bfloat16 where the processor has no products of it
            ratios.setdefault("matmul", {}).setdefault(row["type"], []).append(row["torch / ours"])
    machine = f"{data['cpu']}; {data['threads']} threads; {data['date']}; {data['versions']}"
    return Measured(machine, data["instruction set"], ratios)


def split_formula(docstring: str) -> tuple[str, str]:
    """What an op is, and its formula (empty if it has none), from its docstring."""
    lines = docstring.strip().split("\n")
    what, *rest = re.split(r" {2,}", lines[0].strip())
    if not rest and re.match(r"^\w+ = ", what):
        return "", what
    if not rest:  # the formula may stand on a line of its own
        rest = [line.strip() for line in lines[1:] if re.search(r"^ *\w+ = ", line)][:1]
    return what, ",  ".join(part.rstrip(".,;") for part in rest if not re.fullmatch(r"(\[[\w.-]+\] ?)+", part))


def _described(op: Op) -> list[str]:
    what, formula = split_formula(op.__doc__ or "")
    derivative = inspect.getdoc(op.reference.backward) or ""
    ids = " ".join(f"[[{id}]](#formula-{id})" for id in op.formula_ids)
    name = f"[`{op.name}`](#minillm.ops.{op.name})"
    lines = [code(text) for text in (formula, *derivative.split("\n")) if text]
    return [f"{name}<br>{what} {ids}".strip(), "<br>".join(lines) or "(a change of shape or type)"]


def _checked(op: Op) -> list[str]:
    error = f"{largest_gradient_error(op):.1e}"
    if "native" not in op.overrides:
        return [error, "—"]
    ran = list(agree(op, "native").values())
    return [error, f"[{ran.count('native')} of {len(ran)} cases](source:{_source(op, 'native')})"]


def _taken(op: Op, backend: str) -> str:
    """How many of the op's cases in float32 a kernel says it takes, with its file."""
    if backend not in op.overrides:
        return "—"
    cases = [case for case in op.cases(np.random.default_rng(0)) if "dtype" not in case.kwargs]
    takes = op.overrides[backend].supports
    taken = [takes(*[a.astype(np.float32) if is_float(a) else a for a in case.args], **case.kwargs) for case in cases]
    return f"[{sum(taken)} of {len(cases)}](source:{_source(op, backend)})" if cases else "—"


def is_float(a: Any) -> bool:
    return getattr(getattr(a, "dtype", None), "kind", "") == "f"


def _source(op: Op, backend: str) -> str:
    return Path(inspect.getsourcefile(op.overrides[backend].forward) or "").relative_to(ROOT).as_posix()


def load_gpu_backends() -> None:
    """Have the GPU's kernels in the op table, as far as the emulator can be had."""
    os.environ.setdefault("MINILLM_CUDASIM", "1")
    for backend in ("cuda", "numba_cuda"):
        with suppress(ConfigError):
            find_backend(backend)


def _speed(op: Op, file: Measured) -> str:
    passes = file.ratios.get(MEASURED_AS.get(op.name, op.name), {})
    return "<br>".join(f"{name}&nbsp;{_range(ratios)}" for name, ratios in passes.items()) or "—"


def _range(ratios: list[float]) -> str:
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return f"**{low}**" if low == high else f"**{low}–{high}**"
