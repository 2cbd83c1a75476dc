"""A small example with numbers for each formula, computed when it is asked for: `python -m minillm.formula ID`."""

import numpy as np

from minillm import nn, ops, seeding
from minillm.models import NGram
from minillm.tensor import Tensor


def ngram() -> str:
    words = ["the", "cat", "sat", "on", "the", "mat", "and", "the", "cat", "ran"]
    vocabulary = sorted(set(words))
    ids = np.array([vocabulary.index(word) for word in words])
    the = vocabulary.index("the")
    followers = ids[1:][ids[:-1] == the]
    lines = [f"text: {' '.join(words)}", f"c(the) = {len(followers)}"]
    for word in ("cat", "mat"):
        count = int((followers == vocabulary.index(word)).sum())
        lines.append(
            f"c(the {word}) = {count}:  P({word} | the) = {count}/{len(followers)} = {count / len(followers):.4f}"
        )
    model = NGram.train(ids, len(vocabulary), 2)
    smoothed = model.probabilities(np.array([the, vocabulary.index("cat")]))[1]
    return "\n".join([*lines, f"with Kneser-Ney smoothing, as NGram has it: P(cat | the) = {smoothed:.4f}"])


def masked() -> str:
    logits = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    hidden = np.array([False, True, False])
    targets = np.where(hidden, [0, 1, 2], -100)
    loss = ops.cross_entropy(logits, targets).item()
    p = ops.softmax(logits).numpy()[1, 1]
    what = f"of 3 tokens the second is hidden; its probability is {p:.4f}"
    return f"{what}\nL = −ln {p:.4f} = {loss:.4f}; the others don't count"


def causal() -> str:
    logits = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    targets = np.array([0, 1])
    p = ops.softmax(logits).numpy()[[0, 1], targets]
    total = ops.cross_entropy(logits, targets, reduction="sum").item()
    terms = " + ".join(f"{-np.log(x):.4f}" for x in p)
    return f"p of the two next tokens: {p[0]:.4f}, {p[1]:.4f}\nL = {terms} = {total:.4f} nats, {total / 2:.4f} a token"


def encoder() -> str:
    seeding.seed(0)
    layer = nn.EncoderLayer(nn.MultiHeadAttention(4, 2), nn.FeedForward(4, 8, "relu"), lambda: nn.LayerNorm(4))
    x = Tensor(np.arange(8, dtype=np.float32).reshape(1, 2, 4))
    h = x + layer.attention.sublayer(layer.attention.norm(x))
    y = h + layer.feed_forward.sublayer(layer.feed_forward.norm(h))
    steps = {"x": x, "h = x + MultiHead(LN(x))": h, "y = h + FFN(LN(h))": y, "EncoderLayer(x)": layer(x)}
    return "\n".join(["of the first of two tokens", *(f"{name} = {_row(value)}" for name, value in steps.items())])


def decoder() -> str:
    seeding.seed(0)
    own, cross = nn.MultiHeadAttention(4, 2, causal=True), nn.MultiHeadAttention(4, 2)
    layer = nn.DecoderLayer(own, cross, nn.FeedForward(4, 8, "relu"), lambda: nn.LayerNorm(4))
    x = Tensor(np.arange(8, dtype=np.float32).reshape(1, 2, 4))
    memory = Tensor(np.ones((1, 3, 4), np.float32) * [[[0.0], [1.0], [2.0]]])
    y, other = layer(x, memory), layer(x, memory * 2)
    later = layer(Tensor(x.numpy() + np.array([[[0.0], [1.0]]], np.float32)), memory)
    return "\n".join(
        [
            f"y of the first token = {_row(y)}",
            f"with the second token changed:  {_row(later)} (the same: it can't see what comes later)",
            f"with another memory:            {_row(other)}",
        ]
    )


def cross_entropy() -> str:
    p = np.array([[0.4, 0.6], [0.4, 0.6]])
    logits, targets = np.log(p), np.array([0, 1])
    total = ops.cross_entropy(logits, targets, reduction="sum").item()
    mean = ops.cross_entropy(logits, targets).item()
    what = "p = (.4, .6) for two tokens, the first word 0, the second word 1"
    return f"{what}\nL = −ln .4 − ln .6 = {total:.5f}; the mean {mean:.5f} nats, perplexity {np.exp(mean):.5f}"


def squared_error() -> str:
    y, guess = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 1.0])
    terms = ", ".join(f"{d * d:g}" for d in y - guess)
    return f"y = (1, 2, 3), ŷ = (1.5, 2, 1): squares {terms}\nL = ½ Σ = {ops.mse_loss(guess, y).item():.4f}"


def attention() -> str:
    return _attention([3.0, 4.0, 5.0], [3.0, 4.0, 5.0], "the ids 3, 4, 5 of the document, as vectors of size 1")


def cross_attention() -> str:
    return _attention([10.0], [3.0, 4.0, 5.0], "the decoder's query 10, the encoder's keys and values 3, 4, 5")


def _attention(queries: list[float], keys: list[float], what: str) -> str:
    q, k = (np.array(values).reshape(1, 1, -1, 1) for values in (queries, keys))
    scale = 1 / np.sqrt(64)
    weights = ops.softmax(q @ k.swapaxes(-1, -2) * scale).numpy()[0, 0]
    out = ops.attention(q, k, k, scale=scale).numpy().reshape(-1)
    lines = [f"{what}, scores divided by √64"]
    for query, row, value in zip(queries, weights, out, strict=True):
        lines.append(f"q = {query:g}: weights {', '.join(f'{w:.5f}' for w in row)}; output {value:.5f}")
    return "\n".join(lines)


def _row(x: Tensor) -> str:
    return np.array2string(x.numpy()[0, 0], precision=3, floatmode="fixed", sign=" ")


EXAMPLES = {
    "2.1-ngram": ngram,
    "3.2.2-mlm": masked,
    "3.2.2-clm": causal,
    "4.1.1-encoder": encoder,
    "4.1.1-decoder": decoder,
    "4.1.2-ce": cross_entropy,
    "4.1.2-mse": squared_error,
    "4.2.1": attention,
    "4.2.2": cross_attention,
}
