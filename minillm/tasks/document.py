"""The program of the document's section 5.2, put right: an encoder-decoder that continues a text it has begun to read.

    python -m minillm.document --data FOLDER --vectors glove.6B.100d.txt

The program has one text field, and asks it for a source and a target. Here the first half of each text is the source,
its second half the target: one language and one vocabulary on both sides, as the program's single embedding wants it,
and something a decoder can learn from its memory. The numbers stand in the code where each fault is put right.

      the program                                          here
  1   Field and BucketIterator, which torchtext dropped    `read_texts`; batches of similar length by the task's frame
  2   batch.src, batch.tgt of a single field               the two halves of a text
  3   tgt is never used                                    the decoder reads it
  4   the decoder is called without its memory             cross-attention to what the encoder made of the source
  5   the padding mask is made of embeddings               of ids
  6   and is True at the words                             hides the padding
  7   no causal mask                                       the decoder sees what is before, not the answer
  8   the target isn't shifted                             <start> and the target, one place behind what is asked
  9   no positions                                         sinusoidal ones (Vaswani et al. 2017, section 3.5)
  10  the loss counts padding                              -100 there, which doesn't count
  11  hidden_dim is unused, and 2,048 taken                d_ff = 256
  12  GloVe is downloaded and left                         the embedding begins with it (--vectors)
  13  the validation texts are never used                  their loss after each epoch chooses the checkpoint
  14  the last batch counts, but not in the mean's length  the mean over words, each counting once
  15  <start> isn't in the vocabulary                      <pad>, <start> and <end> are
  16  no end                                               <end> behind each target, learnt and obeyed
  17  .item() of a whole row of answers                    the likeliest word at the last place
  18  time stands first in training, second in generation  (batch, time) everywhere
  19  a comma ends the text, as one of CSV's columns       a line is a text
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from minillm import ops, seeding
from minillm.configs import checks
from minillm.configs.config import TrainingConfig
from minillm.data.batches import IGNORED
from minillm.data.examples import Pair, fitting, pad
from minillm.data.examples.reading import read_text
from minillm.data.word_vectors import WordVectors, fill_embedding, read_word_vectors
from minillm.errors import ConfigError, DataError
from minillm.metrics import masked_token_accuracy, perplexity
from minillm.models import NGram, Seq2Seq, Seq2SeqConfig
from minillm.models.seq2seq import teacher_forcing
from minillm.tasks.answer_report import coherence_line, coherence_of_pairs, text_table
from minillm.tasks.task import FinetuneConfig, FinetuneTask, Prepared, Scores, beside, evaluation_mode
from minillm.tokenizers import WordTokenizer
from minillm.tokenizers.word import PIECES
from minillm.training.task import Batch

SPECIAL_TOKENS = ("<pad>", "<start>", "<end>")  # (15)
FILES = {"train": "train.txt", "validation": "valid.txt", "test": "test.txt"}
QUOTED = re.compile('"((?:[^"]|"")*)"')
ORDERS = (1, 3)  # of the n-gram baselines

Encoded = tuple[list[int], list[int]]
"""Ids of a text's first half, and of its second with <end> behind it."""


@dataclass(frozen=True)
class DocumentSettings:
    """The texts, and how long they are learnt from."""

    kind: Literal["document"] = "document"
    """The task."""

    data: str = ""
    """Folder of train.txt, valid.txt and test.txt: UTF-8, a text a line (a whole line in quotes is read as CSV)."""

    vectors: str = ""
    """Word vectors to begin with, such as glove.6B.100d.txt: as many numbers each as --d-model."""

    epochs: int = 10
    """Times each text is learnt from, with an evaluation and a checkpoint after each. Give --steps (and then
    --eval-interval, --checkpoint-interval) to count updates instead."""

    truncate: bool = False
    """Cut halves longer than the model's context. By default such texts are refused, and counted."""

    max_new_tokens: int = 20
    """Most words of a continuation, each the likeliest."""

    def __post_init__(self) -> None:
        checks.types(self)
        checks.at_least(self, 1, "epochs", "max_new_tokens")


class Document(FinetuneTask):
    """The document's program (section 5.2), put right: the second half of a text from its first, by words."""

    kind, Settings, Example = "document", DocumentSettings, Pair
    model = Seq2SeqConfig(
        vocab_size=25_000,
        context_length=128,
        n_encoder_layer=2,
        n_decoder_layer=2,
        n_head=4,
        d_model=100,
        d_ff=256,  # (11)
        dropout=0.1,
        norm="post",
        position="sinusoidal",  # (9)
    )
    training = TrainingConfig(
        steps=0,  # as many as the epochs take
        batch_size=64,
        learning_rate=1e-3,
        min_learning_rate=1e-3,  # constant: plain Adam, with its usual moments and nothing around it
        warmup_steps=0,
        beta2=0.999,
        weight_decay=0.0,
        gradient_clip=0.0,
        samples=3,
    )

    @classmethod
    def prepare(cls, config: FinetuneConfig) -> Prepared:
        pairs = read_halves(config.task.data)
        texts = (text for pair in pairs["train"] for text in worded(pair))
        tokenizer = WordTokenizer.train(texts, max_size=config.model.vocab_size, special_tokens=SPECIAL_TOKENS)
        pad_id, start_id, end_id = (tokenizer.special_tokens[name] for name in SPECIAL_TOKENS)
        model = replace(config.model, vocab_size=tokenizer.vocab_size, pad_id=pad_id, start_id=start_id, end_id=end_id)
        task = cls(replace(config, model=model), tokenizer, pairs)
        for part in pairs.values():
            halves = [tokenizer.encode(half) for pair in part for half in worded(pair)]
            fitting(halves, model.context_length - 1, config.task.truncate)
        start = task.with_word_vectors(config.task.vectors) if config.task.vectors else None
        return Prepared(pairs, tokenizer, model, start, over_epochs(config, task.steps_per_epoch))

    def with_word_vectors(self, path: str) -> dict[str, np.ndarray]:
        """(12) The weights of a fresh model whose embedding has the file's vectors.

        They are brought to the size of the model's own start, variance 1/d_model. GloVe's are about five times as
        long: times √d_model they would drown the positions added to them, and as the head's rows be far too sure.
        """
        seeding.seed(self.config.training.seed)
        model, read = self.build(), read_word_vectors(path)
        sized = WordVectors(read.words, read.vectors / (read.vectors.std() * np.sqrt(read.size)))
        train = np.concatenate([source + target[:-1] for source, target in self._encoded["train"]])
        counts = np.bincount(train, minlength=self.tokenizer.vocab_size)
        for embedding in (model.source_embedding, model.target_embedding):  # one and the same unless weights are untied
            coverage = fill_embedding(embedding, self.tokenizer, sized, counts)
        print(f"{path}: {coverage}", flush=True)
        return model.state_dict()

    def encode(self, example: Pair) -> Encoded:
        source, target = (self._ids(half) for half in worded(example))
        return source, [*target, self.config.model.end_id]  # (16)

    def _ids(self, half: str) -> list[int]:
        return self.tokenizer.encode(half)[: self.config.model.context_length - 1]

    def length(self, encoded: Encoded) -> int:
        return max(map(len, encoded))

    def collate(self, encoded: Sequence[Encoded]) -> Batch:
        source, source_mask = pad([source for source, _ in encoded], self.config.model.pad_id)  # (5) (6) (18)
        target, _ = pad([target for _, target in encoded], self.config.model.pad_id)
        inputs, targets = teacher_forcing(target, self.config.model)  # (8) (10)
        return {"source": source, "inputs": inputs, "targets": targets, "source_mask": source_mask}  # (3)

    def build(self) -> Seq2Seq:
        return Seq2Seq(self.config.model)  # (4) (7) in its decoder's layers

    def scores(self, model: Seq2Seq, split: str) -> Scores:
        """Over the words of the second halves and their ends; <unk> counts as a word."""
        nats, right, count = 0.0, 0.0, 0
        with evaluation_mode(model):
            for batch in self.batches(split):
                logits, _ = model(batch["source"], batch["inputs"], source_mask=batch["source_mask"])
                targets = batch["targets"]
                counted = int((targets != IGNORED).sum())
                nats += ops.cross_entropy(logits, targets, reduction="sum").item()
                right += masked_token_accuracy(logits, targets) * counted
                count += counted  # (14)
        return {"perplexity": perplexity(nats / count), "accuracy": right / count}

    def baseline_scores(self, split: str) -> dict[str, Scores]:
        """Counts of word groups, the first halves among them, scored on the words of the second halves alone."""
        train, _ = self._stream("train")
        ids, is_target = self._stream(split)
        rows = {}
        for order in ORDERS:
            p = NGram.train(train, self.tokenizer.vocab_size, order).probabilities(ids)[is_target]
            rows[f"{order}-gram"] = {"perplexity": perplexity(float(-np.log(p).mean()))}
        return rows

    def _stream(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """All texts one after the other, (tokens,), and which of them are targets, (tokens,) booleans."""
        halves = [half for pair in self._encoded[split] for half in pair]
        is_target = [np.full(len(half), i % 2 == 1) for i, half in enumerate(halves)]
        return np.concatenate(halves).astype(np.int64), np.concatenate(is_target)

    def answer(self, model: Seq2Seq, texts: Sequence[str]) -> list[str]:
        """The continuation of each text."""
        rows, written = self.config.training.batch_size, []
        most = min(self.config.task.max_new_tokens, self.config.model.context_length)
        with evaluation_mode(model):
            for first in range(0, len(texts), rows):
                ids, mask = pad(
                    [self._ids(first_half(text)) for text in texts[first : first + rows]], self.config.model.pad_id
                )
                written += model.generate(ids, most, source_mask=mask)  # (17)
        return [self.tokenizer.decode(ids) for ids in written]

    def too_long(self, texts: Sequence[str]) -> int:
        return sum(len(self.tokenizer.encode(first_half(text))) >= self.config.model.context_length for text in texts)

    def shown(self, model: Seq2Seq, examples: Sequence[Pair]) -> list[str]:
        answers = self.answer(model, [example.source for example in examples])
        return [
            beside(example.source, text.strip(), example.target.strip())
            for example, text in zip(examples, answers, strict=True)
        ]

    def qualities(self, model: Seq2Seq, split: str) -> str:
        said = self.answer(model, [pair.source for pair in self.examples[split]])
        references, training = ([pair.target for pair in self.examples[part]] for part in (split, "train"))
        table = text_table(said, references, training)
        return f"{table}\n\n{coherence_line(coherence_of_pairs(model, self.collate, self._encoded[split]))}"


def over_epochs(config: FinetuneConfig, steps_per_epoch: int) -> TrainingConfig:
    """(13) The settings of the training, with steps enough for the epochs unless steps are given; intervals that are
    given stay, the others are an epoch. ConfigError for both epochs and steps."""
    training = config.training
    if training.steps:
        if config.task.epochs != DocumentSettings.epochs:
            raise ConfigError(f"--epochs {config.task.epochs} and --steps {training.steps} both say how long: give one")
        return training
    default, steps = Document.training, config.task.epochs * steps_per_epoch
    evaluate = steps_per_epoch if training.eval_interval == default.eval_interval else training.eval_interval
    save = (
        steps_per_epoch if training.checkpoint_interval == default.checkpoint_interval else training.checkpoint_interval
    )
    return replace(training, steps=steps, eval_interval=evaluate, checkpoint_interval=save)


def worded(pair: Pair) -> tuple[str, str]:
    """The halves of a text as their words are looked up."""
    return first_half(pair.source), pair.target.lower()


def first_half(text: str) -> str:
    """A text in lower case, its first word behind a space as all others are: the vocabulary has it so."""
    return f" {text.strip().lower()}"


def read_halves(folder: str) -> dict[str, list[Pair]]:
    """(2) The halves of each split's texts. A text of a single piece, a word or a mark, has none and is left out.

    ConfigError without a folder, DataError for a file that isn't there, isn't UTF-8, or has no text of two words.
    """
    if not folder:
        raise ConfigError("the document's program needs --data FOLDER, with train.txt, valid.txt and test.txt in it")
    splits = {}
    for split, name in FILES.items():
        path = Path(folder) / name
        splits[split] = [pair for text in read_texts(path) if (pair := halved(text))]
        if not splits[split]:
            raise DataError(f"{path} has no text of two words or more; it needs a text a line")
    return splits


def read_texts(path: Path) -> list[str]:
    """(1) (19) The texts of a file, a line each, empty lines left out; of a line in quotes, what CSV means by it."""
    lines = (line.strip() for line in read_text(path).split("\n"))
    quoted = ((line, QUOTED.fullmatch(line)) for line in lines if line)
    return [match[1].replace('""', '"') if match else line for line, match in quoted]


def halved(text: str) -> Pair | None:
    """The first half of a text's words and marks, and the rest, which is the longer by one of an odd number."""
    pieces = PIECES.findall(text)
    middle = len(pieces) // 2
    return Pair("".join(pieces[:middle]), "".join(pieces[middle:])) if middle else None
