"""The same twenty updates everywhere: on the CPU in float64 and float32, on the GPU in float32 and bfloat16, each with
and without its CUDA graph. The losses must be those of float64, up to a bound for each type.
"""

from typing import Any

import numpy as np

import minillm as ml
from benchmarks.gpu.context import Context, say
from benchmarks.gpu.items import run_items
from benchmarks.gpu.sizes import Sizes
from benchmarks.tables import Table
from minillm.backend import use_backend
from minillm.models import GPT, GPTConfig
from minillm.optim import AdamW
from minillm.training import step

SECONDS = 40
MOST = 60  # seconds for one of them
EXACT = "numpy float64"
RUNS = [
    EXACT, "numpy float32", "cuda float32", "cuda float32 graph", "cuda bfloat16", "cuda bfloat16 graph",
]  # fmt: skip
# The largest relative difference from the losses in float64. float32: what tests/models/test_twenty_steps.py allows
# every backend. bfloat16 has 8 bits: its losses differ by some thousandths from the first step on.
BOUNDS = {"float32": 1e-4, "bfloat16": 1e-2}
LEARNING_RATE = 3e-3


def batches(sizes: Sizes) -> list[dict[str, np.ndarray]]:
    """Texts in which each token decides the next: a model learns that within a few steps."""
    n, time = sizes.golden["vocab_size"], sizes.golden["context_length"]
    rng, made = np.random.default_rng(0), []
    for _ in range(sizes.golden_steps):
        text = np.empty((sizes.golden_batch, time + 1), np.int64)
        text[:, 0] = rng.integers(0, n, sizes.golden_batch)
        for t in range(time):
            text[:, t + 1] = (5 * text[:, t] + 3) % n
        made.append({"ids": text[:, :-1], "targets": text[:, 1:]})
    return made


def item(name: str, sizes: Sizes) -> dict[str, Any]:
    """The losses of one run, such as "cuda bfloat16 graph"."""
    backend, dtype, *graph = name.split()
    with use_backend(backend):
        ml.seed(0)
        model = GPT(GPTConfig(**sizes.golden, dtype=dtype))
        optimizer = AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1)
        gradients = captured() if graph else step.accumulate_gradients
        options: dict[str, Any] = {"clip": 1.0, "parts": 1, "gradients": gradients}
        results = [step.update(model, optimizer, batch, **options) for batch in batches(sizes)]
    return {
        "losses": [result.loss for result in results],
        "norms": [result.grad_norm for result in results],
        "skipped": [result.skipped for result in results if result.skipped],
    }


def captured() -> Any:
    """Gradients by a CUDA graph."""
    from minillm.cuda.graph import CapturedGradients

    return CapturedGradients(step.accumulate_gradients)


def measure(context: Context, values: dict[str, Any]) -> None:
    """One run after the other."""
    values["runs"], values["problems"] = {}, []
    for outcome in run_items("benchmarks.gpu.golden", RUNS, context.size, context.deadline, MOST):
        name = outcome["item"]
        values["runs"][name] = outcome.get("values") or {"losses": [], "skipped": [outcome.get("skipped", "failed")]}
        if "error" in outcome:
            values["problems"].append(f"{name}: {outcome['error']}")
        else:
            say(f"  {name}: {outcome.get('skipped') or 'last loss {:.4f}'.format(values['runs'][name]['losses'][-1])}")
    values["differences"] = differences(values["runs"])
    values["problems"] += too_large(values["differences"])


def differences(runs: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The largest relative difference of each run's losses from those in float64; none where one of them is missing."""
    exact = np.array(runs.get(EXACT, {}).get("losses", []))
    found = {}
    for name, run in runs.items():
        losses = np.array(run["losses"])
        if len(losses) == len(exact) and len(exact):
            found[name] = float(np.max(np.abs(losses - exact) / exact))
    return found


def too_large(found: dict[str, float]) -> list[str]:
    """What is beyond its bound; a loss that is NaN is, too."""
    return [
        f"{name}: its losses differ by {difference:.2g} from those in float64, {BOUNDS[dtype]:.0e} is allowed"
        for name, difference in found.items()
        if (dtype := name.split()[1]) in BOUNDS and not difference <= BOUNDS[dtype]
    ]


def tables(values: dict[str, Any]) -> list[Table]:
    """A line for each step, a column for each run; and what came of it."""
    runs = values.get("runs", {})
    count = max((len(run["losses"]) for run in runs.values()), default=0)
    rows = [
        {"step": i + 1, **{name: run["losses"][i] for name, run in runs.items() if i < len(run["losses"])}}
        for i in range(count)
    ]
    columns = {"step": "", **dict.fromkeys(runs, ".5f")}
    differing = [
        {"run": name, "largest difference": difference, "allowed": BOUNDS.get(name.split()[1])}
        for name, difference in values.get("differences", {}).items()
    ]
    note = "Relative, of the losses, from those of float64."
    return [
        Table("Losses of the same updates", columns, rows, "A small GPT, one seed, AdamW, gradients clipped to 1."),
        Table("Differences", {"run": "", "largest difference": ".1e", "allowed": ".0e"}, differing, note),
    ]
