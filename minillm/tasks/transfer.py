"""Transfer between domains: does a GPT trained on text A learn text B from less of it than one that begins at random?

Both have one tokenizer, one shape, and the same updates on the same windows of B; only their first weights differ. So
where the pre-trained one is better, A's text taught it something of B's (Howard and Ruder 2018, section 3; Radford et
al. 2018).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from minillm import seeding
from minillm.configs import checks
from minillm.configs.config import TrainingConfig
from minillm.data import batches, corpora, splits
from minillm.errors import ConfigError, DataError
from minillm.metrics import bits_per_byte
from minillm.models import GPT, GPTConfig
from minillm.tokenizers import BPETokenizer, Tokenizer
from minillm.training.evaluate import evaluate
from minillm.training.fit import fit
from minillm.training.task import Batch


@dataclass(frozen=True)
class TransferSettings:
    """The two texts, and how the models learn from them."""

    source: str = "python-docs"
    """Text A, to pre-train on: a registered corpus, a file, a folder or a glob."""

    target: str = "stories"
    """Text B, to learn afterwards."""

    sizes: tuple[int, ...] = (4_000, 16_000, 64_000)
    """Bytes of B's training text, about, that there are to learn from."""

    source_bytes: int = 1_000_000
    """Most bytes of A, from its beginning."""

    vocab_size: int = 1024
    """Entries of the byte-pair vocabulary, learnt on the texts of A and of the largest size of B together."""

    context_length: int = 64
    """Most tokens the models look at."""

    n_layer: int = 2
    """Their layers."""

    n_head: int = 4
    """Attention heads of a layer."""

    d_model: int = 96
    """Their width."""

    pretrain_steps: int = 600
    """Updates on A."""

    steps: int = 200
    """Updates on B, for each size and each of the two models."""

    evaluations: int = 5
    """Times the validation loss is measured on the way. The lowest counts: little text is soon learnt by heart."""

    batch_size: int = 12
    """Windows an update learns from."""

    learning_rate: float = 1e-3
    """Largest step of AdamW, after a warm-up of a tenth of the updates."""

    eval_tokens: int = 10_000
    """Most tokens of B's validation text that are used."""

    seed: int = 1337
    """Start of every random stream."""

    def __post_init__(self) -> None:
        checks.types(self)
        checks.at_least(self, 1, "source_bytes", "pretrain_steps", "steps", "evaluations", "batch_size")
        checks.at_least(self, 2, "eval_tokens", "context_length")
        if not self.sizes or min(self.sizes) < 1 or sorted(set(self.sizes)) != list(self.sizes):
            raise ConfigError(f"sizes={self.sizes} must be numbers of bytes from 1 on, each larger than the one before")

    def training(self, steps: int) -> TrainingConfig:
        """The settings of a training of so many updates."""
        return TrainingConfig(
            steps=steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            min_learning_rate=self.learning_rate / 10,
            warmup_steps=steps // 10,
            eval_interval=max(1, steps // self.evaluations),
            seed=self.seed,
        )


class Row(NamedTuple):
    """What a size of B leads to, in bits per byte of its validation text; size 0 is a model that never saw B."""

    size: int
    """UTF-8 bytes learnt from."""
    scratch: float
    pretrained: float


@dataclass(frozen=True)
class Domains:
    """Both texts as token ids, (tokens,) int64."""

    tokenizer: Tokenizer
    source: np.ndarray
    target: Mapping[int, np.ndarray]
    """Beginnings of B's training text, by their UTF-8 bytes."""
    validation: np.ndarray
    """Of B."""

    @property
    def validation_bytes(self) -> int:
        """UTF-8 bytes of all validation tokens but the first, which nobody predicts."""
        return len(self.tokenizer.decode_bytes(self.validation[1:]))


def read_domains(settings: TransferSettings) -> Domains:
    """Read both texts and learn their tokenizer. Raises DataError for a text that isn't there or is too short."""
    target = splits.split(corpora.load(settings.target))
    source = beginning(corpora.load(settings.source).documents(), settings.source_bytes)
    parts = {size: beginning(target.train, size) for size in settings.sizes}
    for size, text in parts.items():
        if len(text.encode()) < size * 0.9:
            raise DataError(f"{settings.target} has {len(text.encode())} bytes to train on, fewer than the size {size}")
    tokenizer = BPETokenizer.train([source, parts[settings.sizes[-1]]], settings.vocab_size)
    validation = tokenizer.encode(beginning(target.validation, 8 * settings.eval_tokens))[: settings.eval_tokens + 1]

    def ids(text: str) -> np.ndarray:
        encoded = np.array(tokenizer.encode(text), np.int64)
        if len(encoded) <= settings.context_length:
            raise DataError(f"{len(text.encode())} bytes are {len(encoded)} tokens, fewer than a window; take more")
        return encoded

    encoded = {len(text.encode()): ids(text) for text in parts.values()}
    return Domains(tokenizer, ids(source), encoded, np.array(validation, np.int64))


def beginning(texts: Iterable[str], size: int) -> str:
    """The first characters of the texts, as many as fit into `size` UTF-8 bytes."""
    pieces, left = [], size
    for text in texts:
        pieces.append(text.encode()[:left])
        left -= len(pieces[-1])
        if not left:
            break
    return b"".join(pieces).decode("utf-8", "ignore")


def compare(settings: TransferSettings, domains: Domains, say: Callable[[str], None] = print) -> list[Row]:
    """Pre-train on A, then learn each size of B with and without that start."""
    config = GPTConfig(
        vocab_size=domains.tokenizer.vocab_size,
        context_length=settings.context_length,
        n_layer=settings.n_layer,
        n_head=settings.n_head,
        d_model=settings.d_model,
    )
    measure = partial(loss_of, domains=domains, settings=settings)
    model = fresh(config, settings.seed)
    untrained = measure(model)
    for step in fit(model, windows_of(domains.source, settings), settings.training(settings.pretrain_steps)):
        say(f"pre-training, step {step:,}: {measure(model):.3f} bits a byte on the other text")
    weights = {name: array.copy() for name, array in model.state_dict().items()}
    rows = [Row(0, untrained, measure(model))]
    for size, ids in domains.target.items():
        losses = []
        for start in (None, weights):
            model = fresh(config, settings.seed, start)
            training = settings.training(settings.steps)
            losses.append(min(measure(model) for _ in fit(model, windows_of(ids, settings), training)))
        rows.append(Row(size, *losses))
        say(f"{size:,} bytes: {losses[0]:.3f} from scratch, {losses[1]:.3f} pre-trained")
    return rows


def fresh(config: GPTConfig, seed: int, weights: Mapping[str, np.ndarray] | None = None) -> GPT:
    """A new model, the same for the same seed, or one with these weights."""
    seeding.seed(seed)
    model = GPT(config)
    if weights is not None:
        model.load_state_dict(weights)
    return model


def windows_of(ids: np.ndarray, settings: TransferSettings) -> Callable[[int], Batch]:
    """The batch of each step, drawn from a text's ids."""

    def batch(step: int) -> Batch:
        inputs, targets = batches.batch(
            ids,
            seed=settings.seed,
            step=step,
            batch_size=settings.batch_size,
            context_length=settings.context_length,
        )
        return {"ids": inputs, "targets": targets}

    return batch


def loss_of(model: GPT, domains: Domains, settings: TransferSettings) -> float:
    """Bits per UTF-8 byte on B's validation text."""
    nats = evaluate(model, domains.validation, context_length=settings.context_length, batch_size=64)
    assert nats is not None
    return bits_per_byte(nats, len(domains.validation) - 1, domains.validation_bytes)


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| bytes of B | from scratch | pre-trained on A | saved |", "|---:|---:|---:|---:|"]
    for size, scratch, pretrained in rows:
        lines.append(f"| {size:,} | {scratch:.3f} | {pretrained:.3f} | {1 - pretrained / scratch:.1%} |")
    return "\n".join(lines)
