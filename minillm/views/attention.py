"""Attention, one formula at a time: scores, scale, mask, softmax row by row, and the weighted sum of the values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from minillm.errors import ShapeError
from minillm.ops.attention import attention as attention_op
from minillm.ops.common import max_or_lowest
from minillm.ops.elementwise import mul, sub
from minillm.ops.linear import matmul
from minillm.views import matrix
from minillm.views.matrix import NUMBERED, Cell
from minillm.views.text import number, visible
from minillm.views.view import Step, View

MOST_TOKENS = 64
MOST_COLUMNS = 8  # of queries, keys and values: further ones are cut


@dataclass(frozen=True)
class _Numbers:
    """What attention computes of one head, in float64.

    q, k, v: (time, d); output: (queries, d); the others (queries, keys). queries, keys: tokens made visible.
    """

    queries: list[str]
    keys: list[str]
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    scale: float
    scores: np.ndarray
    scaled: np.ndarray
    visible: np.ndarray | None
    shifted: np.ndarray
    weights: np.ndarray
    output: np.ndarray


def attention(
    tokens: Sequence[str],
    query: Any,
    key: Any,
    value: Any,
    *,
    key_tokens: Sequence[str] | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> View:
    """Attention stepped through.  [4.2.1]  softmax(Q Kᵀ / √d_k) V

    tokens: what the rows of `query` stand for; query: (queries, d_k), key: (keys, d_k), value: (keys, d_v), arrays or
    tensors of one head. key_tokens: what the keys stand for, where they aren't `tokens`: cross-attention  [4.2.2].
    causal, scale: as in `minillm.ops.attention`, which computes the numbers, in float64.
    Up to 12 tokens the cells hold their numbers, with three significant digits; up to 64 they are coloured only.
    Raises ShapeError for arrays and tokens that don't fit, naming both.
    """
    keys = tokens if key_tokens is None else key_tokens
    q, k, v = (np.asarray(x, np.float64) for x in (query, key, value))
    _check(tokens, keys, q, k, v, key_tokens is not None)
    with np.errstate(all="ignore"):  # NaN and infinity are shown where they come up
        n = _compute([visible(t) for t in tokens], [visible(t) for t in keys], q, k, v, causal, scale)
    steps = [_queries_and_keys(n), _scores(n), _scaled(n, scale)]
    if n.visible is not None:
        steps.append(_masked(n))
    numbered = max(len(n.queries), len(n.keys)) <= NUMBERED
    if numbered:
        steps += [_softmax_row(n, i) for i in range(len(n.queries))]
    steps += [_weights(n), _output(n)]
    kind = "Cross-attention" if key_tokens is not None else "Causal attention" if causal else "Attention"
    return View(f"{kind}, step by step", "softmax(Q Kᵀ / √d_k) V", tuple(steps), _plain_text(n))


def _check(
    tokens: Sequence[str], keys: Sequence[str], q: np.ndarray, k: np.ndarray, v: np.ndarray, cross: bool
) -> None:
    if not q.ndim == k.ndim == v.ndim == 2:
        raise ShapeError(
            "views.attention shows one head: query, key and value must be (time, d); "
            f"got {q.shape}, {k.shape}, {v.shape}"
        )
    if not len(tokens) or not len(keys):
        raise ShapeError("views.attention: there are no tokens to show; give at least one")
    if q.shape[1] != k.shape[1] or not q.shape[1]:
        raise ShapeError(
            f"views.attention: query and key must have one d_k, their last size; got {q.shape} and {k.shape}"
        )
    if len(k) != len(v):
        raise ShapeError(f"views.attention: each key needs a value; key has shape {k.shape}, value {v.shape}")
    named = "key_tokens" if cross else "tokens"
    for name, labels, label_name, rows in (("query", tokens, "tokens", q), ("key", keys, named, k)):
        if len(labels) != len(rows):
            raise ShapeError(
                f"views.attention: {len(labels)} {label_name} but {name} of shape {rows.shape} has {len(rows)} rows; "
                "each row needs a token" + ("" if cross or name == "query" else " (key_tokens names the keys apart)")
            )
    if max(len(tokens), len(keys)) > MOST_TOKENS:
        raise ShapeError(
            f"views.attention draws up to {MOST_TOKENS} tokens; got {len(tokens)} queries and {len(keys)} keys: "
            "pass a part of the text"
        )


def _compute(
    queries: list[str], keys: list[str], q: np.ndarray, k: np.ndarray, v: np.ndarray, causal: bool, scale: float | None
) -> _Numbers:
    """Every intermediate result; the weights and the output are what the library's own formula returns."""
    output, saved = attention_op.reference.forward(np, *(x[None, None] for x in (q, k, v)), causal=causal, scale=scale)
    weights, seen, factor = saved[3][0, 0], saved[5], saved[6]
    scores, _ = matmul.reference.forward(np, q, k.T)
    scaled, _ = mul.reference.forward(np, scores, factor)
    masked = scaled if seen is None else np.where(seen, scaled, -np.inf)
    shifted, _ = sub.reference.forward(np, masked, max_or_lowest(np, masked, -1))
    return _Numbers(queries, keys, q, k, v, factor, scores, scaled, seen, shifted, weights, output[0, 0])


def _row(first: str, *others: tuple[str, str]) -> str:
    """Figures side by side, each but the first with the sign before it, which stays with it on a new line."""
    signed = [f'<div class="mv-term"><span class="mv-operator">{sign}</span>{drawn}</div>' for sign, drawn in others]
    return f'<div class="mv-row">{first}{"".join(signed)}</div>'


def _columns_cut(values: np.ndarray) -> tuple[list[list[Cell]], list[str]]:
    """The cells of (time, d) rows and the columns' names, without those beyond MOST_COLUMNS."""
    cells, names = matrix.signed(values), [str(j + 1) for j in range(values.shape[1])]
    if len(names) <= MOST_COLUMNS:
        return cells, names
    return [[*row[:MOST_COLUMNS], Cell("…")] for row in cells], [*names[:MOST_COLUMNS], "…"]


def _queries_and_keys(n: _Numbers) -> Step:
    q, names = _columns_cut(n.q)
    k, _ = _columns_cut(n.k)
    d = n.q.shape[1]
    text = (
        f"A query says what a token looks for, a key what a token offers. Each is a row of d<sub>k</sub> = {d} numbers."
    )
    q_name, k_name = f"Q, {len(q)} × {d}", f"K, {len(k)} × {d}"
    body = _row(matrix.draw(q_name, q, n.queries, names), ("", matrix.draw(k_name, k, n.keys, names)))
    tables = matrix.as_table(q_name, q, n.queries, names) + matrix.as_table(k_name, k, n.keys, names)
    return Step("Queries and keys", text, body, tables)


def _scores(n: _Numbers) -> Step:
    i, j = np.unravel_index(np.nanargmax(np.nan_to_num(n.scores, nan=-np.inf)), n.scores.shape)
    terms = [f"{_factor(a)} · {_factor(b)}" for a, b in zip(n.q[i], n.k[j], strict=True)]
    shown = " + ".join(terms[:3] + ["…"] * (len(terms) > 3))
    text = (
        f"S = Q Kᵀ: each score is the product of a query and a key, number by number and summed. The largest, of "
        f"{_token(n.queries[i])} for {_token(n.keys[j])}: {shown} = <strong>{number(n.scores[i, j])}</strong>."
    )
    return _matrix_step("Scores", text, "S = Q Kᵀ", matrix.signed(n.scores), n)


def _factor(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)


def _scaled(n: _Numbers, scale: float | None) -> Step:
    d = n.q.shape[1]
    if scale is None:
        title, name = "Divided by √d_k", "S / √d_k"
        text = (
            f"√d<sub>k</sub> = √{d} = {number(math.sqrt(d))}. A sum of d<sub>k</sub> products grows like "
            "√d<sub>k</sub>; dividing keeps the scores in a range where softmax isn't all or nothing."
        )
    else:
        title, name = f"Times the scale, {number(scale)}", f"S · {number(scale)}"
        text = f"Here every score is multiplied by {number(scale)}, in place of 1/√d<sub>k</sub> = {number(d**-0.5)}."
    return _matrix_step(title, text, name, matrix.signed(n.scaled), n)


def _masked(n: _Numbers) -> Step:
    text = "A token may not look at what comes after it. A hidden score counts as −∞, whose exponential is 0."
    return _matrix_step("The mask", text, "masked scores", matrix.signed(n.scaled, n.visible), n)


def _softmax_row(n: _Numbers, i: int) -> Step:
    s, shifted, p = n.scaled[i : i + 1], n.shifted[i : i + 1], n.weights[i : i + 1]
    seen = None if n.visible is None else n.visible[i : i + 1]
    e = np.exp(shifted)
    cells = [*matrix.signed(s, seen), *matrix.signed(shifted), *matrix.shares(e), *matrix.shares(p)]
    rows = ["s", "s − m", "exp(s − m)", "p"]
    largest, total = number(float((s if seen is None else s[seen]).max())), number(float(e.sum()))
    text = (
        f"The scores of {_token(n.queries[i])}. The largest is m = {largest}; the exponentials sum to {total}; "
        f"p = exp(s − m) / {total}, and p sums to {number(float(p.sum()))}."
    )
    name = f"softmax of row {i + 1}"
    body = matrix.draw(name, cells, rows, n.keys, active=3)
    title = f"Softmax, row {i + 1} of {len(n.queries)}: {n.queries[i]}"
    return Step(title, text, body, matrix.as_table(name, cells, rows, n.keys))


def _weights(n: _Numbers) -> Step:
    text = "P = softmax(S), row by row: how much each token takes from each. Every row sums to 1."
    return _matrix_step("The weights", text, "P", matrix.shares(n.weights, n.visible), n)


def _output(n: _Numbers) -> Step:
    p = matrix.shares(n.weights, n.visible)
    (v, names), (o, _) = _columns_cut(n.v), _columns_cut(n.output)
    text = "O = P V: each row of the output is the sum of the values' rows, each times its weight."
    parts = (("P", p, n.queries, n.keys), ("V", v, n.keys, names), ("O = P V", o, n.queries, names))
    drawn = [matrix.draw(*part) for part in parts]
    tables = "".join(matrix.as_table(*part) for part in parts[1:])
    return Step("The output", text, _row(drawn[0], ("×", drawn[1]), ("=", drawn[2])), tables)


def _matrix_step(title: str, text: str, name: str, cells: list[list[Cell]], n: _Numbers) -> Step:
    drawn = matrix.draw(name, cells, n.queries, n.keys)
    return Step(
        title, text + " Rows are queries, columns keys.", drawn, matrix.as_table(name, cells, n.queries, n.keys)
    )


def _token(token: str) -> str:
    return f"<q>{escape(token)}</q>"


def _plain_text(n: _Numbers) -> str:
    """For each query its heaviest key: enough for a terminal."""
    lines = []
    for token, row in zip(n.queries, n.weights, strict=True):
        best = int(row.argmax())
        lines.append(f"  {token} → {n.keys[best]} {number(float(row[best]))}")
    return "The largest weight of each query:\n" + "\n".join(lines)
