"""What a fine-tuned model's answers are like, beyond the task's own scores: the measures of the document's section 9.5.

classes     precision, recall and F1 of each, and which are taken for which
texts       length, variety, repetition; fluency, their perplexity under a trigram model of the training answers' words.
            (Coherence, what the own source saves on a target beside another one's: `TextToText.coherence`.)
"""

from collections.abc import Sequence
from contextlib import suppress

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
from minillm.tokenizers import WordTokenizer

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
