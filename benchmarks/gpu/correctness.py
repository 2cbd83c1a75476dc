"""Every op of the table on every backend of the GPU: float32 and bfloat16, small and large, NaN, the same bits again.

float32: the error against the formula in float64 is at most twice that of the formula in float32, on the op's own
cases and on rows as wide as a vocabulary (minillm.testing.agree). bfloat16: checks.ROUNDINGS. Each backend runs in
processes of its own, side by side.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

import minillm as ml
from benchmarks.gpu import checks
from benchmarks.gpu.cases import OnCases, large_cases
from benchmarks.gpu.context import Context, say
from benchmarks.gpu.items import run_items, side_by_side
from benchmarks.gpu.sizes import Sizes
from benchmarks.tables import Table
from minillm.backend import find_backend
from minillm.errors import ConfigError
from minillm.registry import OPS, Case, Op
from minillm.testing import CheckError

SECONDS = 100
MOST = 60  # seconds for an op
PARTS = {"cuda": 2, "numba_cuda": 1, "cupy": 4}  # processes for each backend
OWN_KERNELS = ("cuda", "numba_cuda")  # whose ops without a kernel are backend cupy's


def item(name: str, sizes: Sizes) -> dict[str, Any]:
    """All checks of one op on one backend, such as "cuda softmax"."""
    backend, op_name = name.split()
    xp, op = find_backend(backend).array_module, OPS[op_name]
    own, large = op.cases(np.random.default_rng(0)), large_cases(op_name, sizes)
    problems: list[str] = []
    kernels = Counter(agreed(op, backend, own + large, problems))
    found: dict[str, Any] = {"cases": len(own), "large": len(large), "kernels": dict(kernels)}
    if backend != "numba_cuda":  # its kernels take float32 only
        found["bfloat16"] = bfloat16(op, backend, own + large, problems)
    probe = next((case for case in own if _may_hold_nan(case)), None)
    if probe:
        wrong = attempt("NaN", lambda: checks.not_finite_differs(op, backend, probe), problems)
        problems += [f"{value} in the input comes out as in no formula" for value in wrong or ()]
        found["not finite"] = wrong == []
    again = [
        attempt("twice", lambda case=case: checks.same_bits(op, backend, case), problems) for case in large or own[:1]
    ]
    found["same bits"] = all(again)
    if False in again and backend in kernels:
        problems.append("a second run gives other bits")
    if problems and hasattr(xp, "cuda"):
        xp.cuda.get_current_stream().synchronize()  # raises where this process has lost the GPU
    return {**found, "problems": problems}


def attempt(what: str, check: Callable[[], Any], problems: list[str]) -> Any:
    """What the check returns; None where it raises, and that goes to the problems: others may still tell something."""
    try:
        return check()
    except CheckError as error:
        problems.append(str(error))
    except Exception as error:
        problems.append(f"{what}: {type(error).__name__}: {error}")
    return None


def agreed(op: Op, backend: str, cases: list[Case], problems: list[str]) -> list[str]:
    """`agree` on each of the cases: the backends whose kernels ran."""

    def ran_on(case: Case) -> list[str]:
        return list(ml.testing.agree(OnCases(op, [case]), backend).values())

    found = [attempt(f"float32, {case.note}", lambda case=case: ran_on(case), problems) for case in cases]
    return [kernel for ran in found for kernel in ran or ()]


def bfloat16(op: Op, backend: str, cases: list[Case], problems: list[str]) -> float | None:
    """The worst case's error, as a share of what is allowed; None where no case could be run."""
    errors = []
    for case in cases:
        what = f"bfloat16, {case.note or case.kwargs}"
        error = attempt(what, lambda case=case: checks.bfloat16_error(op, backend, case), problems)
        if error is None:
            continue
        errors.append(error)
        if not error <= 1:
            problems.append(f"{what}: {error:.2f} of the error that is allowed")
    return max(errors, default=None)


def _may_hold_nan(case: Case) -> bool:
    first = case.args[0] if case.args else None
    return getattr(getattr(first, "dtype", None), "kind", "") == "f" and first.size > 0


def names(backend: str, sizes: Sizes, emulated: bool) -> list[str]:
    """The items of a backend: ops with a kernel of its own, or all."""
    if backend == "numba_cuda" and emulated:
        return [f"{backend} {name}" for name in sizes.simulated]
    find_backend(backend)
    every = [op for op in OPS.values() if not sizes.ops or op.name in sizes.ops]
    return [f"{backend} {op.name}" for op in every if backend not in OWN_KERNELS or backend in op.overrides]


def measure(context: Context, values: dict[str, Any]) -> None:
    """All backends at once: none of this is timed."""
    values["rows"], values["problems"] = [], []
    parts: list[list[str]] = []
    for backend, count in PARTS.items():
        try:
            mine = names(backend, context.sizes, context.emulated)
        except ConfigError as error:  # numba-cuda isn't installed, say
            values["rows"].append({"backend": backend, "op": "", "result": str(error)})
            continue
        parts += [mine[i::count] for i in range(count)]

    def do(part: list[str]) -> None:
        for outcome in run_items("benchmarks.gpu.correctness", part, context.size, context.deadline, MOST):
            note(outcome, values)

    side_by_side(do, parts, 2 if context.emulated else max(len(parts), 1), context.deadline)


def note(outcome: dict[str, Any], values: dict[str, Any]) -> None:
    """A row for the op on the backend."""
    backend, op = outcome["item"].split()
    found = outcome.get("values", {})
    problems = found.get("problems", []) + ([outcome["error"]] if "error" in outcome else [])
    result = outcome.get("skipped") or ("failed" if problems else "agrees")
    values["rows"].append({"backend": backend, "op": op, "result": result, **found})
    values["problems"] += [f"{op} on {backend}: {problem}" for problem in problems]
    if result != "agrees":
        say(f"  {op} on {backend}: {result}")


COLUMNS = {
    "backend": "",
    "op": "",
    "result": "",
    "cases": "",
    "large": "",
    "kernels that ran": "",
    "bfloat16 error, of what is allowed": ".0%",
    "NaN and infinity": "",
    "same bits": "",
}


def tables(values: dict[str, Any]) -> list[Table]:
    """A line for each op on each backend."""
    rows = []
    for found in sorted(values.get("rows", []), key=lambda row: (row["backend"], row["op"])):
        ran = ", ".join(f"{count} {kernel}" for kernel, count in found.get("kernels", {}).items())
        shown = {name: "yes" if found[name] else "no" for name in ("not finite", "same bits") if name in found}
        rows.append(
            {
                **found,
                "kernels that ran": ran.replace("numpy", "reference"),
                "bfloat16 error, of what is allowed": found.get("bfloat16"),
                "NaN and infinity": shown.get("not finite"),
                "same bits": shown.get("same bits"),
            }
        )
    note = (
        "float32 against the formula in float64: at most twice the error of the formula in float32. bfloat16: at most "
        "2⁻⁸ of the largest magnitude, "
        + ", ".join(f"{name} {count} times that" for name, count in checks.ROUNDINGS.items())
        + ". Ops that a backend has no kernel for are backend cupy's: the formulas on CuPy, where sums by index "
        "(embedding's gradient) have no fixed order."
    )
    return [Table("Every op against its formula", COLUMNS, rows, note)]
