"""Exercises of chapter 16: what bounds a layer, merging partial results, causal tiles, weights of 4 bits."""

import math

import numpy as np

from minillm.exercises.exercise import Exercise, given


def rows_inputs(rng):
    yield given(64, 64, 32, 2.0**36, 2.0**36, note="a square layer")
    yield given(64, 256, 32, 2.0**36, 2.0**34, note="more outputs than inputs")
    yield given(64, 64, 16, 2.0**36, 2.0**33, note="weights of 16 bits")
    yield given(4096, 4096, 8, 1e12, 4e9, note="weights of 8 bits, little bandwidth")
    yield given(64, 64, 32, 2.0**36, 2.0**32, note="a row's operations take just as long as its bytes")
    yield given(64, 64, 32, 2.0**36, 2.0**30, note="bound by memory whatever the rows")
    yield given(64, 64, 32, 64.0, 2.0**36, note="a single row is enough")


def rows_needed(d_in, d_out, bits, peak, bandwidth):
    gained = 2 * d_in * d_out / peak - 4 * (d_in + d_out) / bandwidth
    return max(1, math.ceil(d_in * d_out * bits / 8 / bandwidth / gained)) if gained > 0 else None


def part_of(scores, values):
    """What one machine reports of its keys."""
    m = scores.max(initial=-np.inf)
    e = np.exp(scores - m) if len(scores) else scores
    return float(m), float(e.sum()), e @ values


def merge_inputs(rng):
    yield given([part_of(np.array([1.0, 2.0]), np.array([[1.0], [5.0]]))], note="one part")
    values = rng.normal(size=(9, 3))
    scores = rng.normal(size=9)
    yield given(parts_of(scores, values, [4]), note="two parts")
    yield given(parts_of(scores, values, [0, 2, 2, 7]), note="five parts, the first and another empty")
    yield given(parts_of(scores, values, [5, 9]), note="the last is empty")
    yield given(parts_of(scores * 1000, values, [3, 6]), note="scores in the thousands")
    yield given(parts_of(-5000 + scores, values, [3, 6]), note="scores far below 0")


def parts_of(scores, values, cuts):
    return [part_of(s, v) for s, v in zip(np.split(scores, cuts), np.split(values, cuts), strict=True)]


def merge(parts):
    largest = max(m for m, _, _ in parts)
    factors = [math.exp(m - largest) for m, _, _ in parts]
    total = sum(factor * part for factor, (_, part, _) in zip(factors, parts, strict=True))
    return sum(factor * mixed for factor, (_, _, mixed) in zip(factors, parts, strict=True)) / total


def variance_inputs(rng):
    yield given([np.array([3.0])], note="one number")
    yield given([np.array([1.0, 3.0])], note="one piece")
    yield given([np.array([1.0]), np.array([2.0, 6.0, 7.0])], note="pieces of different lengths")
    yield given([np.array([]), np.array([1.0, 2.0]), np.array([]), np.array([5.0])], note="empty pieces")
    yield given([1e8 + np.array([1.0, 2.0]), 1e8 + np.array([4.0])], note="large and close together")
    yield given([rng.normal(size=n) + 1e8 for n in (5, 1, 20)], note="large, close together, 26 of them")


def mean_and_variance(pieces):
    x = np.concatenate(pieces)
    return x.mean(), x.var()


def tiles_inputs(rng):
    yield given(1, 1, 1, 1, note="one of everything")
    yield given(4, 4, 2, 2, note="even tiles")
    yield given(5, 5, 2, 3, note="tiles that don't come out even")
    yield given(3, 8, 2, 2, note="five keys from a cache")
    yield given(1, 7, 4, 3, note="one query: it sees all keys")
    yield given(7, 7, 2, 5, note="wide tiles")
    yield given(9, 10, 4, 1, note="narrow tiles, and a key from a cache")


def causal_tiles(queries, keys, rows, columns):
    visible = np.tril(np.ones((queries, keys), bool), keys - queries)
    tiles = []
    for i in range(-(-queries // rows)):
        for j in range(-(-keys // columns)):
            tile = visible[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
            if tile.any():
                tiles.append((i, j, bool(tile.all())))
    return tiles


def tiles_accepts(result, queries, keys, rows, columns):
    """The list itself, named by the first place where it differs."""
    expected = causal_tiles(queries, keys, rows, columns)
    if not isinstance(result, list):
        return f"it should return a list of (i, j, whole), not {type(result).__name__}"
    got = [tuple(tile) for tile in result]
    for place, (mine, wanted) in enumerate(zip(got, expected, strict=False)):
        if mine != wanted:
            return f"expected {wanted} at place {place}, got {mine}"
    return None if len(got) == len(expected) else f"expected {len(expected)} tiles, got {len(got)}"


def int4_inputs(rng):
    yield given(np.array([[7.0, -3.0]]), 2, note="scale 1")
    yield given(np.array([[0.0, 0.0, -0.5, 0.2]]), 2, note="a group of zeros; one whose largest is negative")
    yield given(np.array([[0.1, -0.2, 0.3, 40.0], [1.0, 2.0, 3.0, 4.2]]), 4, note="two rows")
    yield given(rng.normal(size=(3, 16)), 8, note="two groups in each row")


def to_int4(weight, group):
    rows, n = weight.shape
    grouped = weight.reshape(rows, n // group, group)
    largest = np.abs(grouped).max(axis=2)
    scales = np.where(largest > 0, largest / 7, 1.0)
    q = (np.rint(grouped / scales[:, :, None]) + 8).astype(np.uint8).reshape(rows, n // 2, 2)
    return q[:, :, 0] | (q[:, :, 1] << 4), scales


EXERCISES = [
    Exercise(
        "16.1",
        "rows from which on a layer is bound by arithmetic",
        hints=(
            "With r rows there are 2 r d_in d_out operations, and bits/8 · d_in d_out + 4 r (d_in + d_out) bytes.",
            "Set F / peak ≥ B / bandwidth and bring all that has r in it to one side. "
            "What stands before r may be 0 or negative: then no r is enough.",
            "r = ceil(time of the weight / (time of a row's operations − time of a row's bytes)), and at least 1.",
        ),
        expected=rows_needed,
        inputs=rows_inputs,
    ),
    Exercise(
        "16.2",
        "merging the attention of several machines",
        hints=(
            "Each part lacks the factor exp(m_part − m), with m the largest of all.",
            "Find m of all parts first: it is finite, so −∞ − m is −∞, and exp of it is 0.",
            "Multiply l and mixed of each part by its factor, add up both, and divide.",
        ),
        expected=merge,
        inputs=merge_inputs,
    ),
    Exercise(
        "16.3",
        "mean and variance, piece by piece",
        hints=(
            "Σx² − n·mean² subtracts two huge numbers that are nearly equal. Keep Σ(x − mean)² instead, and mend it.",
            "Keep n, mean and M = Σ(x − mean)². A piece has its own three. Of two means that differ by d, "
            "M = M_a + M_b + d² n_a n_b / (n_a + n_b) (Chan, Golub & LeVeque 1979).",
            "The new mean is mean_a + d n_b / (n_a + n_b). Skip empty pieces, or you divide by 0.",
        ),
        expected=mean_and_variance,
        inputs=variance_inputs,
    ),
    Exercise(
        "16.4",
        "the tiles that causal attention needs",
        hints=(
            "Query a sees the keys 0 to a + keys − queries.",
            "A tile is needed if its last query sees its first key; it is whole if its first query sees its last key.",
            "The last tiles may be smaller: the last query is min((i + 1) rows, queries) − 1, and so with keys.",
        ),
        accepts=tiles_accepts,
        inputs=tiles_inputs,
    ),
    Exercise(
        "16.5",
        "weights of 4 bits",
        hints=(
            "weight.reshape(rows, n // group, group) makes groups an axis; the largest |w| is over the last one.",
            "np.where(largest > 0, largest / 7, 1.0) are the scales. np.rint rounds.",
            "With q of shape (rows, n // 2, 2) and type uint8, a byte is q[..., 0] | (q[..., 1] << 4).",
        ),
        expected=to_int4,
        inputs=int4_inputs,
    ),
]
