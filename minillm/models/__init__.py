"""Language models, each a short file read from top to bottom."""

from minillm.models.gpt import GPT, GPTConfig

__all__ = ["GPT", "GPTConfig"]
