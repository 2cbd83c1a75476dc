"""Writing the target of a source, token by token: greedy decoding and beam search, for a batch of sources at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from minillm import ops
from minillm.errors import ConfigError
from minillm.tape import no_grad

if TYPE_CHECKING:
    from minillm.models.seq2seq import Seq2Seq


def greedy(
    model: Seq2Seq,
    source: Any,
    max_new_tokens: int | Sequence[int],
    *,
    source_mask: Any = None,
    use_cache: bool = True,
) -> list[list[int]]:
    """The target of every row of `source` (batch, source_time), by taking the likeliest token each time.

    A row ends with its end_id, or with its max_new_tokens-th token (one number for all rows, or one for each). Returns
    the ids, without start and end. ConfigError for max_new_tokens that isn't from 0 to the context_length.
    use_cache: keep keys and values instead of computing them again; the tokens are the same.
    """
    writer = Writer(model, source, max_new_tokens, source_mask, use_cache)
    targets: list[list[int]] = [[] for _ in writer.ids]
    live = np.arange(len(targets))  # which target each row of the writer is
    for n in range(1, writer.most.max(initial=0) + 1):
        tokens = writer.next_logits().argmax(-1)
        said = (tokens != model.config.end_id) & (writer.most[live] >= n)
        for i, token in zip(live[said], tokens[said], strict=True):
            targets[i].append(int(token))
        going = np.flatnonzero(said & (writer.most[live] > n))
        if len(going) == 0:
            break
        live = live[going]
        writer.go_on(going, tokens[going])
    return targets


def beam_search(
    model: Seq2Seq,
    source: Any,
    width: int,
    max_new_tokens: int | Sequence[int],
    *,
    length_penalty: float = 0.6,
    source_mask: Any = None,
    use_cache: bool = True,
) -> list[list[int]]:
    """The best target of every row of `source` (batch, source_time) that a beam search comes across.

    Of all ways to continue a sentence's beams by one token, the `width` likeliest are the next beams. One that ends
    with end_id is finished, and is scored (Wu et al. 2016, equation 14; n counts its tokens, the end among them)

        score(Y, X) = log P(Y | X) / lp(n),   lp(n) = ((5 + n) / 6)^length_penalty

    A sentence is done when no beam of it can score better than the best finished target; or with `width` of those, if
    no beam scores better so far. (Without that condition, `width` bad ends would end the search for a good one.)
    One without any after its max_new_tokens tokens gets its likeliest beam. A width of 1 is `greedy`.
    Returns the ids, without start and end. Other arguments as in `greedy`; ConfigError for a width or length_penalty
    out of range, too.
    """
    if width < 1:
        raise ConfigError(f"beam_width={width} must be at least 1")
    if not length_penalty >= 0:
        raise ConfigError(f"length_penalty={length_penalty} must not be negative (0 compares plain log-probabilities)")
    writer = Writer(model, source, max_new_tokens, source_mask, use_cache)
    longest = int(writer.most.max(initial=0))
    lp = ((5 + np.arange(longest + 1)) / 6) ** length_penalty  # (n,); it doesn't fall with n
    found = [Found() for _ in writer.ids]
    live = np.arange(len(found))  # which sentence each row of `scores` is
    scores = np.zeros((len(found), 1))  # log P of each beam, (sentences, beams); the first beam is the start alone
    for n in range(1, longest + 1):
        log_p = ops.log_softmax(writer.next_logits()).numpy().reshape(*scores.shape, -1)  # (sentences, beams, V)
        n_beams, vocab_size = log_p.shape[1:]
        scores, best = _largest((scores[:, :, None] + log_p).reshape(len(live), -1), width)  # both (sentences, width)
        beams, tokens = best // vocab_size, best % vocab_size
        rows = np.arange(len(live))[:, None] * n_beams + beams  # of the writer: sentence · n_beams + beam
        ended = (tokens == model.config.end_id) & np.isfinite(scores)
        for s, b in np.argwhere(ended):
            found[live[s]].add(scores[s, b] / lp[n], writer.ids[rows[s, b], 1:])
        scores[ended] = -np.inf  # nothing follows the end
        at_limit = writer.most[live] <= n
        for s in np.flatnonzero(at_limit):
            if not found[live[s]].count:
                found[live[s]].add(scores[s, 0], np.append(writer.ids[rows[s, 0], 1:], tokens[s, 0]))
        likeliest = scores.max(axis=1)
        now = likeliest / lp[n]
        hope = likeliest / lp[writer.most[live]]  # the most it can still score: log P only falls, lp is largest there
        better = [(hope if found[i].count < width else now)[s] > found[i].score for s, i in enumerate(live)]
        going = np.flatnonzero(better & ~at_limit)
        live, scores = live[going], scores[going]
        if len(live) == 0:
            break
        writer.go_on(rows[going].reshape(-1), tokens[going].reshape(-1))
    return [each.ids[:most] for each, most in zip(found, writer.most, strict=True)]  # [:most] for a limit of 0


@dataclass
class Found:
    """The best finished target of a sentence so far, and how many there were."""

    score: float = -np.inf
    ids: list[int] = field(default_factory=list)
    count: int = 0

    def add(self, score: float, ids: np.ndarray) -> None:
        """Another finished target, (time,) without start and end."""
        self.count += 1
        if score > self.score:
            self.score, self.ids = score, ids.tolist()


class Writer:
    """The targets written so far, a row each, and what the model says comes next."""

    def __init__(
        self, model: Seq2Seq, source: Any, max_new_tokens: int | Sequence[int], source_mask: Any, use_cache: bool
    ):
        limits = np.asarray(max_new_tokens)
        if not ((limits >= 0) & (limits <= model.config.context_length)).all() or limits.shape not in (
            (),
            (len(source),),
        ):
            raise ConfigError(
                f"max_new_tokens={max_new_tokens} must be from 0 to the context_length of "
                f"{model.config.context_length}, one number or one for each of the {len(source)} sources"
            )
        self.most = np.broadcast_to(limits, len(source))
        """The most tokens of each target, (sources,)."""
        self.model, self.source, self.source_mask = model, np.asarray(source), model.mask_of(source, source_mask)
        with no_grad():
            self.memory = model.encode(source, self.source_mask)
        self.cache = model.new_cache(self.memory, int(self.most.max(initial=0))) if use_cache else None
        self.ids = np.full((len(self.memory), 1), model.config.start_id)
        """(rows, time), from the start on."""

    def next_logits(self) -> np.ndarray:
        """Scores of the token after each row, (rows, vocab_size): −∞ for pad_id and start_id, which nobody says."""
        seen = self.cache[0].length if self.cache else 0
        with no_grad():
            x = self.model.decode(self.ids[:, seen:], self.memory, self.source, self.source_mask, self.cache)
            logits = self.model.logits(x[:, -1:], self.memory, self.source, self.source_mask).mutable()[:, 0]
        logits[:, [self.model.config.pad_id, self.model.config.start_id]] = -np.inf
        return logits

    def go_on(self, rows: np.ndarray, tokens: np.ndarray) -> None:
        """Keep these rows, some of them perhaps several times, each with one of the tokens at its end."""
        self.ids = np.concatenate([self.ids[rows], tokens[:, None]], axis=1)
        self.memory, self.source, self.source_mask = self.memory[rows], self.source[rows], self.source_mask[rows]
        for layer in self.cache or []:
            layer.select(rows)


def _largest(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` largest of each row (all, if there are fewer), largest first; and their places."""
    count = min(count, values.shape[1])
    places = np.sort(np.argpartition(-values, count - 1)[:, :count])  # among equals the first place stays first
    order = np.argsort(-np.take_along_axis(values, places, 1), kind="stable")
    places = np.take_along_axis(places, order, 1)
    return np.take_along_axis(values, places, 1), places
