"""Sample texts, drawn at evaluations: how the model writes by now. `samples.txt` shows those in the metrics."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minillm.configs.config import TrainingConfig
from minillm.errors import TokenError
from minillm.models import GPT
from minillm.training.files import write_atomic


def prompt_ids(tokenizer: Any, prompt: str, fallback: int) -> list[int]:
    """Ids a sample continues: of the prompt, or a line break, or where the vocabulary has none, the id `fallback`.

    Raises TokenError if the prompt holds something the vocabulary doesn't.
    """
    if prompt:
        return tokenizer.encode(prompt)
    try:
        return tokenizer.encode("\n") or [fallback]
    except TokenError:
        return [fallback]


def draw(
    model: GPT,
    tokenizer: Any,
    prompt: Sequence[int],
    config: TrainingConfig,
    step: int,
    interrupted: Callable[[], bool] = lambda: False,
) -> list[str] | None:
    """`config.samples` texts with their prompt; the same seed and step draw the same. None if interrupted."""
    texts = []
    model.eval()
    try:
        for number in range(config.samples if config.sample_tokens else 0):
            ids = list(prompt)
            seed = int(np.random.SeedSequence([config.seed, step, number]).generate_state(1)[0])
            for token in model.stream(prompt, config.sample_tokens, temperature=config.temperature, seed=seed):
                if interrupted():
                    return None
                ids.append(token)
            texts.append(tokenizer.decode(ids))
    finally:
        model.train()
    return texts


def write(path: Path, events: Sequence[dict]) -> None:
    """Write the texts of all "sample" events, newest last."""
    parts = [f"--- step {event['step']} ---\n{event['text']}\n\n" for event in events if event["event"] == "sample"]
    write_atomic(path, "".join(parts).encode("utf-8", errors="replace"))
