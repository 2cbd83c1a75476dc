"""Forward and backward as one CUDA graph: captured once, then launched by a single call for every batch.

A small model's step is hundreds of short kernels, and Python takes longer to launch them than the GPU to run them. A
graph freezes what it was captured with, addresses and numbers: so each batch is copied to where the first one lay,
and dropout is told in the GPU's memory which masks to draw (draws.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minillm import seeding
from minillm.cuda.draws import counted_from
from minillm.cuda.driver import array_module, pinned
from minillm.errors import GraphError

WARM_UPS = 2  # steps before the capture: the first compiles kernels, the second takes memory as every later step will

Batch = dict[str, np.ndarray]
Gradients = Callable[[Any, Batch, int], Any]


class CapturedGradients:
    """Called like `accumulate_gradients`, always with the same model.

    A batch in one part is run by the captured step for its shapes, one in several parts by `eager`. Loss and gradients
    lie at the same place after every call: the next overwrites them. A batch that was uploaded ahead is known by its
    identity: don't change it in place.
    """

    def __init__(self, eager: Gradients):
        self._eager = eager
        self._steps: dict[tuple, CapturedStep] = {}

    def __call__(self, model: Any, batch: Batch, parts: int) -> Any:
        if parts > 1:
            return self._eager(model, batch, parts)
        shapes = _shapes(batch)
        if shapes not in self._steps:
            self._steps[shapes] = CapturedStep(model, batch)
        return self._steps[shapes].run(batch)

    def upload(self, batch: Batch) -> None:
        """Begin to copy the batch of the next call to the GPU, if a captured step will read it there."""
        if step := self._steps.get(_shapes(batch)):
            step.upload(batch)


def _shapes(batch: Batch) -> tuple:
    return tuple((name, values.shape, values.dtype) for name, values in sorted(batch.items()))


class CapturedStep:
    """The graph of one batch shape, with the memory it works in.

    The way of a batch: the CPU's array → _staged (memory of the CPU that the GPU reads by itself) → _arrived (on the
    GPU; by the stream _uploads, beside the step before) → _inputs (what the graph reads; by the stream _stream).
    _sent: an event after which _staged may be written again. _uploaded: the batch that lies in _arrived.
    """

    def __init__(self, model: Any, batch: Batch):
        cuda = array_module().cuda
        self._inputs = {name: array_module().asarray(values) for name, values in batch.items()}
        self._arrived = {name: array.copy() for name, array in self._inputs.items()}
        self._staged = {name: pinned(values.shape, values.dtype) for name, values in batch.items()}
        self._uploads, self._sent, self._uploaded = cuda.Stream(non_blocking=True), cuda.Event(), batch
        self._parameters, self._drawn = model.parameters(), 0
        self._random_at_capture = seeding.get_state()
        self._later = array_module().zeros(1, np.int64)
        self._stream = cuda.Stream(non_blocking=True)
        self._pool = cuda.MemoryPool()  # of this graph alone: nobody else is given its memory between launches
        for stream in (self._stream, self._uploads):
            _order(cuda.get_current_stream(), stream)
        array_module().get_default_memory_pool().free_all_blocks()  # what steps op by op took: as much as these will
        with cuda.using_allocator(self._pool.malloc), self._stream, counted_from(self._later):
            for _ in range(WARM_UPS):
                self._step(model)
            _forget(self._parameters)
            self._capture(model)
        self._gradients = [p.grad for p in self._parameters]

    def _capture(self, model: Any) -> None:
        """Raises GraphError where an op does what a graph can't hold: waiting, or copying the CPU's memory."""
        self._stream.begin_capture()
        try:
            self._loss = self._step(model)
        except GraphError as error:
            raise GraphError(f"{error}; --compile-graph off runs the step op by op") from error
        finally:
            self._graph = self._stream.end_capture()

    def upload(self, batch: Batch) -> None:
        """Begin to copy a batch of the same shapes to the GPU, beside what the GPU is doing."""
        self._sent.synchronize()  # the last copy has long left the CPU's side by now
        with self._uploads:
            for name, values in batch.items():
                np.copyto(self._staged[name], values)
                self._arrived[name].set(self._staged[name])
            self._sent.record(self._uploads)
        self._uploaded = batch

    def run(self, batch: Batch) -> Any:
        """The loss of a batch of the same shapes, a number on the GPU; the parameters get their gradients."""
        if self._uploaded is not batch:
            self.upload(batch)
        current = array_module().cuda.get_current_stream()
        _order(current, self._stream)
        _order(self._uploads, self._stream)
        with self._stream:
            for name, values in self._arrived.items():
                self._inputs[name][...] = values
            self._later.set(self._draw())
        _order(self._stream, self._uploads)  # the next batch may arrive as soon as this one has been taken
        self._graph.launch(self._stream)
        _order(self._stream, current)
        for p, gradient in zip(self._parameters, self._gradients, strict=True):
            p.grad = gradient
        return self._loss

    def _draw(self) -> np.ndarray:
        """How many draws later than the captured step this one is, (1,); its own are counted as drawn."""
        state = seeding.get_state()
        seeding.set_state({**state, "dropout": state["dropout"] + self._drawn})
        return np.array([state["dropout"] - self._random_at_capture["dropout"]], np.int64)

    def _step(self, model: Any) -> Any:
        """Forward and backward of what is in _inputs; the random streams are put back."""
        _forget(self._parameters)
        loss = model.loss(**self._inputs)
        loss.backward()
        self._drawn = seeding.get_state()["dropout"] - self._random_at_capture["dropout"]
        seeding.set_state(self._random_at_capture)
        return loss._array


def _forget(parameters: list[Any]) -> None:
    for p in parameters:
        p.grad = None


def _order(first: Any, then: Any) -> None:
    """What is put into `then` from here on starts after all that was put into `first` so far."""
    event = array_module().cuda.Event()
    event.record(first)
    then.wait_event(event)
