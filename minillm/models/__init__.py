"""Language models, each a short file read from top to bottom."""

from minillm.models.gpt import GPT, GPTConfig
from minillm.models.ngram import NGram

__all__ = ["GPT", "GPTConfig", "NGram"]
