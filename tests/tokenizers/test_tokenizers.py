"""What all tokenizers share: special tokens, ids, errors; and the character and word tokenizers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.errors import ConfigError, TokenError
from minillm.tokenizers import BPETokenizer, CharTokenizer, WordTokenizer
from tests.tokenizers.conftest import CHINESE, END, TEXT


def test_known_text_comes_back(tokenizer):
    ids = tokenizer.encode(TEXT)
    assert tokenizer.decode(ids) == TEXT
    assert all(0 <= i < tokenizer.vocab_size for i in ids)
    assert b"".join(map(tokenizer.token_bytes, ids)) == TEXT.encode()


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


def test_chinese_characters_beyond_the_first_plane_are_words_too():
    tokenizer = WordTokenizer.train(["𠀀𠀁人々〇"])
    assert sorted(tokenizer.words[1:]) == sorted("𠀀𠀁人々〇")


def test_unknown_characters_become_unk_when_wanted():
    tokenizer = CharTokenizer.train(["the cat"], [END], unk=True)
    ids = tokenizer.encode("the 猫 cat")
    assert tokenizer.special_tokens == {"<unk>": 6, END: 7}
    assert ids[4] == 6
    assert tokenizer.decode(ids) == "the <unk> cat"


def test_lone_surrogates_and_nul_in_any_tokenizer():
    for cls in (CharTokenizer, WordTokenizer):
        tokenizer = cls.train(["a\ud800b\0 \ud83d\ude00"])
        assert tokenizer.decode(tokenizer.encode("a\udfffb\0 😀")) == "a\ufffdb\0 😀"
    bpe = BPETokenizer.train(["a\ud800b\0" * 9], 260)
    assert bpe.decode(bpe.encode("\ud800\0a\udfff")) == "\ufffd\0a\ufffd"


def test_ids_may_be_numpy_s_but_not_fractions(tokenizer):
    ids = tokenizer.encode("The cat")
    assert tokenizer.decode(np.array(ids, dtype=np.uint16)) == "The cat"
    for wrong in (1.0, "1", None, np.float32(1), np.array([1])[None]):
        with pytest.raises(TokenError, match="a token id is a whole number, not"):
            tokenizer.decode([wrong])


def test_an_id_no_integer_type_holds(tokenizer):
    with pytest.raises(TokenError, match="outside the vocabulary"):
        tokenizer.decode([10**30])


def test_what_is_no_text_is_refused(tokenizer):
    for wrong in (b"the", None, ["the"]):
        with pytest.raises(TokenError, match="encode takes text"):
            tokenizer.encode(wrong)
    with pytest.raises(TokenError, match='"all" or a set of names'):
        tokenizer.encode("the", END)


def train(cls, texts, specials):
    return (
        cls.train(texts, vocab_size=300, special_tokens=specials)
        if cls is BPETokenizer
        else cls.train(texts, special_tokens=specials)
    )


@pytest.mark.parametrize("cls", [CharTokenizer, WordTokenizer, BPETokenizer])
def test_training_texts_and_special_tokens_are_checked(cls):
    with pytest.raises(TokenError, match=r"put a single text in brackets"):
        train(cls, TEXT, [])
    with pytest.raises(TokenError, match="train takes texts .*, not bytes"):
        train(cls, [TEXT.encode()], [])
    with pytest.raises(ConfigError, match="given twice"):
        train(cls, [TEXT], ["<a>", "<a>"])
    with pytest.raises(ConfigError, match=r"write \['<a>'\]"):
        train(cls, [TEXT], "<a>")
    for wrong in ("", "\ud800", 5):
        with pytest.raises(ConfigError, match="name must be text"):
            train(cls, [TEXT], [wrong])
    assert train(cls, [TEXT], iter(["<a>"])).special_tokens["<a>"] == train(cls, [TEXT], ["<a>"]).vocab_size - 1


def test_the_longest_special_token_is_read():
    tokenizer = BPETokenizer.train([TEXT], 300, ["<a", "<a>", "<a>b"])
    assert tokenizer.decode(tokenizer.encode("<a>bc", "all")) == "<a>bc"
    assert tokenizer.encode("<a>bc", "all") == [tokenizer.special_tokens["<a>b"], ord("c")]
    assert tokenizer.encode("<a>bc", {"<a"})[0] == tokenizer.special_tokens["<a"]
