"""Decoding of the encoder-decoder: the cache changes no token, rows don't disturb each other, beam search finds the
best there is."""

import itertools
import math

import numpy as np
import pytest

from minillm import seeding
from minillm.errors import ConfigError, ShapeError
from minillm.models import Seq2Seq, Seq2SeqConfig
from minillm.models.seq2seq_decoding import beam_search, greedy
from minillm.tensor import Tensor
from tests.models.seq2seq_data import END, PAD, START, STYLES, half_trained, make, sentences

LENGTHS = (9, 1, 6, 4)
SOURCE = sentences(LENGTHS)


def length_penalty(n, alpha):
    return (5 + n) ** alpha / (5 + 1) ** alpha


def log_p_of_next(model, source, ids):
    """ln P of each token after start and ids, of those a target may have: nobody says pad or start."""
    logits = model(source[None], np.array([[START, *ids]]))[0].numpy()[0, -1].astype(float)
    logits[[PAD, START]] = -np.inf
    return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()


# ---- the cache ----


@pytest.mark.parametrize("style", STYLES)
def test_every_split_of_the_target_gives_the_uncached_features(style):
    model, inputs = make(style, dtype="float64"), sentences((8, 8, 8, 8), seed=3)
    mask = model.mask_of(SOURCE)
    memory = model.encode(SOURCE)
    whole = model.decode(inputs, memory, SOURCE, mask).numpy()
    for size in (1, 3, 8):
        cache = model.new_cache(memory)
        parts = [model.decode(inputs[:, t : t + size], memory, SOURCE, mask, cache).numpy() for t in range(0, 8, size)]
        np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-10, atol=1e-10)
        assert cache[0].length == 8


def test_the_memorys_keys_and_values_are_computed_once():
    """What comes in as memory later isn't looked at: the first call's keys and values are used."""
    model, inputs = make(), sentences((3, 3, 3, 3), seed=3)
    mask, memory = model.mask_of(SOURCE), model.encode(SOURCE)
    cache = model.new_cache(memory)
    model.decode(inputs[:, :2], memory, SOURCE, mask, cache)
    expected = model.decode(inputs, memory, SOURCE, mask).numpy()[:, 2:]
    nothing = Tensor(np.full(memory.shape, np.nan, np.float32))
    np.testing.assert_allclose(
        model.decode(inputs[:, 2:], nothing, SOURCE, mask, cache).numpy(), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("beam_width", [None, 3])
def test_tokens_are_the_same_with_and_without_cache(beam_width):
    for model in (half_trained(), *map(make, STYLES)):
        cached = model.generate(SOURCE, 12, beam_width=beam_width)
        assert cached == model.generate(SOURCE, 12, beam_width=beam_width, use_cache=False)


@pytest.mark.parametrize("beam_width", [None, 3])
def test_rows_are_what_each_would_be_alone(beam_width):
    model, lengths = half_trained(), (9, 1, 6, 4, 3, 5, 5, 2)
    source = sentences(lengths)
    together = model.generate(source, 12, beam_width=beam_width)
    assert len({len(ids) for ids in together}) > 2  # they end at different times
    for row, length in enumerate(lengths):
        assert [together[row]] == model.generate(source[row : row + 1, :length], 12, beam_width=beam_width)


def test_generating_leaves_no_gradients_and_no_tape():
    model = make()
    model.generate(SOURCE, 5, beam_width=2)
    assert all(p.grad is None for p in model.parameters())


# ---- greedy ----


def test_greedy_takes_the_likeliest_token_of_the_whole_forward_until_the_end():
    model = half_trained()
    for source, written in zip(SOURCE, greedy(model, SOURCE, 12), strict=True):
        ids = []
        while len(ids) < 12 and (token := log_p_of_next(model, source, ids).argmax()) != END:
            ids.append(int(token))
        assert written == ids


# ---- beam search ----


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy(seed):
    sources = sentences(LENGTHS, seed=seed)
    for model in (half_trained(), make(seed=seed)):
        assert beam_search(model, sources, 1, 12) == greedy(model, sources, 12)


def all_targets(model, source, most):
    """(ids, ln P) of every target of up to `most` tokens with its end."""
    found, beginnings = [], [((), 0.0)]
    for _ in range(most):
        longer = []
        for ids, score in beginnings:
            log_p = log_p_of_next(model, source, ids)
            found.append((ids, score + log_p[END]))
            longer += [((*ids, token), score + log_p[token]) for token in range(3, len(log_p))]
        beginnings = longer
    return found


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("seed", range(6))
def test_a_beam_that_holds_everything_finds_what_exhaustive_search_finds(seed, alpha):
    sources = sentences((4, 2), vocab_size=5, seed=seed)
    for model in (half_trained(vocab_size=5), make(vocab_size=5, seed=seed, dtype="float64")):
        found = beam_search(model, sources, 100, 4, length_penalty=alpha)
        for source, ids in zip(sources, found, strict=True):
            targets = all_targets(model, source, 4)
            assert len(targets) == 1 + 2 + 4 + 8
            best, _ = max(targets, key=lambda target: target[1] / length_penalty(len(target[0]) + 1, alpha))
            assert ids == list(best)


class Chain:
    """A model whose next token depends on the last one and on its place, by the table of log-probabilities that the
    source names. (Without the place, two orders of the same steps would be equally likely.)"""

    def __init__(self, seed, tables=4, places=8):
        scores = np.random.default_rng(seed).normal(size=(tables, places, 6, 6)) * 1.5
        scores[..., [PAD, START]] = -np.inf  # so that nothing is left to be hidden
        self.tables = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        self.config = Seq2SeqConfig(vocab_size=6, context_length=places)
        self.steps = 0

    def mask_of(self, source, source_mask=None):
        return np.ones(source.shape, bool)

    def encode(self, source, source_mask=None):
        return Tensor(source)

    def decode(self, inputs, memory, source, source_mask, cache=None):
        self.steps += 1
        return Tensor(self.tables[memory.numpy(), np.arange(inputs.shape[1]), inputs])

    def logits(self, x, memory, source, source_mask):
        return Tensor(x.numpy().copy())


def plain_beam_search(table, width, most, alpha):
    """The rule written out for one sentence, with lists: what is found, and after how many tokens the search ended."""
    beams, finished = [([START], 0.0)], []
    for n in range(1, most + 1):
        ways = [
            ([*ids, token], score + table[n - 1, ids[-1], token]) for ids, score in beams for token in range(END, 6)
        ]
        ways = sorted(ways, key=lambda way: -way[1])[:width]
        finished += [(ids[1:-1], score / length_penalty(n, alpha)) for ids, score in ways if ids[-1] == END]
        beams = [way for way in ways if way[0][-1] != END]
        best = max((score for _, score in finished), default=-math.inf)
        longest = n if len(finished) >= width else most
        if not any(score / length_penalty(longest, alpha) > best for _, score in beams):
            break
    return max(finished or [(ids[1:], score) for ids, score in beams], key=lambda way: way[1])[0], n


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_a_batch_is_searched_as_each_sentence_by_the_plain_rule(width, alpha):
    """And no longer than the rule says. Within 2 tokens, some end and some don't."""
    steps = set()
    for seed, most in itertools.product(range(50), (2, 8)):
        chain = Chain(seed)
        found = beam_search(chain, np.arange(4)[:, None], width, most, length_penalty=alpha, use_cache=False)
        plain = [plain_beam_search(table, width, most, alpha) for table in chain.tables]
        assert found == [ids for ids, _ in plain]
        assert chain.steps == max(n for _, n in plain)
        steps |= {n for _, n in plain}
    assert len(steps) > 4


def test_bad_ends_do_not_end_the_search_for_a_good_one():
    """A model that is sure of 3, 3, 3, end, though each time the end is the next best."""
    chain = Chain(0, tables=1)
    p = np.full((8, 6, 6), 1e-9)
    p[:, :, END], p[:3, :, 3], p[3:, :, END] = 1e-4, 1, 1
    chain.tables[0] = np.where(np.isin(np.arange(6), [PAD, START]), -np.inf, np.log(p / p.sum(-1, keepdims=True)))
    for width in (1, 2, 3, 5):
        assert beam_search(chain, np.zeros((1, 1), int), width, 8, use_cache=False) == [[3, 3, 3]]


def test_a_larger_length_penalty_never_gives_a_shorter_target():
    """With everything in the beam: if lp grows faster with n, the best target can only get longer."""
    longer = 0
    for seed in range(6):
        source = sentences((5,), vocab_size=5, seed=seed)
        found = [beam_search(half_trained(5), source, 100, 4, length_penalty=alpha)[0] for alpha in (0, 1, 4, 9)]
        lengths = [len(ids) for ids in found]
        assert lengths == sorted(lengths)
        longer += lengths[-1] > lengths[0]
    assert longer


def test_a_target_that_ended_is_taken_before_one_that_did_not():
    """However well the unfinished one scores: it isn't a whole target."""
    model = half_trained()
    found = beam_search(model, SOURCE, 5, 12, length_penalty=9.0)
    assert all(len(ids) < 12 for ids in found)
    assert [len(ids) for ids in greedy(model, SOURCE[:1], 2)] == [2]  # where none ends: as far as it came


# ---- ends and refusals ----


def test_no_tokens_asked_for_gives_none():
    assert make().generate(SOURCE, 0) == make().generate(SOURCE, 0, beam_width=2) == [[], [], [], []]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_width": 0}, "beam_width=0"),
        ({"beam_width": 2, "length_penalty": -0.5}, "length_penalty=-0.5"),
        ({"length_penalty": 2.0}, r"length_penalty=2\.0 is beam search's: .* beam_width"),
        ({"max_new_tokens": 13}, "max_new_tokens=13 must be from 0 to the context_length of 12"),
        ({"max_new_tokens": -1}, "max_new_tokens=-1"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make().generate(SOURCE, **{"max_new_tokens": 5, **options})


def test_sources_that_cannot_be_read_are_refused():
    with pytest.raises(ShapeError, match="a source of 13 tokens"):
        make().generate(np.full((1, 13), 3), 5)
    with pytest.raises(ShapeError, match=r"source must be \(batch, time\)"):
        make().generate([3, 4], 5)


@pytest.mark.parametrize("beam_width", [None, 1, 3])
def test_a_row_s_limit_is_its_own_whatever_stands_beside_it(beam_width):
    seeding.seed(0)
    model = Seq2Seq(Seq2SeqConfig(vocab_size=12, context_length=20, d_model=16, n_head=2, dropout=0.0)).eval()
    source = np.random.default_rng(0).integers(3, 12, size=(6, 5))
    limits = [0, 1, 2, 5, 9, 20]
    together = model.generate(source, limits, beam_width=beam_width)
    alone = [model.generate(source[i : i + 1], most, beam_width=beam_width)[0] for i, most in enumerate(limits)]
    assert together == alone
    assert [len(ids) <= most for ids, most in zip(together, limits, strict=True)] == [True] * 6


@pytest.mark.parametrize("limits", [[1, 2], [1, -1, 1], 21])
def test_limits_that_do_not_fit_are_refused(limits):
    model = Seq2Seq(Seq2SeqConfig(vocab_size=12, context_length=20, d_model=16, n_head=2))
    with pytest.raises(ConfigError, match="one number or one for each of the 3 sources"):
        model.generate(np.full((3, 4), 5), limits)
