"""Multiple choice about a text: a BERT that scores each option, beside counting shared words.

    python -m minillm.finetune multiple_choice --from MINILM --data mc500.train.statements.tsv \\
        --answers mc500.train.ans --test mc500.test.statements.tsv --test-answers mc500.test.ans
    python -m minillm.finetune multiple_choice --from MINILM --data questions.jsonl

MINILM is a Hugging Face folder of a BERT, or the folder of a masked_lm run. A text longer than fits beside an option is
read in part: the window that shares most with the question and this option (see `best_window`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minillm.baselines import choose
from minillm.configs import checks
from minillm.configs.config import TrainingConfig
from minillm.data.batches import IGNORED
from minillm.data.examples import Choice, fitting, pad, read_mctest, split
from minillm.data.examples.choices import parse_choice, read_choices
from minillm.errors import ConfigError, DataError
from minillm.metrics.classification import cross_entropy
from minillm.models import BERTConfig
from minillm.models.choice import NEVER, ChoiceScorer
from minillm.tasks.encoder import BertReader
from minillm.tasks.task import FinetuneConfig, FinetuneTask, Prepared, Scores, beside, evaluation_mode
from minillm.tokenizers.wordpiece import CLS, PAD, SEP
from minillm.training.task import Batch, Evaluation

Encoded = tuple[list[list[int]], list[int], int]
"""[CLS] text [SEP] question option [SEP] of each option, where the second part of each begins, the right option."""


@dataclass(frozen=True)
class QuestionsSettings:
    """The questions, and how much of a text is read for each option."""

    kind: Literal["multiple_choice"] = "multiple_choice"
    """The task."""

    data: tuple[str, ...] = ()
    """Files of questions: MCTest's statements (.tsv, with --answers), or JSON Lines (.jsonl) of {"context", "question",
    "options": [...], "answer": index from 0}."""

    answers: tuple[str, ...] = ()
    """MCTest's answers, a file for each of --data: the .ans beside the .tsv, four letters a story."""

    test: tuple[str, ...] = ()
    """Questions that python -m minillm.evaluate scores, given like --data. By default some are taken out of that."""

    test_answers: tuple[str, ...] = ()
    """MCTest's answers to them."""

    n_validation: int | None = None
    """How many questions the training is checked on, taken out of --data; by default a tenth."""

    n_test: int | None = None
    """How many to take out before those where there is no --test; by default a tenth. 0 takes none."""

    split_seed: int = 0
    """Which are taken out; all questions about a text are on one side."""

    start: str = ""
    """Model to begin with: a folder with a BERT's config.json, model.safetensors and vocab.txt, or the folder of a
    masked_lm run. By default a model with random weights."""

    tokenizer: str = "bpe"
    """Without --from: bpe learns byte pairs from the texts; or a file, BERT's vocab.txt or a saved tokenizer.json."""

    pooling: Literal["cls", "mean"] = "mean"
    """An input's vector: of its first token, or the mean of all, as sentence encoders have it."""

    window: int = 0
    """Most tokens of a text that are read beside an option. 0, the default: as many as the model's context has room
    for. Fewer take less time."""

    def __post_init__(self) -> None:
        checks.types(self)
        checks.at_least(self, 0, "window")


class Questions(FinetuneTask):
    """Choose the right one of a question's options."""

    kind = "multiple_choice"
    Settings = QuestionsSettings
    Example = Choice
    model = BertReader.model
    training = TrainingConfig(
        steps=400,
        batch_size=8,
        learning_rate=5e-5,
        min_learning_rate=0.0,
        warmup_steps=40,
        beta2=0.999,
        weight_decay=0.01,
        eval_interval=100,
        checkpoint_interval=200,
        samples=2,
    )

    @classmethod
    def prepare(cls, config: FinetuneConfig) -> Prepared:
        settings: QuestionsSettings = config.task
        splits = read(settings)
        texts = [text for choice in splits["train"] for text in (choice.context, *_statements(choice))]
        begun = BertReader().begin(settings.start, settings.tokenizer, config.model, cls.model, texts)
        statements = [text for part in splits.values() for choice in part for text in _statements(choice)]
        room = begun.model.context_length - 4  # [CLS] token [SEP] ... [SEP]
        fitting(begun.tokenizer.encode_batch(statements), room, truncate=None)
        return Prepared(splits, begun.tokenizer, begun.model, begun.weights)

    def encode(self, example: Choice) -> Encoded:
        special = self.tokenizer.special_tokens
        context = self.tokenizer.encode(example.context)
        inputs, starts = [], []
        for text in _statements(example):
            statement = self.tokenizer.encode(text)
            room = self.config.model.context_length - 3 - len(statement)
            seen = best_window(context, statement, min(self.config.task.window or room, room))
            inputs.append([special[CLS], *seen, special[SEP], *statement, special[SEP]])
            starts.append(len(seen) + 2)
        return inputs, starts, IGNORED if example.answer is None else example.answer

    def length(self, encoded: Encoded) -> int:
        return sum(map(len, encoded[0]))

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        """ids, mask and segments (questions, options, time); a question with fewer options has empty ones."""
        options = max(len(inputs) for inputs, _, _ in encoded)
        flat = [ids for inputs, _, _ in encoded for ids in [*inputs, *[[]] * (options - len(inputs))]]
        ids, mask = pad(flat, self.tokenizer.special_tokens[PAD])
        second = [start for _, starts, _ in encoded for start in [*starts, *[0] * (options - len(starts))]]
        segments = (mask & (np.arange(ids.shape[1]) >= np.array(second)[:, None])).astype(np.int64)
        shape = (len(encoded), options, ids.shape[1])
        batch = {"ids": ids, "mask": mask, "segments": segments}
        targets = np.array([answer for _, _, answer in encoded])
        return {**{name: values.reshape(shape) for name, values in batch.items()}, "targets": targets}

    def build(self) -> ChoiceScorer:
        config: BERTConfig = self.config.model
        return ChoiceScorer(BertReader().build(config), self.config.task.pooling, config.dropout)

    def load_start(self, model: ChoiceScorer, weights: Mapping[str, np.ndarray]) -> None:
        BertReader().load(model.encoder, weights)

    @property
    def baselines(self) -> dict[str, float]:
        """The loss of giving every option the same probability."""
        return {"chance": float(np.mean([np.log(len(choice.options)) for choice in self.examples["validation"]]))}

    def evaluate(self, model: ChoiceScorer, interrupted: Callable[[], bool]) -> Evaluation | None:
        scores = self.option_scores(model, self._encoded["validation"], interrupted)
        return None if scores is None else Evaluation(*self._measured(scores, "validation"))

    def scores(self, model: ChoiceScorer, split: str) -> Scores:
        scores = self.option_scores(model, self._encoded[split])
        assert scores is not None
        loss, measures = self._measured(scores, split)
        return {**measures, "cross-entropy": loss}

    def baseline_scores(self, split: str) -> dict[str, Scores]:
        """Of guessing, and of shared words (Richardson et al. 2013)."""
        examples = self.examples[split]
        rows = {"chance": {"accuracy": float(np.mean([1 / len(choice.options) for choice in examples]))}}
        for name, distance in (("sliding window", False), ("sliding window and distance", True)):
            picks = [choose(choice.context, choice.question, choice.options, distance) for choice in examples]
            rows[name] = self._accuracy(picks, split)
        return rows

    def answer(self, model: ChoiceScorer, texts: Sequence[str]) -> list[str]:
        """The option chosen for each question, given as a line of JSON like those of --data. DataError, with the line,
        for one that isn't."""
        return self._picked(model, [self._parsed(text) for text in texts])

    def _parsed(self, text: str) -> Choice:
        try:
            return parse_choice(text)
        except DataError as error:
            raise DataError(f"{text[:60]!r} {error}") from None

    def shown(self, model: ChoiceScorer, examples: Sequence[Choice]) -> list[str]:
        pairs = zip(examples, self._picked(model, examples), strict=True)
        return [beside(choice.question, text, choice.options[choice.answer or 0]) for choice, text in pairs]

    def option_scores(
        self, model: ChoiceScorer, encoded: Sequence[Encoded], interrupted: Callable[[], bool] = lambda: False
    ) -> np.ndarray | None:
        """A score for each option, (questions, most options), computed in batches of similar length; NEVER where a
        question has fewer. None if interrupted."""
        most = max(len(inputs) for inputs, _, _ in encoded)
        found = np.full((len(encoded), most), NEVER, self.config.model.array_dtype)
        order = sorted(range(len(encoded)), key=lambda i: self.length(encoded[i]))
        with evaluation_mode(model):
            for first in range(0, len(order), self.config.training.batch_size):
                if interrupted():
                    return None
                rows = order[first : first + self.config.training.batch_size]
                batch = self.collate([encoded[i] for i in rows])
                scores = model(batch["ids"], mask=batch["mask"], segments=batch["segments"])[0].numpy()
                found[rows, : scores.shape[1]] = scores
        return found

    def _picked(self, model: ChoiceScorer, choices: Sequence[Choice]) -> list[str]:
        scores = self.option_scores(model, [self.encode(choice) for choice in choices])
        assert scores is not None
        return [choice.options[pick] for choice, pick in zip(choices, scores.argmax(1), strict=True)]

    def _measured(self, scores: np.ndarray, split: str) -> tuple[float, Scores]:
        right = np.array([choice.answer for choice in self.examples[split]])
        return cross_entropy(scores, right), self._accuracy(scores.argmax(1), split)

    def _accuracy(self, picks: Sequence[int] | np.ndarray, split: str) -> Scores:
        right = [choice.answer for choice in self.examples[split]]
        return {"accuracy": float(np.mean(np.equal(picks, right)))}


def best_window(context: Sequence[int], statement: Sequence[int], size: int) -> Sequence[int]:
    """The `size` tokens in a row that share most with a statement; the whole context where it isn't longer.

    Tokens of the statement count ln(1 + 1 / C), others nothing; C: how often the token is in the context. So a rare
    one counts more, as in Richardson et al. (2013), Algorithm 1. The first of equal windows.
    """
    if len(context) <= size:
        return context
    tokens = np.array(context)
    _, place, counts = np.unique(tokens, return_inverse=True, return_counts=True)
    value = np.where(np.isin(tokens, statement), np.log1p(1 / counts)[place], 0.0)
    before = np.concatenate([[0.0], np.cumsum(value)])
    start = int((before[size:] - before[:-size]).round(9).argmax())  # rounded: equal sums are equal
    return context[start : start + size]


def read(settings: QuestionsSettings) -> dict[str, list[Choice]]:
    """The questions of each split. ConfigError without files, DataError for a question without its answer."""
    train = _read(settings.data, settings.answers, "")
    splits = {}
    if settings.test:
        splits["test"] = _read(settings.test, settings.test_answers, "test-")
    elif settings.n_test != 0:
        train, splits["test"] = _split(train, settings.n_test, settings.split_seed)
    train, splits["validation"] = _split(train, settings.n_validation, settings.split_seed)
    return {"train": train, **splits}


def _split(choices: list[Choice], count: int | None, seed: int) -> tuple[list[Choice], list[Choice]]:
    count = max(1, len(choices) // 10) if count is None else count
    return split(choices, count, seed=seed, key=lambda choice: choice.context)


def _read(paths: Sequence[str], answers: Sequence[str], flag: str) -> list[Choice]:
    if not paths:
        raise ConfigError("multiple_choice needs --data FILE: MCTest's statements (.tsv) or JSON Lines (.jsonl)")
    tables = [path for path in paths if path.endswith(".tsv")]
    if len(answers) != len(tables):
        raise ConfigError(
            f"{len(tables)} files of MCTest's statements need as many of answers, in the same order: "
            f"--{flag}answers FILE ...; got {len(answers)}. They are the .ans files published beside them: a line a "
            "story, the letters A to D of its four questions separated by tabs"
        )
    keys = iter(answers)
    choices = [c for path in paths for c in (read_mctest(path, next(keys)) if path in tables else read_choices(path))]
    if unknown := sum(choice.answer is None for choice in choices):
        raise DataError(f'{unknown} of {len(choices)} questions in {", ".join(paths)} have no answer; add "answer"')
    return choices


def _statements(choice: Choice) -> list[str]:
    return [f"{choice.question} {option}".strip() for option in choice.options]
