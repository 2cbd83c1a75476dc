"""The C++ tokenizer gives what the Python one gives: chunks, counts, merges, ids; and long input costs no square."""

import pickle
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minillm as ml
from minillm.tokenizers import BPETokenizer
from minillm.tokenizers.bpe_training import count_chunks, learn_merges
from minillm.tokenizers.native import character_kinds, known_pattern
from minillm.tokenizers.patterns import GPT4, chunks
from tests.tokenizers.conftest import TEXT

_native = pytest.importorskip("minillm._native", reason="the native kernels aren't built")

# What the patterns tell apart, in one alphabet: letters of several scripts and cases, combining marks, digits of
# several kinds, white space of several kinds, line ends, signs, an emoji of several code points, contractions.
ALPHABET = (
    "aZſéß中文字ーกิ́²٣Ⅷ09 \t\u00a0\u3000\u2028\r\n\x1c'’.,!-_(\U0001f469\u200d\U0001f680\x00\ue000sStTdDmMlLvVeErR"
)
WORDS = [
    "'s",
    "'LL",
    "'ve",
    "'Re",
    "'ſ",
    " '",
    "  ",
    "\r\n",
    " \n ",
    "...",
    "!\n\n",
    " 123",
    "1234567",
    "\ta",
    "(b",
    "中1",
]
TEXTS = st.lists(
    st.one_of(st.sampled_from(ALPHABET), st.sampled_from(WORDS), st.characters(codec="utf-8")), max_size=40
)


def python(function, *arguments):
    with ml.use_backend("numpy"):
        return function(*arguments)


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
@given(TEXTS.map("".join))
def test_chunks_are_those_of_the_expression(pattern, text):
    assert _native.split(pattern, character_kinds(), text) == chunks(pattern, text)


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
def test_every_character_beside_every_kind(pattern):
    """Each code point once, between a letter, a sign, a digit, a space and a line end."""
    points = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]
    for start in range(0, len(points), 1 << 16):
        text = "".join(f"a{c}.{c}7{c} {c}\n{c}" for c in points[start : start + (1 << 16)])
        assert _native.split(pattern, character_kinds(), text) == chunks(pattern, text)


@given(st.dictionaries(st.text("abcd中", min_size=1, max_size=12).map(str.encode), st.integers(1, 5), max_size=12))
def test_merges_are_those_learnt_in_python(counts):
    assert learn_merges(Counter(counts), 30) == python(learn_merges, Counter(counts), 30)


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4", "|".join(GPT4), r"\w+|\W+"])
def test_a_vocabulary_learnt_from_text_is_the_same(pattern):
    ours, theirs = (BPETokenizer.train([TEXT, "", "aaaa" * 30], 400, pattern=pattern), None)
    theirs = python(lambda: BPETokenizer.train([TEXT, "", "aaaa" * 30], 400, pattern=pattern))
    assert ours.fingerprint() == theirs.fingerprint()


def test_blocks_counted_by_several_threads_add_up():
    text = TEXT * 2000  # several blocks
    before = _native.threads()
    _native.set_threads(3)
    try:
        assert count_chunks([text, TEXT], "gpt4") == python(count_chunks, [text, TEXT], "gpt4")
    finally:
        _native.set_threads(before)


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train([TEXT], 500)


@given(TEXTS.map("".join))
def test_ids_are_those_of_python(tokenizer, text):
    ids = tokenizer.encode(text)
    assert ids == python(tokenizer.encode, text)
    assert tokenizer.decode(ids) == text


@given(st.binary(max_size=200))
def test_any_bytes(tokenizer, data):
    assert tokenizer.encode_bytes(data) == python(tokenizer.encode_bytes, data)


def test_rules_of_equal_priority_and_whole_chunks():
    """As in tiktoken's vocabularies: "abc" from either side has one rank, and a chunk that is a token needs no rule."""
    ranks = {bytes([i]): i for i in range(256)} | {b"ab": 256, b"bc": 257, b"abc": 258, b"qxyz": 259}
    tokenizer = BPETokenizer.from_ranks(ranks)
    for text in ("abc", "abcabc", "qxyz", "qxyzq", "aabcc " * 20):
        assert tokenizer.encode(text) == python(tokenizer.encode, text)
    assert tokenizer.encode("qxyz") == [259]


def test_many_texts_at_once(tokenizer):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list(ALPHABET + TEXT[:50]), size=n)) for n in rng.integers(0, 300, size=100)]
    texts += ["\ud83d\ude80 \ud83d", ""]
    before = _native.threads()
    try:
        for n in (1, 3):
            _native.set_threads(n)
            assert tokenizer.encode_batch(texts) == [python(tokenizer.encode, text) for text in texts]
    finally:
        _native.set_threads(before)
    assert tokenizer.encode_batch([]) == []


def test_long_runs_of_one_character_cost_no_square(tokenizer):
    run = BPETokenizer.train(["a" * 5000, "ab" * 3000], 300)

    def seconds(n):
        start = time.perf_counter()
        run.encode("a" * n)
        return time.perf_counter() - start

    seconds(1000)
    assert run.encode("a" * 100_001) == python(run.encode, "a" * 100_001)
    assert min(seconds(400_000) for _ in range(3)) < 40 * min(seconds(40_000) for _ in range(3))


def test_a_tokenizer_that_was_used_can_be_copied(tokenizer):
    tokenizer.encode(TEXT)
    assert pickle.loads(pickle.dumps(tokenizer)).encode(TEXT) == tokenizer.encode(TEXT)


def test_patterns_by_name_or_by_expression_are_known():
    assert known_pattern("gpt4") == known_pattern("|".join(GPT4)) == "gpt4"
    assert known_pattern(r"\S+") is None
