"""Masking: the shares against their binomial distributions, what is never touched, and words kept whole."""

import numpy as np
import pytest

from minillm.data.masking import Maskable, mask_tokens
from minillm.errors import ConfigError, TokenError
from minillm.tokenizers import BPETokenizer, CharTokenizer, WordPieceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = ["walk", "##ing", "##s", "dog", "!", "春", "眠", "un", "##believ", "##able"]
TEXT = "Unbelievable walking dogs! 春眠不觉晓 café naïve 2026.\n" * 20


def wordpiece():
    return WordPieceTokenizer([*SPECIALS, *PIECES])


def within(count, n, p):
    """Whether a count lies within five standard deviations of the binomial's mean: true but once in 1.7 million."""
    return abs(count - n * p) < 5 * (n * p * (1 - p)) ** 0.5


@pytest.fixture(scope="module")
def many():
    """A million ordinary ids, in rows with [CLS], [SEP] and padding, masked."""
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 15, size=(10_000, 104))
    ids[:, 0], ids[:, 101], ids[:, 102:] = 2, 3, 0
    vocabulary = Maskable.of(wordpiece())
    return ids, *mask_tokens(ids, np.random.default_rng(1), vocabulary)


def test_15_percent_are_chosen_of_which_80_10_10(many):
    ids, inputs, targets = many
    chosen = targets != -100
    n, n_chosen = 1_000_000, chosen.sum()
    assert within(n_chosen, n, 0.15)
    masked, changed = inputs == 4, (inputs != ids) & (inputs != 4)
    assert within(masked.sum(), n_chosen, 0.8)
    assert within(changed.sum(), n_chosen, 0.1 * 9 / 10)  # one random token of ten is the same again
    assert within((chosen & (inputs == ids)).sum(), n_chosen, 0.1 + 0.1 / 10)


def test_random_tokens_are_ordinary_and_equally_likely(many):
    ids, inputs, _ = many
    drawn = inputs[(inputs != ids) & (inputs != 4)]
    counts = np.bincount(drawn, minlength=15)
    assert counts[:5].sum() == 0
    assert all(within(count, len(drawn), 1 / 10) for count in counts[5:])


@pytest.mark.formula("3.2.2-mlm")
def test_targets_are_the_tokens_that_were_chosen_and_the_rest_is_untouched(many):
    ids, inputs, targets = many
    chosen = targets != -100
    np.testing.assert_array_equal(targets[chosen], ids[chosen])
    np.testing.assert_array_equal(inputs[~chosen], ids[~chosen])
    assert not chosen[:, [0, 101, 102, 103]].any()  # [CLS], [SEP], [PAD]
    assert inputs.dtype == targets.dtype == np.int64


def test_positions_are_chosen_independently(many):
    """Neighbours are both chosen with 0.15²."""
    chosen = many[2][:, 1:101] != -100
    pairs = chosen[:, 0::2] & chosen[:, 1::2]
    assert within(pairs.sum(), pairs.size, 0.15**2)


def test_the_same_generator_masks_the_same():
    ids, vocabulary = np.full((2, 50), 7), Maskable.of(wordpiece())
    first, second, other = (mask_tokens(ids, np.random.default_rng(seed), vocabulary)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_probability_1_chooses_every_ordinary_token():
    tokenizer = wordpiece()
    ids, _ = tokenizer.encode_pair("walking dogs!")
    _, targets = mask_tokens(np.array(ids), np.random.default_rng(0), Maskable.of(tokenizer), probability=1)
    np.testing.assert_array_equal(targets, [-100, *ids[1:-1], -100])


# ---- whole words ----


def words_of(tokenizer, ids, mask_token="[MASK]"):
    """The tokens between word starts, joined."""
    starts = Maskable.of(tokenizer, mask_token).word_starts(np.array(ids))
    groups = np.split(np.array(ids), np.flatnonzero(starts)[1:])
    return [b"".join(map(tokenizer.token_bytes, group.tolist())).decode() for group in groups]


def test_pieces_of_a_wordpiece_word_belong_together():
    tokenizer = wordpiece()
    ids, _ = tokenizer.encode_pair("unbelievable walking dogs! 春眠")
    words = ["[CLS]", "unbelievable", "walking", "dogs", "!", "春", "眠", "[SEP]"]
    assert words_of(tokenizer, ids) == words


@pytest.mark.parametrize("vocab_size", [258, 300, 400])
def test_tokens_of_a_byte_level_word_belong_together(vocab_size):
    """However the bytes are merged, even with no merge at all; Chinese characters are words."""
    tokenizer = BPETokenizer.train([TEXT], vocab_size, ["<|mask|>", "<|end|>"])
    ids = [*tokenizer.encode("Unbelievable walking dogs! 春眠"), tokenizer.special_tokens["<|end|>"]]
    words = words_of(tokenizer, ids, "<|mask|>")
    joined = [word for word in words if word != " "]
    assert [word.strip() for word in joined] == ["Unbelievable", "walking", "dogs", "!", "春", "眠", "<|end|>"]


def test_a_special_token_is_part_of_no_word():
    tokenizer = BPETokenizer.train([TEXT], 300, ["[MASK]", "end"])
    ids = [*tokenizer.encode("walk"), tokenizer.special_tokens["end"], *tokenizer.encode("walk")]
    assert words_of(tokenizer, ids) == ["walk", "end", "walk"]


def test_whole_words_are_chosen_whole_with_the_same_probability():
    tokenizer = wordpiece()
    vocabulary = Maskable.of(tokenizer)
    ids = np.tile(tokenizer.encode_pair("unbelievable walking dogs!")[0], (20_000, 1))
    _, targets = mask_tokens(ids, np.random.default_rng(3), vocabulary, whole_words=True)
    chosen = targets[:, 1:-1] != -100  # un ##believ ##able walk ##ing dog ##s !
    for word in ([0, 1, 2], [3, 4], [5, 6], [7]):
        some, every = chosen[:, word].any(1), chosen[:, word].all(1)
        np.testing.assert_array_equal(some, every)
        assert within(every.sum(), len(ids), 0.15)
    assert within((chosen[:, 0] & chosen[:, 3]).sum(), len(ids), 0.15**2)  # words are independent
    assert (targets[:, [0, -1]] == -100).all()


def test_each_token_of_a_chosen_word_has_a_fate_of_its_own():
    tokenizer = wordpiece()
    ids = np.tile(tokenizer.encode("unbelievable"), (20_000, 1))
    inputs, _ = mask_tokens(ids, np.random.default_rng(4), Maskable.of(tokenizer), probability=1, whole_words=True)
    masked = inputs == 4
    assert within(masked.all(1).sum(), len(ids), 0.8**3)


# ---- refusals ----


def test_ids_left_out_of_a_vocabulary_are_never_drawn():
    tokenizer = BPETokenizer({i: bytes([i]) for i in range(256)}, {}, "gpt2", {"[MASK]": 300})
    assert np.flatnonzero(Maskable.of(tokenizer).ordinary).tolist() == list(range(256))


def test_what_cannot_be_masked_is_refused():
    vocabulary, rng = Maskable.of(wordpiece()), np.random.default_rng(0)
    with pytest.raises(ConfigError, match=r"no special token '\[MASK\]', but \['<\|end\|>'\]"):
        Maskable.of(CharTokenizer.train([TEXT], ["<|end|>"]))
    for probability in (0, 1.5):
        with pytest.raises(ConfigError, match=f"probability={probability} must be above 0"):
            mask_tokens([5], rng, vocabulary, probability)
    for ids in ([15], [-1], [0.5]):
        with pytest.raises(TokenError, match="whole numbers from 0 to 14"):
            mask_tokens(ids, rng, vocabulary)
