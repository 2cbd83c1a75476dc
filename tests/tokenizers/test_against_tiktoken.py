"""Ids identical to tiktoken's and to the tokenizers library's, for the same vocabularies."""

import base64

import pytest

from minillm.errors import TokenError
from minillm.tokenizers import BPETokenizer
from minillm.tokenizers.patterns import PATTERNS
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


def test_a_vocabulary_of_our_own_in_tiktoken(small):
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {small.token_bytes(i): i for i in range(small.vocab_size - 1)}
    theirs = tiktoken.Encoding("ours", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={END: 319})
    compare(small, theirs, [ENGLISH, CHINESE, *random_texts(300, 4)])
    assert small.encode(f"a{END}b", "all") == theirs.encode(f"a{END}b", allowed_special="all")


def test_a_rank_file(tmp_path, small):
    file = tmp_path / "small.tiktoken"
    lines = [f"{base64.b64encode(small.token_bytes(i)).decode()} {i}" for i in range(small.vocab_size - 1)]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert BPETokenizer.from_ranks(file).encode(ENGLISH + CHINESE) == small.encode(ENGLISH + CHINESE)


def test_a_damaged_rank_file(tmp_path):
    file = tmp_path / "bad.tiktoken"
    file.write_text("YQ== 0\nnot base64 at all\n", encoding="utf-8")
    with pytest.raises(TokenError, match=r"bad\.tiktoken, line 2: expected a token in base64 and its rank"):
        BPETokenizer.from_ranks(file)


def test_huggingface_s_tokenizer_json(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END],
        show_progress=False,
    )
    theirs.train_from_iterator([ENGLISH, CHINESE], trainer)
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = BPETokenizer.from_huggingface(tmp_path / "tokenizer.json")
    for text in [ENGLISH, CHINESE, *random_texts(300, 5)]:
        assert ours.encode(text) == theirs.encode(text).ids
    assert ours.encode(END, "all") == [theirs.token_to_id(END)]


def test_another_kind_of_huggingface_model(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(
        '{"model": {"type": "WordPiece", "vocab": {}, "merges": []}, "pre_tokenizer": null}', encoding="utf-8"
    )
    with pytest.raises(TokenError, match="WordPiece model; only byte-level BPE"):
        BPETokenizer.from_huggingface(file)
