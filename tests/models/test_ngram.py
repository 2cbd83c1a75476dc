"""The n-gram model against dictionaries, closed forms, and the laws of probability.  [2.1-ngram]"""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.errors import ConfigError, DataError, TokenError
from minillm.models.ngram import NGram
from tests.data_files import real_file

V = 5
texts = st.lists(st.integers(0, V - 1), min_size=4, max_size=60)
smoothings = st.sampled_from(["kneser-ney", "backoff", "add-k"])


def kneser_ney_by_dictionary(train, order, context, token):
    """P(token | context) straight from the definition: nested dictionaries and recursion, no arrays."""
    groups = {n: Counter(tuple(train[i : i + n]) for i in range(len(train) - n + 1)) for n in range(1, order + 1)}

    def count(n):
        if n == order:
            return groups[n]
        left = defaultdict(set)
        for group in groups[n + 1]:
            left[group[1:]].add(group[0])
        return Counter({group: len(left[group]) for group in groups[n]})

    def p(n, context):
        if n == 0:
            return 1 / V
        lower = p(n - 1, context[1:])
        counts = count(n)
        of_context = {group[-1]: c for group, c in counts.items() if group[:-1] == context and c}
        if not of_context:
            return lower
        once, twice = (sum(c == k for c in counts.values()) for k in (1, 2))
        d = once / (once + 2 * twice) if once and twice else 0.5
        total = sum(of_context.values())
        return max(of_context.get(token, 0) - d, 0) / total + d * len(of_context) / total * lower

    n = min(order, len(context) + 1)
    return p(n, tuple(context[len(context) - n + 1 :]))


@pytest.mark.formula("2.1-ngram")
@settings(deadline=None)
@given(texts, texts, st.integers(1, 4))
def test_kneser_ney_is_the_dictionary_s(train, text, order):
    p = NGram.train(np.array(train), V, order).probabilities(np.array(text))
    for t, token in enumerate(text):
        assert p[t] == pytest.approx(kneser_ney_by_dictionary(train, order, text[:t], token), rel=1e-12)


def back_off_by_dictionary(train, order, context):
    """P(every token | context) straight from the definition, the weight α summed over the tokens not seen."""

    def p(context):
        n = len(context)
        shorter = p(context[1:]) if n else [1 / V] * V
        groups = Counter(tuple(train[i : i + n + 1]) for i in range(len(train) - n))
        counts = [groups[(*context, token)] for token in range(V)]
        if not sum(counts):
            return shorter
        once, twice = (sum(c == k for c in groups.values()) for k in (1, 2))
        d = once / (once + 2 * twice) if once and twice else 0.5
        if all(counts):
            return [c / sum(counts) for c in counts]
        unseen = sum(q for q, c in zip(shorter, counts, strict=True) if not c)
        alpha = d * sum(c > 0 for c in counts) / sum(counts) / unseen
        return [(c - d) / sum(counts) if c else alpha * q for q, c in zip(shorter, counts, strict=True)]

    return p(tuple(context[max(0, len(context) - order + 1) :]))


@settings(deadline=None)
@given(texts, st.lists(st.integers(0, V - 1), max_size=6), st.integers(1, 4))
def test_back_off_is_the_dictionary_s(train, context, order):
    p = NGram.train(np.array(train), V, order, "backoff").distribution(np.array(context))
    np.testing.assert_allclose(p, back_off_by_dictionary(train, order, context), rtol=1e-9)


def test_back_off_by_hand():
    # "a b a b a c": after a come b twice and c once; pairs seen once: ac; twice: ba, ab; so d = 1 / (1 + 2·2) = 0.2.
    # One token each: a 3, b 2, c 1 of 6, all seen, so nothing is taken from them. After b comes a only:
    # P(a | b) = (2 - 0.2) / 2, and b and c share 0.1 as 2 : 1.
    model = NGram.train(np.array([0, 1, 0, 1, 0, 2]), 3, order=2, smoothing="backoff")
    np.testing.assert_allclose(model.distribution(np.array([1])), [0.9, 0.1 * 2 / 3, 0.1 / 3])
    np.testing.assert_allclose(model.distribution(np.array([0])), [0.2 * 2 / 3, 1.8 / 3, 0.8 / 3])


def test_back_off_sums_to_one_after_contexts_of_real_text():
    text = real_file("tang300.txt").read_text(encoding="utf-8")
    alphabet = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = np.array([alphabet[c] for c in text])
    model = NGram.train(ids, len(alphabet), 3, "backoff")
    contexts = {tuple(ids[i : i + n]) for n in range(3) for i in range(len(ids) - n)}
    sums = [model.distribution(np.array(context)).sum() for context in sorted(contexts)[::97]]
    assert len(sums) > 100
    np.testing.assert_allclose(sums, 1, atol=1e-9)


@given(texts, texts, st.integers(1, 4), st.floats(0.01, 3))
def test_add_k_is_the_formula(train, text, order, k):
    p = NGram.train(np.array(train), V, order, "add-k", k).probabilities(np.array(text))
    for t in range(order - 1, len(text)):
        group = text[t - order + 1 : t + 1]
        places = [train[i : i + order] for i in range(len(train) - order + 1)]
        c, context = sum(place == group for place in places), sum(place[:-1] == group[:-1] for place in places)
        assert p[t] == pytest.approx((c + k) / (context + k * V), rel=1e-12)


@settings(deadline=None)
@given(texts, st.lists(st.integers(0, V - 1), max_size=6), st.integers(1, 4), smoothings)
def test_chances_are_positive_and_sum_to_one(train, context, order, smoothing):
    p = NGram.train(np.array(train), V, order, smoothing).distribution(np.array(context))
    assert p.shape == (V,)
    assert (p > 0).all()
    assert p.sum() == pytest.approx(1, abs=1e-12)


@settings(deadline=None)
@given(texts, texts, st.integers(1, 4), smoothings)
def test_the_distribution_and_the_chances_of_a_text_agree(train, text, order, smoothing):
    model = NGram.train(np.array(train), V, order, smoothing)
    p = model.probabilities(np.array(text))
    for t, token in enumerate(text):
        assert model.distribution(np.array(text[:t]))[token] == pytest.approx(p[t], rel=1e-12)


@pytest.mark.formula("2.1-ngram")
def test_the_formula_itself():
    # "a b a b a c": after a come b, b, c.
    model = NGram.train(np.array([0, 1, 0, 1, 0, 2]), 3, order=2, smoothing="add-k", k=0)
    assert np.allclose(model.distribution(np.array([0])), [0, 2 / 3, 1 / 3])
    assert model.evaluate(np.array([0, 0])) == math.inf
    assert np.allclose(model.distribution(np.array([2])), 1 / 3)  # never seen as a context: it says nothing


def test_uniform_costs_the_logarithm_of_the_vocabulary():
    model = NGram.uniform(65)
    assert model.evaluate(np.arange(65)) == pytest.approx(math.log(65))
    assert model.order == 0


def test_a_unigram_costs_the_entropy_of_the_counts():
    rng = np.random.default_rng(0)
    p = np.array([0.5, 0.25, 0.125, 0.125])
    ids = rng.choice(4, 200_000, p=p)
    assert NGram.train(ids, 4, order=1).evaluate(ids) == pytest.approx(1.75 * math.log(2), abs=0.005)


def test_the_first_token_is_nobody_s_target():
    model = NGram.train(np.array([0, 0, 0, 1]), 2, order=1, smoothing="add-k", k=0)
    assert model.evaluate(np.array([1, 0])) == pytest.approx(-math.log(0.75))


def test_a_bigram_learns_a_markov_chain_down_to_its_entropy():
    chain = np.array([[0.9, 0.1, 0], [0, 0.8, 0.2], [0.5, 0, 0.5]])
    rng = np.random.default_rng(1)
    points, ids = rng.random(200_000), [0]
    cumulative = chain.cumsum(axis=1)
    for point in points:
        ids.append(int(np.searchsorted(cumulative[ids[-1]], point, side="right")))
    values, vectors = np.linalg.eig(chain.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    entropy = -sum(stationary[i] * q * math.log(q) for i, row in enumerate(chain) for q in row if q)  # nats a step
    half = len(ids) // 2
    model = NGram.train(np.array(ids[:half]), 3, order=2)
    assert model.evaluate(np.array(ids[half:])) == pytest.approx(entropy, abs=0.01)
    assert np.allclose([model.distribution(np.array([i])) for i in range(3)], chain, atol=0.01)


def test_kneser_ney_knows_that_francisco_follows_san_only():
    # Chen and Goodman's example: "francisco" (1) is frequent, but only after "san" (0): unlikely after a new word.
    train = np.array([0, 1] * 30 + [2, 3, 4, 3, 5, 3, 6, 3, 2, 4, 7])
    p = NGram.train(train, 8, order=2).distribution(np.array([7]))
    assert (train == 1).sum() > (train == 3).sum()
    assert p[3] > p[1]


def test_longer_contexts_pay_on_real_text_and_beat_add_one():
    text = real_file("tinyshakespeare.txt").read_text(encoding="utf-8")
    alphabet = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = np.array([alphabet[c] for c in text], dtype=np.uint16)
    cut = int(0.9 * len(ids))
    losses = [NGram.train(ids[:cut], 65, n).evaluate(ids[cut:]) for n in (1, 2, 3, 4)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] < NGram.uniform(65).evaluate(ids[cut:])
    back_off, add_one = (NGram.train(ids[:cut], 65, 4, name).evaluate(ids[cut:]) for name in ("backoff", "add-k"))
    assert losses[3] < back_off < add_one  # the order Chen and Goodman find


def test_large_vocabularies_and_orders_do_not_overflow():
    rng = np.random.default_rng(0)
    ids = np.tile(rng.integers(0, 200_000, 500), 4)
    model = NGram.train(ids, 200_000, order=8)  # 200000^8 has 141 bits
    assert model.distribution(ids[:7]).argmax() == ids[7]


def test_memory_mapped_ids_will_do(tmp_path):
    ids = np.memmap(tmp_path / "ids.bin", dtype="<u2", mode="w+", shape=(100,))
    ids[:] = np.arange(100) % 7
    assert NGram.train(ids, 7, order=2).evaluate(ids) < 0.3


def test_generation_follows_the_chances_and_the_seed():
    ids = np.array([0, 1, 2, 3] * 50)
    model = NGram.train(ids, 4, order=3)
    assert np.array_equal(model.generate(np.array([0, 1]), 6, temperature=0), [2, 3, 0, 1, 2, 3])
    assert np.array_equal(model.generate(np.array([0]), 20, seed=3), model.generate(np.array([0]), 20, seed=3))
    unigram = NGram.train(np.array([0] * 30 + [1] * 10), 2, order=1, smoothing="add-k", k=0)
    assert unigram.generate(np.array([0]), 4000, seed=0).mean() == pytest.approx(0.25, abs=0.03)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="order=0 must be at least 1"):
        NGram.train(np.arange(5), 5, order=0)
    with pytest.raises(ConfigError, match="smoothing='laplace'"):
        NGram.train(np.arange(5), 5, smoothing="laplace")
    with pytest.raises(ConfigError, match="k=-1 must not be negative"):
        NGram.train(np.arange(5), 5, smoothing="add-k", k=-1)
    with pytest.raises(DataError, match="2 tokens are too few to count groups of 3"):
        NGram.train(np.arange(2), 5)
    with pytest.raises(TokenError, match=r"must lie in 0\.\.4; got 0\.\.5"):
        NGram.train(np.arange(6), 5)
    with pytest.raises(DataError, match="must be integers"):
        NGram.uniform(5).evaluate(np.zeros(3))
    with pytest.raises(DataError, match="1 tokens: at least 2"):
        NGram.uniform(5).evaluate(np.array([1]))
