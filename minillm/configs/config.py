"""Every setting of a run: its meaning, unit, default and the reason for it. Data only; the checks stand in checks.py.

`Config` has three sections: `model` (see `minillm.models.GPTConfig`), `data` and `training`. A field's docstring is
what `--help` prints for its flag.
"""

from dataclasses import dataclass, field
from typing import Literal

from minillm.configs import checks
from minillm.models import GPTConfig


@dataclass(frozen=True)
class DataConfig:
    """The text, and how it becomes tokens."""

    corpus: str = "python-docs"
    """Text to learn: a registered name (python-docs, stories, shakespeare), or the path of a UTF-8 file, a folder or a
    glob. The default is on every machine: the documentation of the Python that is running."""

    clean: Literal["none", "text", "html"] = "none"
    """Cleaning before anything else: none; text (control characters, Unicode, repeated lines); html (tags and entities
    too). None by default, so that the model sees the text you gave."""

    tokenizer: str = "bpe"
    """Kind of tokens: char, word or bpe (byte pairs), or the path of a saved tokenizer.json. Byte pairs read any text
    and make it about three times shorter than characters do."""

    vocab_size: int = 1024
    """Entries of a bpe vocabulary, at most that many of a word vocabulary; char counts its own. 1,024 keeps a small
    model's embedding smaller than its layers."""

    split_pattern: Literal["gpt2", "gpt4"] = "gpt4"
    """How bpe cuts text into words before merging. gpt4 also cuts numbers into groups of at most three digits, so that
    the vocabulary isn't filled with years and prices."""

    min_count: int = 2
    """A word seen fewer times becomes <unk> (word tokenizer only). A word seen once can't be learned."""

    validation_fraction: float = 0.1
    """Share of the text, taken from its end, that is never trained on. A tenth is enough for a steady loss."""

    def __post_init__(self) -> None:
        checks.types(self)
        checks.at_least(self, 2, "vocab_size")
        checks.at_least(self, 1, "min_count")
        checks.between(self, 0, 1, "validation_fraction")


@dataclass(frozen=True)
class TrainingConfig:
    """How the weights are learned, and how often something is measured, shown or saved."""

    steps: int = 2000
    """Weight updates. May grow when a run is resumed; the learning rate then follows the new length."""

    batch_size: int = 12
    """Sequences an update learns from, each model.context_length tokens long; in a fine-tuning task about so many
    examples, more where they are short. Small, for a CPU."""

    gradient_accumulation: int = 1
    """Parts a batch is cut into, one after the other; the update is the same, memory falls. Must divide batch_size."""

    learning_rate: float = 1e-3
    """Largest step of AdamW, reached after the warm-up. Small models bear 1e-3; larger ones need less."""

    min_learning_rate: float = 1e-4
    """Learning rate at the last update. A tenth of the largest is the usual end of the cosine."""

    warmup_steps: int = 100
    """Updates over which the learning rate rises from 0. Adam's averages are noise before that."""

    beta1: float = 0.9
    """Decay of AdamW's average gradient. 0.9 averages about ten updates."""

    beta2: float = 0.99
    """Decay of AdamW's average squared gradient. 0.99, not 0.999: with few tokens in a batch, runs are short."""

    epsilon: float = 1e-8
    """Added to the root of the average squared gradient, so that nothing is divided by zero."""

    weight_decay: float = 0.1
    """Pull of matrices towards zero at each update, times the learning rate. Biases and norm gains have none."""

    gradient_clip: float = 1.0
    """Largest length of the whole gradient; a longer one is shortened to it. 0 turns it off."""

    eval_interval: int = 250
    """Updates between evaluations on the validation text (one at the start and one at the end are always made)."""

    eval_tokens: int = 0
    """Validation tokens an evaluation uses, from the start of the split. 0, the default, uses all of them."""

    patience: int = 0
    """Evaluations without a better validation loss before training stops early. 0 never stops early."""

    checkpoint_interval: int = 500
    """Updates between checkpoints. The best evaluation, the end and an interruption are always saved."""

    seed: int = 1337
    """Start of every random stream: weights, batches, dropout, samples. One seed, one run, bit for bit."""

    sample_tokens: int = 100
    """Tokens of each sample text written at an evaluation. 0 writes none."""

    samples: int = 1
    """Sample texts written at an evaluation, to samples.txt."""

    prompt: str = ""
    """What sample texts continue. By default each starts with a token of the validation text."""

    temperature: float = 0.8
    """Sharpness of the samples: near 0 the likeliest token, 1 the model's own odds."""

    def __post_init__(self) -> None:
        checks.types(self)
        checks.at_least(self, 1, "batch_size", "gradient_accumulation", "eval_interval", "checkpoint_interval")
        checks.at_least(self, 0, "steps", "warmup_steps", "eval_tokens", "patience", "seed", "sample_tokens", "samples")
        checks.at_least(self, 0, "min_learning_rate", "weight_decay", "gradient_clip", "temperature")
        checks.above(self, 0, "learning_rate", "epsilon")
        checks.from_to_below(self, 0, 1, "beta1", "beta2")
        checks.divides(self, "gradient_accumulation", "batch_size")
        checks.at_most(self, "min_learning_rate", "learning_rate")


def _default_model() -> GPTConfig:
    return GPTConfig(vocab_size=DataConfig.vocab_size)


@dataclass(frozen=True)
class Config:
    """All settings of a run. `model.vocab_size` is a plan until the tokenizer exists, and then its size."""

    model: GPTConfig = field(default_factory=_default_model)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        checks.types(self.model)
