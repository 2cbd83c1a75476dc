"""Translation: an encoder-decoder model trained on parallel text (document sections 3.2.3 and 6.2).

    python -m minillm.finetune translation --source train.en --target train.de \\
        --validation-source val.en --validation-target val.de --test-source test.en --test-target test.de
    python -m minillm.finetune translation --source pairs.tsv      # a pair a line, split by a tab
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from minillm.configs import checks
from minillm.configs.config import TrainingConfig
from minillm.data.examples import Pair, read_aligned, read_table, split_pairs
from minillm.errors import ConfigError
from minillm.metrics.bleu import bleu, chrf
from minillm.metrics.text import length_statistics
from minillm.metrics.words import language_of
from minillm.models import Seq2SeqConfig
from minillm.tasks.task import FinetuneConfig, Prepared, Scores
from minillm.tasks.text_to_text import TextToText


@dataclass(frozen=True)
class TranslationSettings:
    """The parallel text, and how translations are searched for."""

    kind: Literal["translation"] = "translation"
    """The task."""

    source: str = ""
    """Text to translate from: a sentence a line; or, without --target, a table of source TAB target."""

    target: str = ""
    """Its translation, line by line."""

    validation_source: str = ""
    """Sentences the training is checked on. By default 1,000 (at most a tenth) are taken out of the training text."""

    validation_target: str = ""
    """Their translation."""

    test_source: str = ""
    """Sentences that python -m minillm.evaluate scores."""

    test_target: str = ""
    """Their translation."""

    start: str = ""
    """Run of translation or summarisation to go on with: its weights, its shape and its tokenizer."""

    truncate: bool = False
    """Cut sentences longer than the model's context. By default they are refused, and counted."""

    beam: int = 4
    """Beginnings kept while a translation is searched for; 1 always takes the likeliest token."""

    length_penalty: float = 0.6
    """How much longer translations are favoured (Wu et al. 2016, equation 14)."""

    def __post_init__(self) -> None:
        checks.types(self)
        checks.at_least(self, 1, "beam")
        checks.at_least(self, 0, "length_penalty")


class Translation(TextToText):
    """Translate; scored by BLEU and chrF, beside the source itself as its own translation."""

    kind, Settings = "translation", TranslationSettings
    scored_with = ("sacrebleu", "sacrebleu")
    model = Seq2SeqConfig(vocab_size=6000, context_length=128, d_model=128, dropout=0.1, label_smoothing=0.1)
    training = TrainingConfig(
        steps=4000,
        batch_size=64,
        learning_rate=3e-3,
        min_learning_rate=0.0,
        warmup_steps=300,
        beta2=0.98,
        weight_decay=0.01,
        eval_interval=500,
        checkpoint_interval=500,
        samples=3,
    )

    @classmethod
    def prepare(cls, config: FinetuneConfig) -> Prepared:
        return cls.prepared(read(config.task), config)

    def scores(self, model: object, split: str) -> Scores:
        return self._scores(self.written(model, split), split)

    def baseline_scores(self, split: str) -> dict[str, Scores]:
        return {"the source, untranslated": self._scores([pair.source for pair in self.examples[split]], split)}

    def _scores(self, texts: Sequence[str], split: str) -> Scores:
        references = self.targets(split)
        lists = [[reference] for reference in references]
        return {
            "BLEU": bleu(texts, lists, language_of(references)).score,
            "chrF": chrf(texts, lists).score,
            "words": length_statistics(texts).mean,
            "words of the reference": length_statistics(references).mean,
        }


def read(settings: TranslationSettings) -> dict[str, list[Pair]]:
    """The pairs of each split. ConfigError without a source, or for a target whose source isn't given."""
    if not settings.source:
        raise ConfigError("translation needs --source FILE (and --target FILE, or a table of source TAB target)")
    for split in ("validation", "test"):
        if getattr(settings, f"{split}_target") and not getattr(settings, f"{split}_source"):
            raise ConfigError(f"--{split}-target needs --{split}-source: the sentences it translates")
    train = read_pairs(settings.source, settings.target)
    if settings.validation_source:
        validation = read_pairs(settings.validation_source, settings.validation_target)
    else:
        train, validation = split_pairs(train, min(1000, max(1, len(train) // 10)))
    splits = {"train": train, "validation": validation}
    if settings.test_source:
        splits["test"] = read_pairs(settings.test_source, settings.test_target)
    return splits


def read_pairs(source: str, target: str) -> list[Pair]:
    """Two files line by line, or a table where there is no second file."""
    return read_aligned(source, target) if target else read_table(source)
