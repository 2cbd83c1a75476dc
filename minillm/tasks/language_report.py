"""How good a language model of `python -m minillm.train` is, by every measure of the document's section 9.5.

accuracy, F1     of the next token on the validation text, its likeliest token against the right one
loss             perplexity and bits per byte, beside the n-gram models of the run
length, variety  of samples, beside as many pieces of the validation text
fluency          perplexity of the samples under an n-gram model counted on the training text: are they made of
                 groups of words that people write? A loop is fluent, too: read it beside the repetitions
coherence        how much a piece's own first half lowers the model's loss on its second half, compared with the
                 first half of another piece, in nats a token: 0 where what came before doesn't matter
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from minillm import ops
from minillm.data.batches import IGNORED, windows
from minillm.data.tokens import TokenStream
from minillm.errors import ConfigError, DataError
from minillm.generate import start_ids
from minillm.metrics import (
    accuracy,
    bits_per_byte,
    class_scores,
    confusion_matrix,
    distinct_n,
    f1_score,
    language_of,
    length_statistics,
    perplexity,
    repetition_rate,
    self_bleu,
)
from minillm.models import GPT, NGram
from minillm.tape import no_grad
from minillm.training import curves
from minillm.training.baselines import MOST_TOKENS, ORDER
from minillm.training.data import Data, open_data
from minillm.training.files import write_atomic
from minillm.training.run import RunFolder
from minillm.training.trained import Trained, load_run

SAMPLES = 20
SAMPLE_TOKENS = 100
TEMPERATURE = 0.8
FREQUENT = 50  # tokens that F1 is taken over
SHOWN = 3


@dataclass(frozen=True)
class Predictions:
    """What a model said of every token of a text but the first, (targets,) each."""

    true: np.ndarray
    likeliest: np.ndarray
    nats: np.ndarray
    """The surprise at the true token."""
    position: np.ndarray
    """Tokens the model saw before it, from 1."""


def predict(model: GPT, ids: np.ndarray, batch_size: int = 16) -> Predictions:
    """The model's word on each target of (tokens,) ids, in windows of its context, as at evaluations."""
    parts = []
    with no_grad():
        for inputs, targets in windows(ids, model.config.context_length, batch_size):
            log_p = ops.log_softmax(model(inputs)[0]).numpy()
            counted = targets != IGNORED
            true = targets[counted]
            rows = log_p[counted]
            nats = -rows[np.arange(len(true)), true].astype(np.float64)
            parts.append((true, rows.argmax(-1), nats, np.nonzero(counted)[1] + 1))
    return Predictions(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def frequent_f1(true: np.ndarray, likeliest: np.ndarray, count: int = FREQUENT) -> tuple[float, float]:
    """F1 of the `count` tokens most frequent in `true`, each a class and all others one more that doesn't count.

    Returns micro, over their summed counts, and macro, the mean of their F1s.
    """
    tokens, counts = np.unique(true, return_counts=True)
    chosen = tokens[np.argsort(-counts, kind="stable")[:count]]
    number = {int(token): i for i, token in enumerate(chosen)}
    n = len(chosen)
    among, said = (np.array([number.get(int(token), n) for token in ids]) for ids in (true, likeliest))
    matrix = confusion_matrix(among, said, n + 1)
    right = matrix.diagonal()[:n].sum()
    micro = f1_score(right / max(matrix[:, :n].sum(), 1), right / matrix[:n].sum())
    return micro, float(class_scores(among, said, n + 1).f1[:n].mean())


def fluency(pieces: Sequence[np.ndarray], counted: NGram) -> float:
    """Perplexity of pieces of text, (tokens,) ids each, under an n-gram model; not its first token."""
    chances = np.concatenate([counted.probabilities(piece)[1:] for piece in pieces])
    return perplexity(float(-np.log(chances).mean()))


def coherence(model: GPT, pieces: np.ndarray) -> float:
    """Nats a token that the own first half saves on the second, against the first half of the next piece.

    pieces: (pieces, tokens) ids, at least two, no longer than the context and one more.
    """
    if len(pieces) < 2:
        raise DataError(f"{len(pieces)} pieces: at least 2 are needed, to give one the first half of the other")
    half = pieces.shape[1] // 2
    other = np.concatenate([np.roll(pieces[:, :half], 1, axis=0), pieces[:, half:]], axis=1)
    targets = pieces[:, 1:].copy()
    targets[:, : half - 1] = IGNORED
    with no_grad():
        own, foreign = (model.loss(ids[:, :-1], targets).item() for ids in (pieces, other))
    return foreign - own


def draw(trained: Trained, count: int, length: int) -> np.ndarray:
    """Samples of the model, (count, length) ids, the same each time; what they begin with isn't among them."""
    start, _ = start_ids(trained.tokenizer, "")
    options = {"temperature": TEMPERATURE}
    return np.stack([trained.model.generate(start, length, seed=seed, **options) for seed in range(count)])


def cut(ids: np.ndarray, count: int, length: int) -> np.ndarray:
    """Pieces of a text, spread evenly over it, (count, length); fewer where the text is short."""
    count = min(count, len(ids) // length)
    if count < 2:
        raise DataError(f"the validation text has {len(ids)} tokens, fewer than two pieces of {length}")
    starts = np.linspace(0, len(ids) - length, count).astype(int)
    return np.stack([ids[start : start + length] for start in starts]).astype(np.int64)


def next_token_table(found: Predictions, data: Data) -> str:
    """This model and the run's baselines, best first."""
    losses = {"this model": float(found.nats.mean()), **data.baselines}
    lines = ["| | accuracy | nats a token | bits a byte | perplexity |", "|---|---:|---:|---:|---:|"]
    for name, nats in sorted(losses.items(), key=lambda row: row[1]):
        right = f"{accuracy(found.true, found.likeliest):.1%}" if name == "this model" else ""
        bits = bits_per_byte(nats, len(data.validation), data.validation_bytes)
        lines.append(f"| {name} | {right} | {nats:.4f} | {bits:.4f} | {perplexity(nats):.2f} |")
    micro, macro = frequent_f1(found.true, found.likeliest)
    lines.append(f"\nF1 of the {FREQUENT} most frequent tokens: micro {micro:.3f}, macro {macro:.3f}.")
    return "\n".join(lines)


def text_measures(trained: Trained, pieces: np.ndarray, counted: NGram) -> dict[str, float]:
    """What pieces of text are like, by name."""
    texts = [trained.tokenizer.decode(piece) for piece in pieces]
    measures = {
        "words a piece": length_statistics(texts).mean,
        "distinct-1": distinct_n(texts, 1),
        "distinct-2": distinct_n(texts, 2),
        "repeated 4-grams": repetition_rate(texts),
        "fluency: n-gram perplexity": fluency(list(pieces), counted),
        "coherence: nats a token": coherence(trained.model, pieces[:, : trained.model.config.context_length + 1]),
    }
    try:
        return measures | {"self-BLEU": self_bleu(texts, language_of(texts))}
    except ConfigError:  # sacrebleu isn't installed
        return measures


def loss_by_position(found: Predictions) -> tuple[list[int], list[float]]:
    """Positions 1, 2, 4 ... of a window and the mean nats there, up to the next of them; the last mark holds the rest
    of the window, so that none stands for the few tokens of one position."""
    starts = [2**k for k in range(max(1, math.ceil(math.log2(found.position.max()))))]
    ends = [*starts[1:], math.inf]
    means = [
        found.nats[(found.position >= p) & (found.position < end)].mean() for p, end in zip(starts, ends, strict=True)
    ]
    return starts, [float(mean) for mean in means]


def open_language_run(path: Path, checkpoint: Literal["best", "last"]) -> tuple[Trained, Data, np.ndarray]:
    """A run's model, its data, and the validation ids its evaluations use. Errors as of `load_run`."""
    run = RunFolder(path)
    config, trained = run.load_config(), load_run(path, checkpoint)
    data, tokens = open_data(config, run), config.training.eval_tokens
    return trained, data, np.asarray(data.validation[: tokens + 1] if tokens else data.validation)


def next_tokens(path: Path, checkpoint: Literal["best", "last"] = "best") -> str:
    """The table of a run's model and baselines alone; nothing is written."""
    trained, data, validation = open_language_run(path, checkpoint)
    return next_token_table(predict(trained.model, validation), data)


def report(path: Path, checkpoint: Literal["best", "last"] = "best") -> str:
    """Measure a run, write report.md and report.png into its folder, and return the Markdown."""
    trained, data, validation = open_language_run(path, checkpoint)
    found = predict(trained.model, validation)
    train = TokenStream.load(RunFolder(path).tokens / "train.bin", trained.tokenizer).ids[:MOST_TOKENS]
    counted = NGram.train(train, trained.tokenizer.vocab_size, min(ORDER, len(train)))
    samples, pieces = draw(trained, SAMPLES, SAMPLE_TOKENS), cut(validation, SAMPLES, SAMPLE_TOKENS)
    ours, text = (text_measures(trained, each, counted) for each in (samples, pieces))
    rows = [f"| {name} | {value:.3f} | {text[name]:.3f} |" for name, value in ours.items()]
    shown = [f"```\n{trained.tokenizer.decode(ids).strip()}\n```" for ids in samples[:SHOWN]]
    sections = [
        f"# Report at step {trained.step:,}",
        f"## The next token\n\n{len(found.true):,} tokens of the validation text.",
        next_token_table(found, data),
        "![loss by position](report.png)",
        "![loss of the training and of the validation](loss.png)",
        f"## Samples\n\n{len(samples)} of {SAMPLE_TOKENS} tokens at temperature {TEMPERATURE}, "
        f"beside {len(pieces)} pieces of the validation text.",
        "\n".join(["| | samples | text |", "|---|---:|---:|", *rows]),
        *shown,
    ]
    draw_positions(path / "report.png", found)
    written = "\n\n".join(sections) + "\n"
    write_atomic(path / "report.md", written.encode())
    return written


def draw_positions(path: Path, found: Predictions) -> None:
    """The loss by how much of the text the model has seen: it falls as far back as the model can use."""
    starts, means = loss_by_position(found)
    curves.draw(
        path,
        starts,
        {"validation text": means},
        title="What the model makes of more context",
        labels=("tokens seen before (from here to the next mark)", "loss (nats per token)"),
    )
