"""Exercises of chapter 08: teacher forcing, the memory's gradient, packed pairs, counting, and greedy decoding."""

import numpy as np

from minillm.exercises.exercise import Exercise, given


def forced_inputs(rng):
    yield given([[5]], 1, 2, 0, note="one sentence, one token")
    yield given([[5, 6]], 1, 2, 0, note="one sentence, two tokens")
    yield given([[5, 6], [7]], 1, 2, 0, note="the second is shorter")
    yield given([[], [7, 8]], 1, 2, 0, note="the first is empty")
    yield given([[5, 0], [0], [6, 7, 8]], 1, 2, 0, note="sentences with the pad id inside")
    yield given([[5, 2, 6], [1]], 1, 2, 9, note="sentences with the start and the end id inside; pad is 9")
    lengths = (4, 1, 6)
    yield given([rng.integers(3, 30, size=n).tolist() for n in lengths], 1, 2, 0)


def forced(targets, start, end, pad):
    shape = (len(targets), max(map(len, targets)) + 1)
    reads, says = np.full(shape, pad), np.full(shape, -100)
    for row, target in enumerate(targets):
        reads[row, : len(target) + 1] = [start, *target]
        says[row, : len(target) + 1] = [*target, end]
    return reads, says


def memory_inputs(rng):
    yield given(*([np.array(x)] for x in ([[[[1.0]]]], [[[[2.0]]]], [[3.0]], [[5.0]])), note="one of everything")
    for layers, batch, n_head, keys, d_head, d_model, note in [
        (1, 1, 1, 2, 2, 3, "one layer, one head"),
        (1, 1, 2, 2, 2, 3, "one layer, two heads"),
        (2, 1, 1, 2, 2, 3, "two layers"),
        (3, 2, 2, 4, 3, 6, "three layers, two heads, two texts"),
    ]:
        gradients = ([rng.normal(size=(batch, n_head, keys, d_head)) for _ in range(layers)] for _ in range(2))
        weights = ([rng.normal(size=(d_model, n_head * d_head)) for _ in range(layers)] for _ in range(2))
        yield given(*gradients, *weights, note=note)


def memory_gradient(dk, dv, w_k, w_v):
    return sum(_merged(g) @ w.T for g, w in zip([*dk, *dv], [*w_k, *w_v], strict=True))


def _merged(g):
    batch, n_head, time, d_head = g.shape
    return g.transpose(0, 2, 1, 3).reshape(batch, time, n_head * d_head)


def packed_inputs(rng):
    for source, target, note in [
        ([[1]], [[1]], "one pair of one token each"),
        ([[1, 1, 1]], [[1, 1]], "one pair"),
        ([[1, 1, 0]], [[1, 0]], "one pair and padding"),
        ([[1, 2, 2]], [[1, 1, 2]], "two pairs"),
        ([[1, 1, 2, 0, 0], [1, 2, 2, 3, 3]], [[1, 2, 2, 0], [1, 1, 2, 3]], "two rows, padding in one"),
    ]:
        yield given(np.array(source), np.array(target), note=note)
    yield given(*(np.sort(rng.integers(0, 4, size=(3, n)))[:, ::-1].copy() for n in (9, 7)), note="pairs in any order")


def packed_masks(source_pairs, target_pairs):
    there = (target_pairs > 0)[:, :, None]
    own = np.tril(target_pairs[:, :, None] == target_pairs[:, None, :]) & there
    return own, (target_pairs[:, :, None] == source_pairs[:, None, :]) & there


def count_inputs(rng):
    yield given(1, 1, 1, 1, 1, 1, 0, note="one encoder layer, everything of size 1")
    yield given(1, 1, 1, 1, 1, 0, 1, note="one decoder layer, everything of size 1")
    yield given(10, 4, 8, 2, 2, 1, 1, note="as many key heads as query heads")
    yield given(10, 4, 8, 2, 1, 1, 1, note="one key head for two query heads")
    yield given(25_000, 512, 2048, 8, 8, 20, 2, note="the document's layers")
    yield given(25_000, 512, 2048, 8, 2, 6, 6)


def count(vocab_size, d_model, d_ff, n_head, n_kv_head, n_encoder, n_decoder):
    shared = d_model // n_head * n_kv_head
    attention = 2 * (d_model * d_model + d_model) + 2 * (d_model * shared + shared)
    network, norm = 2 * d_model * d_ff + d_ff + d_model, 2 * d_model
    encoder = n_encoder * (attention + network + 2 * norm) + norm
    decoder = n_decoder * (2 * attention + network + 3 * norm) + norm
    return vocab_size * d_model + encoder + decoder


class Script:
    """A `score` that wants fixed ids said, row by row, whatever was said before; it raises if asked on past `last`."""

    def __init__(self, rows, vocab, last):
        self.rows, self.vocab, self.last = np.array(rows), vocab, last

    def __call__(self, inputs):
        inputs = np.asarray(inputs)
        if inputs.ndim != 2 or len(inputs) != len(self.rows):
            raise ValueError(f"score wants inputs of shape ({len(self.rows)}, time), got {inputs.shape}")
        if inputs.shape[1] > self.last:
            raise RuntimeError(f"score was asked for id {inputs.shape[1]}, but all rows are over after {self.last}")
        logits = np.zeros((*inputs.shape, self.vocab))
        time = np.arange(inputs.shape[1])
        logits[:, time] -= 5  # all below 0
        for row, ids in enumerate(self.rows):
            logits[row, time, ids[time]] = -1
        return logits

    def __len__(self):
        return self.rows.size

    def __repr__(self):
        return f"a score that says {self.rows.tolist()}"


class Counting:
    """A `score` that says one more than the id it read last: it must be fed with what was said."""

    def __call__(self, inputs):
        return np.eye(9)[(np.asarray(inputs) + 1) % 9]

    def __len__(self):
        return 20

    def __repr__(self):
        return "a score that says one more than it read"


def write_inputs(rng):
    yield given(Script([[5, 2]], 6, last=2), 1, 1, 2, 4, note="one row, one id and the end")
    yield given(Script([[2, 2]], 6, last=1), 1, 1, 2, 4, note="the end at once")
    yield given(Script([[5, 4, 3]], 6, last=3), 1, 1, 2, 3, note="no end in sight")
    yield given(Script([[5, 2, 4, 4], [3, 4, 5, 2]], 6, last=4), 2, 1, 2, 9, note="rows that end at different times")
    yield given(Script([[5, 2, 4, 2], [3, 4, 5, 4]], 6, last=4), 2, 1, 2, 4, note="one ends, one never does")
    yield given(Counting(), 2, 1, 5, 7, note="what is said must be read next")
    yield given(Script([[5, 1, 2]], 6, last=3), 1, 1, 2, 4, note="the start id said as a token")
    yield given(Script([[5, 2]], 6, last=0), 1, 1, 2, 0, note="most = 0")


def write(score, batch, start, end, most):
    inputs = np.full((batch, 1), start)
    rows, live = [[] for _ in range(batch)], np.ones(batch, bool)
    for _ in range(most):
        said = np.asarray(score(inputs))[:, -1].argmax(-1)
        live &= said != end
        if not live.any():
            break
        for row in np.flatnonzero(live):
            rows[row].append(int(said[row]))
        inputs = np.concatenate([inputs, said[:, None]], axis=1)
    return rows


EXERCISES = [
    Exercise(
        "08.1",
        "teacher forcing from lists",
        hints=(
            "Make two arrays of the right shape, one full of pad and one full of −100, and fill them row by row.",
            "Row i of what is read begins [start, *target], of what is said [*target, end]: both len(target) + 1 long.",
            "Lengths come from the lists; comparing ids with pad would also hit tokens of the sentence.",
        ),
        expected=forced,
        inputs=forced_inputs,
    ),
    Exercise(
        "08.2",
        "the gradient of the memory",
        hints=(
            "What comes by several ways adds up: of each layer, once as keys and once as values.",
            "For keys = memory @ w_k the memory's gradient is dk @ w_k.T, "
            "with dk merged to (batch, keys, n_head · d_head).",
            "To merge: transpose(0, 2, 1, 3), then reshape. Reshaping alone mixes heads and places.",
        ),
        expected=memory_gradient,
        inputs=memory_inputs,
    ),
    Exercise(
        "08.3",
        "masks of packed pairs",
        hints=(
            "target_pairs[:, :, None] is a column of queries; compare it with a row of keys, [:, None, :].",
            "Padding has the number 0, and 0 == 0: take out the rows of queries that are padding.",
            "The decoder's own mask is causal as well: np.tril works on the last two axes. The memory's isn't.",
        ),
        expected=packed_masks,
        inputs=packed_inputs,
    ),
    Exercise(
        "08.4",
        "parameters with shared key heads",
        hints=(
            "d_head is d_model / n_head. W_Q and W_O stay d_model × d_model; "
            "W_K and W_V are d_model × (n_kv_head · d_head), and their biases are as wide as they are.",
            "A decoder layer has two attentions and three norms; besides, each stack ends with a norm.",
            "Without sharing, and without embeddings and last norms, the document's layers must give 71,455,744.",
        ),
        expected=count,
        inputs=count_inputs,
    ),
    Exercise(
        "08.5",
        "greedy decoding of a batch",
        hints=(
            "Only the last place of the logits says what comes next: score(inputs)[:, -1].argmax(-1).",
            "Keep an array of booleans, live: true for rows whose end hasn't come. Only live rows' ids are kept.",
            "All rows stay in inputs, the finished ones too, with whatever they say; stop when no row is live.",
        ),
        expected=write,
        inputs=write_inputs,
    ),
]
