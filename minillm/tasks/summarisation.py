"""Summarisation: an encoder-decoder model that shortens texts, beside the texts' own beginnings.

    python -m minillm.finetune summarisation --data debian_summaries.tsv --truncate
    python -m minillm.finetune summarisation --titles ag_news.csv --truncate --steps 1050 --quote-steps 900
                                            # an article's title is its summary

A few thousand pairs don't teach a model to say a text's words again. It may therefore copy them (--copying), and in the
first --quote-steps updates its targets are quotes of the texts, those closest to the summaries: it learns to quote,
and what is worth quoting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from minillm.baselines import lead_sentences, lead_words
from minillm.configs import checks
from minillm.configs.config import TrainingConfig
from minillm.data.examples import Pair, read_summaries, read_titles, split_pairs
from minillm.errors import ConfigError
from minillm.metrics.rouge import rouge
from minillm.metrics.text import length_statistics
from minillm.metrics.words import language_of
from minillm.models import Seq2SeqConfig
from minillm.tasks.quotation import closest_quote
from minillm.tasks.task import FinetuneConfig, Prepared, Scores
from minillm.tasks.text_to_text import TextToText
from minillm.training.task import Batch


@dataclass(frozen=True)
class SummarisationSettings:
    """Texts with their summaries, and how summaries are searched for."""

    kind: Literal["summarisation"] = "summarisation"
    """The task."""

    data: str = ""
    """A table, its columns separated by tabs, whose first line names them."""

    text_column: str = "description"
    """Name of the column of texts."""

    summary_column: str = "synopsis"
    """Name of the column of their summaries."""

    titles: str = ""
    """Instead of --data: a CSV file of class, title, text, as AG News's; the titles are the summaries."""

    n_validation: int | None = None
    """How many texts the training is checked on, taken out of all; by default a tenth, at most 500."""

    n_test: int | None = None
    """How many python -m minillm.evaluate scores, taken out before those; by default a tenth, at most 500. 0: none."""

    split_seed: int = 0
    """Which are taken out; equal texts are on one side."""

    start: str = ""
    """Run of translation or summarisation to go on with: its weights, its shape and its tokenizer."""

    truncate: bool = False
    """Cut texts longer than the model's context. By default they are refused, and counted."""

    quote_steps: int = 500
    """Updates, of --steps, whose targets are quotes instead of the summaries: as many words of the text, in a row, as a
    summary has on average, those that share most with the summary. 0 for none."""

    beam: int = 4
    """Beginnings kept while a summary is searched for; 1 always takes the likeliest token."""

    length_penalty: float = 1.6
    """How strongly longer summaries are favoured (Wu et al. 2016, equation 14); 0: not at all. Stronger than in
    translation: to a model that has little to go by, a short text is the likeliest."""

    def __post_init__(self) -> None:
        checks.types(self)
        checks.at_least(self, 1, "beam")
        checks.at_least(self, 0, "length_penalty", "quote_steps")


class Summarisation(TextToText):
    """Shorten texts; scored by ROUGE, beside their first words and their first sentence."""

    kind, Settings = "summarisation", SummarisationSettings
    scored_with = ("rouge_score", "rouge-score")
    before = " "  # a text's first word then has the ids it has elsewhere: a copy of it can be told
    model = Seq2SeqConfig(vocab_size=4000, context_length=64, d_model=128, dropout=0.1, copying=True)
    training = TrainingConfig(
        steps=2000,
        batch_size=64,
        learning_rate=3e-3,
        min_learning_rate=0.0,
        warmup_steps=200,
        beta2=0.98,
        weight_decay=0.01,
        eval_interval=250,
        checkpoint_interval=250,
        samples=3,
    )

    @classmethod
    def prepare(cls, config: FinetuneConfig) -> Prepared:
        if 0 < config.training.steps < config.task.quote_steps:
            raise ConfigError(
                f"--quote-steps {config.task.quote_steps} of --steps {config.training.steps}: no step is left to learn "
                "a summary; give more --steps, or fewer --quote-steps"
            )
        return cls.prepared(read(config.task), config)

    def batch(self, step: int) -> Batch:
        if step >= self.config.task.quote_steps:
            return super().batch(step)
        return self.collate([self._quoting[i] for i in self._batches.batch(step)])

    @cached_property
    def _quoting(self) -> list[tuple[list[int], list[int]]]:
        """The training examples with quotes as their targets: of what is left of a text, if that is cut."""
        quoting = []
        for (source, _), pair in zip(self._encoded["train"], self.examples["train"], strict=True):
            quote = closest_quote(self.tokenizer.decode(source[:-1]), pair.target, self.lead)
            quoting.append((source, self._with_end(quote)))
        return quoting

    @cached_property
    def lead(self) -> int:
        """Words of a summary of the training split, on average."""
        return max(1, round(length_statistics(self.targets("train")).mean))

    def scores(self, model: Any, split: str) -> Scores:
        return self._scores(self.written(model, split), split)

    def baseline_scores(self, split: str) -> dict[str, Scores]:
        """The first words, as many as a summary of the training split has on average, and the first sentence."""
        texts = [pair.source for pair in self.examples[split]]
        return {
            f"the first {self.lead} words": self._scores([lead_words(text, self.lead) for text in texts], split),
            "the first sentence": self._scores([lead_sentences(text, 1) for text in texts], split),
        }

    def _scores(self, texts: Sequence[str], split: str) -> Scores:
        references = self.targets(split)
        found = rouge(texts, [[reference] for reference in references], language_of(references))
        return {
            "ROUGE-1": found["rouge1"],
            "ROUGE-2": found["rouge2"],
            "ROUGE-L": found["rougeL"],
            "words": length_statistics(texts).mean,
            "words of the reference": length_statistics(references).mean,
        }


def read(settings: SummarisationSettings) -> dict[str, list[Pair]]:
    """The pairs of each split. ConfigError unless there is one file."""
    if bool(settings.data) == bool(settings.titles):
        raise ConfigError("summarisation needs a file: either --data TABLE or --titles CSV")
    if settings.titles:
        train = read_titles(settings.titles)
    else:
        train = read_summaries(settings.data, settings.text_column, settings.summary_column)
    splits = {}
    for split, count in (("test", settings.n_test), ("validation", settings.n_validation)):
        if split == "validation" or count != 0:
            count = min(500, max(1, len(train) // 10)) if count is None else count
            if not 0 < count < len(train):
                raise ConfigError(
                    f"--n-{split} {count} of {len(train)} texts: hold out at least 1, and leave at least 1"
                )
            train, splits[split] = split_pairs(train, count, settings.split_seed)
    return {"train": train, **splits}
