"""Byte-pair encoding, one merge at a time: the pieces of a text, the pair that is merged, and the rank of its rule."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from minillm.errors import TokenError
from minillm.tokenizers.bpe import BPETokenizer
from minillm.tokenizers.patterns import chunks
from minillm.tokenizers.text import without_lone_surrogates
from minillm.views.text import table, visible
from minillm.views.view import Step, View

MOST_BYTES = 160


@dataclass(frozen=True)
class _Merge:
    """A merge that happened: pieces of every chunk before it (ids), where, and what it made.

    rank: of the rule; None where the whole chunk became a token without one.
    """

    before: list[list[int]]
    after: list[list[int]]
    chunk: int
    place: int
    rank: int | None


def bpe(tokenizer: BPETokenizer, text: str) -> View:
    """The merges that make the tokens of `text`, one after another (Sennrich et al. 2016, section 3.2).

    The text is cut into chunks, each chunk starts as its UTF-8 bytes, and the pair with the smallest rank is merged
    first, the leftmost of equals. The last step shows the ids that `tokenizer.encode(text)` gives. Bytes that are no
    whole character are shown as ⟨E4⟩. Raises TokenError for another kind of tokenizer, for a text that is empty or has
    more than 160 bytes.
    """
    if not isinstance(tokenizer, BPETokenizer):
        raise TokenError(f"views.bpe shows the merges of a BPETokenizer; this is a {type(tokenizer).__name__}")
    if not text:
        raise TokenError("views.bpe: the text is empty, so there is nothing to merge; give it at least one character")
    text = without_lone_surrogates(text)
    size = len(text.encode())
    if size > MOST_BYTES:
        raise TokenError(f"views.bpe shows texts of up to {MOST_BYTES} bytes; this one has {size}: take a part of it")
    pieces = chunks(tokenizer.pattern, text)
    start = [[_byte_id(tokenizer, byte) for byte in chunk.encode()] for chunk in pieces]
    merges = _merges(tokenizer, pieces, start)
    end = merges[-1].after if merges else start
    ids = [token for chunk in end for token in chunk]
    steps = (
        Step("The bytes", _start_text(pieces, size), _drawn(tokenizer, start)),
        *(_merge_step(tokenizer, merge) for merge in merges),
        Step("The ids", _end_text(ids, size), _drawn(tokenizer, end, with_ids=True)),
    )
    shown = [visible(tokenizer.token_bytes(token)) for token in ids]
    return View(
        "Byte-pair encoding, merge by merge",
        f"“{visible(text)}”, with ␣ for a space",
        steps,
        f"“{visible(text)}” becomes {' | '.join(shown)}\nids: {ids}",
        _merge_table(tokenizer, merges) + table("The tokens", ["token", "id"], zip(shown, map(str, ids), strict=True)),
    )


def _byte_id(tokenizer: BPETokenizer, byte: int) -> int:
    return tokenizer.encode_bytes(bytes([byte]))[0]


def _merges(tokenizer: BPETokenizer, pieces: list[str], start: list[list[int]]) -> list[_Merge]:
    """What happened, chunk by chunk, as `tokenizer.merge_steps` tells it; then whether `encode` took a chunk whole."""
    merges: list[_Merge] = []
    state = start
    for c, chunk in enumerate(pieces):
        told = tokenizer.merge_steps(chunk)
        for before, after in zip(told, told[1:], strict=False):
            i = next(i for i, token in enumerate(after) if token != before[i])
            ids = state[c]
            rank, merged = tokenizer.merges[ids[i], ids[i + 1]]
            state = _replaced(merges, state, c, i, [*ids[:i], merged, *ids[i + 2 :]], rank)
        encoded = tokenizer.encode_bytes(chunk.encode())
        if encoded != state[c]:
            state = _replaced(merges, state, c, 0, encoded, None)
    return merges


def _replaced(
    merges: list[_Merge], state: list[list[int]], chunk: int, place: int, ids: list[int], rank: int | None
) -> list[list[int]]:
    after = [*state[:chunk], ids, *state[chunk + 1 :]]
    merges.append(_Merge(state, after, chunk, place, rank))
    return after


def _merge_step(tokenizer: BPETokenizer, merge: _Merge) -> Step:
    token = merge.after[merge.chunk][merge.place]
    made = visible(tokenizer.token_bytes(token))
    if merge.rank is None:
        title = f"The whole chunk is token {token}"
        text = f"The vocabulary holds <strong>{escape(made)}</strong>, so the chunk becomes it without further merges."
    else:
        left, right = _pair(tokenizer, merge)
        title = f"{left} + {right} → {made}"
        text = (
            f"Of all pairs side by side in this chunk, <strong>{escape(left)}</strong> and "
            f"<strong>{escape(right)}</strong> have the rule of the smallest rank, <strong>{merge.rank}</strong>. "
            f"They become token {token}."
        )
    return Step(title, text, _drawn(tokenizer, merge.after, (merge.chunk, merge.place)))


def _pair(tokenizer: BPETokenizer, merge: _Merge) -> tuple[str, str]:
    left, right = merge.before[merge.chunk][merge.place : merge.place + 2]
    return visible(tokenizer.token_bytes(left)), visible(tokenizer.token_bytes(right))


def _start_text(pieces: list[str], size: int) -> str:
    chunk, byte = ("chunk" if len(pieces) == 1 else "chunks"), ("byte" if size == 1 else "bytes")
    return (
        f"The text is cut into {len(pieces)} {chunk} (dashed), which merges never cross, and each chunk into its UTF-8 "
        f"bytes, {size} {byte} in all. A byte that isn't a whole character is shown by its two hexadecimal digits."
    )


def _end_text(ids: list[int], size: int) -> str:
    return (
        f"No neighbours have a rule any more. {size} byte{'s' * (size > 1)} became {len(ids)} token"
        f"{'s' * (len(ids) > 1)}; these are their ids."
    )


def _drawn(
    tokenizer: BPETokenizer, state: list[list[int]], new: tuple[int, int] | None = None, *, with_ids: bool = False
) -> str:
    """The pieces of each chunk; the `new` one (chunk, place) framed."""
    drawn = []
    for c, chunk in enumerate(state):
        pieces = []
        for i, token in enumerate(chunk):
            css = "mv-piece mv-new" if (c, i) == new else "mv-piece"
            below = f"<small>{token}</small>" if with_ids else ""
            pieces.append(f'<span class="{css}">{escape(visible(tokenizer.token_bytes(token)))}{below}</span>')
        drawn.append(f'<span class="mv-chunk">{" ".join(pieces)}</span>')
    return f'<div class="mv-pieces" dir="ltr">{" ".join(drawn)}</div>'


def _merge_table(tokenizer: BPETokenizer, merges: list[_Merge]) -> str:
    rows = []
    for i, merge in enumerate(merges, 1):
        token = merge.after[merge.chunk][merge.place]
        pair = ("the whole chunk", "") if merge.rank is None else _pair(tokenizer, merge)
        rank = "none" if merge.rank is None else str(merge.rank)
        rows.append([str(i), *pair, rank, visible(tokenizer.token_bytes(token)), str(token)])
    header = ["merge", "left", "right", "rank", "becomes", "id"]
    return table("The merges, in order", header, rows) if rows else ""
