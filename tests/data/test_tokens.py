"""Splits and token files: exact cuts, streaming, caching, and refusal of what doesn't belong together."""

import errno
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.data import tokens
from minillm.data.corpora import Corpus, load
from minillm.data.splits import split, split_texts
from minillm.data.tokens import TokenStream, prepare
from minillm.errors import ConfigError, DataError, TokenError
from minillm.tokenizers import BPETokenizer, CharTokenizer
from tests.data.stand_in import Bytes, Characters
from tests.data_files import real_file

TEXTS = ("白日依山尽，\n", "黄河入海流。\n", "欲穷千里目，\n", "更上一层楼。\n")
POEM = Corpus("poem", "a poem", lambda: TEXTS)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.floats(0.05, 0.95))
def test_both_parts_are_the_text_cut_at_a_fraction_of_its_characters(texts, fraction):
    text = "".join(texts)
    cut = int((1 - fraction) * len(text))
    corpus = Corpus("any", "", lambda: texts)
    if min(cut, len(text) - cut) < 2:
        with pytest.raises(
            DataError, match=rf"too short: {len(text)} characters, {cut} to train on and {len(text) - cut}"
        ):
            split(corpus, fraction)
    else:
        splits = split(corpus, fraction)
        assert "".join(splits.train) == text[:cut]
        assert "".join(splits.validation) == text[cut:]


def test_tiny_shakespeare_is_split_as_nanogpt_does(tmp_path):
    path = real_file("tinyshakespeare.txt")
    text = path.read_text(encoding="utf-8")
    train, val = prepare(load(path), Characters("".join(sorted(set(text)))), tmp_path)
    alphabet = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = [alphabet[c] for c in text]
    n = len(text)
    assert np.array_equal(train.ids, ids[: int(n * 0.9)])  # nanoGPT's data[:int(n*0.9)]
    assert np.array_equal(val.ids, ids[int(n * 0.9) :])
    assert (len(train), len(val)) == (1_003_854, 111_540)  # as nanoGPT's prepare.py prints them
    assert "".join(split_texts(load(path))) == text[: int(n * 0.9)]


def test_training_texts_can_be_read_more_than_once():
    texts = split_texts(POEM)
    assert list(texts) == list(texts)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ConfigError, match="validation_fraction"):
        split(POEM, fraction)


def test_half_a_surrogate_pair_is_named():
    with pytest.raises(DataError, match=r"'bad' has half a surrogate pair, '\\ud800'"):
        split(Corpus("bad", "", lambda: ["abc\ud800def"]))


def test_streams_hold_the_ids_and_count_bytes(tmp_path):
    train, val = prepare(POEM, Bytes(), tmp_path, 0.25)
    text = "".join(TEXTS)
    assert bytes(np.asarray(train).tolist()).decode() == text[:21]
    assert bytes(val[:].tolist()).decode() == text[21:]
    assert (train.bytes, val.bytes) == (len(text[:21].encode()), len(text[21:].encode()))
    assert isinstance(train.ids, np.memmap) and train.ids.dtype == np.uint16
    with pytest.raises(ValueError, match="read-only"):
        train.ids[0] = 1


def test_a_large_vocabulary_takes_four_bytes(tmp_path):
    alphabet = "".join(sorted(set("".join(TEXTS))))
    small, _ = prepare(POEM, Characters(alphabet, 65_535), tmp_path / "small")
    large, _ = prepare(POEM, Characters(alphabet, 65_536), tmp_path / "large")
    assert (small.ids.dtype, large.ids.dtype) == (np.uint16, np.uint32)
    assert np.array_equal(small.ids, large.ids)


def test_tokens_that_are_there_are_not_made_again(tmp_path):
    tokenizer = Bytes()
    prepare(POEM, tokenizer, tmp_path)
    calls = tokenizer.calls
    first, _ = prepare(POEM, tokenizer, tmp_path)
    assert tokenizer.calls == calls > 0
    changed = Corpus("poem", "a poem", lambda: (*TEXTS, "王之涣\n"))
    second, _ = prepare(changed, tokenizer, tmp_path)
    assert tokenizer.calls > calls
    assert len(second) > len(first)


@pytest.mark.parametrize(
    "train_tokenizer", [CharTokenizer.train, lambda texts: BPETokenizer.train(texts, vocab_size=300)]
)
def test_token_files_of_our_tokenizers_decode_to_the_text(tmp_path, train_tokenizer):
    corpus = Corpus("verses", "", lambda: TEXTS * 20)
    tokenizer = train_tokenizer(split_texts(corpus))
    train, val = prepare(corpus, tokenizer, tmp_path)
    assert tokenizer.decode(np.asarray(train).tolist()) + tokenizer.decode(np.asarray(val).tolist()) == "".join(
        TEXTS * 20
    )


def test_another_cut_or_tokenizer_makes_them_anew(tmp_path):
    train, _ = prepare(POEM, Bytes(), tmp_path, 0.1)
    other, _ = prepare(POEM, Bytes(), tmp_path, 0.5)
    assert len(other) < len(train)
    characters, _ = prepare(POEM, Characters("".join(sorted(set("".join(TEXTS))))), tmp_path, 0.5)
    assert len(characters) == 14


def test_long_documents_are_encoded_in_pieces_at_line_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "_PIECE", 10)
    pieces = list(tokens._pieces("abc\ndef\nghijklmnopqrstuvwxyz\n1"))
    assert pieces == ["abc\ndef\n", "ghijklmnop", "qrstuvwxyz", "\n1"]
    train, _ = prepare(POEM, Bytes(), tmp_path)
    assert bytes(np.asarray(train).tolist()).decode() == "".join(TEXTS)[: len(train) and int(0.9 * 28)]


def test_documents_are_handed_over_many_at_a_time(monkeypatch):
    monkeypatch.setattr(tokens, "_TOGETHER", 8)
    assert list(tokens._batches(["abc", "defgh", "i", "", "jklmnopqrst", "u"])) == [
        ["abc", "defgh"],
        ["i", "", "jklmnopqrst"],
        ["u"],
    ]
    assert list(tokens._batches([])) == []


def test_another_vocabulary_is_refused(tmp_path):
    prepare(POEM, Bytes(), tmp_path)
    with pytest.raises(TokenError, match=r"train\.bin was made with another tokenizer \(fingerprint bytes, this"):
        TokenStream.load(tmp_path / "train.bin", Characters("abc"))


def test_an_id_outside_the_vocabulary_is_found(tmp_path):
    prepare(POEM, Bytes(), tmp_path)
    ids = np.memmap(tmp_path / "train.bin", dtype="<u2", mode="r+")
    ids[5] = 256
    ids.flush()
    with pytest.raises(TokenError, match="holds id 256 at position 5, outside the vocabulary of 256"):
        TokenStream.load(tmp_path / "train.bin", Bytes())


def test_a_tokenizer_that_breaks_its_own_bounds_is_caught(tmp_path):
    broken = Characters("".join(sorted(set("".join(TEXTS)))), 3)
    with pytest.raises(TokenError, match=r"ids outside 0\.\.2"):
        prepare(POEM, broken, tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": 1}', b'{"key": "a", "dtype": "float64"}', b"\xff"])
def test_a_damaged_description_is_named_and_mended_by_preparing_again(tmp_path, content):
    prepare(POEM, Bytes(), tmp_path)
    (tmp_path / "train.json").write_bytes(content)
    with pytest.raises(DataError, match=r"train\.json is damaged"):
        TokenStream.load(tmp_path / "train.bin", Bytes())
    assert len(prepare(POEM, Bytes(), tmp_path)[0]) > 0


def test_a_dtype_that_is_none_of_ours_is_refused(tmp_path):
    prepare(POEM, Bytes(), tmp_path)
    about = json.loads((tmp_path / "train.json").read_text(encoding="utf-8"))
    (tmp_path / "train.json").write_text(json.dumps(about | {"dtype": "float64"}), encoding="utf-8")
    with pytest.raises(DataError, match=r"damaged \(wrong: dtype\)"):
        TokenStream.load(tmp_path / "train.bin", Bytes())


def test_a_truncated_or_missing_file_is_named(tmp_path):
    prepare(POEM, Bytes(), tmp_path)
    content = (tmp_path / "train.bin").read_bytes()
    (tmp_path / "train.bin").write_bytes(content[:-1])
    with pytest.raises(DataError, match=rf"damaged: {len(content) - 1} bytes, where {len(content) // 2} tokens of 2"):
        TokenStream.load(tmp_path / "train.bin", Bytes())
    (tmp_path / "train.json").unlink()
    with pytest.raises(DataError, match="never finished"):
        TokenStream.load(tmp_path / "train.bin", Bytes())


def test_new_ids_are_never_taken_for_what_the_old_description_says(tmp_path, monkeypatch):
    prepare(POEM, Bytes(), tmp_path)
    real = tokens.os.replace

    def replace(source, target):
        if str(target).endswith("train.json"):
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    monkeypatch.setattr(tokens.os, "replace", replace)
    with pytest.raises(OSError, match="Input/output"):
        prepare(Corpus("reversed", "", lambda: TEXTS[::-1]), Bytes(), tmp_path)  # as many bytes as before
    with pytest.raises(DataError, match="never finished"):
        TokenStream.load(tmp_path / "train.bin", Bytes())


@pytest.mark.parametrize("failing", ["train.bin", "train.json", "val.bin"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, failing):
    real = tokens.os.replace

    def replace(source, target):
        if str(target).endswith(failing):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(tokens.os, "replace", replace)
    with pytest.raises(OSError, match="No space left"):
        prepare(POEM, Bytes(), tmp_path)
    assert not list(tmp_path.glob(".tmp-*"))
    monkeypatch.undo()
    train, val = prepare(POEM, Bytes(), tmp_path)
    assert (train.bytes + val.bytes) == len("".join(TEXTS).encode())
