"""A tokenizer's copy with more special tokens: old ids stay, and the new names come out of no text."""

import pytest

from minillm.errors import ConfigError, TokenError
from minillm.tokenizers import CharTokenizer, WordPieceTokenizer, load_tokenizer
from tests.tokenizers.conftest import END, TEXT

CHAT = ["<|user|>", END, "<|end|>"]


def test_every_old_id_stays_and_the_new_ones_follow(tokenizer):
    copy = tokenizer.with_special_tokens(CHAT)
    assert copy.encode(TEXT) == tokenizer.encode(TEXT)
    assert [copy.token_bytes(i) for i in range(tokenizer.vocab_size)] == [
        tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)
    ]
    old = tokenizer.special_tokens
    assert copy.special_tokens == {
        **old,
        "<|user|>": tokenizer.vocab_size,
        "<|end|>": tokenizer.vocab_size + 1,
    }  # <|endoftext|>, which it had, isn't given twice
    assert copy.vocab_size == tokenizer.vocab_size + 2


def test_the_new_names_are_tokens_only_where_allowed(tokenizer):
    copy = tokenizer.with_special_tokens(CHAT)
    new = copy.special_tokens["<|user|>"]
    if copy.kind != "char":  # whose vocabulary can't write "<"
        assert new not in copy.encode("<|user|>the")
    assert copy.encode("<|user|>the", {"<|user|>"}) == [new, *tokenizer.encode("the")]
    assert copy.decode([new]) == "<|user|>"


def test_the_copy_is_saved_and_loaded(tokenizer, tmp_path):
    copy = tokenizer.with_special_tokens(CHAT)
    copy.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert loaded.fingerprint() == copy.fingerprint() != tokenizer.fingerprint()
    assert loaded.special_tokens == copy.special_tokens


def test_the_original_is_as_it_was():
    tokenizer = CharTokenizer("ab")
    assert tokenizer.with_special_tokens(["<|user|>"]).vocab_size == 3
    assert (tokenizer.vocab_size, tokenizer.special_tokens) == (2, {})


def test_what_is_refused(tokenizer):
    with pytest.raises(ConfigError, match="given twice"):
        tokenizer.with_special_tokens(["<a>", "<a>"])
    with pytest.raises(ConfigError, match="name must be text"):
        tokenizer.with_special_tokens([""])
    bert = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the"])
    with pytest.raises(TokenError, match="a wordpiece vocabulary takes no more special tokens"):
        bert.with_special_tokens(["<|user|>"])
    assert bert.with_special_tokens(["[MASK]"]).special_tokens == bert.special_tokens
