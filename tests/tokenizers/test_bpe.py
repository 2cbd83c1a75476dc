"""Byte-level BPE: what it learns, and that both ways of merging agree."""

import os
import random
import subprocess
import sys
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.errors import ConfigError, TokenError
from minillm.tokenizers import BPETokenizer
from minillm.tokenizers.bpe_training import learn_merges
from minillm.tokenizers.merging import merge_linear, merge_readable
from minillm.tokenizers.patterns import chunks
from tests.tokenizers.conftest import CHINESE, END, ENGLISH, random_texts


def test_the_merges_of_the_paper_s_example():
    """Sennrich et al. 2016, section 3.2: low lower newest widest learn "es", "est" first, whatever breaks the ties."""
    counts = Counter({b"low": 5, b"lower": 2, b"newest": 6, b"widest": 3})
    merges = learn_merges(counts, 2)
    assert merges == [(ord("e"), ord("s")), (256, ord("t"))]


def learn_by_counting_anew(counts, n):
    """The textbook algorithm: count all pairs again for every merge."""
    words = {tuple(chunk): count for chunk, count in counts.items()}
    merges = []
    for new in range(256, 256 + n):
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:], strict=False):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged = Counter()
        for word, count in words.items():
            out, i = [], 0
            while i < len(word):
                both = word[i : i + 2] == best
                out.append(new if both else word[i])
                i += 2 if both else 1
            merged[tuple(out)] += count
        words = merged
    return merges


@given(st.dictionaries(st.text("abc", min_size=1, max_size=8).map(str.encode), st.integers(1, 5), max_size=8))
def test_incremental_counts_equal_counting_anew(counts):
    assert learn_merges(Counter(counts), 20) == learn_by_counting_anew(counts, 20)


def test_training_equals_the_tokenizers_library():
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    theirs.train_from_iterator([ENGLISH], trainer)
    ours = BPETokenizer.train([ENGLISH], 300, special_tokens=())
    # Ties are broken by ids, and they number the bytes in another order: compare how well both compress.
    assert len(ours.encode(ENGLISH)) == len(theirs.encode(ENGLISH).ids)


@given(st.lists(st.integers(0, 2), max_size=60), st.randoms())
def test_both_ways_of_merging_agree(ids, random):
    """For any rules, even such as go back to smaller priorities or make a token in several ways."""
    merges = {}
    for known in range(6, 30):
        pair = (random.randrange(known // 2), random.randrange(known // 2))
        merges.setdefault(pair, (random.randrange(8), random.randrange(known // 2 + 1)))
    assert merge_linear(ids, merges) == merge_readable(ids, merges)


def test_size_and_layout(small):
    assert small.vocab_size == 320
    assert [small.token_bytes(i) for i in (0, 65, 255)] == [b"\x00", b"A", b"\xff"]
    assert small.special_tokens == {END: 319}


def test_a_text_too_small_for_the_vocabulary_gives_a_smaller_one():
    assert BPETokenizer.train(["aaaa"], 1000).vocab_size == 256 + 2 + 1  # aa, aaaa, the special token


def test_a_vocabulary_below_the_bytes_is_refused():
    with pytest.raises(ConfigError, match=r"vocab_size=100 .* at least 257"):
        BPETokenizer.train([ENGLISH], 100)


@given(st.text())
def test_any_text_comes_back(text):
    tokenizer = _small()
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.binary())
def test_any_bytes_come_back(data):
    tokenizer = _small()
    assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data


@pytest.mark.slow
def test_100_000_texts_and_byte_strings_come_back():
    tokenizer, rng = _small(), random.Random(1)
    for text in random_texts(100_000, seed=1):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        data = rng.randbytes(rng.randrange(30))
        assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data


@given(st.text(), st.sampled_from(["gpt2", "gpt4"]))
def test_chunks_join_to_the_text(text, pattern):
    assert "".join(chunks(pattern, text)) == text


def test_chinese_is_compressed(small):
    assert len(small.encode(CHINESE)) < len(CHINESE.encode()) / 2


def test_lone_surrogates_become_the_replacement_character(small):
    assert small.decode(small.encode("a\ud800b")) == "a\ufffdb"
    assert small.decode(small.encode("\ud83d\ude00")) == "😀"


def test_bytes_that_are_no_character_decode_to_the_replacement_character(small):
    assert small.decode([0xE6, 0x98]) == "\ufffd"
    with pytest.raises(UnicodeDecodeError):
        small.decode([0xE6, 0x98], errors="strict")


def test_merge_steps_end_in_the_encoding(small):
    steps = small.merge_steps("other")
    assert steps[0] == [b"o", b"t", b"h", b"e", b"r"]
    assert all(len(b) == len(a) - 1 for a, b in zip(steps, steps[1:], strict=False))
    assert steps[-1] == [small.token_bytes(i) for i in small.encode("other")]


def test_an_id_outside_the_vocabulary(small):
    with pytest.raises(TokenError, match=r"token id 320 .* vocabulary of 320"):
        small.decode([320])


def test_training_does_not_depend_on_the_hash_seed():
    script = (
        "from minillm.tokenizers import BPETokenizer; from tests.tokenizers.conftest import ENGLISH, CHINESE;"
        "print(BPETokenizer.train([ENGLISH, CHINESE], 340).fingerprint())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "12345")
    ]
    assert len(set(runs)) == 1


def letters(n):
    return "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz", k=n))


LONG = {"one letter": "a" * 10**6, "spaces": " " * 10**6, "Chinese": "中" * 333_333, "signs": "!" * 10**6}
LONG["letters"] = letters(10**6)


def long_text(name, n_bytes):
    return LONG[name].encode()[:n_bytes].decode(errors="ignore")


def seconds(function, *arguments):
    """The least processor time of three runs."""
    times = []
    for _ in range(3):
        start = time.process_time()
        function(*arguments)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("name", LONG)
def test_one_long_chunk_takes_time_linear_in_its_length(gpt2, name):
    once = seconds(gpt2.encode, long_text(name, 50_000))
    twice = seconds(gpt2.encode, long_text(name, 100_000))
    assert twice < 2.5 * once + 0.03  # a quadratic method takes 4 times as long


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_a_megabyte_without_a_border_encodes_in_two_seconds(gpt2, name):
    once, twice = (seconds(gpt2.encode, long_text(name, n)) for n in (500_000, 1_000_000))
    assert twice < 2
    assert twice < 2.5 * once


def test_merges_that_go_back_to_a_smaller_rank_take_linear_time():
    """ "ab" has rank 300, "abc" 299: each merge makes a pair that goes before all others still waiting."""
    ranks = {bytes([i]): i for i in range(256)} | {b"ab": 300, b"abc": 299}
    tokenizer = BPETokenizer.from_ranks(ranks)
    assert tokenizer.encode("abcabcab") == [299, 299, 300]
    once, twice = (seconds(tokenizer.encode, "abc" * n) for n in (10_000, 20_000))
    assert twice < 2.5 * once + 0.03


def test_learning_from_one_long_chunk_takes_time_linear_in_its_length():
    once, twice = (seconds(learn_merges, Counter({letters(n).encode(): 1}), 100) for n in (20_000, 40_000))
    assert twice < 2.5 * once + 0.03
    assert once < 1


def _small(made=[]):  # noqa: B006 - made once: hypothesis tests can't take function-scoped fixtures
    if not made:
        made.append(BPETokenizer.train([ENGLISH, CHINESE], 320))
    return made[0]
