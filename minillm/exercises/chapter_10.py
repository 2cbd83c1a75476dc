"""Exercises of chapter 10: a GPT's parameters, its loss in bits and by position, its targets, and its tied gradient."""

import math

import numpy as np

from minillm.exercises.exercise import Exercise, given
from minillm.metrics import language
from minillm.models import GPTConfig
from minillm.ops import cross_entropy, embedding
from minillm.planning import counts

IGNORED = -100


def parameter_inputs(rng):
    yield given(1, 1, 0, 1, True, note="no layer")
    yield given(1, 1, 1, 1, True, note="one of everything")
    yield given(7, 5, 2, 4, True)
    yield given(7, 5, 2, 4, False, note="untied")
    yield given(50_257, 1024, 12, 768, True, note="GPT-2, small")


def count_parameters(vocab_size, context_length, n_layer, d_model, tied):
    config = GPTConfig(vocab_size, context_length, max(n_layer, 1), 1, d_model=d_model, tie_weights=tied)
    parts = counts.parameters(config)
    if n_layer:
        return sum(parts.values())
    return parts["token embedding"] + parts["positions"] + 2 * d_model + parts["output head"]


def bits_inputs(rng):
    pieces = [b"a", b"the ", "猫".encode(), "坐在".encode()]
    yield given(np.array([math.log(2)]), np.array([0]), pieces, note="one token of one byte")
    yield given(np.array([3.0, 1.0]), np.array([1, 2]), pieces, note="tokens of four and three bytes")
    yield given(np.array([3.0, 1.0, 9.0]), np.array([3, 0, IGNORED]), pieces, note="the last doesn't count")
    targets = rng.integers(0, 4, size=(3, 5))
    targets[1, 3:] = IGNORED
    yield given(rng.exponential(size=(3, 5)), targets, pieces, note="a batch with padding")


def bits_of(nats, targets, pieces):
    counted = targets != IGNORED
    text_bytes = sum(len(pieces[i]) for i in targets[counted])
    return language.bits_per_byte(nats[counted].mean(), int(counted.sum()), text_bytes)


def position_inputs(rng):
    yield given(np.zeros((1, 1, 2)), np.array([[1]]), note="one position, two equal scores: ln 2")
    yield given(rng.normal(size=(2, 3, 4)), rng.integers(0, 4, size=(2, 3)))
    targets = rng.integers(0, 4, size=(3, 4))
    targets[0, 2:] = targets[1, 1:] = targets[2, 3] = IGNORED
    yield given(
        rng.normal(size=(3, 4, 4)), targets, note="texts of different lengths; nothing counts at the last place"
    )
    yield given(1000 * rng.normal(size=(2, 3, 5)), rng.integers(0, 5, size=(2, 3)), note="large scores")


def loss_by_position(logits, targets):
    by_place = zip(logits.swapaxes(0, 1), targets.T, strict=True)
    return np.array(
        [
            cross_entropy.reference.forward(np, x, y)[0] if (y != IGNORED).any() else np.nan  # no mean of nothing
            for x, y in by_place
        ]
    )


def target_inputs(rng):
    yield given([[5]], 0, note="one token")
    yield given([[5, 6, 7]], 0, note="one text")
    yield given([[5, 6, 7], [8]], 0, note="two lengths")
    yield given([[5, 0, 6], [8, 9]], 0, note="the end token stands inside a text, too")
    yield given([[4, 4], [], [4, 3, 2, 1]], 9, note="an empty text")


def inputs_and_targets(texts, end):
    time = max(map(len, texts))
    ids, targets = np.full((len(texts), time), end), np.full((len(texts), time), IGNORED)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        targets[row, : len(text)] = [*text, end][1:]
    return ids, targets


def tied_inputs(rng):
    yield given(np.array([0]), np.array([[2.0]]), np.array([[3.0]]), np.array([[5.0]]), note="one token, one word")
    for ids, note in [([2, 0], "different tokens"), ([1, 1, 1], "one token, three times")]:
        time = len(ids)
        arrays = [rng.normal(size=shape) for shape in [(time, 2), (time, 2), (time, 4)]]
        yield given(np.array(ids), *arrays, note=note)
    arrays = [rng.normal(size=(2, 4, n)) for n in (3, 3, 6)]
    yield given(np.array([[5, 0, 5, 2], [1, 5, 0, 0]]), *arrays, note="a batch")


def tied_gradient(ids, dx, h, dlogits):
    looked_up, _ = embedding.reference.backward(np, dx, (ids, (dlogits.shape[-1], dx.shape[-1])))
    return looked_up + dlogits.reshape(-1, dlogits.shape[-1]).T @ h.reshape(-1, h.shape[-1])


EXERCISES = [
    Exercise(
        "10.1",
        "counting a GPT's parameters",
        hints=(
            "Embeddings: vocab_size · d and context_length · d. An untied head has vocab_size · d of its own, no bias.",
            "A layer's matrices: four of d × d in the attention, and d × 4d and 4d × d in the feed-forward: 12 d².",
            "A layer's vectors: biases 4 d, 4 d and d, and two norms with a weight and a bias: 13 d. At the end "
            "one more norm, 2 d.",
        ),
        expected=count_parameters,
        inputs=parameter_inputs,
    ),
    Exercise(
        "10.2",
        "bits per byte from nats per token",
        hints=(
            "It is the surprise of the whole text, in bits, over all of its bytes: two sums and one division.",
            "ln 2 nats are one bit. Only positions whose target isn't -100 count, in both sums.",
            "The bytes are those of the targets: len(pieces[i]) for each i of targets[targets != -100].",
        ),
        expected=bits_of,
        inputs=bits_inputs,
    ),
    Exercise(
        "10.3",
        "the loss at each position",
        hints=(
            "−ln p of the target is ln Σ exp(logits) − logits[target]; take the largest logit off before exp.",
            "np.take_along_axis picks the target's logit; give it 0 where the target is -100, and mask afterwards.",
            "Sum over the batch, axis 0, and divide by how many count there: 0/0 is nan, as asked.",
        ),
        expected=loss_by_position,
        inputs=position_inputs,
    ),
    Exercise(
        "10.4",
        "inputs and targets with padding",
        hints=(
            "The inputs are the texts. The targets of a text are the text without its first token, and the end.",
            "Start from two full arrays, one of `end` and one of -100, and fill in each row as far as its text goes.",
            "Don't look for `end` in the targets to find the padding: the real end is to be learnt.",
        ),
        expected=inputs_and_targets,
        inputs=target_inputs,
    ),
    Exercise(
        "10.5",
        "the gradient of tied weights",
        hints=(
            "W is used twice, so its gradient has two terms, as for a value used twice in chapter 04.",
            "The head: logits = h Wᵀ, so the term is dlogitsᵀ h, summed over all positions of the batch.",
            "The embedding: row id of the gradient gets dx of each place where that id stood. "
            "dW[ids] += dx counts an id once only; np.add.at(dW, ids, dx) counts all.",
        ),
        expected=tied_gradient,
        inputs=tied_inputs,
    ),
]
