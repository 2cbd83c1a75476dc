"""Forward and backward as one CUDA graph: recorded once, then launched by a single call for every batch.

A small model's step is hundreds of short kernels, and Python takes longer to launch them than the GPU to run them. A
graph freezes what it was recorded with, addresses and numbers: so the batch is copied to where the recorded one lay,
and a step that draws random numbers is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minillm import seeding
from minillm.cuda.driver import array_module, pinned

WARM_UPS = 2  # steps before the recording: kernels are compiled in the first, the memory they need is found by both

Batch = dict[str, np.ndarray]
Gradients = Callable[[Any, Batch, int], Any]


class CapturedGradients:
    """As `accumulate_gradients` of one model; eager: that, for steps that can't be recorded.

    A step is recorded if it has one part and draws nothing (no dropout). The gradients lie at the same place after
    every call and are overwritten by the next.
    """

    def __init__(self, eager: Gradients):
        self._eager = eager
        self._recordings: dict[tuple, Recording | None] = {}

    def __call__(self, model: Any, batch: Batch, parts: int) -> Any:
        if parts > 1:
            return self._eager(model, batch, parts)
        shapes = _shapes(batch)
        if shapes not in self._recordings:
            drew = _draws(lambda: self._eager(model, batch, parts))
            _forget(model.parameters())
            self._recordings[shapes] = None if drew else Recording(model, batch)
        recording = self._recordings[shapes]
        return self._eager(model, batch, parts) if recording is None else recording.run(batch)

    def upload(self, batch: Batch) -> None:
        """Begin to copy the batch of the next call to the GPU, if a recording will read it there."""
        if recording := self._recordings.get(_shapes(batch)):
            recording.upload(batch)


def _shapes(batch: Batch) -> tuple:
    return tuple((name, values.shape) for name, values in sorted(batch.items()))


def _draws(step: Callable[[], Any]) -> bool:
    """Whether a step draws random numbers, which are put back."""
    before = seeding.get_state()
    step()
    drew = seeding.get_state() != before
    seeding.set_state(before)
    return drew


class Recording:
    """The graph of one batch shape, with the memory it works in."""

    def __init__(self, model: Any, batch: Batch):
        cuda = array_module().cuda
        self._inputs = {name: array_module().asarray(values) for name, values in batch.items()}
        self._arrived = {name: array.copy() for name, array in self._inputs.items()}
        self._staged = {name: pinned(values.shape, values.dtype) for name, values in batch.items()}
        self._uploads, self._sent, self._uploaded = cuda.Stream(non_blocking=True), cuda.Event(), batch
        self._parameters = model.parameters()
        self._stream = cuda.Stream(non_blocking=True)
        self._pool = cuda.MemoryPool()  # of this graph alone: nobody else is given its memory between launches
        _order(cuda.get_current_stream(), self._stream)
        with cuda.using_allocator(self._pool.malloc), self._stream:
            for _ in range(WARM_UPS):
                self._step(model)
            _forget(self._parameters)
            self._stream.begin_capture()
            self._loss = self._step(model)
            self._graph = self._stream.end_capture()
        self._gradients = [p.grad for p in self._parameters]

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
        _order(self._stream, self._uploads)  # the next batch may arrive as soon as this one has been taken
        self._graph.launch(self._stream)
        _order(self._stream, current)
        for p, gradient in zip(self._parameters, self._gradients, strict=True):
            p.grad = gradient
        return self._loss

    def _step(self, model: Any) -> Any:
        _forget(self._parameters)
        loss = model.loss(**self._inputs)
        loss.backward()
        return loss._array


def _forget(parameters: list[Any]) -> None:
    for p in parameters:
        p.grad = None


def _order(first: Any, then: Any) -> None:
    """What is put into `then` from here on starts after all that was put into `first` so far."""
    event = array_module().cuda.Event()
    event.record(first)
    then.wait_event(event)
