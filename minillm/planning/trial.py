"""A trial: a few real training steps of the model with one layer and with two, from which any depth follows.

All layers are alike, so time and memory grow by the same amount with each: f(n) = f(1) + (n − 1) (f(2) − f(1)).
What is saved for backward is exactly affine in the batch, too. Steps are timed with as many sequences of the real
batch as a plan has time for; the time of forward and backward grows with their number.
"""

import time
from dataclasses import dataclass, replace

import numpy as np

from minillm import seeding
from minillm.memory import allocations, on_gpu
from minillm.models import GPT, GPTConfig
from minillm.optim import AdamW, clip_scale, squared_norm
from minillm.planning.counts import parameters
from minillm.planning.tape import saved_bytes
from minillm.training.step import accumulate_gradients

SECONDS = 2.0  # for the timed steps; building the model and warming up take about as long
MOST_REPEATS = 5
SMALL = 1024  # tokens; fewer save no time


@dataclass(frozen=True)
class Trial:
    """What was measured, extended to the model's depth and to the whole of a batch's part."""

    sequences: int
    """Sequences of the timed steps."""
    repeats: int
    """How often each step was timed; the fastest counts."""
    gradient_seconds: float
    """Forward and backward."""
    update_seconds: float
    """Clipping and AdamW."""
    saved_bytes: int
    """Saved for backward."""
    working_bytes: int
    """Held for a moment beside it, by forward and backward."""


def run(config: GPTConfig, sequences: int) -> Trial:
    """Measure steps of `sequences` sequences, or fewer where they would take too long. Random streams are put back."""
    random_before = seeding.get_state()
    try:
        bench = _Bench(config)
        if on_gpu():
            bench.compile_kernels()
        one = {depth: bench.memory(depth, 1) for depth in (1, 2)}
        chosen = _affordable(sequences, config.context_length, sum(m.seconds for m in one.values()))
        many = {depth: bench.memory(depth, chosen) for depth in (1, 2)} if chosen > 1 else one
        gradient, update, repeats = bench.times(chosen, {depth: m.seconds for depth, m in many.items()})
    finally:
        seeding.set_state(random_before)

    def saved(depth: int) -> float:
        return _line(1, one[depth].saved, chosen, many[depth].saved, sequences)

    return Trial(
        sequences=chosen,
        repeats=repeats,
        gradient_seconds=_line(1, gradient[1], 2, max(gradient.values()), config.n_layer) * sequences / chosen,
        update_seconds=update * sum(parameters(config).values()) / bench.model.num_parameters(),
        saved_bytes=round(_line(1, saved(1), 2, saved(2), config.n_layer)),
        working_bytes=round((many[1].peak - many[1].saved) * sequences / chosen),
    )


@dataclass(frozen=True)
class _Memory:
    """Of one forward and backward pass: seconds, bytes saved for backward, most bytes allocated at a time."""

    seconds: float
    saved: int
    peak: int


class _Bench:
    """A two-layer model, which can also stand with its first layer alone."""

    def __init__(self, config: GPTConfig):
        self.model = GPT(replace(config, n_layer=2))
        self._layers = self.model.layers
        self.optimizer = AdamW(self.model.parameters())
        self._rng = np.random.default_rng(0)

    def compile_kernels(self) -> None:
        """A GPU's kernels are compiled when they are first launched, which is no part of a training's time."""
        self.memory(1, 1)
        self._timed_update()

    def memory(self, depth: int, sequences: int) -> _Memory:
        """Trace one pass."""
        inputs, targets = self._start(depth, sequences)
        with allocations() as meter:
            started = time.perf_counter()
            loss = self.model.loss(inputs, targets)
            saved = saved_bytes(loss, self.model.parameters())
            loss.backward()
            loss.item()  # waits for a GPU
            seconds = time.perf_counter() - started
            return _Memory(seconds, saved, meter.most)

    def times(self, sequences: int, first: dict[int, float]) -> tuple[dict[int, float], float, int]:
        """Seconds of forward and backward by depth, and of the two-layer model's update; how often they were timed.

        first: seconds by depth of a round that was made already.
        """
        gradient = {depth: [seconds] for depth, seconds in first.items()}
        update = [self._timed_update()]
        left = SECONDS - sum(first.values())
        while left > 0 and len(update) < MOST_REPEATS:
            for depth, times in gradient.items():
                times.append(self._timed_gradient(depth, sequences))
            update.append(self._timed_update())
            left -= update[-1] + sum(times[-1] for times in gradient.values())
        return {depth: min(times) for depth, times in gradient.items()}, min(update), len(update)

    def _timed_gradient(self, depth: int, sequences: int) -> float:
        inputs, targets = self._start(depth, sequences)
        started = time.perf_counter()
        float(accumulate_gradients(self.model, {"ids": inputs, "targets": targets}, parts=1))
        return time.perf_counter() - started

    def _timed_update(self) -> float:
        """Of the two-layer model, whose gradients are there."""
        started = time.perf_counter()
        squares = squared_norm(self.optimizer.params)
        self.optimizer.step(scale=clip_scale(squares, 1.0))
        self.optimizer.params[-1][..., :1].numpy()  # waits for a GPU
        return time.perf_counter() - started

    def _start(self, depth: int, sequences: int) -> tuple[np.ndarray, np.ndarray]:
        """Set the depth, forget gradients, draw a batch of random ids."""
        self.optimizer.zero_grad()
        self.model.layers = self._layers[:depth]
        config = self.model.config
        inputs, targets = self._rng.integers(config.vocab_size, size=(2, sequences, config.context_length))
        return inputs, targets


def _affordable(sequences: int, context_length: int, seconds_each: float) -> int:
    """How many sequences a round of timed steps has time for; two at least, to see what grows with their number."""
    return min(sequences, max(2, SMALL // context_length, int(SECONDS / 2 / seconds_each)))


def _line(x1: float, y1: float, x2: float, y2: float, x: float) -> float:
    """The value at x of the line through two points; y1 where they are one."""
    return y1 + (y2 - y1) * (x - x1) / (x2 - x1) if x2 != x1 else y1
