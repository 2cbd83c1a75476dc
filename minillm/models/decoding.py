"""Choosing the next token: greedy, sampling (temperature, top-k, top-p), and beam search.  (document section 3.2.4)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minillm.errors import ConfigError, ShapeError
from minillm.ops.softmax import log_softmax, softmax
from minillm.tape import no_grad


class LanguageModel(Protocol):
    """What generation needs of a model: GPT has it, and any other with the same three can be decoded."""

    config: Any

    def __call__(self, ids: Any, *, cache: Any = None) -> tuple[Any, Any]: ...
    def new_cache(self) -> list[Any]: ...


@dataclass
class Sampling:
    """How a token is drawn from the model's distribution."""

    temperature: float = 1.0
    """Divides the logits: below 1 bolder on the likely tokens, above 1 more even; 0 is greedy, always the likeliest."""
    top_k: int | None = None
    """Draw from the k likeliest tokens only."""
    top_p: float | None = None
    """Draw from the smallest set of likeliest tokens whose probability reaches p (Holtzman et al. 2020)."""
    seed: int = 0
    """The same seed draws the same tokens."""

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ConfigError(f"temperature={self.temperature} must not be negative (0 is greedy)")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k={self.top_k} must be at least 1")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p={self.top_p} must be above 0 and at most 1")


def generate(
    model: LanguageModel,
    ids: Any,
    max_new_tokens: int,
    *,
    use_cache: bool = True,
    beam_width: int | None = None,
    stop_ids: frozenset[int] = frozenset(),
    **sampling: Any,
) -> Iterator[int]:
    """Yield up to `max_new_tokens` ids that continue `ids`, (time,) or (1, time).

    use_cache: keep keys and values instead of computing them again; the tokens are the same.
    beam_width: search for a likely whole instead of drawing token by token (`sampling` is then refused).
    stop_ids: end before the first of these. Other options: the fields of `Sampling`.
    """
    ids = _prompt(ids)
    if beam_width is not None:
        if sampling:
            raise ConfigError(f"beam search draws nothing: leave out {', '.join(sampling)}, or beam_width")
        yield from beam_search(model, ids, max_new_tokens, beam_width, stop_ids, use_cache)
        return
    options = Sampling(**sampling)
    rng = np.random.Generator(np.random.Philox(key=options.seed))
    reader = Reader(model, use_cache)
    for _ in range(max_new_tokens):
        token = draw(reader.next_logits(np.array([ids]))[0], options, rng)
        if token in stop_ids:
            return
        ids.append(token)
        yield token


def generate_batch(
    model: LanguageModel,
    ids: Any,
    max_new_tokens: int,
    *,
    use_cache: bool = True,
    stop_ids: frozenset[int] = frozenset(),
    seed: int = 0,
    **sampling: Any,
) -> list[list[int]]:
    """Continue every row of `ids` (batch, time) at once: the weights are read once a step, not once a text.

    Row i is drawn with seed + i, as `generate` would alone; it ends before its first stop id. Returns the new ids.
    """
    ids = np.array(ids)
    if ids.ndim != 2 or not ids.size:
        raise ShapeError(f"the prompts must be (batch, time) token ids, at least one; got shape {ids.shape}")
    options = Sampling(seed=seed, **sampling)
    rngs = [np.random.Generator(np.random.Philox(key=seed + i)) for i in range(len(ids))]
    texts: list[list[int]] = [[] for _ in rngs]
    live = np.arange(len(ids))  # which text each row of `ids` continues
    reader = Reader(model, use_cache)
    for _ in range(max_new_tokens):
        logits = reader.next_logits(ids)
        tokens = np.array([draw(row, options, rngs[i]) for row, i in zip(logits, live, strict=True)])
        going = np.flatnonzero(~np.isin(tokens, list(stop_ids)))
        if len(going) == 0:
            break
        if len(going) < len(live):
            reader.select(going)
        live, tokens = live[going], tokens[going]
        ids = np.concatenate([ids[going], tokens[:, None]], axis=1)
        for i, token in zip(live, tokens, strict=True):
            texts[i].append(int(token))
    return texts


def distribution(logits: np.ndarray, options: Sampling) -> np.ndarray:
    """The probabilities a token is drawn with, (vocab_size,): softmax(logits / T), cut to top-k and top-p."""
    if options.temperature == 0:
        return np.eye(len(logits))[int(logits.argmax())]
    scaled = logits.astype(np.float64) / options.temperature
    order = np.argsort(-scaled, kind="stable")
    if options.top_k is not None:
        scaled[order[options.top_k :]] = -np.inf
    p, _ = softmax.reference.forward(np, scaled)
    if options.top_p is not None:
        before = np.cumsum(p[order]) - p[order]  # what likelier tokens have; the token that reaches top_p stays
        p[order[before >= options.top_p]] = 0
    return p / p.sum()


def draw(logits: np.ndarray, options: Sampling, rng: np.random.Generator) -> int:
    """One token id. Greedy takes the first of the likeliest."""
    if options.temperature == 0:
        return int(logits.argmax())
    cumulative = np.cumsum(distribution(logits, options))
    return int(min(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"), len(logits) - 1))


def window_start(length: int, context_length: int) -> int:
    """Where the model's view of `length` tokens begins: 0 while they fit, then half a context further at a time.

    Not the last `context_length` tokens: every position would shift at every step, and a cache be worth nothing.
    """
    if length <= context_length:
        return 0
    jump = max(context_length // 2, 1)
    return -(-(length - context_length) // jump) * jump


class Reader:
    """Feeds a growing sequence to a model; with a cache, only the tokens it hasn't seen."""

    def __init__(self, model: LanguageModel, use_cache: bool = True):
        self.model, self.use_cache = model, use_cache
        self.context_length = model.config.context_length
        self.cache: list[Any] | None = None
        self.start = 0

    def next_logits(self, ids: np.ndarray) -> np.ndarray:
        """Scores of the token after `ids` (batch, time), (batch, vocab_size). `ids` grows from call to call."""
        start = window_start(ids.shape[1], self.context_length)
        if self.use_cache and (self.cache is None or start != self.start):
            self.cache, self.start = self.model.new_cache(), start
        seen = start + self.cache[0].length if self.cache else start
        with no_grad():
            logits, _ = self.model(ids[:, seen:], cache=self.cache)
        return logits.numpy()[:, -1]

    def select(self, rows: np.ndarray) -> None:
        """Go on with these rows of the batch."""
        for layer in self.cache or []:
            layer.select(rows)


def beam_search(
    model: LanguageModel,
    ids: list[int],
    max_new_tokens: int,
    width: int,
    stop_ids: frozenset[int] = frozenset(),
    use_cache: bool = True,
) -> list[int]:
    """The likeliest continuation found by keeping the `width` best beginnings at every length.

    A beginning that reaches a stop id is finished, its score the mean log-probability of its tokens with the stop.
    """
    if width < 1:
        raise ConfigError(f"beam_width={width} must be at least 1")
    if max_new_tokens < 1:
        return []
    reader = Reader(model, use_cache)
    beams, scores = np.array([ids]), np.zeros(1)
    finished: list[tuple[float, list[int]]] = []
    for n in range(1, max_new_tokens + 1):
        log_p, _ = log_softmax.reference.forward(np, reader.next_logits(beams).astype(np.float64))
        total = (scores[:, None] + log_p).reshape(-1)
        best = np.argsort(-total, kind="stable")[: width * (1 + len(stop_ids))]
        rows, tokens = best // log_p.shape[1], best % log_p.shape[1]
        ends = np.isin(tokens, list(stop_ids))
        for i in np.flatnonzero(ends):
            finished.append((total[best[i]] / n, beams[rows[i]].tolist()))
        keep = np.flatnonzero(~ends)[:width]
        if len(keep) == 0:
            break
        beams = np.concatenate([beams[rows[keep]], tokens[keep, None]], axis=1)
        scores = total[best[keep]]
        reader.select(rows[keep])
        if finished and max(finished)[0] >= scores[0] / max_new_tokens:  # no live beam can end with a better mean
            break
    finished += [(score / max_new_tokens, beam.tolist()) for score, beam in zip(scores, beams, strict=True)]
    return max(finished, key=lambda end: end[0])[1][len(ids) :]


def _prompt(ids: Any) -> list[int]:
    array = np.asarray(ids)
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim != 1 or not array.size:
        raise ShapeError(f"the prompt must be (time,) or (1, time) token ids, at least one; got shape {array.shape}")
    return [int(i) for i in array]
