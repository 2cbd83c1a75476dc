"""The plan: its numbers, and its numbers as text."""

from dataclasses import dataclass

from minillm.errors import ConfigError
from minillm.training.progress import duration, memory

JOULES_PER_KWH = 3.6e6
SECONDS_PER_DAY = 86_400
LESS_MEMORY = "a smaller --batch-size, or more --gradient-accumulation parts, takes less"


@dataclass(frozen=True)
class Gpu:
    """What a plan knows of a GPU."""

    name: str
    free_bytes: int
    total_bytes: int
    matmul_flops: float
    """FLOP/s of large matrix products in the model's type, measured."""
    memory_bytes: float
    """Bytes a second that a copy reads and writes, measured."""


@dataclass(frozen=True)
class Plan:
    """What a training will take. Bytes, seconds, watts, floating-point operations."""

    parameters: dict[str, int]
    """Trained numbers by part of the model."""
    memory: dict[str, int]
    """Bytes by kind, each at its largest; "program" is what the process held before."""
    peak_bytes: int
    """Most bytes the process will hold at one time: less than the sum, where kinds aren't there together."""
    flops_per_step: int
    evaluation_flops: float
    """Of all evaluations."""
    steps: int
    tokens_per_step: int
    seconds_per_step: float
    evaluation_seconds: float
    """Of all evaluations."""
    watts: float
    watts_source: str
    """Whether the watts were given, measured or estimated."""
    method: str
    """How the time was found."""
    gpu: "Gpu | None" = None
    """The GPU it will run on; None for a run on the CPU."""
    bytes_per_step: int = 0
    """What a step must move to and from memory at least: what is saved for backward, written once and read once, and
    AdamW's weights, gradients and moments, of which it reads four and writes three arrays."""

    @property
    def limits(self) -> tuple[float, float]:
        """Seconds of a step at the GPU's peaks: for its matrix products, and for what it must move."""
        assert self.gpu
        return self.flops_per_step / self.gpu.matmul_flops, self.bytes_per_step / self.gpu.memory_bytes

    @property
    def flops(self) -> float:
        """Of the whole run."""
        return self.flops_per_step * self.steps + self.evaluation_flops

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.seconds_per_step * self.steps + self.evaluation_seconds

    @property
    def joules(self) -> float:
        """Of the whole run."""
        return self.seconds * self.watts

    def check_memory(self) -> None:
        """ConfigError where the run needs more of a GPU's memory than is free."""
        if self.gpu and self.peak_bytes > self.gpu.free_bytes:
            raise ConfigError(
                f"this run needs about {memory(self.peak_bytes)} of the GPU's memory, of which "
                f"{memory(self.gpu.free_bytes)} of {memory(self.gpu.total_bytes)} are free: {LESS_MEMORY}"
            )

    def table(self) -> str:
        """All of it, for a person."""
        return "\n\n".join([self._parameters(), self._memory(), self._work()])

    def _parameters(self) -> str:
        total = sum(self.parameters.values())
        rows = [(name, f"{n:,}") for name, n in self.parameters.items() if n]
        return _rows("parameters", [*rows, ("total", f"{total:,}")])

    def _memory(self) -> str:
        rows = [(name, memory(size)) for name, size in self.memory.items()]
        rows.append(("most at one time", memory(self.peak_bytes)))
        if self.gpu:
            rows.append(("free", f"{memory(self.gpu.free_bytes)} of {memory(self.gpu.total_bytes)}"))
        return _rows("memory", rows)

    def _work(self) -> str:
        evaluating = f", {_long(self.evaluation_seconds)} of it evaluating" if self.evaluation_seconds else ""
        flops_per_s = self.flops_per_step / self.seconds_per_step
        tokens_per_s = self.tokens_per_step / self.seconds_per_step
        peak = f", {flops_per_s / self.gpu.matmul_flops:.0%} of large matrix products' alone" if self.gpu else ""
        rows = [
            ("operations", f"{_si(self.flops_per_step)}FLOP a step, {_si(self.flops)}FLOP in {self.steps:,} steps"),
            ("speed", f"{_si(flops_per_s)}FLOP/s, {tokens_per_s:,.0f} tokens/s{peak}"),
            ("time", f"{_short(self.seconds_per_step)} a step, {_long(self.seconds)} in all{evaluating}"),
            ("", self.method),
            ("energy", f"{energy_text(self.joules)} at {self.watts:.0f} W ({self.watts_source})"),
        ]
        if self.gpu:
            products, moved = self.limits
            peaks = (
                f"{_si(self.gpu.matmul_flops)}FLOP/s in large matrix products, {_si(self.gpu.memory_bytes)}B/s copying"
            )
            at_peak = f"{_short(products + moved)} a step: products {_short(products)}, memory {_short(moved)}"
            rows[1:1] = [("on", self.gpu.name), ("its peaks", peaks), ("at its peaks", at_peak)]
        return _rows("work", rows, align="<")


def compare(plan: Plan, actual_seconds: float, actual_peak_bytes: float) -> str:
    """What a training took beside what was planned. actual_peak_bytes: the most the whole process held."""
    joules = actual_seconds * plan.watts
    rows = [
        ("", "planned", "actual", "actual / planned"),
        ("time", _long(plan.seconds), _long(actual_seconds), _ratio(actual_seconds, plan.seconds)),
        ("memory", memory(plan.peak_bytes), memory(actual_peak_bytes), _ratio(actual_peak_bytes, plan.peak_bytes)),
        ("energy", energy_text(plan.joules), energy_text(joules), f"at {plan.watts:.0f} W, {plan.watts_source}"),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows)


def energy_text(joules: float) -> str:
    """Watt-hours, the unit of electricity bills (1 kWh = 3.6 MJ)."""
    kwh = joules / JOULES_PER_KWH
    return f"{kwh:,.2f} kWh" if kwh >= 1 else f"{kwh * 1000:.3g} Wh"


def _rows(title: str, rows: list[tuple[str, str]], align: str = ">") -> str:
    left, right = (max(len(row[column]) for row in rows) for column in (0, 1))
    width = right if align == ">" else 0
    return "\n".join([title, *(f"  {name:<{left}}  {value:{align}{width}}".rstrip() for name, value in rows)])


def _si(number: float) -> str:
    """A number with a decimal prefix: 3.2 G."""
    for factor, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= factor:
            return f"{number / factor:.3g} {prefix}"
    return f"{number:.3g} "


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _long(seconds: float) -> str:
    days = f" ({seconds / SECONDS_PER_DAY:,.1f} days)" if seconds >= 2 * SECONDS_PER_DAY else ""
    return duration(seconds) + days


def _ratio(actual: float, planned: float) -> str:
    return f"{actual / planned:.2f}" if planned else "-"
