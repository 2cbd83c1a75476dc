"""Ids identical to tiktoken's, for the same vocabulary."""

import base64
import random
import sys
import unicodedata

import pytest

from minillm.tokenizers import BPETokenizer
from tests.data_files import real_file
from tests.tokenizers.conftest import CHINESE, END, ENGLISH, random_texts


@pytest.mark.parametrize("file", ["tinyshakespeare.txt", "tang300.txt"])
def test_gpt2_on_real_text(gpt2, reference, file):
    text = real_file(file).read_text(encoding="utf-8")
    ids = gpt2.encode(text)
    assert ids == reference["gpt2"].encode(text)
    assert gpt2.decode(ids) == text


def compare(tokenizer, encoding, texts):
    different = [text for text in texts if tokenizer.encode(text) != encoding.encode(text)]
    assert not different, f"{len(different)} texts differ, first {different[0]!r}"


def test_gpt2_on_random_unicode(gpt2, reference):
    compare(gpt2, reference["gpt2"], random_texts(2_000))


def test_gpt4_s_pattern(gpt2_ranks, reference):
    ours = BPETokenizer.from_ranks(gpt2_ranks, pattern="gpt4")
    compare(
        ours, reference["gpt4"], [ENGLISH, CHINESE, "I'LL  go\r\n\r\n  now 12345 £5!!\n\n \n", *random_texts(1_000, 1)]
    )


@pytest.mark.slow
def test_20_000_random_strings(gpt2, gpt2_ranks, reference):
    compare(gpt2, reference["gpt2"], random_texts(20_000, 2))
    compare(BPETokenizer.from_ranks(gpt2_ranks, pattern="gpt4"), reference["gpt4"], random_texts(20_000, 3))


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
def test_a_vocabulary_of_our_own_in_tiktoken(tiktoken_patterns, pattern):
    tiktoken = pytest.importorskip("tiktoken")
    ours = BPETokenizer.train([ENGLISH, CHINESE], 320, pattern=pattern)
    theirs = tiktoken.Encoding(
        "ours", pat_str=tiktoken_patterns[pattern], mergeable_ranks=ranks_of(ours), special_tokens={END: 319}
    )
    compare(ours, theirs, [ENGLISH, CHINESE, "I'LL  go\r\n\r\n  now 12345 £5!!\n\n \n", *random_texts(300, 4)])
    assert ours.encode(f"a{END}b", "all") == theirs.encode(f"a{END}b", allowed_special="all")
    assert ours.encode(f"a{END}b") == theirs.encode(f"a{END}b", disallowed_special=())


def ranks_of(tokenizer):
    return {tokenizer.token_bytes(i): i for i in range(tokenizer.vocab_size - len(tokenizer.special_tokens))}


def test_ranks_that_no_training_would_give(tiktoken_patterns):
    """Tokens of random bytes: to some no merges lead, yet a whole chunk becomes one; some merge to a smaller rank."""
    tiktoken = pytest.importorskip("tiktoken")
    rng = random.Random(0)
    for _ in range(60):
        ranks = {bytes([i]): i for i in range(256)}
        while len(ranks) < 290:
            ranks.setdefault(bytes(rng.choices(b"abc", k=rng.randrange(2, 5))), len(ranks))
        theirs = tiktoken.Encoding(
            "random", pat_str=tiktoken_patterns["gpt2"], mergeable_ranks=ranks, special_tokens={}
        )
        texts = ["".join(rng.choices("abc ", k=rng.randrange(200))) for _ in range(30)]
        shuffled = dict(rng.sample(sorted(ranks.items()), len(ranks)))  # the order of a mapping means nothing
        compare(BPETokenizer.from_ranks(shuffled), theirs, texts)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
def test_every_character_is_split_as_in_tiktoken(gpt2_ranks, reference, pattern):
    """Each character this Python knows, between letters, digits, spaces and line ends."""
    ours = BPETokenizer.from_ranks(gpt2_ranks, pattern=pattern)
    known = [chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    texts = [f"a{c}1 {c}b {c} {c}{c}\n{c}'s{c}" for c in known]
    compare(ours, reference[pattern], texts)


@pytest.mark.slow
def test_ten_megabytes_of_english(gpt2, reference):
    text = real_file("tinyshakespeare.txt").read_text(encoding="utf-8") * 9
    assert gpt2.encode(text) == reference["gpt2"].encode(text)


def test_a_rank_file(tmp_path, small):
    file = tmp_path / "small.tiktoken"
    lines = [f"{base64.b64encode(small.token_bytes(i)).decode()} {i}" for i in range(small.vocab_size - 1)]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert BPETokenizer.from_ranks(file).encode(ENGLISH + CHINESE) == small.encode(ENGLISH + CHINESE)
