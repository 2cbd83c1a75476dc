"""Masked language modelling: pre-train a small BERT on running text (Devlin et al. 2019, section 3.1).  [3.2.2-mlm]

    python -m minillm.finetune masked_lm --corpus python-docs
    python -m minillm.evaluate runs/masked_lm --input FILE     # each line a text with [MASK] in it

Tokens are masked anew at each step, so that no epoch is like another (Liu et al. 2019, section 4.1). The run is
something for other tasks to begin with: --from RUN.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from minillm import ops
from minillm.configs import checks
from minillm.configs.config import TrainingConfig
from minillm.data import corpora, splits
from minillm.data.batches import IGNORED
from minillm.data.examples import pad
from minillm.data.masking import Maskable, mask_tokens
from minillm.errors import DataError
from minillm.metrics import bits_per_byte, masked_token_accuracy, perplexity
from minillm.models import BERT, BERTConfig, NGram, pseudo_perplexity
from minillm.tasks.encoder import BertReader, with_ends
from minillm.tasks.task import FinetuneConfig, FinetuneTask, Prepared, Scores, beside, evaluation_mode
from minillm.tokenizers import Tokenizer
from minillm.tokenizers.wordpiece import MASK, PAD
from minillm.training.baselines import ORDER
from minillm.training.task import Batch, Evaluation

PSEUDO_PASSAGES = 8  # that pseudo-perplexity is measured on: it takes a run of the model for each token
SHOWN_TOKENS = 40
_STREAM = zlib.crc32(b"masking")  # keeps these draws apart from others of the same seed


@dataclass(frozen=True)
class MaskedLMSettings:
    """The text, and how it is masked."""

    kind: Literal["masked_lm"] = "masked_lm"
    """The task."""

    corpus: str = corpora.DEFAULT
    """Text to learn: a registered name (python-docs, stories, shakespeare), or the path of a UTF-8 file, a folder or a
    glob."""

    validation_fraction: float = 0.05
    """Share of the text, taken from its end, that is never trained on."""

    start: str = ""
    """Model to go on with: a folder with a BERT's config.json, model.safetensors and vocab.txt, or of another masked_lm
    run. By default a model with random weights."""

    tokenizer: str = "bpe"
    """Without --from: bpe learns byte pairs from the text; or a file, BERT's vocab.txt or a saved tokenizer.json."""

    probability: float = 0.15
    """That a token is hidden, to be predicted."""

    whole_words: bool = False
    """Hide all tokens of a word or none, so that none can be told from the others (Cui et al. 2021)."""

    def __post_init__(self) -> None:
        checks.types(self)
        checks.between(self, 0, 1, "validation_fraction", "probability")


@dataclass(frozen=True)
class Passage:
    """Token ids of a piece of the text, as many as the model looks at but for [CLS] and [SEP]."""

    ids: tuple[int, ...]


class MaskedLM(FinetuneTask):
    """Pre-train a BERT: tell hidden tokens from all those around them."""

    kind = "masked_lm"
    Settings = MaskedLMSettings
    Example = Passage
    model = BERTConfig(
        vocab_size=1024, context_length=128, n_layer=4, d_model=128, dropout=0.1, norm="pre", position="rotary"
    )
    training = TrainingConfig(
        steps=5000,
        batch_size=16,
        learning_rate=3e-3,
        min_learning_rate=0.0,
        warmup_steps=200,
        beta2=0.98,
        weight_decay=0.01,
        samples=3,
    )

    def __init__(self, config: FinetuneConfig, tokenizer: Tokenizer, examples: Mapping[str, Sequence[Passage]]):
        super().__init__(config, tokenizer, examples)
        self.vocabulary = Maskable.of(tokenizer, MASK)
        self.pad_id = tokenizer.special_tokens[PAD]

    @classmethod
    def prepare(cls, config: FinetuneConfig) -> Prepared:
        settings: MaskedLMSettings = config.task
        text = splits.split(corpora.load(settings.corpus), settings.validation_fraction)
        begun = BertReader().begin(settings.start, settings.tokenizer, config.model, cls.model, text.train)
        examples = {
            name: passages(begun.tokenizer, part, begun.model.context_length - 2)
            for name, part in (("train", text.train), ("validation", text.validation))
        }
        task = cls(replace(config, model=begun.model), begun.tokenizer, examples)
        task.targets("validation")  # raises now where no token of it is hidden
        return Prepared(examples, begun.tokenizer, begun.model, begun.weights)

    def encode(self, example: Passage) -> list[int]:
        return with_ends(self.tokenizer, example.ids, self.config.model.context_length)

    def length(self, encoded: list[int]) -> int:
        return len(encoded)

    def collate(self, encoded: Sequence[list[int]]) -> Batch:
        ids, mask = pad(encoded, self.pad_id)
        return {"ids": ids, "mask": mask}

    def build(self) -> BERT:
        return BERT(self.config.model)

    def batch(self, step: int) -> Batch:
        """Examples and what is hidden of them, both pure functions of the seed and the step."""
        return self._masked(super().batch(step), generator(self.config.training.seed, step))

    def batches(self, split: str) -> Iterator[Batch]:
        """All of a split, always masked in the same places, whatever the batch size and the seed."""
        whole = self._masked(self.collate(self._encoded[split]), generator(0, 0))
        for rows in self.indices(split):
            yield {name: values[rows] for name, values in whole.items()}

    def _masked(self, batch: Batch, rng: np.random.Generator) -> Batch:
        settings: MaskedLMSettings = self.config.task
        inputs, targets = mask_tokens(batch["ids"], rng, self.vocabulary, settings.probability, settings.whole_words)
        return {"ids": inputs, "targets": targets, "mask": batch["mask"]}

    @property
    def baselines(self) -> dict[str, float]:
        return {"unigram": self._unigram_loss(self.targets("validation"))}

    def evaluate(self, model: BERT, interrupted: Callable[[], bool]) -> Evaluation | None:
        return self._measured(model, "validation", interrupted)

    def scores(self, model: BERT, split: str) -> Scores:
        measured = self._measured(model, split)
        assert measured is not None
        sample = self._encoded[split][:PSEUDO_PASSAGES]
        nats = self._pseudo_nats(model, sample)
        return {**measured.measures, "cross-entropy": measured.loss, **self._per_token(nats, split)}

    def baseline_scores(self, split: str) -> dict[str, Scores]:
        """Of answering without a look at the text: with the most frequent token, or with all tokens' frequencies. And
        of an n-gram, which sees what comes before a token, but not what comes after."""
        targets, sample = self.targets(split), self._sample(split)
        known = np.concatenate([passage.ids for passage in self.examples["train"]])
        counted = NGram.train(known, self.tokenizer.vocab_size, order=min(ORDER, len(known)))
        return {
            "most frequent token": {"accuracy": float((targets == self._counts.argmax()).mean())},
            "unigram": {
                "cross-entropy": self._unigram_loss(targets),
                **self._per_token(self._unigram_loss(sample), split),
            },
            f"{counted.order}-gram, Kneser-Ney": self._per_token(counted.evaluate(sample), split),
        }

    def answer(self, model: BERT, texts: Sequence[str]) -> list[str]:
        """Each text with the likeliest token in place of every [MASK]."""
        ids = [self.tokenizer.encode(text, {MASK}) for text in texts]
        return [self.tokenizer.decode(filled) for filled in self.filled(model, ids)]

    def too_long(self, texts: Sequence[str]) -> int:
        most = self.config.model.context_length - 2  # [CLS] and [SEP]
        return sum(len(self.tokenizer.encode(text, {MASK})) > most for text in texts)

    def shown(self, model: BERT, examples: Sequence[Passage]) -> list[str]:
        """The beginnings of passages with some tokens hidden, as the model fills them in, and as they were."""
        rng = generator(0, 0)
        shown = []
        for passage in examples:
            ids = np.array(passage.ids[:SHOWN_TOKENS])
            settings = self.config.task
            hidden = mask_tokens(ids, rng, self.vocabulary, settings.probability, settings.whole_words)[1] != IGNORED
            masked = np.where(hidden, self.vocabulary.mask_id, ids).tolist()
            forms = (masked, self.filled(model, [masked])[0], ids.tolist())
            texts = [self.tokenizer.decode(form) for form in forms]
            shown.append(beside(*(" ".join(text.split()) for text in texts)))
        return shown

    def filled(self, model: BERT, texts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Token ids with the likeliest ordinary token in place of each [MASK], all of a text's at once."""
        filled = []
        with evaluation_mode(model):
            for text in texts:
                ids = np.array(with_ends(self.tokenizer, text, self.config.model.context_length))
                masked = ids == self.vocabulary.mask_id
                if masked.any():
                    logits = model.head(model.features(ids[None])[0][masked]).numpy()
                    ids[masked] = np.where(self.vocabulary.ordinary, logits, -np.inf).argmax(-1)
                filled.append(ids[1:-1].tolist())
        return filled

    def _measured(self, model: BERT, split: str, interrupted: Callable[[], bool] = lambda: False) -> Evaluation | None:
        """Cross-entropy in nats for each hidden token, and the share of them that is found; None if interrupted."""
        loss, right, count = 0.0, 0.0, 0
        with evaluation_mode(model), np.errstate(all="ignore"):  # a model that has diverged gives NaN
            for batch in self.batches(split):
                if interrupted():
                    return None
                hidden = batch["targets"] != IGNORED
                if not hidden.any():
                    continue
                targets = batch["targets"][hidden]
                logits = model.head(model.features(batch["ids"], batch["mask"])[hidden])
                loss += ops.cross_entropy(logits, targets).item() * len(targets)
                right += masked_token_accuracy(logits, targets) * len(targets)
                count += len(targets)
        return Evaluation(loss / count, {"accuracy": right / count})

    def _pseudo_nats(self, model: BERT, encoded: Sequence[list[int]]) -> float:
        """The logarithm of the pseudo-perplexity of several passages together: each token counts the same."""
        special = set(self.tokenizer.special_tokens.values())
        counts = [len(self._ordinary(ids)) for ids in encoded]
        nats = sum(
            count * math.log(pseudo_perplexity(model, ids, self.vocabulary.mask_id, special))
            for ids, count in zip(encoded, counts, strict=True)
            if count
        )
        return nats / sum(counts)

    def _sample(self, split: str) -> np.ndarray:
        """The tokens that pseudo-perplexity is measured on."""
        passages = self.examples[split][:PSEUDO_PASSAGES]
        return np.concatenate([self._ordinary(passage.ids) for passage in passages])

    def _per_token(self, nats: float, split: str) -> Scores:
        """Scores of a model that pays so many nats for each token of the sample, on average.

        A BERT sees both sides of each token, so its chances don't multiply to a probability of the text, as those of a
        model that reads from left to right do (Salazar et al. 2020). The unigram's and the n-gram's are true
        perplexities, under the same name for comparison.
        """
        sample = self._sample(split)
        size = len(self.tokenizer.decode_bytes(sample.tolist()))
        return {"pseudo-perplexity": perplexity(nats), "bits/byte": bits_per_byte(nats, len(sample), size)}

    def targets(self, split: str) -> np.ndarray:
        """The hidden tokens of a split, (tokens,). DataError where there is none."""
        parts = [batch["targets"][batch["targets"] != IGNORED] for batch in self.batches(split)]
        targets = np.concatenate(parts)
        if not len(targets):
            raise DataError(f"the {split} text is so short that no token of it was masked; give more text")
        return targets

    def _ordinary(self, ids: Sequence[int]) -> np.ndarray:
        """The ids without special tokens."""
        own = np.asarray(ids)
        return own[~np.isin(own, list(self.tokenizer.special_tokens.values()))]

    @cached_property
    def _counts(self) -> np.ndarray:
        """How often each token occurs in training, (vocab_size,)."""
        return np.bincount(np.concatenate([p.ids for p in self.examples["train"]]), minlength=self.tokenizer.vocab_size)

    def _unigram_loss(self, targets: np.ndarray) -> float:
        """Nats for each target, with 1 added to each count so that no token is impossible."""
        counts = self._counts + 1
        return float(-np.log(counts[targets] / counts.sum()).mean())


def passages(tokenizer: Tokenizer, texts: Iterable[str], length: int) -> list[Passage]:
    """The tokens of all texts end to end, cut into pieces of `length`, the last one what is left."""
    ids: list[int] = []
    for text in texts:
        ids += tokenizer.encode(text)
    return [Passage(tuple(ids[i : i + length])) for i in range(0, len(ids), length)]


def generator(seed: int, step: int) -> np.random.Generator:
    """Where tokens are hidden at a step: the same for the same seed and step."""
    key = (seed * 2**32 + _STREAM) % 2**64
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, step, 0]))
