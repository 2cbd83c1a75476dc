"""What a fine-tuned model's answers are like, beyond the task's own scores: the measures of the document's section 9.5.

classes     precision, recall and F1 of each, and which are taken for which
texts       length, variety, repetition; fluency, their perplexity under a trigram model of the training answers' words.
coherence   what an answer's own question, or source, saves on it beside that of another one
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from minillm.errors import ConfigError
from minillm.metrics import (
    class_scores,
    confusion_matrix,
    distinct_n,
    length_statistics,
    perplexity,
    repetition_rate,
    self_bleu,
)
from minillm.metrics.words import language_of, words
from minillm.models import NGram
from minillm.tasks.task import evaluation_mode
from minillm.tokenizers import WordTokenizer
from minillm.training.task import Batch

COMPARED = 100  # texts that are compared with one another
ORDER = 3


class WordModel:
    """A trigram model of the words of some texts, unknown ones as <unk>."""

    def __init__(self, texts: Sequence[str]):
        self.tokenizer = WordTokenizer.train(f" {text.strip()}" for text in texts)
        self.counted = NGram.train(self._ids(texts), self.tokenizer.vocab_size, ORDER)

    def perplexity(self, texts: Sequence[str]) -> float:
        """Of the words of texts, one text after the other."""
        return perplexity(float(-np.log(self.counted.probabilities(self._ids(texts))).mean()))

    def _ids(self, texts: Sequence[str]) -> np.ndarray:
        return np.concatenate([self.tokenizer.encode(f" {text.strip()}\n") for text in texts]).astype(np.int64)


def text_table(answers: Sequence[str], references: Sequence[str], training: Sequence[str]) -> str:
    """Measures of a model's texts beside those of the references, as Markdown; training: the answers learnt from."""
    model = WordModel(training)
    columns = [text_measures(texts, model) for texts in (answers, references)]
    lines = ["| | this model | references |", "|---|---:|---:|"]
    for name in dict.fromkeys([*columns[0], *columns[1]]):
        cells = [f"{column[name]:.3f}" if name in column else "" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def text_measures(texts: Sequence[str], model: WordModel) -> dict[str, float]:
    """Measures by name; those that need words are left out where there are none, self-BLEU without sacrebleu."""
    measures = {"words": length_statistics(texts).mean}
    if any(map(words, texts)):
        measures |= {
            "distinct-1": distinct_n(texts, 1),
            "distinct-2": distinct_n(texts, 2),
            "fluency: perplexity of the words": model.perplexity(texts),
        }
    if any(len(words(text)) >= 4 for text in texts):
        measures["repeated 4-grams"] = repetition_rate(texts)
    compared = [text for text in texts if words(text)][:COMPARED]
    if len(compared) > 1:
        with suppress(ConfigError):  # sacrebleu isn't installed
            measures[f"self-BLEU of {len(compared)}"] = self_bleu(compared, language_of(compared))
    return measures


def coherence(model: Any, collate: Callable[[Sequence[Any]], Batch], own: Sequence[Any], other: Sequence[Any]) -> float:
    """Nats a token that its own source saves on a target, against that of another example.

    own, other: encoded examples that `collate` makes a batch of, with the same targets, and with their own sources or
    others'.
    """
    with evaluation_mode(model):
        losses = [model.loss(**collate(examples)).item() for examples in (own, other)]
    return losses[1] - losses[0]


def coherence_of_pairs(
    model: Any, collate: Callable[[Sequence[Any]], Batch], encoded: Sequence[tuple[list[int], list[int]]]
) -> float:
    """The same of (source ids, target ids), each target with the source that stands before its own."""
    own = encoded[:COMPARED]
    other = [(source, target) for (source, _), (_, target) in zip([*own[1:], own[0]], own, strict=True)]
    return coherence(model, collate, own, other)


def coherence_line(saved: float) -> str:
    """As a sentence of the report."""
    return f"Coherence: its own source saves {saved:.3f} nats a token."


def class_tables(true: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> str:
    """Precision, recall and F1 of each class, and the confusion matrix, as Markdown; true, predicted: (examples,)."""
    each, matrix = class_scores(true, predicted, len(names)), confusion_matrix(true, predicted, len(names))
    lines = ["| class | examples | precision | recall | F1 |", "|---|---:|---:|---:|---:|"]
    for i, name in enumerate(names):
        lines.append(
            f"| {name} | {matrix[i].sum()} | {each.precision[i]:.3f} | {each.recall[i]:.3f} | {each.f1[i]:.3f} |"
        )
    lines += ["", f"| | {' | '.join(f'taken for {name}' for name in names)} |", "|---|" + "---:|" * len(names)]
    lines += [f"| {name} | {' | '.join(map(str, matrix[i]))} |" for i, name in enumerate(names)]
    return "\n".join(lines)
