"""Extractive answers: a BERT that points at the piece of a text which answers a question (Devlin et al. 2019).

    python -m minillm.finetune extraction --from MINILM --data train-v2.0.json --test dev-v2.0.json

The data is laid out as SQuAD's (see `read_squad`), version 1 or 2. MINILM is a Hugging Face folder of a BERT, or the
folder of a masked_lm run. A text longer than fits beside its question is read in windows that overlap; where a window
doesn't hold the answer, or the text has none, the model learns to point at [CLS].
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from minillm.baselines import sentences
from minillm.configs import checks
from minillm.configs.config import TrainingConfig
from minillm.data.examples import fitting, pad, read_squad, split
from minillm.errors import ConfigError, DataError
from minillm.metrics.answers import exact_match, token_f1
from minillm.metrics.words import language_of, words
from minillm.models import BERTConfig
from minillm.models.span import SpanPointer, best_span
from minillm.tasks.encoder import BertReader
from minillm.tasks.spans import Pieces, pieces, windows
from minillm.tasks.task import FinetuneConfig, FinetuneTask, Prepared, Scores, beside, evaluation_mode
from minillm.tokenizers.wordpiece import CLS, PAD, SEP
from minillm.training.task import Batch

LAYOUT = '{"context": TEXT, "question": TEXT}'


@dataclass(frozen=True)
class ExtractionSettings:
    """The questions, and how texts are read."""

    kind: Literal["extraction"] = "extraction"
    """The task."""

    data: str = ""
    """Questions and answers in SQuAD's JSON."""

    validation: str = ""
    """Questions the training is checked on. By default a tenth of --data, all questions about a text on one side."""

    test: str = ""
    """Questions that python -m minillm.evaluate scores; by default those to validate with."""

    start: str = ""
    """Model to begin with: a folder with a BERT's config.json, model.safetensors and vocab.txt, or the folder of a
    masked_lm run. By default a model with random weights."""

    tokenizer: str = "bpe"
    """Without --from: bpe learns byte pairs from the texts; or a file, BERT's vocab.txt or a saved tokenizer.json."""

    window: int = 0
    """Most tokens of a text that are read at once. 0, the default: as many as the model's context has room for."""

    stride: int = 0
    """Tokens from the beginning of a window to that of the next. 0, the default: half a window."""

    longest_answer: int = 30
    """Most tokens of an answer that is given."""

    def __post_init__(self) -> None:
        checks.types(self)
        checks.at_least(self, 0, "window", "stride")
        checks.at_least(self, 1, "longest_answer")


@dataclass(frozen=True)
class Item:
    """A question about a text, and its right answers, none where the text doesn't tell."""

    context: str
    question: str
    answers: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()
    """Where each answer stands in the text, in characters."""


class Window(NamedTuple):
    """[CLS] question [SEP] part of the text [SEP]."""

    ids: list[int]
    begins: int
    """Where in `ids` the part of the text begins."""
    part: range
    """Which of the text's tokens it holds."""
    span: tuple[int, int]
    """Positions in `ids` of the answer's first and last token; of [CLS] twice where it isn't here."""


class Encoded(NamedTuple):
    """A question's windows, and the tokens of its text."""

    windows: list[Window]
    text: Pieces


class Extraction(FinetuneTask):
    """Point at the piece of a text that answers a question."""

    kind = "extraction"
    Settings = ExtractionSettings
    Example = Item
    model = BertReader.model
    training = TrainingConfig(
        steps=1000,
        batch_size=16,
        learning_rate=5e-5,
        min_learning_rate=0.0,
        warmup_steps=100,
        beta2=0.999,
        weight_decay=0.01,
        samples=3,
    )

    @classmethod
    def prepare(cls, config: FinetuneConfig) -> Prepared:
        settings: ExtractionSettings = config.task
        splits = read(settings)
        texts = [text for item in splits["train"] for text in (item.context, item.question)]
        begun = BertReader().begin(settings.start, settings.tokenizer, config.model, cls.model, texts)
        questions = [item.question for part in splits.values() for item in part]
        room = begun.model.context_length - 4  # [CLS] [SEP] token [SEP]
        fitting(begun.tokenizer.encode_batch(questions), room, truncate=None)
        return Prepared(splits, begun.tokenizer, begun.model, begun.weights)

    def encode(self, example: Item) -> Encoded:
        special, text = self.tokenizer.special_tokens, pieces(self.tokenizer, example.context)
        if not text.ids:
            raise DataError(f"a text has no words to point at: {example.context!r}; leave its questions out")
        before = [special[CLS], *self.tokenizer.encode(example.question), special[SEP]]
        room = self.config.model.context_length - len(before) - 1
        size = min(self.config.task.window or room, room)
        stride = min(self.config.task.stride or max(1, size // 2), size)
        answer = None
        if example.answers:  # of several, the first is learnt
            answer = text.tokens(example.starts[0], example.starts[0] + len(example.answers[0]))
        found = []
        for part in windows(len(text.ids), size, stride):
            ids = [*before, *text.ids[part.start : part.stop], special[SEP]]
            shift = len(before) - part.start
            here = answer is not None and answer[0] in part and answer[1] in part
            span = (answer[0] + shift, answer[1] + shift) if answer and here else (0, 0)
            found.append(Window(ids, len(before), part, span))
        return Encoded(found, text)

    def length(self, encoded: Encoded) -> int:
        return sum(len(window.ids) for window in encoded.windows)

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """A row for each window: a long text has several."""
        rows = [window for each in encoded for window in each.windows]
        ids, mask = pad([window.ids for window in rows], self.tokenizer.special_tokens[PAD])
        place = np.arange(ids.shape[1])
        second = mask & (place >= np.array([[window.begins] for window in rows]))
        last = np.array([[len(window.ids) - 1] for window in rows])
        return {
            "ids": ids,
            "targets": np.array([window.span for window in rows]),
            "mask": mask,
            "segments": second.astype(np.int64),
            "allowed": (second & (place < last)) | (place == 0),
        }

    def build(self) -> SpanPointer:
        config: BERTConfig = self.config.model
        return SpanPointer(BertReader().build(config), config.dropout)

    def load_start(self, model: SpanPointer, weights: Mapping[str, np.ndarray]) -> None:
        BertReader().load(model.encoder, weights)

    def scores(self, model: SpanPointer, split: str) -> Scores:
        return self._scores(self.found(model, self.examples[split], self._encoded[split]), split)

    def baseline_scores(self, split: str) -> dict[str, Scores]:
        """Of answering with the sentence that shares most words with the question."""
        found = [nearest_sentence(item.context, item.question) for item in self.examples[split]]
        return {"the sentence with most shared words": self._scores(found, split)}

    def answer(self, model: SpanPointer, texts: Sequence[str]) -> list[str]:
        """The answer to each question, given as a line of JSON: {"context": TEXT, "question": TEXT}."""
        items = [parse(text) for text in texts]
        return self.found(model, items, [self.encode(item) for item in items])

    def shown(self, model: SpanPointer, examples: Sequence[Item]) -> list[str]:
        answers = self.found(model, examples, [self.encode(item) for item in examples])
        return [
            beside(item.question, answer, " / ".join(dict.fromkeys(item.answers)))
            for item, answer in zip(examples, answers, strict=True)
        ]

    @property
    def may_be_silent(self) -> bool:
        """Whether "" is an answer: some of the training questions have none."""
        return any(not item.answers for item in self.examples["train"])

    def found(self, model: SpanPointer, items: Sequence[Item], encoded: Sequence[Encoded]) -> list[str]:
        """The best piece of each text; "" where pointing at [CLS] scores higher in every window, if that may be."""
        answers = [""] * len(items)
        order = sorted(range(len(items)), key=lambda i: self.length(encoded[i]))
        with evaluation_mode(model):
            for first in range(0, len(order), self.config.training.batch_size):
                rows = order[first : first + self.config.training.batch_size]
                batch = self.collate([encoded[i] for i in rows])
                del batch["targets"]
                scores = iter(model(**batch)[0].numpy())
                for i in rows:
                    own = [next(scores) for _ in encoded[i].windows]
                    answers[i] = self._best(own, encoded[i], items[i].context)
        return answers

    def _best(self, scores: Sequence[np.ndarray], encoded: Encoded, context: str) -> str:
        """The answer by the scores of each window, (2, time). Where to point at is compared across the windows."""
        highest, tokens = -np.inf, (0, 0)
        for each, window in zip(scores, encoded.windows, strict=True):
            text = each[:, window.begins : window.begins + len(window.part)]
            i, j, score = best_span(text, self.config.task.longest_answer)
            if score > highest:
                highest, tokens = score, (window.part[i], window.part[j])
        if self.may_be_silent and min(float(each[:, 0].sum()) for each in scores) > highest:
            return ""
        start, end = encoded.text.characters(*tokens)
        return context[start:end]

    def _scores(self, answers: Sequence[str], split: str) -> Scores:
        references = [item.answers or ("",) for item in self.examples[split]]
        pairs = list(zip(answers, references, strict=True))
        language = language_of(item.context for item in self.examples[split])
        return {
            "exact match": float(np.mean([exact_match(answer, right, language) for answer, right in pairs])),
            "F1": float(np.mean([token_f1(answer, right, language) for answer, right in pairs])),
        }


def nearest_sentence(context: str, question: str) -> str:
    """The sentence that shares most different words with the question, the first of equals."""
    asked = set(words(question))
    return max(sentences(context), key=lambda sentence: len(asked & set(words(sentence))), default="")


def parse(line: str) -> Item:
    """A question from a line of JSON. DataError where it isn't one."""
    try:
        given: Any = json.loads(line)
        context, question = given["context"], given["question"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DataError(f"{line[:60]!r} isn't a question; write {LAYOUT}, all in one line") from None
    if not isinstance(context, str) or not isinstance(question, str):
        raise DataError(f"{line[:60]!r} has a context or question that isn't a text; write {LAYOUT}")
    return Item(context, question)


def read(settings: ExtractionSettings) -> dict[str, list[Item]]:
    """The questions of each split. ConfigError without a file."""
    if not settings.data:
        raise ConfigError("extraction needs --data FILE, questions and answers in SQuAD's JSON")
    train = _read(settings.data)
    if settings.validation:
        validation = _read(settings.validation)
    else:
        train, validation = split(train, max(1, len(train) // 10), key=lambda item: item.context)
    splits = {"train": train, "validation": validation}
    return {**splits, "test": _read(settings.test)} if settings.test else splits


def _read(path: str) -> list[Item]:
    return [
        Item(each.context, each.question, tuple(a.text for a in each.answers), tuple(a.start for a in each.answers))
        for each in read_squad(path)
    ]
