"""SentencePiece's BPE against the `tokenizers` library and against its definition; both directions of text."""

import json
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.errors import ConfigError, TokenError
from minillm.tokenizers import BPETokenizer, SentencePieceTokenizer, load_tokenizer
from tests.data_files import real_file
from tests.tokenizers.conftest import CHINESE, ENGLISH, random_texts

SPECIALS = {"<unk>": 0, "<s>": 1, "</s>": 2}
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def vocabulary(words, scores=None):
    """Pieces and scores: special tokens, bytes, the words, then their characters (and the space) that aren't words."""
    characters = sorted(set("".join(words) + " ") - set(words))
    pieces = [*SPECIALS, *BYTES, *words, *characters]
    scores = scores or [-float(i) for i in range(len(words))]
    return pieces, [0.0] * 259 + scores + [-1e3 - i for i in range(len(characters))]


def small(words=(" t", "he", " the", " c", "at", " cat", "春", "眠", "春眠"), scores=None):
    return SentencePieceTokenizer(*vocabulary(list(words), scores), SPECIALS)


def defined(tokenizer, text):
    """The definition, read literally: the leftmost of the best-scored neighbours, again and again."""
    ordinary = {p: tokenizer.scores[i] for i, p in enumerate(tokenizer.pieces) if i >= 259}
    parts: list[str] = []
    for character in " " + text:
        parts += [character] if character in ordinary else [f"<0x{byte:02X}>" for byte in character.encode()]
    while True:
        joined = [a + b for a, b in zip(parts, parts[1:], strict=False)]
        pairs = [(ordinary[both], -i) for i, both in enumerate(joined) if both in ordinary]
        if not pairs:
            return [tokenizer.pieces.index(part) for part in parts]
        i = -max(pairs)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@pytest.fixture(scope="module")
def stories():
    return SentencePieceTokenizer.from_llama2c(real_file("stories260K/tok512.bin"))


# ---- the rule ----


def test_words_get_their_space_in_front_and_are_merged_by_score():
    def cut(tokenizer, text):
        return [tokenizer.token_bytes(i) for i in tokenizer.encode(text)]

    assert cut(small(), "the cat") == [b" the", b" cat"]
    assert cut(small(), "theé") == [b" the", b"\xc3", b"\xa9"]
    assert cut(small(["ab", "bc"], [1.0, 0.0]), "abc") == [b" ", b"ab", b"c"]
    assert cut(small(["ab", "bc"], [0.0, 1.0]), "abc") == [b" ", b"a", b"bc"]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6))
def test_ids_are_those_of_the_definition_whatever_the_scores(seed):
    """Random pieces of few characters and scores of which many are equal, so that ties and overlaps happen."""
    rng = random.Random(seed)
    words = list({"".join(rng.choices("ab 春", k=rng.randrange(1, 6))) for _ in range(25)})
    tokenizer = small(words, [float(rng.randrange(6)) for _ in words])
    text = "".join(rng.choices("ab 春é", k=rng.randrange(1, 60)))
    assert tokenizer.encode(text) == defined(tokenizer, text)


def test_real_pieces_by_the_definition(stories):
    for text in [ENGLISH, CHINESE[:30], "<0x41><s></s>", "  two  spaces ", "\n\t"]:
        assert stories.encode(text) == defined(stories, text)


def test_ids_are_those_of_the_tokenizers_library(stories):
    """Its BPE with byte fallback, told the merges that the scores stand for, "▁" for spaces as in Llama's own file."""
    library = pytest.importorskip("tokenizers", reason="the tokenizers library is the oracle here")
    written = [piece.replace(" ", "▁") for piece in stories.pieces]
    known, best_first = set(written[259:]), sorted(range(259, 512), key=lambda i: -stories.scores[i])
    cuts = [(p[:cut], p[cut:]) for p in (written[i] for i in best_first) for cut in range(1, len(p))]
    theirs = library.Tokenizer(
        library.models.BPE(
            {piece: i for i, piece in enumerate(written)},
            [pair for pair in cuts if known.issuperset(pair)],
            byte_fallback=True,
            fuse_unk=True,
            unk_token="<unk>",
        )  # fmt: skip
    )
    prepend, replace = library.normalizers.Prepend("▁"), library.normalizers.Replace(" ", "▁")
    theirs.normalizer = library.normalizers.Sequence([prepend, replace])
    texts = [ENGLISH, CHINESE, "Lily said, “It’s café time!”\n", *filter(None, random_texts(300))]
    for text in texts:
        if "▁" not in text:
            assert stories.encode(text) == theirs.encode(text).ids, text


# ---- both directions ----


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text_comes_back(text):
    tokenizer = small()
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_chinese_comes_back_through_bytes(stories):
    ids = stories.encode(CHINESE)
    assert stories.decode(ids, errors="strict") == CHINESE
    assert {stories.pieces[i] for i in stories.encode("春")} == {" ", "<0xE6>", "<0x98>", "<0xA5>"}
    assert stories.decode(stories.encode("春")[:-1]) == "\ufffd"  # half a character
    assert small().encode("春眠") == [small().pieces.index(" "), small().pieces.index("春眠")]


@pytest.mark.parametrize("text", ["", " ", "  a", "a ", " the cat", "\n", "▁", "a\0b", "🙂"])
def test_spaces_come_back_as_they_were(stories, text):
    assert stories.decode(stories.encode(text)) == text


def test_special_tokens_are_read_where_allowed_and_the_spaces_behind_them_too(stories):
    texts = {"<s>Once": [1], "<s> Once": [1], "one</s><s>two </s> ": [2, 1, 2], "<s>": [1], "<s></s>x": [1, 2]}
    for text, specials in texts.items():
        ids = stories.encode(text, "all")
        assert stories.decode(ids) == text
        assert [i for i in ids if i < 3] == specials
    assert stories.encode("<s>Once", {"<s>"}) == [1, *stories.encode("Once")]
    assert not {0, 1, 2} & set(stories.encode("<s></s><unk><0x41>"))
    assert 3 + 0x41 not in stories.encode("<0x41>")  # neither can text forge a byte's piece


# ---- the file ----


def test_saved_and_loaded(stories, tmp_path):
    for tokenizer in (stories, small()):
        tokenizer.save(tmp_path / "t.json")
        loaded = load_tokenizer(tmp_path / "t.json")
        assert type(loaded) is SentencePieceTokenizer
        assert loaded.fingerprint() == tokenizer.fingerprint()
        assert loaded.encode("<s>" + ENGLISH + CHINESE, "all") == tokenizer.encode("<s>" + ENGLISH + CHINESE, "all")
    with pytest.raises(TokenError, match="'sentencepiece' tokenizer, not one for BPETokenizer"):
        BPETokenizer.load(tmp_path / "t.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["pieces"].pop(),
        lambda state: state["pieces"].append("x"),
        lambda state: state["scores"].append("x"),
        lambda state: state["scores"].__setitem__(0, 0),
        lambda state: state["scores"].__setitem__(0, float("nan")),
        lambda state: state["pieces"].__setitem__(259, "he"),
        lambda state: state["pieces"].__setitem__(260, 5),
        lambda state: state["special_tokens"].update({"<s>": 999}),
        lambda state: state["special_tokens"].update({"<s>": 0}),
        lambda state: state.update(more=1),
        lambda state: state.pop("scores"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, change):
    small().save(tmp_path / "t.json")
    state = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    change(state)
    (tmp_path / "t.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(TokenError, match=r"t\.json is a damaged tokenizer file"):
        load_tokenizer(tmp_path / "t.json")


def write_llama2c(path, pieces, scores):
    longest = max(len(piece) for piece in pieces)
    records = [struct.pack("<fi", s, len(p)) + p for p, s in zip(pieces, scores, strict=True)]
    path.write_bytes(struct.pack("<i", longest) + b"".join(records))


def test_llama2cs_file_is_read(tmp_path):
    pieces, scores = vocabulary([" t", "he", " the", "春"])
    encoded = [piece.encode() for piece in pieces]
    encoded[1:3] = [b"\n<s>\n", b"\n</s>\n"]  # as llama2.c writes them
    write_llama2c(tmp_path / "tok.bin", encoded, scores)
    tokenizer = SentencePieceTokenizer.from_llama2c(tmp_path / "tok.bin")
    assert tokenizer.pieces == pieces and tokenizer.scores == scores
    assert tokenizer.special_tokens == SPECIALS
    assert tokenizer.vocab_size == len(pieces)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], r"piece \d+ at byte \d+ has length 1, beyond the file"),
        (lambda data: data + b"\0\0", r"ends within piece \d+"),
        (lambda data: data + struct.pack("<fi", 0, -1), r"has length -1"),
        (lambda data: data + struct.pack("<fi", 0, 1) + b"\xff", r"piece \d+ at byte \d+ isn't UTF-8: b'\\xff'"),
        (lambda data: data[:400], "piece|pieces"),
        (lambda data: data + struct.pack("<fi", 0, 2) + b"he", "stands twice"),
    ],
)
def test_a_damaged_llama2c_file_is_named(tmp_path, change, message):
    pieces, scores = vocabulary([" t", "he"])
    write_llama2c(tmp_path / "tok.bin", [piece.encode() for piece in pieces], scores)
    (tmp_path / "tok.bin").write_bytes(change((tmp_path / "tok.bin").read_bytes()))
    with pytest.raises(TokenError, match=rf"tok\.bin.*{message}"):
        SentencePieceTokenizer.from_llama2c(tmp_path / "tok.bin")


def test_vocabularies_that_lack_something_are_refused():
    pieces, scores = vocabulary(["ab"])
    with pytest.raises(TokenError, match="has 255 of the 256 pieces <0x00> to <0xFF>"):
        SentencePieceTokenizer([p for p in pieces if p != "<0x7F>"], scores[1:], SPECIALS)
    with pytest.raises(TokenError, match="needs a score, a finite number"):
        SentencePieceTokenizer(pieces, scores[1:], SPECIALS)
    with pytest.raises(TokenError, match=f"from 0 to {len(pieces) - 1}"):
        SentencePieceTokenizer(pieces, scores, {"<s>": len(pieces)})
    with pytest.raises(ConfigError, match="must have an id"):
        SentencePieceTokenizer(pieces, scores, {"<s>": -1})
    with pytest.raises(TokenError, match=f"token id {len(pieces)} is outside"):
        SentencePieceTokenizer(pieces, scores, SPECIALS).decode([len(pieces)])
