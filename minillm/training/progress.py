"""What a person sees while training runs: a bar on a terminal, plain lines anywhere else (a log file, CI)."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

from minillm.memory import memory_in_use

_SECONDS_BETWEEN_LINES = 10.0


def duration(seconds: float) -> str:
    """A time a person reads at a glance: `9 s`, `2 min 05 s`, `3 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def memory(size: float) -> str:
    """Bytes as MB or GB (powers of ten)."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


class Progress:
    """Shows step, loss, tokens per second, time left and memory; keeps the most memory seen, in bytes."""

    def __init__(self, steps: int, done: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._steps, self._first = steps, done
        self.peak_memory = 0
        self._start = self._last_line = time.perf_counter()
        self._bar = (
            tqdm(total=steps, initial=done, unit="step", file=self._stream, dynamic_ncols=True)
            if (self._stream.isatty())
            else None
        )

    def update(self, step: int, loss: float, tokens_per_s: float) -> None:
        """Show the state after `step` updates. Rates are tokens per second, losses nats per token."""
        used = memory_in_use()
        self.peak_memory = max(self.peak_memory, used)
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, {tokens_per_s:,.0f} tokens/s, {memory(used)}", refresh=False)
            self._bar.update(step - self._bar.n)
        elif (now := time.perf_counter()) - self._last_line >= _SECONDS_BETWEEN_LINES or step == self._steps:
            self._last_line = now
            left = (now - self._start) / max(1, step - self._first) * (self._steps - step)
            self.say(
                f"step {step:,} of {self._steps:,}  loss {loss:.3f}  {tokens_per_s:,.0f} tokens/s  "
                f"{duration(left)} left  {memory(used)}"
            )

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
