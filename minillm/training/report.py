"""What a training prints when it ends: samples, the loss beside its baselines, and what to type next."""

import math
from collections.abc import Mapping, Sequence

from minillm.metrics.language import bits_per_byte
from minillm.training.data import Data
from minillm.training.run import RunFolder
from minillm.training.state import TrainingState


def losses(state: TrainingState, data: Data) -> str:
    """A table of this model and its baselines, best first: nats per token, bits per byte, perplexity."""
    rows = dict(data.baselines)
    if state.val_loss is not None:
        rows["this model"] = state.val_loss
    if state.best_loss is not None and state.best_step != state.step:
        rows[f"this model at step {state.best_step:,}, its best"] = state.best_loss
    width = max(map(len, rows))
    lines = [f"{'validation loss':<{width}}  nats/token  bits/byte  perplexity"]
    for name, nats in sorted(rows.items(), key=lambda row: row[1]):
        bits = bits_per_byte(nats, len(data.validation), data.validation_bytes)
        lines.append(f"{name:<{width}}  {nats:10.4f}  {bits:9.4f}  {math.exp(nats):10.2f}")
    return "\n".join(lines)


def last_samples(events: Sequence[Mapping]) -> str:
    """The newest sample texts."""
    texts = [event for event in events if event["event"] == "sample"]
    newest = [event["text"] for event in texts if event["step"] == texts[-1]["step"]]
    return "\n\n".join(f"--- a sample ---\n{text.strip()}" for text in newest)


def next_steps(run: RunFolder, steps: int) -> str:
    """Where things are, and what to type now."""
    return (
        f"plot    {run.plot}\n"
        f"run     {run.path}\n"
        f"next    python -m minillm.generate {run.quoted}\n"
        f"        {run.resume_command} --steps {2 * steps}"
    )
