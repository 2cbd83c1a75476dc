"""The next batch, made while a GPU still works on the last one."""

from collections.abc import Callable

from minillm.training.task import Batch


class Ahead:
    """Batches by step, as `make` gives them; one may be made before it is taken."""

    def __init__(self, make: Callable[[int], Batch], last: int):
        """last: the step after which no batch will be asked for."""
        self._make, self._last = make, last
        self._ready: tuple[int, Batch] | None = None

    def take(self, step: int) -> Batch:
        """The batch of a step."""
        ready, self._ready = self._ready, None
        return ready[1] if ready and ready[0] == step else self._make(step)

    def prepare(self, step: int) -> Batch | None:
        """Make the batch of a step that will be taken next; None where there will be no such step."""
        if step >= self._last:
            return None
        self._ready = (step, self._make(step))
        return self._ready[1]
