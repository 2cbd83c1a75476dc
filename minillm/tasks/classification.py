"""Classification of texts, by sentiment, topic, ...: a BERT or GPT and one new layer, trained together.

    python -m minillm.finetune classification --from MINILM --data neg=rt-polarity.neg pos=rt-polarity.pos
    python -m minillm.finetune classification --from MINILM --data ag_news.csv --names World Sports Business Sci/Tech
    python -m minillm.finetune classification --from runs/default --encoder gpt --pooling last --data reviews.tsv
    python -m minillm.finetune classification --data reviews.tsv --learning-rate 1e-3        # from scratch

MINILM is a Hugging Face folder of a BERT, or the folder of a masked_lm run (Devlin et al. 2019, section 4.1); a GPT is
a run of python -m minillm.train (Radford et al. 2018, section 3.2). The learning rate suits such a start; from scratch
take a larger one.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minillm.baselines import classify
from minillm.configs import checks
from minillm.configs.config import TrainingConfig
from minillm.data.examples import Labelled, fitting, pad, read_labelled, stratified
from minillm.errors import ConfigError
from minillm.metrics.classification import accuracy, cross_entropy, macro_scores
from minillm.models import SequenceClassifier
from minillm.tasks.answer_report import class_tables
from minillm.tasks.decoder import GptReader
from minillm.tasks.encoder import BertReader
from minillm.tasks.reader import Reader
from minillm.tasks.task import FinetuneConfig, FinetuneTask, Prepared, Scores, beside, evaluation_mode
from minillm.training.task import Batch, Evaluation


@dataclass(frozen=True)
class ClassificationSettings:
    """The labelled texts, and what classifies them."""

    kind: Literal["classification"] = "classification"
    """The task."""

    data: tuple[str, ...] = ()
    """Labelled texts: one table of label, text (.csv or .tsv) without a header line; or a folder with a folder of text
    files for each class; or NAME=FILE for each class, with a text a line."""

    names: tuple[str, ...] = ()
    """Names of the classes of a table that numbers them from 1, in order. By default the labels in it."""

    validation: tuple[str, ...] = ()
    """Texts the training is checked on, given like --data. By default some are taken out of that."""

    test: tuple[str, ...] = ()
    """Texts that python -m minillm.evaluate scores, given like --data. By default some are taken out of that."""

    n_validation: int | None = None
    """How many to take out, after those of --n-test; by default a tenth of what is left, at most 1,000."""

    n_test: int | None = None
    """How many to take out, first; by default a tenth. 0 takes none."""

    split_seed: int = 0
    """Which are taken out: each class as frequent as in all, equal texts of a class on one side."""

    encoder: Literal["bert", "gpt"] = "bert"
    """What reads the texts: a BERT, every token in sight of all; or a GPT, each in sight of those before it."""

    start: str = ""
    """Model to begin with. A BERT: a folder with its config.json, model.safetensors and vocab.txt, or that of a
    masked_lm run. A GPT: a run of python -m minillm.train. By default a model with random weights."""

    tokenizer: str = "bpe"
    """Without --from: bpe learns byte pairs from the texts; or a file, BERT's vocab.txt or a saved tokenizer.json."""

    pooling: Literal["cls", "mean", "last"] = "mean"
    """A text's vector: of its first token (BERT), the mean of all, as sentence encoders have it, or of its last token
    (GPT)."""

    truncate: bool = False
    """Cut texts longer than the model's context. By default they are refused, and counted."""

    def __post_init__(self) -> None:
        checks.types(self)
        if (self.encoder, self.pooling) in (("bert", "last"), ("gpt", "cls")):
            raise ConfigError(f"--pooling {self.pooling} doesn't suit --encoder {self.encoder}; take mean")


@dataclass(frozen=True)
class Item:
    """A text and the name of its class."""

    text: str
    label: str


READERS: dict[str, Reader] = {"bert": BertReader(), "gpt": GptReader()}


class Classification(FinetuneTask):
    """Say which class a text is of: its sentiment, its topic."""

    kind = "classification"
    Settings = ClassificationSettings
    scored_with = ("sklearn", "scikit-learn")
    Example = Item
    model = BertReader.model
    training = TrainingConfig(
        steps=250,
        batch_size=32,
        learning_rate=1e-4,
        min_learning_rate=0.0,
        warmup_steps=25,
        beta2=0.999,
        weight_decay=0.01,
        eval_interval=125,
        checkpoint_interval=125,
        samples=3,
    )

    def __init__(self, config: FinetuneConfig, tokenizer: Any, examples: Mapping[str, Sequence[Item]]):
        self.names = sorted({item.label for item in examples["train"]})
        self._number = {name: i for i, name in enumerate(self.names)}
        self.reader = READERS[config.task.encoder]
        super().__init__(config, tokenizer, examples)

    @classmethod
    def model_for(cls, settings: ClassificationSettings) -> Any:
        return READERS[settings.encoder].model

    @classmethod
    def prepare(cls, config: FinetuneConfig) -> Prepared:
        settings: ClassificationSettings = config.task
        splits, reader = read(settings), READERS[settings.encoder]
        texts = [item.text for item in splits["train"]]
        begun = reader.begin(settings.start, settings.tokenizer, config.model, reader.model, texts)
        room = begun.model.context_length - reader.marks
        for split, items in splits.items():
            encoded = begun.tokenizer.encode_batch([item.text for item in items])
            fitting(encoded, room, settings.truncate)
            if cut := sum(len(ids) > room for ids in encoded):
                print(f"{split}: {cut} of {len(items)} texts are cut after {room} tokens", file=sys.stderr)
        return Prepared(splits, begun.tokenizer, begun.model, begun.weights)

    def encode(self, example: Item) -> tuple[list[int], int]:
        """Ids, and the number of the class."""
        return self._ids(example.text), self._number[example.label]

    def length(self, encoded: tuple[list[int], int]) -> int:
        return len(encoded[0])

    def collate(self, encoded: Sequence[tuple[list[int], int]]) -> Batch:
        ids, mask = pad([ids for ids, _ in encoded], self.tokenizer.special_tokens[self.reader.pad])
        return {"ids": ids, "targets": np.array([label for _, label in encoded]), "mask": mask}

    def build(self) -> SequenceClassifier:
        config = self.config.model
        return SequenceClassifier(self.reader.build(config), len(self.names), self.config.task.pooling, config.dropout)

    def load_start(self, model: SequenceClassifier, weights: Mapping[str, np.ndarray]) -> None:
        self.reader.load(model.encoder, weights)

    @property
    def baselines(self) -> dict[str, float]:
        """The loss of answering each text with the classes' frequencies in training."""
        frequencies = np.bincount(self.labels("train")) / len(self.examples["train"])
        return {"class frequencies": float(-np.log(frequencies[self.labels("validation")]).mean())}

    def evaluate(self, model: SequenceClassifier, interrupted: Callable[[], bool]) -> Evaluation | None:
        logits = self.logits(model, self._encoded["validation"], interrupted)
        if logits is None:
            return None
        true = self.labels("validation")
        return Evaluation(cross_entropy(logits, true), {"accuracy": accuracy(true, logits.argmax(1))})

    def scores(self, model: SequenceClassifier, split: str) -> Scores:
        true, logits = self.labels(split), self.logits(model, self._encoded[split])
        assert logits is not None
        return _scores(true, logits.argmax(1), len(self.names)) | {"cross-entropy": cross_entropy(logits, true)}

    def baseline_scores(self, split: str) -> dict[str, Scores]:
        train, items = self.examples["train"], self.examples[split]
        found = classify([i.text for i in train], self.labels("train"), [i.text for i in items], self.labels(split))
        return {name: _scores(self.labels(split), one.predicted, len(self.names)) for name, one in found.items()}

    def qualities(self, model: SequenceClassifier, split: str) -> str:
        logits = self.logits(model, self._encoded[split])
        assert logits is not None
        return class_tables(self.labels(split), logits.argmax(1), self.names)

    def answer(self, model: SequenceClassifier, texts: Sequence[str]) -> list[str]:
        logits = self.logits(model, [(self._ids(text), 0) for text in texts])
        assert logits is not None
        return [self.names[i] for i in logits.argmax(1)]

    def too_long(self, texts: Sequence[str]) -> int:
        most = self.config.model.context_length - self.reader.marks
        return sum(len(ids) > most for ids in self.tokenizer.encode_batch(list(texts)))

    def shown(self, model: SequenceClassifier, examples: Sequence[Item]) -> list[str]:
        answers = self.answer(model, [item.text for item in examples])
        pairs = zip(examples, answers, strict=True)
        return [beside(item.text, answer, item.label) for item, answer in pairs]

    def labels(self, split: str) -> np.ndarray:
        """The number of each example's class, (examples,)."""
        return np.array([self._number[item.label] for item in self.examples[split]])

    def logits(
        self,
        model: SequenceClassifier,
        encoded: Sequence[tuple[list[int], int]],
        interrupted: Callable[[], bool] = lambda: False,
    ) -> np.ndarray | None:
        """Scores of the classes, (examples, classes), computed in batches of similar length; None if interrupted."""
        logits = np.zeros((len(encoded), len(self.names)), self.config.model.array_dtype)
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i][0]))
        with evaluation_mode(model):
            for first in range(0, len(order), self.config.training.batch_size):
                if interrupted():
                    return None
                rows = order[first : first + self.config.training.batch_size]
                batch = self.collate([encoded[i] for i in rows])
                logits[rows] = model(batch["ids"], mask=batch["mask"])[0].numpy()
        return logits

    def _ids(self, text: str) -> list[int]:
        return self.reader.ids(self.tokenizer, self.tokenizer.encode(text), self.config.model.context_length)


def read(settings: ClassificationSettings) -> dict[str, list[Item]]:
    """The texts of each split, those to validate and test with stratified by class where they have no file."""
    train, names = read_labelled(settings.data, settings.names)
    splits: dict[str, list[Labelled]] = {}
    if settings.test:
        splits["test"] = read_labelled(settings.test, names).examples
    elif settings.n_test != 0:
        train, splits["test"] = stratified(train, settings.n_test or len(train) // 10, settings.split_seed, names)
    if settings.validation:
        splits["validation"] = read_labelled(settings.validation, names).examples
    else:
        count = min(1000, len(train) // 10) if settings.n_validation is None else settings.n_validation
        train, splits["validation"] = stratified(train, count, settings.split_seed, names)
    return {
        split: [Item(example.text, names[example.label]) for example in splits.get(split, train)]
        for split in ("train", "validation", "test")
        if split == "train" or split in splits
    }


def _scores(true: np.ndarray, predicted: np.ndarray, n_classes: int) -> Scores:
    return {"accuracy": accuracy(true, predicted), "macro-F1": macro_scores(true, predicted, n_classes).f1}
