"""What all tokenizers share: files, special tokens, errors; and the character and word tokenizers."""

import contextlib
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.errors import ConfigError, TokenError
from minillm.tokenizers import BPETokenizer, CharTokenizer, WordTokenizer, load_tokenizer
from tests.tokenizers.conftest import CHINESE, END, ENGLISH

TEXT = ENGLISH + CHINESE


def all_kinds():
    return [
        CharTokenizer.train([TEXT], [END]),
        WordTokenizer.train([TEXT], special_tokens=[END]),
        BPETokenizer.train([TEXT], 300),
    ]


@pytest.fixture(params=all_kinds(), ids=lambda tokenizer: tokenizer.kind)
def tokenizer(request):
    return request.param


def test_known_text_comes_back(tokenizer):
    ids = tokenizer.encode(TEXT)
    assert tokenizer.decode(ids) == TEXT
    assert all(0 <= i < tokenizer.vocab_size for i in ids)
    assert b"".join(map(tokenizer.token_bytes, ids)) == TEXT.encode()


def test_saved_and_loaded(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "t.json")
    loaded = load_tokenizer(tmp_path / "t.json")
    assert type(loaded) is type(tokenizer)
    assert loaded.fingerprint() == tokenizer.fingerprint()
    assert loaded.encode(TEXT + END, "all") == tokenizer.encode(TEXT + END, "all")
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


def test_loading_as_another_kind_is_refused(tmp_path):
    CharTokenizer("ab").save(tmp_path / "t.json")
    with pytest.raises(TokenError, match="'char' tokenizer, not one for BPETokenizer"):
        BPETokenizer.load(tmp_path / "t.json")


def test_special_tokens_in_text_are_text_unless_allowed():
    for tokenizer in (BPETokenizer.train([TEXT], 300), CharTokenizer.train([TEXT + END], [END])):
        special = tokenizer.special_tokens[END]
        assert special not in tokenizer.encode(f"the{END}cat")
        assert tokenizer.decode(tokenizer.encode(f"the{END}cat")) == f"the{END}cat"
        allowed = tokenizer.encode(f"the{END}cat", {END})
        assert allowed == tokenizer.encode("the") + [special] + tokenizer.encode("cat")


def test_allowing_a_special_token_that_does_not_exist(tokenizer):
    with pytest.raises(TokenError, match=r"'<\|chat\|>' is no special token"):
        tokenizer.encode("a", {"<|chat|>"})


def test_ids_outside_the_vocabulary(tokenizer):
    for wrong in (-1, tokenizer.vocab_size):
        with pytest.raises(TokenError, match=f"token id {wrong} is outside the vocabulary of {tokenizer.vocab_size}"):
            tokenizer.decode([wrong])


def test_a_character_not_in_the_vocabulary():
    with pytest.raises(TokenError, match=r"character '猫' \(U\+732B\) at position 4 isn't among the 4 characters"):
        CharTokenizer("the ").encode("the 猫")


def test_no_text_to_learn_from():
    with pytest.raises(TokenError, match="no text"):
        CharTokenizer.train([""])
    with pytest.raises(TokenError, match="no word occurs 2 times"):
        WordTokenizer.train(["one two three"], min_count=2)
    with pytest.raises(ConfigError, match="min_count=0"):
        WordTokenizer.train([TEXT], min_count=0)


def test_words_are_kept_by_count_and_the_rest_is_unknown():
    tokenizer = WordTokenizer.train(["a b a c a b"], min_count=2)
    assert tokenizer.words == ["<unk>", " a", " b"]  # "a" at the start of a text has no space and occurs once
    assert tokenizer.decode(tokenizer.encode(" a c b")) == " a<unk> b"
    assert WordTokenizer.train(["a b a c a b"], max_size=1).words == ["<unk>", " a"]


def test_unk_in_text_is_not_the_unknown_token_s_name():
    tokenizer = WordTokenizer.train(["<unk> a"])
    assert "<unk>" not in tokenizer.words[1:]
    assert tokenizer.decode(tokenizer.encode("<unk> a")) == "<unk> a"


def test_chinese_words_are_characters():
    tokenizer = WordTokenizer.train([CHINESE])
    assert [tokenizer.token_bytes(i).decode() for i in tokenizer.encode("春眠，")] == ["春", "眠", "，"]


@given(st.text(max_size=60))
def test_word_pieces_cover_the_text(text):
    from minillm.tokenizers.word import PIECES

    assert "".join(PIECES.findall(text)) == text


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"format": "minillm-tokenizer"}',
     '{"format": "minillm-tokenizer", "version": 1, "kind": "x"}',
     '{"format": "minillm-tokenizer", "version": 1, "kind": "bpe"}', "[" * 100_000, "\x00\xff"],
)  # fmt: skip
def test_files_that_are_no_tokenizer(tmp_path, content):
    file = tmp_path / "t.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(TokenError, match="t.json"):
        load_tokenizer(file)


def test_damaged_files_load_or_say_so(tokenizer, tmp_path):
    """Values replaced at random: either still a valid tokenizer, or a TokenError; never another exception."""
    rng = random.Random(0)
    original = json.loads(tokenizer._json())
    for _ in range(200):
        state = json.loads(json.dumps(original))
        key = rng.choice(list(state))
        junk = rng.choice([None, -1, 1e9, "", "x", [], {}, [[1]], {"a": 1}, [1, 2, 3], [[0, 0, 0, 0]], {"1": "zz"}])
        state[key] = junk
        (tmp_path / "t.json").write_text(json.dumps(state), encoding="utf-8")
        with contextlib.suppress(TokenError):
            load_tokenizer(tmp_path / "t.json").decode(range(3))


def test_a_truncated_file(tokenizer, tmp_path):
    text = tokenizer._json()
    (tmp_path / "t.json").write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(TokenError, match=r"t\.json isn't a tokenizer file"):
        load_tokenizer(tmp_path / "t.json")
