"""Decoding: the cache changes no token, sampling follows its distribution, beam search finds the best there is."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minillm as ml
from minillm import Tensor
from minillm.errors import ConfigError, ShapeError, TokenError
from minillm.models import GPT, GPTConfig
from minillm.models.decoding import Sampling, beam_search, distribution, draw, generate, window_start

STYLES = {
    "learned": {},
    "sinusoidal, post-norm": {"norm": "post", "position": "sinusoidal"},
    "rotary, grouped": {"position": "rotary", "n_kv_head": 2, "normalization": "rms_norm", "activation": "swiglu"},
}


def make(style="learned", **options):
    ml.seed(0)
    given_options = {"vocab_size": 13, "context_length": 16, "n_layer": 2, "n_head": 4, "d_model": 16, **options}
    model = GPT(GPTConfig(**given_options, **STYLES[style]))
    rng = np.random.default_rng(3)
    for p in model.parameters():
        p.mutable()[...] = rng.normal(size=p.shape) * 0.4 + (1 if p.ndim == 1 else 0)
    return model.eval()


class Chain:
    """A model whose next token depends on the last one only, by a table of log-probabilities."""

    def __init__(self, table, context_length=64):
        self.table = np.log(np.asarray(table, float))
        self.config = SimpleNamespace(context_length=context_length)

    def __call__(self, ids, *, cache=None):
        return Tensor(self.table[np.asarray(ids)]), None

    def new_cache(self):
        return []


def random_chain(seed, size=3):
    table = np.random.default_rng(seed).uniform(0.05, 1, size=(size, size))
    return Chain(table / table.sum(1, keepdims=True))


# ---- the cache ----


@pytest.mark.parametrize("style", STYLES)
def test_every_split_into_prefill_and_decode_gives_the_full_forwards_logits(style):
    model, ids = make(style), np.random.default_rng(0).integers(0, 13, size=(2, 9))
    full = model(ids)[0].numpy()
    for first in range(1, 10):
        for size in (1, 2, 4):  # the rest token by token, and in pieces
            cache = model.new_cache()
            starts = [0, *range(first, 9, size), 9]
            parts = [model(ids[:, a:b], cache=cache)[0].numpy() for a, b in itertools.pairwise(starts) if a < b]
            np.testing.assert_allclose(np.concatenate(parts, axis=1), full, rtol=1e-5, atol=1e-5)
            assert cache[0].length == 9


@pytest.mark.parametrize("style", STYLES)
def test_256_greedy_tokens_are_the_same_with_and_without_cache(style):
    """Far beyond the context of 16, so that the window moves on many times."""
    model = make(style)
    cached = model.generate([1, 2, 3], 256, temperature=0)
    np.testing.assert_array_equal(cached, model.generate([1, 2, 3], 256, temperature=0, use_cache=False))
    assert len(cached) == 256


def test_sampled_tokens_are_the_same_with_and_without_cache():
    model, options = make(), {"temperature": 0.9, "top_k": 8, "top_p": 0.95, "seed": 5}
    np.testing.assert_array_equal(
        model.generate([4], 60, **options), model.generate([4], 60, use_cache=False, **options)
    )


def test_greedy_within_the_context_is_the_likeliest_token_of_the_full_forward():
    model, ids = make(), [3, 1]
    for token in model.generate([3, 1], 14, temperature=0):
        assert token == model(np.array([ids]))[0].numpy()[0, -1].argmax()
        ids.append(token)


@given(st.integers(1, 500), st.integers(1, 64))
@settings(deadline=None)
def test_the_window_holds_at_least_half_a_context_and_never_more_than_one(length, context):
    start = window_start(length, context)
    assert 0 <= start < length
    assert length - start <= context
    assert length - start >= min(length, context / 2)


def test_generating_leaves_no_gradients_and_no_tape():
    model = make()
    model.generate([1], 5)
    assert all(p.grad is None for p in model.parameters())


# ---- the distribution ----


def by_definition(logits, temperature, top_k, top_p):
    """Top-k, then the smallest set reaching top-p, one token at a time."""
    weights = [math.exp((x - max(logits)) / temperature) for x in logits]
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:top_k]
    total = math.fsum(weights[i] for i in order)
    chosen, reached = [], 0.0
    for i in order:
        chosen.append(i)
        reached += weights[i] / total
        if reached >= top_p:
            break
    kept = math.fsum(weights[i] for i in chosen)
    return [weights[i] / kept if i in chosen else 0.0 for i in range(len(logits))]


@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=8),
    st.sampled_from([0.25, 0.5, 1.0, 1.5, 4.0]),
    st.sampled_from([None, 1, 2, 3, 100]),
    st.sampled_from([None, 1e-9, 0.31, 0.77, 0.9]),
)
@settings(max_examples=300, deadline=None)
def test_temperature_top_k_and_top_p_by_their_definition(logits, temperature, top_k, top_p):
    logits = [x / 8 for x in logits]
    p = distribution(np.array(logits), Sampling(temperature, top_k, top_p))
    np.testing.assert_allclose(p, by_definition(logits, temperature, top_k, top_p or 1.0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.8, "temperature": 2.0}], ids=str
)
def test_tokens_are_drawn_as_often_as_the_distribution_says(options):
    logits, n = np.array([2.0, 0.0, 1.0, -1.0, 1.5]), 20_000
    rng = np.random.default_rng(0)
    sampling = Sampling(**options)
    counts = np.bincount([draw(logits, sampling, rng) for _ in range(n)], minlength=5)
    p = np.array(by_definition(logits.tolist(), sampling.temperature, sampling.top_k, sampling.top_p or 1.0))
    assert not counts[p == 0].any()
    deviation = np.sqrt(n * p * (1 - p))
    assert (np.abs(counts - n * p) <= 5 * deviation + 1e-9).all()


def test_a_temperature_of_zero_takes_the_first_of_the_likeliest():
    logits = np.array([1.0, 3.0, 3.0])
    np.testing.assert_array_equal(distribution(logits, Sampling(temperature=0)), [0, 1, 0])
    assert draw(logits, Sampling(temperature=0), np.random.default_rng(0)) == 1


def test_the_same_seed_draws_the_same_tokens():
    model = make()
    first = model.generate([1, 2], 40, seed=7)
    np.testing.assert_array_equal(first, model.generate(np.array([[1, 2]]), 40, seed=7))
    np.testing.assert_array_equal(first, list(model.stream([1, 2], 40, seed=7)))
    assert not np.array_equal(first, model.generate([1, 2], 40, seed=8))
    assert first.dtype == np.int64


# ---- beam search ----


def log_p(chain, path):
    return sum(chain.table[a, b] for a, b in itertools.pairwise(path))


@pytest.mark.parametrize("seed", range(5))
def test_a_full_beam_finds_what_exhaustive_search_finds(seed):
    chain = random_chain(seed)
    best = max(itertools.product(range(3), repeat=4), key=lambda path: log_p(chain, (0, *path)))
    assert beam_search(chain, [0], 4, width=3**4) == list(best)


@pytest.mark.parametrize("seed", range(10))
def test_a_full_beam_with_a_stop_finds_the_best_mean_log_probability(seed):
    """Ends: a stop after 0 to 3 tokens, or 4 tokens without one. The stop's own probability counts."""
    chain, stop = random_chain(seed), 2
    ends = [(0, *path, stop) for n in range(4) for path in itertools.product(range(2), repeat=n)]
    ends += [(0, *path) for path in itertools.product(range(2), repeat=4)]
    best = max(ends, key=lambda path: log_p(chain, path) / (len(path) - 1))
    found = beam_search(chain, [0], 4, width=100, stop_ids=frozenset({stop}))
    assert found == [token for token in best[1:] if token != stop]


def test_a_full_beam_of_a_gpt_finds_the_likeliest_three_tokens():
    model = make(vocab_size=4)
    scores = {}
    for path in itertools.product(range(4), repeat=3):
        logits = model(np.array([[1, 2, *path]]))[0].numpy()[0].astype(float)
        all_log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        scores[path] = sum(all_log_p[1 + i, token] for i, token in enumerate(path))
    assert model.generate([1, 2], 3, beam_width=64).tolist() == list(max(scores, key=scores.get))


@pytest.mark.parametrize("style", STYLES)
def test_a_beam_of_one_is_greedy(style):
    model = make(style)
    np.testing.assert_array_equal(model.generate([5], 40, beam_width=1), model.generate([5], 40, temperature=0))


def test_a_wider_beam_is_at_least_as_likely_here():
    """Greedy takes the bait: 0.6 then 0.5; the other way is 0.4 then 1."""
    tiny = 1e-9
    chain = Chain([[tiny, 0.6, 0.4, tiny], [0.5, tiny, tiny, 0.5], [tiny, tiny, tiny, 1.0], [0.25] * 4])
    assert list(generate(chain, [0], 2, temperature=0)) == [1, 0]
    assert list(generate(chain, [0], 2, beam_width=2)) == [2, 3]


def test_a_beam_search_without_a_cache_makes_none_and_finds_the_same(monkeypatch):
    model = make()
    found = model.generate([1, 2], 40, beam_width=3)  # beyond the context of 16
    monkeypatch.setattr(model, "new_cache", lambda: pytest.fail("a cache was made"))
    np.testing.assert_array_equal(model.generate([1, 2], 40, beam_width=3, use_cache=False), found)


def test_where_every_token_is_a_stop_a_beam_search_finds_nothing_to_say():
    assert beam_search(random_chain(0), [0], 4, width=2, stop_ids=frozenset(range(3))) == []


# ---- ends and refusals ----


def test_it_ends_before_the_first_stop_id():
    model = make()
    free = model.generate([1], 30, temperature=0).tolist()
    stop = free[10]
    ended = model.generate([1], 30, temperature=0, stop_ids=frozenset({stop})).tolist()
    assert ended == free[: free.index(stop)]
    assert model.generate([1], 0).tolist() == model.generate([1], 0, beam_width=2).tolist() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature=-1"),
        ({"top_k": 0}, "top_k=0"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"beam_width": 0}, "beam_width=0"),
        ({"beam_width": 2, "top_k": 3}, "leave out top_k"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make().generate([1], 3, **options)


def test_prompts_that_cannot_be_continued_are_refused():
    for prompt in ([], np.zeros((2, 3), int)):
        with pytest.raises(ShapeError, match="the prompt must be"):
            make().generate(prompt, 3)
    with pytest.raises(TokenError, match="token id 13"):
        make().generate([13], 3)
