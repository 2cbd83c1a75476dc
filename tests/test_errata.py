"""What the source document's worked numbers should have been, each recomputed by this library's own ops and modules.

The document's sections are named in each test. Where it prints another number, the test says which.
"""

import itertools
import math

import numpy as np
import pytest

from minillm import Tensor, nn, ops
from minillm.backend import arrays_in, use_backend

D_MODEL, HEADS, FF = 512, 8, 2048


def attend(query, keys, d_k):
    """Attention of one token to others, ids taken as 1-d vectors: the weights, and the output."""
    q, k = (np.array(ids, float).reshape(1, 1, -1, 1) for ids in ([query], keys))
    weights = ops.attention(q, k, np.eye(len(keys))[None, None], scale=1 / math.sqrt(d_k)).numpy().reshape(-1)
    output = ops.attention(q, k, k, scale=1 / math.sqrt(d_k)).item()
    return weights, output


# ---- 4.3.1 and 4.3.2: the sentence and the model ----


def test_4_3_1_the_sentence_of_1000_words_has_20_ids():
    ids = Tensor(range(1, 21))  # the list as printed: 1, 2, 3, ... 20
    assert len(ids) == ids.size == 20


def multi_head_attention(**options):
    return nn.MultiHeadAttention(D_MODEL, HEADS, **options)


def layer_norm():
    return nn.LayerNorm(D_MODEL)


@pytest.fixture(scope="module")
def encoder_layer():
    return nn.EncoderLayer(multi_head_attention(), nn.FeedForward(D_MODEL, FF, "relu"), layer_norm)


@pytest.fixture(scope="module")
def decoder_layer():
    feed_forward = nn.FeedForward(D_MODEL, FF, "relu")
    return nn.DecoderLayer(multi_head_attention(causal=True), multi_head_attention(), feed_forward, layer_norm)


def test_4_3_2_parameters_of_20_encoder_and_2_decoder_layers(encoder_layer, decoder_layer):
    assert encoder_layer.attention.sublayer.d_head == 64
    assert encoder_layer.num_parameters() == 3_152_384
    assert decoder_layer.num_parameters() == 4_204_032
    assert 20 * encoder_layer.num_parameters() + 2 * decoder_layer.num_parameters() == 71_455_744


# ---- 4.3.3: attention ----


def test_4_3_3_softmax_of_one_scalar_is_1():
    """The document has 0.5, 0.2 and 0.3."""
    for score in (9 / 8, 12 / 8, 15 / 8, -1e4):
        assert ops.softmax([score]).item() == 1


@pytest.mark.formula("4.2.1")
@pytest.mark.parametrize(
    ("query", "weights", "output"),
    [
        (3, [0.21872, 0.31824, 0.46304], 4.24431),
        (4, [0.18632, 0.30720, 0.50648], 4.32016),
        (5, [0.15727, 0.29381, 0.54892], 4.39165),
    ],
)
def test_4_3_3_self_attention_of_ids_3_4_5(query, weights, output):
    ours, value = attend(query, [3, 4, 5], d_k=64)
    np.testing.assert_allclose(ours, weights, atol=5e-6)
    assert value == pytest.approx(output, abs=5e-6)


def test_4_3_3_token_5_matters_most_in_every_row_at_any_scale():
    """The document says word 3 does; but weights grow with the key, so no scale gives 0.5, 0.2, 0.3."""
    for query, d_k in itertools.product((3, 4, 5), np.geomspace(1, 1e6, 13)):
        weights, _ = attend(query, [3, 4, 5], d_k)
        assert weights[0] < weights[1] < weights[2]


def test_4_3_3_of_vectors_of_size_1_d_k_is_1():
    weights, output = attend(3, [3, 4, 5], d_k=1)
    np.testing.assert_allclose(weights, [0.00236, 0.04731, 0.95033], atol=5e-6)
    assert output == pytest.approx(4.94797, abs=5e-6)
    ids = np.array([3.0, 4.0, 5.0]).reshape(1, 1, 3, 1)
    assert ops.attention(ids[:, :, :1], ids, ids).item() == pytest.approx(output)  # the op's own scale


@pytest.mark.formula("4.2.2")
def test_4_3_3_cross_attention_of_query_10():
    """The document has 0.4 and 0.6, and drops key 5."""
    scores = (Tensor([3.0, 4.0, 5.0]) * 10 / math.sqrt(64)).numpy()
    np.testing.assert_array_equal(scores, [3.75, 5, 6.25])
    weights, output = attend(10, [3, 4, 5], d_k=64)
    np.testing.assert_allclose(weights, [0.05998, 0.20934, 0.73068], atol=5e-6)
    assert output == pytest.approx(4.67070, abs=5e-6)
    without_5, _ = attend(10, [3, 4], d_k=64)
    np.testing.assert_allclose(without_5, [0.22270, 0.77730], atol=5e-6)


def test_4_3_3_attention_mixes_values_and_picks_no_word():
    _, output = attend(10, [3, 4, 5], d_k=64)
    assert 3 < output < 5 and not output.is_integer()  # between the ids, none of them
    head = nn.Linear(1, 25_000)  # what picks: a score for each word of the vocabulary, and their softmax
    p = ops.softmax(head(Tensor([[output]]))).numpy()
    assert p.shape == (1, 25_000)
    assert p.sum() == pytest.approx(1, abs=1e-4)


# ---- 4.3.4: the loss ----

P = np.array([0.4, 0.6])
IDS = np.array([5.0, 6.0])  # the document's y


def test_4_3_4_the_literal_sum():
    """The document has -[1.386 + 1.792] = -3.178, which are ln 4, ln 6 and ln 24."""
    terms = Tensor(IDS) * ops.log(P)
    np.testing.assert_allclose(terms.numpy(), [-4.58145, -3.06495], atol=5e-5)
    assert (-terms.sum()).item() == pytest.approx(7.64641, abs=5e-6)
    np.testing.assert_allclose(ops.log([4.0, 6.0, 24.0]).numpy(), [1.386, 1.792, 3.178], atol=5e-4)


@pytest.mark.formula("4.1.2-ce")
def test_4_3_4_with_one_hot_targets():
    logits = ops.log(np.stack([P, P]))  # the first token is word 0, with probability .4; the second is word 1, with .6
    targets = np.array([0, 1])
    mean = ops.cross_entropy(logits, targets)
    assert ops.cross_entropy(logits, targets, reduction="sum").item() == pytest.approx(1.42712, abs=5e-6)
    assert mean.item() == pytest.approx(0.71356, abs=5e-6)
    assert ops.exp(mean).item() == pytest.approx(2.04124, abs=5e-6)


def test_4_3_4_the_literal_form_is_smallest_at_5_and_6_elevenths_and_never_0():
    def literal(logits):
        return -(Tensor(IDS) * ops.log_softmax(logits)).sum()

    best = Tensor(np.log([5 / 11, 6 / 11]), requires_grad=True)
    loss = literal(best)
    loss.backward()
    assert loss.item() == pytest.approx(7.57910, abs=5e-6)
    np.testing.assert_allclose(best.grad, 0, atol=1e-12)
    for p in np.linspace(0.01, 0.99, 99):
        assert literal(np.log([p, 1 - p])).item() >= loss.item()


# ---- formulas and claims ----


@pytest.mark.formula("4.1.1-encoder")
def test_4_1_1_an_encoder_layer_composes_residual_norm_attention_and_feed_forward(encoder_layer):
    """The document leaves out the residual connection and the norm, and writes + for composition."""
    x = Tensor(np.random.default_rng(0).normal(size=(1, 3, D_MODEL)).astype(np.float32))
    attention, feed_forward = encoder_layer.attention, encoder_layer.feed_forward
    h = x + attention.sublayer(attention.norm(x))
    y = h + feed_forward.sublayer(feed_forward.norm(h))
    np.testing.assert_array_equal(encoder_layer(x).numpy(), y.numpy())


@pytest.mark.formula("4.1.1-decoder")
def test_4_1_1_a_decoder_layer_has_three_sublayers(decoder_layer):
    sublayers = [value for value in vars(decoder_layer).values() if isinstance(value, nn.Residual)]
    assert [type(s.sublayer).__name__ for s in sublayers] == ["MultiHeadAttention", "MultiHeadAttention", "FeedForward"]
    causal, cross, _ = (s.sublayer for s in sublayers)
    assert causal.causal and not cross.causal

    rng = np.random.default_rng(0)
    x, memory = (rng.normal(size=(1, n, D_MODEL)).astype(np.float32) for n in (3, 4))
    before = decoder_layer(Tensor(x), Tensor(memory)).numpy()
    x[:, 2] += 1  # the future of x is hidden ...
    np.testing.assert_array_equal(decoder_layer(Tensor(x), Tensor(memory)).numpy()[:, :2], before[:, :2])
    memory[:, 3] += 1  # ... the end of the memory isn't, even from the first position
    assert not np.allclose(decoder_layer(Tensor(x), Tensor(memory)).numpy()[:, 0], before[:, 0])


@pytest.mark.formula("4.1.2-ce")
def test_4_1_2_cross_entropy_sums_over_classes_and_averages_over_tokens():
    logits, targets = np.random.default_rng(0).normal(size=(6, 5)), np.array([0, 4, 2, 2, 1, 3])
    one_hot = np.eye(5)[targets]
    by_formula = (-(Tensor(one_hot) * ops.log(ops.softmax(logits))).sum(axis=1)).mean()
    assert ops.cross_entropy(logits, targets).item() == pytest.approx(by_formula.item(), rel=1e-12)


@pytest.mark.formula("4.1.2-mse")
def test_4_1_2_squared_error_is_half_the_sum_so_that_its_gradient_is_the_difference():
    guess = Tensor(np.array([1.5, 2.0, 1.0]), requires_grad=True)
    loss = ops.mse_loss(guess, np.array([1.0, 2.0, 3.0]))
    loss.backward()
    assert loss.item() == (0.25 + 0 + 4) / 2
    np.testing.assert_allclose(guess.grad, [0.5, 0, -2])


@pytest.mark.formula("4.2.1")
def test_4_2_rows_of_the_softmax_sum_to_1():
    rows = ops.softmax(np.random.default_rng(0).normal(size=(100, 50)) * 10)
    np.testing.assert_allclose(rows.sum(axis=-1).numpy(), 1, rtol=1e-12)


@pytest.mark.formula("4.2.1")
@pytest.mark.parametrize("d_k", [1, 16, 64])
def test_4_2_the_variance_of_a_score_is_d_k_and_1_after_scaling(d_k):
    """Why √d_k: for entries of variance 1, Var(q·k) = d_k."""
    n = 40_000
    rng = np.random.default_rng(d_k)
    q, k = (Tensor(rng.normal(size=(n, d_k))) for _ in range(2))
    scores = (q * k).sum(axis=1)
    assert scores.var().item() == pytest.approx(d_k, rel=0.06)
    assert (scores / math.sqrt(d_k)).var().item() == pytest.approx(1, rel=0.06)


def test_3_3_1_attention_of_1000_tokens_and_8_heads_holds_32_mb_of_scores():
    """Not "efficient on long text": the scores grow with the square of the length."""
    rng = np.random.default_rng(0)

    def bytes_of_scores(n):
        q = Tensor(rng.normal(size=(1, HEADS, n, 4)).astype(np.float32), requires_grad=True)
        with use_backend("numpy"):  # the formula as it stands; a kernel needn't keep the scores
            saved = arrays_in(ops.attention(q, q, q).node.saved)
        return sum(a.nbytes for a in saved if a.shape == (1, HEADS, n, n))

    assert bytes_of_scores(1000) == 32_000_000
    assert 20 * bytes_of_scores(1000) == 640_000_000
    assert bytes_of_scores(500) == 32_000_000 / 4


def test_9_5_f1_is_the_harmonic_mean_of_precision_and_recall():
    precision, recall = Tensor(0.8), Tensor(0.5)
    assert (2 / (1 / precision + 1 / recall)).item() == pytest.approx(0.6154, abs=5e-5)
